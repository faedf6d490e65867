"""Arrays by their common names, and frames as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

Frames = NDArray[np.uint8]
"""Pictures, (..., height, width, rgb) uint8; usually one clip, (frame, height, width, rgb)."""
Float = NDArray[np.float64]
"""Float64 of any shape."""


def to_tensor(frames: Frames) -> torch.Tensor:
    """(..., height, width, rgb) uint8 -> (..., channel, height, width) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, -3).to(torch.float32) / 255


def numbered(names: Sequence[str]) -> NDArray[np.intp]:
    """(name,) int from 0: the same number for the same name."""
    _, numbers = np.unique(np.asarray(names, dtype=object), return_inverse=True)
    return numbers.astype(np.intp)
