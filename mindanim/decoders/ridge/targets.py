"""Targets of ridge regressions, read a few columns at a time, and their principal components.

A target of whole clips (4,320 clips, 7 frames, 16,384 elements) takes 2 GB in single precision, and so does
every copy. Ridge needs little of it: the similarity of clips, and a basis of a few hundred rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]
Rows = NDArray[np.int64]

_COLUMNS = 4096


def numpy(values: Tensor) -> Array:
    """A tensor as a float32 array on the CPU."""
    return np.asarray(values.float().cpu().numpy(), np.float32)


@dataclass(frozen=True)
class Target:
    """The dependent variable ``(clip, element)`` of a regression, in memory or not.

    Attributes:
        clips: Number of rows.
        elements: Number of columns.
        read: Returns the columns of a slice, ``(clip, column) float32``.
    """

    clips: int
    elements: int
    read: Callable[[slice], Array]

    @classmethod
    def of(cls, values: Tensor) -> Self:
        """A target from ``values (clip, element)``, which may be mapped from a file."""
        return cls(len(values), values.shape[1], lambda columns: numpy(values[:, columns]))

    def blocks(self) -> Iterator[tuple[slice, Array]]:
        """All columns with their places, a block at a time."""
        for start in range(0, self.elements, _COLUMNS):
            columns = slice(start, min(start + _COLUMNS, self.elements))
            yield columns, self.read(columns)


@dataclass(frozen=True)
class Components:
    """Principal components of a target, ``y = scores @ basis + mean``.

    Attributes:
        scores: ``(clip, component)``.
        basis: ``(component, element)``; None if the components are the target's elements.
        mean: ``(element,)``.
    """

    scores: Matrix
    basis: Array | None
    mean: Array

    @property
    def rank(self) -> int | None:
        """Number of components; None if the target was not reduced."""
        return None if self.basis is None else len(self.basis)

    def restore(self, scores: Matrix, columns: slice = slice(None)) -> Array:
        """Scores ``(clip, component)`` back to the target ``(clip, element)``, or to some columns of it."""
        values = scores.astype(np.float32)
        restored = values[:, columns] if self.basis is None else values @ self.basis[:, columns]
        restored += self.mean[columns]
        return restored


class Reduction:
    """The leading principal components of a target over any subset of its clips, exactly.

    They follow from the clips' Gram matrix, which takes one pass over the columns for all subsets.

    Args:
        target: What to reduce.
        components: Number of components; a target with no more elements is only centred.
    """

    def __init__(self, target: Target, components: int) -> None:
        self.target, self.components = target, components
        self.whole = target.elements <= components
        self.gram = np.zeros((0, 0) if self.whole else (target.clips, target.clips))
        if self.whole:
            return
        for _, block in target.blocks():
            # In double precision, around the mean of all clips; that of a subset is close to it, and is
            # subtracted in `over`.
            centred = block.astype(np.float64)
            centred -= centred.mean(0)
            self.gram += centred @ centred.T

    def over(self, rows: Rows) -> Components:
        """The components of the clips at ``rows``."""
        if self.whole:
            values = self.target.read(slice(0, self.target.elements))[rows]
            mean = values.mean(0)
            return Components((values - mean).astype(np.float64), None, mean)
        gram = self.gram[np.ix_(rows, rows)]
        gram -= gram.mean(0)
        gram -= gram.mean(1, keepdims=True)
        values, vectors = np.linalg.eigh(gram)
        keep = min(self.components, len(rows) - 1)
        vectors = vectors[:, ::-1][:, :keep]
        norms = np.sqrt(np.maximum(values[::-1][:keep], 1e-12))
        to_basis = (vectors.T / norms[:, None]).astype(np.float32)
        basis = np.empty((keep, self.target.elements), np.float32)
        mean = np.empty(self.target.elements, np.float32)
        for columns, block in self.target.blocks():
            chosen = block[rows]
            mean[columns] = chosen.mean(0)
            chosen -= mean[columns]
            basis[:, columns] = to_basis @ chosen
        return Components(vectors * norms, basis, mean)
