"""Several processes, one training: each takes its share of every batch, gradients are averaged."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mindanim import runtime


def own_share(rows: Tensor) -> Tensor:
    """The part of a batch that this process works on; all of it when there are fewer clips than processes."""
    world = runtime.world_size()
    return rows if len(rows) < world else rows[runtime.rank() :: world]


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter], share: float) -> None:
    """Replace the gradients by their mean over all processes, weighted by the ``share`` of the batch each
    one saw."""
    world = runtime.world_size()
    if world == 1:
        return
    from accelerate.utils import reduce

    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.copy_(reduce(parameter.grad * share, reduction="sum"))


def agreed(figures: dict[str, float]) -> dict[str, float]:
    """The first process's figures, so that all of them take the same decisions."""
    if runtime.world_size() == 1:
        return figures
    from accelerate.utils import broadcast_object_list

    shared = [figures]
    broadcast_object_list(shared)
    return shared[0]
