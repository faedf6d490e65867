"""What was done to the films, in sentences for a methods section, and what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mindanim.config.encode_stimuli import EncodeStimuliConfig

_SPACING = {"even": "at equal times", "released": "a whole number of film frames apart"}


def methods(config: EncodeStimuliConfig, models: Mapping[str, str], size: int, dim: int) -> Iterator[str]:
    """Sentences about one encoding. models: names by kind. size: of the frames, px. dim: of CLIP space."""
    yield (
        f"Each clip was represented by {config.frames} frames sampled {_SPACING[config.spacing]} and brought "
        f"to {size} x {size} px; their latents are the posterior means of the autoencoder of the diffusion "
        f"model '{models['diffusion']}', times its scaling factor."
    )
    captions = "were given"
    if "captioner" in models:
        captions = f"were made by '{models['captioner']}' from the first and the last frame of each clip"
    yield (
        f"Captions {captions}. The middle frame and the caption were embedded by the CLIP model "
        f"'{models['clip']}' ({dim} features), and the caption by the diffusion model's text encoder too "
        f"({config.tokens} tokens)."
    )
    if config.views > 1:
        edits = f" and edited captions ({', '.join(config.edits)})" if config.edits else ""
        yield (
            f"For augmentation, {config.views - 1} further views of each clip were embedded: random crops of "
            f"{config.crop:.0%} of the frame's side{edits}, after easy data augmentation (Wei & Zou 2019)."
        )


def findings(encoded: int, declared: int) -> list[tuple[str, str, dict[str, Any]]]:
    """What must travel with the stimuli: ``(code, text, data)``. Numbers of clips."""
    if encoded == declared:
        return []
    text = f"{encoded} of {declared} clips were encoded: the other films are missing."
    return [("partial-stimuli", text, {"clips": encoded, "declared": declared})]
