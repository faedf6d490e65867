"""Correlation across features of every decoded with every true vector."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mindanim.vocabulary.scratch import IN_TEMPORARY, Scratch

_BLOCK = 512
"""Vectors correlated at a time, on either side."""


class Rows(Protocol):
    """Vectors read a few at a time, each time (clip, feature)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> NDArray[np.floating]: ...


ROUNDING = 1e-5
"""Distance from the mean up to which vectors of length 1 count as the mean: what batches and float32 make."""


def correlations(
    decoded: NDArray[np.float64], targets: NDArray[np.float64], least: float = 0.0
) -> NDArray[np.float64]:
    """Correlation across features of every decoded with every target vector, (decoded, target).

    Args:
        decoded, targets: (clip, feature). NaN for a constant target; 0 for a constant decoded vector.
        least: Targets of at most this length are constant too.
    """
    (first, flat), (second, empty) = _standard(decoded), _standard(targets)
    # Targets of one caption differ only by the batch they were computed in: rounding makes them tie.
    result: NDArray[np.float64] = np.round(first @ second.T, 6)
    result[flat] = 0.0
    result[:, empty | (np.linalg.norm(targets, axis=1) <= least)] = np.nan
    return result


def _standard(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rows with mean 0 and length 1, and which of them are constant (up to rounding)."""
    size = np.abs(rows).max(axis=1, initial=0.0)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1)
    constant = length <= 1e-12 * np.maximum(size, 1e-300) * np.sqrt(rows.shape[1])
    return rows / np.where(constant, 1.0, length)[:, None], constant


def clip_correlations(
    decoded: Rows,
    targets: Rows,
    training_mean: NDArray[np.floating],
    scratch: Scratch = IN_TEMPORARY,
) -> NDArray[np.float64]:
    """`correlations` of CLIP vectors less the training clips' mean vector; decoded ones are scaled to length
    1 first.

    Args:
        decoded, targets: (clip, feature), read a few at a time.
        training_mean: (feature,), the mean of vectors of length 1. The result is in `scratch`.
    """
    result: NDArray[np.float64] = scratch.array((len(decoded), len(targets)), np.float64)
    mean = np.float64(training_mean)
    for rows in _slices(len(decoded)):
        unit = np.asarray(decoded[rows], dtype=np.float64)
        length = np.linalg.norm(unit, axis=1, keepdims=True)
        centred = unit / np.where(length > 0, length, 1.0) - mean
        for columns in _slices(len(targets)):
            result[rows, columns] = correlations(centred, targets[columns] - mean, ROUNDING)
    return result


def _slices(count: int) -> list[slice]:
    return [slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
