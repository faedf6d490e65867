"""Options of ``mindanim encode-stimuli``."""

from __future__ import annotations

from typing import Literal

from mindanim.config.option import StageConfig, opt
from mindanim.config.variants import GIVEN


class EncodeStimuliConfig(StageConfig):
    """How films become the features that the decoders learn to predict."""

    stage_version = 2  # 2: frames go by presentation time, upright

    frames: int = opt(8, "Frames per clip.", unit="frames", flag=True, ge=2)
    spacing: Literal["even", "released"] = opt(
        "even",
        "Sample at equal times, or (released) a whole number of film frames apart (0, 8, ..., 56 of 60).",
    )
    fit: Literal["crop", "squash"] = opt(
        "crop", "Make frames square by cropping the longer side, or by squashing it."
    )
    centre: float = opt(
        1.0,
        "Central fraction of each side kept before resizing (HCP: 420 of 512 is 0.82).",
        gt=0,
        le=1,
    )
    tokens: int = opt(
        20, "Tokens of the text condition, including BOS and EOS.", unit="tokens", flag=True, ge=2
    )
    views: int = opt(
        8, "Views per clip that training draws from: the clip itself and augmented ones.", flag=True, ge=1
    )
    crop: float = opt(
        400 / 512, "Side of the augmenting random crops, as a fraction of the frame.", gt=0, le=1
    )
    edits: tuple[Literal["synonyms", "insertion", "swap", "deletion"], ...] = opt(
        ("synonyms", "insertion", "swap", "deletion"), "Augmenting edits of the caption."
    )
    synonyms: str = opt(
        "",
        "Table of synonyms (word, tab, comma-separated synonyms); empty uses the built-in one.",
        identity=False,
        only={"edits": ("synonyms", "insertion")},
    )
    captions: str = opt(
        "",
        "Captions: a table (clip_id, tab, caption), or comma-separated HDF5 files of strings in clip order; "
        "empty uses the study's own, or else the captioner's.",
        flag=True,
        identity=False,
    )
    caption_threshold: float = opt(
        0.05,
        "Join two generated captions if their CLIP similarities differ by more than this.",
        ge=0,
        only={"captioner": (GIVEN,)},
    )
    seed: int = opt(0, "Seed of crops, caption edits and the choice between captions.", flag=True, ge=0)
    diffusion: str = opt(
        "demo", "Diffusion model: demo, a local folder, or a hub id.", flag=True, identity=False
    )
    clip: str = opt(
        "demo",
        "CLIP model: demo, a local folder, a hub id, or open_clip's ARCHITECTURE/TAG.",
        flag=True,
        identity=False,
    )
    captioner: str = opt("", "BLIP-2 model: a local folder or a hub id.", flag=True, identity=False)
