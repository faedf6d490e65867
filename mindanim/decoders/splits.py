"""Training data: which clips train, which choose, and what is drawn afresh in every batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mindanim.decoders.training.parallel import drawn
from mindanim.errors import InputError

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


def _none(held: Mask) -> Mask:
    return np.zeros_like(held)


@dataclass(frozen=True)
class Split:
    """Rows that fit the decoder and rows that choose the epoch.

    ``segments (clip,)`` names the block each of *all* rows belongs to, for cross-validation; ``held_out``
    says in words what validates; ``purged`` rows lie in the gap between and are used by neither. ``near``
    tells, for any rows ``(clip,)`` that are held out, which others lie too near to them in time to be fitted;
    by default none.
    """

    fit: Rows
    validation: Rows
    purged: Rows
    segments: NDArray[np.str_]
    held_out: str
    near: Callable[[Mask], Mask] = _none


def blocked_split(clips: pd.DataFrame, fraction: float, purge_s: float, blocks: int) -> Split:
    """Hold out whole segments for validation, the same ones for every decoder and seed.

    clips: rows in array order with columns clip_id, segment, film, onset_s. fraction: share of the
    segments, at least one of them, and two fewer than there are at most, since penalties are chosen between
    those that fit; the held-out ones are spread evenly over the study. With one segment or
    two the last clips validate, and the rest is cut into ``blocks`` stretches for cross-validation. Clips of
    the same film that begin less than ``purge_s`` seconds from one that validates are used by neither.
    Raises InputError when there are too few clips to split.
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
    """Which of the other clips begin less than ``purge_s`` seconds from a held-out one of the same film."""
    near, onsets = np.zeros(len(clips), np.bool_), clips["onset_s"].to_numpy(np.float64)
    for film in clips.loc[held, "film"].unique():
        rows = np.flatnonzero((clips["film"] == film).to_numpy())
        apart = abs(onsets[rows, None] - onsets[rows[held[rows]]])
        near[rows] = apart.min(axis=1) < purge_s
    return near & ~held


def _rows(chosen: NDArray[np.bool_]) -> Rows:
    return np.flatnonzero(chosen).astype(np.int64)


def zero_entries(responses: Tensor, fraction: float) -> Tensor:
    """A copy of ``(clip, feature)`` in which each entry is 0 with probability ``fraction``, drawn now; the
    input stays."""
    if fraction == 0:
        return responses
    chances = drawn(
        len(responses), lambda clips: responses.new_empty((clips, *responses.shape[1:])).uniform_()
    )
    return responses * (chances >= fraction)


def draw_views(bank: Tensor, augment: bool) -> Tensor:
    """One view of each clip from ``bank (clip, view, feature)``: a random one, or view 0, the un-augmented
    one."""
    if not augment:
        return bank[:, 0]
    views = drawn(len(bank), lambda clips: torch.randint(bank.shape[1], (clips,), device=bank.device))
    return bank[torch.arange(len(bank), device=bank.device), views]


def caption_labels(captions: pd.Series) -> Tensor:
    """A number per caption ``(clip,) int64``, equal for captions that differ only in case and spaces."""
    plain = captions.astype(str).str.lower().str.split().str.join(" ")
    return torch.from_numpy(pd.factorize(plain)[0].astype(np.int64))
