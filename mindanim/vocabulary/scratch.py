"""Disk space for what grows with the study: scores of pairs of clips, answers of networks, draws per voxel.

The operating system keeps what is in use in memory as far as it fits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_SMALL = 1 << 16
"""Bytes below which memory is used instead."""


@dataclass(frozen=True)
class Scratch:
    """Makes arrays in unnamed files that disappear with the last reference to the array.

    Attributes:
        folder: On a disk with enough space; None for the system's temporary folder.
    """

    folder: Path | None = None

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of zeros.

        Raises:
            OSError: The disk is too full. Without space set aside, a full disk would kill the process later.
        """
        size = prod(shape) * np.dtype(dtype).itemsize
        if size < _SMALL:
            return np.zeros(shape, dtype)
        with TemporaryFile(dir=self.folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            return np.asarray(np.memmap(file, dtype, "w+", shape=shape))


IN_TEMPORARY = Scratch()
