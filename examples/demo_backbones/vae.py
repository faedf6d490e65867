"""The autoencoder: 64 px frames <-> an 8 x 8 grid of latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional

from examples.demo_backbones.data import FRAMES, SIZE, Pool
from examples.demo_backbones.loop import Record, Schedule, fit

LATENT_CHANNELS = 8
KL_WEIGHT = 2e-4
"""Small: enough to keep the latents near unit scale without losing detail."""
SQUARED_WEIGHT = 2.0
SSIM_WEIGHT = 0.15
BATCH = 16


def build() -> Any:
    """The untrained network; three halvings take 64 px to 8 x 8."""
    return AutoencoderKL(  # type: ignore[no-untyped-call]
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        sample_size=SIZE,
        scaling_factor=1.0,
    )


def train_vae(
    pool: Pool,
    steps: int = 6000,
    *,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: Path | None = None,
    **options: Any,
) -> tuple[Any, Record]:
    """Train on single frames and set `scaling_factor` so that scaled latents have unit variance."""
    torch.manual_seed(seed)
    network = build().to(device)
    plan = Schedule(steps, 1.5e-3, decay=0.0, final=0.05)
    averaged, record = fit(
        network,
        lambda rng: _loss(network, _batch(pool, rng, device)),
        plan,
        seed=seed,
        checkpoint=checkpoint,
        **options,
    )
    autoencoder: Any = averaged
    autoencoder.register_to_config(scaling_factor=round(1 / latent_spread(autoencoder, pool), 5))
    return autoencoder, record


@torch.no_grad()
def latent_spread(network: nn.Module, pool: Pool, clips: int = 256) -> float:
    """Standard deviation of the unscaled posterior means over the frames of some clips."""
    return float(torch.cat([encode(network, frames) for frames in pool.frames[:clips]]).std())


@torch.no_grad()
def encode(network: Any, frames: Any) -> torch.Tensor:
    """Unscaled posterior means (frame, channel, 8, 8) of frames (frame, height, width, rgb) uint8."""
    means: torch.Tensor = network.encode(pixels(frames).to(network.device)).latent_dist.mean
    return means


def pixels(frames: Any) -> torch.Tensor:
    """(frame, height, width, rgb) uint8 -> (frame, rgb, height, width) in [-1, 1]."""
    tensor = torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2)
    return tensor.float().div(127.5).sub(1)


def _batch(pool: Pool, rng: np.random.Generator, device: str) -> torch.Tensor:
    clip, frame = rng.integers(len(pool.frames), size=BATCH), rng.integers(FRAMES, size=BATCH)
    return pixels(pool.frames[clip, frame]).to(device)


def _loss(network: Any, frames: torch.Tensor) -> torch.Tensor:
    """Absolute, squared and SSIM error of the reconstruction, plus the KL divergence of the posterior."""
    with torch.autocast(frames.device.type, torch.bfloat16):
        posterior = network.encode(frames).latent_dist
        decoded = network.decode(posterior.sample()).sample
    decoded = decoded.float()
    # With the absolute error only, the colour of small objects is learned last.
    loss = functional.l1_loss(decoded, frames) + SQUARED_WEIGHT * functional.mse_loss(decoded, frames)
    loss = loss + SSIM_WEIGHT * (1 - _ssim(decoded, frames))
    divergence: torch.Tensor = posterior.kl().mean() / posterior.mean[0].numel()
    return loss + KL_WEIGHT * divergence


def _ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Mean structural similarity with the 7 x 7 uniform window, frames in [-1, 1] (Wang et al. 2004)."""
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    both = torch.cat([first, second, first * first, second * second, first * second])
    x, y, xx, yy, xy = functional.avg_pool2d(both, 7, stride=1).chunk(5)
    luminance = (2 * x * y + c1) / (x * x + y * y + c1)
    structure = (2 * (xy - x * y) + c2) / (xx - x * x + yy - y * y + c2)
    return (luminance * structure).mean()
