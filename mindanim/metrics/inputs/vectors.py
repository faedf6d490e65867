"""Vectors of clips in memory-mapped arrays, read a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FEW = 512


@dataclass(frozen=True)
class Vectors:
    """Chosen rows of an array of vectors, (clip, feature) or (clip, view, feature).

    Of several views the first is used, the frame or caption itself; the others are augmented.
    """

    array: NDArray[np.floating]
    rows: Sequence[int] | NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: slice, /) -> NDArray[np.floating]:
        chosen = self.rows[index]
        return np.asarray(self.array[chosen] if self.array.ndim == 2 else self.array[chosen, 0])

    def mean(self) -> NDArray[np.float64]:
        """The mean vector, (feature,)."""
        total = np.zeros(self.array.shape[-1])
        for start in range(0, len(self), _FEW):
            total += self[start : start + _FEW].sum(axis=0, dtype=np.float64)
        return total / len(self)
