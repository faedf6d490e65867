"""Runs stored as plain arrays, and responses that a reader extracts from study-specific files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.formats.series import Series, broken
from mindanim.bold.voxels import Voxels
from mindanim.errors import InputError
from mindanim.vocabulary.reading import map_npy
from mindanim.vocabulary.runs import Matrix

AXES = ("volume voxel", "voxel volume")
_FORMAT = "array of a run"


def open_npy(path: Path, axes: str | None) -> Series:
    """Open a .npy file of ``axes`` ``volume voxel`` or ``voxel volume``; it says nothing of the TR."""
    array = map_npy(path, _FORMAT)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise broken(path, _FORMAT, f"it holds {array.dtype} of shape {array.shape}, not a table of numbers")
    if axes not in AXES:
        raise InputError(
            f"The axes of {path} are not declared.",
            f"Its shape {array.shape} does not say which axis is time.",
            f"Declare axes as one of: {', '.join(AXES)}.",
        )

    def data() -> NDArray[np.generic]:
        table = map_npy(path, _FORMAT)
        return np.asarray(table if axes == AXES[0] else table.T)

    volumes, voxels = array.shape if axes == AXES[0] else array.shape[::-1]
    return Series(path, None, volumes, Voxels.unplaced("columns", voxels), np.arange(voxels), data)


def open_matrix(path: Path, load: Callable[[], Matrix]) -> Series:
    """Open responses that ``load`` extracts from ``path``; they stay in memory."""
    matrix = load()
    signal = np.asarray(matrix.signal)
    if signal.ndim != 2 or signal.dtype.kind not in "fiu":
        raise broken(path, "table of responses", f"it holds {signal.dtype} of shape {signal.shape}")
    count = signal.shape[1]
    ijk = None if matrix.ijk is None else np.asarray(matrix.ijk, dtype=np.int64)
    for what, values in (("regions", matrix.region), ("indices", ijk)):
        if values is not None and len(values) != count:
            raise broken(path, "table of responses", f"it has {count} voxels, and {what} for {len(values)}")
    voxels = Voxels.unplaced("columns", count, names=matrix.region, ijk=ijk)
    return Series(path, None, len(signal), voxels, np.arange(count), lambda: signal)
