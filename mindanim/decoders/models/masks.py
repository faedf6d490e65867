"""Which frames a frame may look at. Masks are boolean ``(frame, frame)``: row i may look at column j where
true."""

from __future__ import annotations

import torch
from torch import Tensor


def causal(frames: int) -> Tensor:
    """A frame sees itself and the frames before it: ``(frame, frame) bool``."""
    return torch.ones(frames, frames, dtype=torch.bool).tril()


def sparse_causal(frames: int, keep_visible: float) -> Tensor:
    """The causal mask with a random part of the past hidden: ``(frame, frame) bool``.

    Adjacent frames are so alike that a generator could copy its input; hiding part of it makes it consult
    the responses. From the third row on, every entry but the first column's stays visible with probability
    ``keep_visible``, drawn from torch's global generator (Mind-Animator, arXiv 2405.03280, section 3.3; the
    released code calls this probability ``mask_ratio``). The first frame is always visible, so no row is
    empty.
    """
    kept = torch.rand(frames, frames) < keep_visible
    kept[:2] = True
    kept[:, :1] = True
    return causal(frames) & kept


def first_only(frames: int) -> Tensor:
    """The mask of the released inference: from the third row on a frame sees nothing but the first:
    ``(frame, frame) bool``."""
    return sparse_causal(frames, keep_visible=0.0)
