"""The model card and training record of a set of backbones."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from examples.demo_backbones.loop import Record
from examples.demo_backbones.quality import REQUIRED

NETWORKS = {
    "diffusion": "text-to-image diffusion model: autoencoder (64 px to 8 latent channels on an 8 x 8 grid), "
    "text encoder with its own vocabulary (20 tokens), UNet (diffusers)",
    "clip": "CLIP: image and text tower, 128 features (open_clip)",
    "image_classifier": "ViT, 60 classes: object over background (transformers)",
    "video_classifier": "VideoMAE, 8 frames, 120 classes: object and motion (transformers)",
}
QUALITIES = {
    "vae_psnr_db": "autoencoder: PSNR of reconstructed frames, dB",
    "vae_ssim": "autoencoder: SSIM of reconstructed frames (7 x 7 window)",
    "clip_retrieval_top1": "CLIP: own caption nearest among those of all scenes",
    "image_classifier_top1": "image classifier: object and background right",
    "video_classifier_top1": "video classifier: object and motion right",
    "samples_top1": "samples: object and background as prompted, rated by the image classifier",
}

INTRODUCTION = """\
# Backbones of the simulated world

Small frozen networks for `mindanim`'s demo, in the file formats of the large ones, so that the same code
loads both. They were trained from scratch on frames of the simulated world only: one coloured object over a
landscape, 64 px. They have never seen photographs, faces, films or brain data, and are of no use outside
that world.
"""

LIMITS = """\
## Limitations

- No pretrained weights, downloaded images or human data were used. Licence: MIT, like the package.
- The diffusion model was trained on single frames, and its captions do not mention motion.
- Training scenes use seeds from 1,000,000, the measurements above seeds from 2,000,000; simulated studies
  use lower seeds.
- The image classifier rates the samples, and CLIP's image tower and the video classifier were initialised
  from its weights, so these three are not independent raters.

To train them again, from the root of the repository: `python -m examples.demo_backbones --out DIR`
(on a GPU, add `--device cuda`).
"""


def write_card(
    folder: Path, records: Mapping[str, Record], measured: Mapping[str, float], context: Mapping[str, Any]
) -> None:
    """Write ``training.json`` and ``MODEL_CARD.md``.

    Args:
        folder: The set of backbones.
        records: Network (vae, diffusion, ...) -> record of its training.
        measured: Result of `quality.measure`.
        context: Anything else worth recording: seed, clips in the pool, sample counts, device.
    """
    told = {
        "networks": {name: {"megabytes": _megabytes(folder / name)} for name in NETWORKS},
        "training": {name: asdict(record) for name, record in records.items()},
        "quality": {name: round(value, 4) for name, value in measured.items()},
        "required": REQUIRED,
        "machine": platform.processor() or platform.machine(),
        **context,
    }
    (folder / "training.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    (folder / "MODEL_CARD.md").write_text(_card(told), encoding="utf-8")


def _card(told: Mapping[str, Any]) -> str:
    networks = [[f"`{n}/`", NETWORKS[n], f"{size['megabytes']:.1f}"] for n, size in told["networks"].items()]
    trainings = [
        [name, f"{record['steps']:,}", f"{record['minutes']:.0f}", f"{record['loss']:.3f}"]
        for name, record in told["training"].items()
    ]
    qualities = [
        [QUALITIES[name], f"{value:.3g}", f"{REQUIRED[name]:g}", "yes" if value >= REQUIRED[name] else "no"]
        for name, value in told["quality"].items()
    ]
    context = {key: told[key] for key in told if key not in ("networks", "training", "quality", "required")}
    return "\n".join(
        [
            INTRODUCTION,
            _table(["folder", "what", "MB (fp16)"], networks),
            "## Measured on held-out scenes\n",
            _table(["what", "reached", "required", "met"], qualities),
            "## Training record\n",
            _table(["network", "steps", "minutes", "last loss"], trainings),
            "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in context.items()) + ".\n",
            LIMITS,
        ]
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _megabytes(folder: Path) -> float:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6, 2)
