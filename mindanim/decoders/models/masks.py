"""Which frames a frame may attend to. Masks are boolean ``(frame, frame)``: row i attends to column j where
true."""

from __future__ import annotations

import torch
from torch import Tensor


def causal(frames: int) -> Tensor:
    """A frame sees itself and the frames before it: ``(frame, frame) bool``."""
    return torch.ones(frames, frames, dtype=torch.bool).tril()


def sparse_causal(frames: int, keep_visible: float) -> Tensor:
    """The causal mask with a random part of the past hidden: ``(frame, frame) bool``.

    Adjacent frames are so similar that a generator could copy its input; hiding part of it forces it to use
    the responses (Mind-Animator, arXiv 2405.03280, section 3.3). From the third row on, every entry except
    the first column's stays visible with this probability, drawn from torch's global generator. The first
    frame is always visible, so no row is empty.

    Args:
        frames: Number of frames.
        keep_visible: Probability; ``mask_ratio`` in the released code.
    """
    kept = torch.rand(frames, frames) < keep_visible
    kept[:2] = True
    kept[:, :1] = True
    return causal(frames) & kept


def first_only(frames: int) -> Tensor:
    """The mask of the released inference: from the third row on a frame sees only the first: ``(frame, frame)
    bool``."""
    return sparse_causal(frames, keep_visible=0.0)
