"""Which training clips fit a decoder, and which are held out to validate it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mindanim.errors import InputError

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


def _none(held: Mask) -> Mask:
    return np.zeros_like(held)


@dataclass(frozen=True)
class Split:
    """Rows that fit the decoder and rows that validate it.

    Attributes:
        fit: Rows ``(clip,)`` that fit the decoder.
        validation: Held-out rows.
        purged: Rows in the gap between the two, which neither uses.
        segments: ``(clip,)``, the block of every row, for cross-validation.
        held_out: What validates, in words.
        near: For held-out rows ``(clip,) bool``, the other rows that are too close in time to fit.
    """

    fit: Rows
    validation: Rows
    purged: Rows
    segments: NDArray[np.str_]
    held_out: str
    near: Callable[[Mask], Mask] = _none


def blocked_split(clips: pd.DataFrame, fraction: float, purge_s: float, blocks: int) -> Split:
    """Hold out whole segments for validation, spread evenly over the study.

    The split does not depend on the decoder or the seed. With one or two segments the last clips validate,
    and the rest is cut into ``blocks`` stretches for cross-validation.

    Args:
        clips: Rows in array order with columns clip_id, segment, film, onset_s.
        fraction: Fraction of segments to hold out: at least one, and at least two are left to choose the
            penalty.
        purge_s: Clips that start less than this many seconds from a validation clip of the same film are
            not used.
        blocks: Number of stretches.

    Raises:
        InputError: There are too few clips to split.
    """
    names = list(dict.fromkeys(clips["segment"].astype(str)))
    segment = clips["segment"].astype(str).to_numpy(dtype=np.str_)
    near = partial(_near, clips, purge_s)
    if len(names) > 2:
        count = min(max(1, round(fraction * len(names))), len(names) - 2)
        chosen = [names[int((place + 0.5) * len(names) / count)] for place in range(count)]
        held = np.isin(segment, chosen)
        gap = near(held)
        said = f"segments {', '.join(chosen)}"
        if gap.any():
            said += f", with a gap of {int(gap.sum())} clips around them"
        if (held | gap).all():
            raise InputError(
                f"No training clip is {purge_s:g} s away from the clips of {said}.",
                "Segments of one film that touch are kept apart by that gap.",
                "Set a smaller purge_s.",
            )
        return Split(_rows(~held & ~gap), _rows(held), _rows(gap), segment, said, near)
    total, count = len(clips), max(1, round(fraction * len(clips)))
    if total - count < 2 * blocks:
        raise InputError(
            f"{total} training clips in {len(names)} segments are too few to hold some out for validation.",
            "The epoch or the penalty is chosen on clips that the decoder has not seen.",
            "Use more of the study.",
        )
    held = np.arange(total) >= total - count
    gap = near(held)
    stretch = np.minimum(np.arange(total) * blocks // (total - count), blocks)
    return Split(
        _rows(~held & ~gap),
        _rows(held),
        _rows(gap),
        np.array([f"{name}/{part}" for name, part in zip(segment, stretch, strict=True)]),
        f"the last {count} clips, after a gap of {int(gap.sum())}",
        near,
    )


def _near(clips: pd.DataFrame, purge_s: float, held: Mask) -> Mask:
    """Which of the other clips start less than ``purge_s`` seconds from a held-out one of the same film."""
    near, onsets = np.zeros(len(clips), np.bool_), clips["onset_s"].to_numpy(np.float64)
    for film in clips.loc[held, "film"].unique():
        rows = np.flatnonzero((clips["film"] == film).to_numpy())
        apart = abs(onsets[rows, None] - onsets[rows[held[rows]]])
        near[rows] = apart.min(axis=1) < purge_s
    return near & ~held


def _rows(chosen: Mask) -> Rows:
    return np.flatnonzero(chosen).astype(np.int64)
