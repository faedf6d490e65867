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
    """One clip to be shown.

    score: what best, median and worst are chosen by; higher is better, NaN sorts last.
    truth, reconstruction: (frame, height, width, rgb) uint8.
    others: name -> frames to show beside them (oracle, no-brain, frozen, ...); sizes may differ.
    place: Best, Median or Worst of the whole test set; empty for clips drawn at random. Where no clip has
    one, best, median and worst are those of the clips given.
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
