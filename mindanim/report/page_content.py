"""What a page shows in addition to metrics.json: clips and training curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mindanim.vocabulary.arrays import Frames

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ClipView:
    """One clip to show.

    Attributes:
        clip_id: Its name.
        caption: Its caption, or "".
        score: What clips are ranked by; higher is better, NaN ranks last.
        truth: (frame, height, width, rgb) uint8.
        reconstruction: (frame, height, width, rgb) uint8.
        others: Name -> frames of a floor or ceiling (oracle, no-brain, frozen, ...); sizes may differ.
        place: Best, Median or Worst of the whole test set; empty for clips drawn at random.
    """

    clip_id: str
    caption: str
    score: float
    truth: Frames
    reconstruction: Frames
    others: Mapping[str, Frames] = field(default_factory=dict)
    place: str = ""


@dataclass(frozen=True)
class Curve:
    """The training of one decoder.

    Attributes:
        name: Kind of decoder.
        history: One row per validated epoch, with columns `epoch`, `train_loss`, `val_loss`.
        best_epoch: Epoch whose weights were kept, if known.
    """

    name: str
    history: pd.DataFrame
    best_epoch: int | None = None
