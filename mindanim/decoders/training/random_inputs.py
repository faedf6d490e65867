"""What is drawn at random for every batch: zeroed response entries and augmented views."""

from __future__ import annotations

import torch
from torch import Tensor

from mindanim.decoders.batch_sharing import drawn


def zero_entries(responses: Tensor, fraction: float) -> Tensor:
    """A copy of the responses in which each entry is 0 with probability ``fraction``.

    Args:
        responses: ``(clip, feature)``; left unchanged.
        fraction: Probability, from 0 to 1.
    """
    if fraction == 0:
        return responses
    chances = drawn(
        len(responses), lambda clips: responses.new_empty((clips, *responses.shape[1:])).uniform_()
    )
    return responses * (chances >= fraction)


def draw_views(bank: Tensor, augment: bool) -> Tensor:
    """One view of each clip, ``(clip, feature)``.

    Args:
        bank: ``(clip, view, feature)``; view 0 is not augmented.
        augment: Draw a view at random for each clip; otherwise view 0.
    """
    if not augment:
        return bank[:, 0]
    views = drawn(len(bank), lambda clips: torch.randint(bank.shape[1], (clips,), device=bank.device))
    return bank[torch.arange(len(bank), device=bank.device), views]
