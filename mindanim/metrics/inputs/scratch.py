"""Room on disk for what grows with the number of clips: pairs' scores, networks' answers, similarities.

The operating system keeps in memory what of it is in use and there is room for, and drops the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_SMALL = 1 << 16
"""Bytes below which a file is not worth it."""


@dataclass(frozen=True)
class Scratch:
    """Makes arrays whose files have no name and vanish with the last reference to the array.

    folder: on a disk with room for them; None takes the system's folder for temporary files.
    """

    folder: Path | None = None

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array of zeros."""
        if prod(shape) * np.dtype(dtype).itemsize < _SMALL:
            return np.zeros(shape, dtype)
        with TemporaryFile(dir=self.folder) as file:
            return np.asarray(np.memmap(file, dtype, "w+", shape=shape))


IN_TEMPORARY = Scratch()
