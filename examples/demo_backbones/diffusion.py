"""The text-to-image diffusion model: tokenizer, text encoder and UNet on the latents of single frames.

It is trained on single frames, so the motion of a reconstruction cannot come from it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from examples.demo_backbones.data import FRAMES, Pool
from examples.demo_backbones.loop import Record, Schedule, fit
from examples.demo_backbones.tokenizer import TOKENS, build_tokenizer, tokens
from examples.demo_backbones.vae import LATENT_CHANNELS, encode

TEXT_WIDTH = 96
GRID = 8
BATCH = 64
UNCONDITIONAL = 0.1
"""Fraction of captions replaced by the empty prompt, for classifier-free guidance (Ho & Salimans 2022)."""
SHAPED = 0.75
"""Fraction of noise levels drawn near the middle, where shapes are decided; the others are uniform."""
ON_OBJECT = 2.0
"""Additional weight of latents that the object covers, because most of a frame is landscape."""


class TextToImage(nn.Module):
    """Text encoder and UNet, trained together."""

    def __init__(self) -> None:
        super().__init__()
        tokenizer = build_tokenizer()
        self.text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=TEXT_WIDTH,
                intermediate_size=4 * TEXT_WIDTH,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=TOKENS,
                projection_dim=TEXT_WIDTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        self.unet: Any = UNet2DConditionModel(  # type: ignore[no-untyped-call]
            sample_size=GRID,
            in_channels=LATENT_CHANNELS,
            out_channels=LATENT_CHANNELS,
            block_out_channels=(96, 192),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D",) * 2,
            up_block_types=("CrossAttnUpBlock2D",) * 2,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=2,
            norm_num_groups=16,
        )


def scheduler() -> Any:
    """The noise schedule of SD-1.x, with velocity prediction (Salimans & Ho 2022)."""
    return DDIMScheduler(  # type: ignore[no-untyped-call]
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="leading",
    )


def pool_latents(vae: Any, pool: Pool, path: Path | None = None) -> NDArray[np.float16]:
    """Scaled latents of the pool, (clip, frame, channel, row, column) float16; stored in the file `path`."""
    if path is not None and path.exists():
        kept: NDArray[np.float16] = np.load(path)
        return kept
    latents = np.empty((len(pool.frames), FRAMES, LATENT_CHANNELS, GRID, GRID), np.float16)
    for start in range(0, len(latents), 16):
        frames = pool.frames[start : start + 16]
        encoded = encode(vae, frames.reshape(-1, *frames.shape[2:])) * vae.config.scaling_factor
        latents[start : start + 16] = encoded.cpu().numpy().reshape(-1, *latents.shape[1:])
    if path is not None:
        np.save(path, latents)
    return latents


def train_diffusion(
    pool: Pool,
    latents: NDArray[np.float16],
    steps: int = 7000,
    *,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    **options: Any,
) -> tuple[TextToImage, Record]:
    """Train text encoder and UNet on single frames."""
    torch.manual_seed(seed)
    network = TextToImage().to(device)
    coded, empty = tokens(pool.captions), tokens([""])[0]
    schedule = scheduler()

    def loss(rng: np.random.Generator) -> torch.Tensor:
        clip, frame = rng.integers(len(latents), size=BATCH), rng.integers(FRAMES, size=BATCH)
        text = torch.where(torch.from_numpy(rng.random(BATCH) < UNCONDITIONAL)[:, None], empty, coded[clip])
        clean = torch.from_numpy(latents[clip, frame]).float().to(device)
        time = torch.from_numpy(_noise_levels(rng, len(schedule.alphas_cumprod))).to(device)
        noise = torch.randn(clean.shape, device=device)
        with torch.autocast(clean.device.type, torch.bfloat16):
            condition = network.text(text.to(device)).last_hidden_state
            predicted = network.unet(schedule.add_noise(clean, noise, time), time, condition).sample
        error = (predicted.float() - schedule.get_velocity(clean, noise, time)).square()
        coverage = torch.from_numpy(pool.coverage[clip, frame].astype(np.float32)).to(device)
        weighted: torch.Tensor = (error * (1 + ON_OBJECT * coverage[:, None])).mean()
        return weighted

    plan = Schedule(steps, 1e-3, decay=0.01, average=0.995, final=0.02)
    averaged, record = fit(network, loss, plan, seed=seed, checkpoint=checkpoint, **options)
    return averaged, record


def _noise_levels(rng: np.random.Generator, levels: int) -> NDArray[np.int64]:
    """One timestep per sample; most are logit-normal (Esser et al. 2024, arXiv 2403.03206)."""
    middle = (levels - 1) / (1 + np.exp(-rng.normal(0.4, 0.9, BATCH)))
    drawn = np.where(rng.random(BATCH) < SHAPED, middle, rng.integers(levels, size=BATCH))
    return drawn.astype(np.int64)


def export_diffusion(vae: Any, network: TextToImage, folder: Path) -> None:
    """Write an fp16 diffusers folder, as `StableDiffusionPipeline.from_pretrained` reads it.

    It has no safety checker: the model only draws simple shapes.
    """
    pipeline: Any = StableDiffusionPipeline(  # type: ignore[no-untyped-call]
        vae=copy.deepcopy(vae),
        text_encoder=copy.deepcopy(network.text),
        tokenizer=build_tokenizer(),
        unet=copy.deepcopy(network.unet),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float16).save_pretrained(folder)
