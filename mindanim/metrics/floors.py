"""Floors: what reconstructions that know nothing of the clip would score, through the same metric code on
the same clips.

`shuffled` pairs each ground truth with reconstructions of other clips; the others replace the
reconstructions: by the training mean (`mean-image`), by mid-gray (`gray`), or by their own first frame held
still (`frozen`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.vocabulary.arrays import Frames, numbered
from mindanim.vocabulary.clips import Clips

GRAY = 128
SHIFTS, SHIFTS_OF_ONE = 9, 39
"""Circular shifts per segment, and if there is only one: p is then at least 1 / (1 + shifts), while the
shifts of several segments combine."""
SHORT_FILM = 4
"""Shorter films are shifted together."""


@dataclass(frozen=True)
class Frozen:
    """Every clip's first frame, held for the whole clip."""

    clips: Clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int, /) -> Frames:
        frames = self.clips[index]
        return np.broadcast_to(frames[:1], frames.shape)


def gray_clip(shape: tuple[int, ...]) -> Frames:
    """A clip of the shape (frame, height, width, rgb) that is mid-gray everywhere."""
    return np.full(shape, GRAY, dtype=np.uint8)


@dataclass(frozen=True)
class Shuffles:
    """Which other reconstructions each ground truth is compared with.

    Attributes:
        runs: (clip,) int; clips of the same number are shifted among themselves.
        shifted: (clip, shift), the reconstruction at the clip's place after each circular shift of its run;
            -1 where the run has no such shift. For the permutation test.
        partners: (clip, shift), the same, moved on to the next clip of another caption where the captions
            agree; -1 where there is none. For the shuffled floor.
    """

    runs: NDArray[np.intp]
    shifted: NDArray[np.intp]
    partners: NDArray[np.intp]

    def pairs(self) -> NDArray[np.intp]:
        """All distinct (truth, reconstruction) pairs needed, (pair, 2), in the order of the truths."""
        rows = np.repeat(np.arange(len(self.shifted)), self.shifted.shape[1])
        both = np.concatenate(
            [np.stack([rows, part.ravel()], axis=1) for part in (self.shifted, self.partners)]
        )
        found: NDArray[np.intp] = np.unique(both[both[:, 1] >= 0], axis=0)
        return found


def plan_shuffles(
    segments: Sequence[str], captions: Sequence[str], shifts: int, films: Sequence[str] | None = None
) -> Shuffles:
    """Evenly spaced circular shifts within each film, so that what is common to a film's clips cancels.

    Films of fewer than `SHORT_FILM` clips are shifted within their segment, and segments as short as that
    together. The only clip of its kind has no other to pair with.

    Args:
        segments, captions, films: One per clip, in film order; without films, segments are films.
        shifts: Per film, at most its clips less one; 0 is `SHIFTS`, or `SHIFTS_OF_ONE` if all clips are
            shifted together. A circular shift keeps each film's own autocorrelation, in the truths and in
            the reconstructions, and breaks only their pairing.
    """
    runs = _runs(segments, segments if films is None else films)
    sizes = np.bincount(runs)
    wanted = shifts or (SHIFTS if len(sizes) > 1 else SHIFTS_OF_ONE)
    most = int(min(wanted, sizes.max() - 1))
    shifted = np.full((len(runs), most), -1, dtype=np.intp)
    for run, size in enumerate(sizes):
        members = np.flatnonzero(runs == run)
        count = min(most, size - 1)
        for column in range(count):
            step = round((column + 1) * size / (count + 1))
            shifted[members, column] = np.roll(members, -step)
    partners = shifted.copy()
    for clip, column in np.argwhere(shifted >= 0):
        partners[clip, column] = _partner(clip, shifted[clip, column], runs, captions)
    return Shuffles(runs, shifted, partners)


def _runs(segments: Sequence[str], films: Sequence[str]) -> NDArray[np.intp]:
    """The clips that are shifted among themselves, (clip,) int from 0."""
    shown = list(zip(segments, films, strict=True))
    clips = Counter(shown)
    runs = [one if clips[one] >= SHORT_FILM else (one[0], "") for one in shown]
    clips = Counter(runs)
    return numbered([repr(one if clips[one] >= SHORT_FILM else ("", "")) for one in runs])


def _partner(clip: int, start: int, runs: NDArray[np.intp], captions: Sequence[str]) -> int:
    """The clip at `start`, or the next one with another caption, in the same run if there is one (round it),
    otherwise round the whole set; -1 when none has."""
    members = np.flatnonzero(runs == runs[clip])
    here = np.roll(members, -int(np.searchsorted(members, start)))
    there = (start + np.arange(len(captions))) % len(captions)
    for other in (*here, *there):
        if captions[other] != captions[clip]:
            return int(other)
    return -1
