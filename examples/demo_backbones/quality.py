"""Quality of a set of backbones on scenes held out from training.

The networks are loaded as users' folders are, so this also shows that the files are readable.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples.demo_backbones.data import FRAMES, HELD_OUT_SEED, make_pool, scenes
from mindanim.backbones import load_clip, load_diffusion, load_image_classifier, load_video_classifier
from mindanim.simulation import world

REQUIRED = {
    "vae_psnr_db": 28.0,
    "vae_ssim": 0.90,
    "clip_retrieval_top1": 0.75,
    "image_classifier_top1": 0.80,
    "video_classifier_top1": 0.80,
    "samples_top1": 0.70,
}
"""What a shipped set must reach, by the names in the result of `measure`."""


def measure(folder: Path, *, clips: int = 300, samples: int = 300, device: str = "cpu") -> dict[str, float]:
    """All scores of the backbones in `folder`; more clips and samples reduce their standard errors."""
    return {
        **autoencoder(folder, clips, device),
        "clip_retrieval_top1": retrieval(folder, clips, device),
        "image_classifier_top1": image_accuracy(folder, clips, device),
        "video_classifier_top1": video_accuracy(folder, clips, device),
        "samples_top1": sample_accuracy(folder, samples, device),
    }


def autoencoder(folder: Path, clips: int, device: str = "cpu") -> dict[str, float]:
    """Mean PSNR (dB) and SSIM (scikit-image, 7 x 7 window) of reconstructed frames, one frame per clip."""
    from skimage import metrics

    score: Any = metrics  # scikit-image has no annotations
    pool = make_pool(clips, HELD_OUT_SEED)
    frames = pool.frames[np.arange(clips), np.arange(clips) % FRAMES]
    model = load_diffusion(str(folder / "diffusion"), device)
    parts = [_unit(frames[at : at + 50]) for at in range(0, clips, 50)]
    decoded = torch.cat([model.decode_latents(model.encode_frames(part)) for part in parts])
    again = (decoded.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
    pairs = list(zip(frames, again, strict=True))
    return {
        "vae_psnr_db": float(np.mean([score.peak_signal_noise_ratio(*pair) for pair in pairs])),
        "vae_ssim": float(np.mean([score.structural_similarity(*pair, channel_axis=-1) for pair in pairs])),
    }


def retrieval(folder: Path, captions: int, device: str = "cpu") -> float:
    """Fraction of frames whose nearest caption is their own, among as many distinct captions as frames."""
    pool = make_pool(2 * captions, HELD_OUT_SEED)
    distinct = dict(zip(reversed(pool.captions), reversed(range(2 * captions)), strict=True))
    texts = sorted(distinct)[:: max(1, len(distinct) // captions)][:captions]
    model = load_clip(str(folder / "clip"), device)
    images = model.embed_images(_unit(pool.frames[[distinct[text] for text in texts], FRAMES // 2]))
    best = (images @ model.embed_texts(texts).T).argmax(1).cpu()
    return float((best == torch.arange(len(texts))).float().mean())


def image_accuracy(folder: Path, clips: int, device: str = "cpu") -> float:
    """Top-1 accuracy of the image classifier, object and background together, on one frame per clip."""
    pool = make_pool(clips, HELD_OUT_SEED)
    model = load_image_classifier(str(folder / "image_classifier"), device)
    logits = model.logits(_unit(pool.frames[np.arange(clips), np.arange(clips) % FRAMES]))
    return _share(model.labels, logits, [_still_label(shot) for shot in scenes(clips, HELD_OUT_SEED)])


def video_accuracy(folder: Path, clips: int, device: str = "cpu") -> float:
    """Top-1 accuracy of the video classifier, object and motion together."""
    pool = make_pool(clips, HELD_OUT_SEED)
    model = load_video_classifier(str(folder / "video_classifier"), device)
    logits = torch.cat([model.logits(_unit(pool.frames[at : at + 40])) for at in range(0, clips, 40)])
    truth = [
        f"{world.OBJECTS[shot.object]} {world.MOTIONS[shot.motion]}" for shot in scenes(clips, HELD_OUT_SEED)
    ]
    return _share(model.labels, logits, truth)


def sample_accuracy(folder: Path, samples: int, device: str = "cpu") -> float:
    """Fraction of samples in which the image classifier finds the object and background of the prompt."""
    shots = scenes(samples, HELD_OUT_SEED)
    frames = sample(folder, [shot.caption() for shot in shots], device=device)
    model = load_image_classifier(str(folder / "image_classifier"), device)
    return _share(model.labels, model.logits(frames), [_still_label(shot) for shot in shots])


def sample(
    folder: Path,
    prompts: list[str],
    *,
    guidance: float = 4.0,
    steps: int = 20,
    seed: int = 0,
    device: str = "cpu",
) -> torch.Tensor:
    """Images (prompt, rgb, height, width) float32 in [0, 1], sampled by DPM-Solver++ (Lu et al. 2022)."""
    from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

    load: Any = StableDiffusionPipeline.from_pretrained
    pipeline = load(folder / "diffusion", dtype=torch.float32, local_files_only=True).to(device)
    build: Any = DPMSolverMultistepScheduler.from_config
    pipeline.scheduler = build(
        pipeline.scheduler.config, timestep_spacing="trailing", algorithm_type="dpmsolver++"
    )
    pipeline.set_progress_bar_config(disable=True)
    images: list[torch.Tensor] = []
    for at in range(0, len(prompts), 40):
        generators = [torch.Generator().manual_seed(seed + at + i) for i in range(len(prompts[at : at + 40]))]
        result = pipeline(
            prompts[at : at + 40],
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=generators,
            output_type="pt",
        )
        images.append(result.images.float())
    return torch.cat(images)


def _unit(frames: np.ndarray) -> torch.Tensor:
    """(..., height, width, rgb) uint8 -> (..., rgb, height, width) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames)).float().movedim(-1, -3) / 255


def _still_label(shot: world.Scene) -> str:
    return f"{world.OBJECTS[shot.object]} over {world.BACKGROUNDS[shot.background]}"


def _share(labels: list[str], logits: torch.Tensor, truth: list[str]) -> float:
    """Fraction of rows whose best label is the true one."""
    return float(
        np.mean([labels[best] == right for best, right in zip(logits.argmax(1), truth, strict=True)])
    )
