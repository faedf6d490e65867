"""What is drawn at random for every batch: zeroed response entries and augmented views."""

from __future__ import annotations

import torch
from torch import Tensor

from mindanim.decoders.batch_sharing import drawn
from mindanim.runtime import derived_seed


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


def accumulated_zeros(responses: Tensor, fraction: float, epoch: int, rows: Tensor, seed: int) -> Tensor:
    """A copy of the responses in which each epoch so far has zeroed a part of what the ones before it left.

    The released code zeroes entries of the training responses in place. An entry is zeroed once, at an epoch
    that depends on the seed and the clip alone.

    Args:
        responses: ``(clip, feature)``; left unchanged.
        fraction: Part zeroed in each epoch.
        epoch: From 0.
        rows: ``(clip,)``, the clips' places among those that fit the decoder.
        seed: Of the training.
    """
    if fraction == 0:
        return responses
    draws = [
        torch.rand(
            responses.shape[1:],
            generator=torch.Generator().manual_seed(derived_seed(seed, "zeroed", str(row))),
        )
        for row in rows.tolist()
    ]
    return responses * (torch.stack(draws) < (1 - fraction) ** (epoch + 1)).to(responses.device)


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
