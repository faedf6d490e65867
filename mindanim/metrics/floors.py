"""Floors: what reconstructions that know nothing of the clip would score, through the same metric code on
the same clips.

`shuffled` pairs each ground truth with reconstructions of other clips; the others replace the
reconstructions: by the training mean (`mean-image`), by mid-gray (`gray`), or by their own first frame held
still (`frozen`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.vocabulary.arrays import Frames
from mindanim.vocabulary.clips import Clips

GRAY = 128
SHIFTS, SHIFTS_OF_ONE = 9, 39
"""Circular shifts per segment, and if there is only one: p is then at least 1 / (1 + shifts), while the
shifts of several segments combine."""
SHORT_SEGMENT = 4
"""If a segment is shorter, the whole test set is shifted as if it were one segment."""


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


def plan_shuffles(segments: Sequence[str], captions: Sequence[str], shifts: int) -> Shuffles:
    """Evenly spaced circular shifts within each film segment.

    Args:
        segments, captions: One per clip, in film order.
        shifts: Per segment, at most its clips less one; 0 is `SHIFTS`, or `SHIFTS_OF_ONE` if all clips are
            shifted together. A circular shift keeps each segment's own autocorrelation, in the truths and in
            the reconstructions, and breaks only their pairing.
    """
    names, runs = np.unique(np.asarray(segments, dtype=object), return_inverse=True)
    sizes = np.bincount(runs, minlength=len(names))
    if len(names) > 1 and sizes.min() < SHORT_SEGMENT:
        runs = np.zeros(len(runs), dtype=np.intp)
        sizes = np.array([len(runs)])
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
        partners[clip, column] = _partner(clip, shifted[clip, column], captions)
    return Shuffles(runs.astype(np.intp), shifted, partners)


def _partner(clip: int, start: int, captions: Sequence[str]) -> int:
    """The clip at `start`, or the next one (round the whole set) with another caption; -1 when none has."""
    for ahead in range(len(captions)):
        other = (start + ahead) % len(captions)
        if captions[other] != captions[clip]:
            return other
    return -1
