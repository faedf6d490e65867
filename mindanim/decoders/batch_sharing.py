"""Several processes share every batch of a training and together compute what one process would.

``accelerate launch`` starts the processes and Accelerate's PartialState connects them (`runtime`). Four
things that Accelerate's ``prepare`` does not provide are here: random numbers drawn for the whole batch, so
that masks and dropout do not depend on the number of processes; a contrastive loss over the whole batch, not
each process's part; gradients and losses weighted by each process's part of the batch; and optimizer and
weights that remain plain tensors, so that a checkpoint continues with any number of processes. Random
numbers agree on a CPU; on a GPU a single process draws other dropout masks than several.

On a machine with fewer than two GPUs ``accelerate launch --num_processes 2`` starts one process, unless its
settings or ``--multi_gpu``, which allows several processes of any sort (connected by gloo), say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mindanim import runtime


@dataclass(frozen=True)
class Share:
    """This process's part of a batch.

    Attributes:
        total: Clips in the batch.
        rows: Places within the batch.
        weight: Of means over this part in means over the batch.
    """

    total: int
    rows: slice
    weight: float


_SHARE: ContextVar[Share | None] = ContextVar("share", default=None)


def part_of(total: int) -> slice:
    """The places of this process's part within a batch of ``total`` clips.

    A batch with fewer clips than processes is processed by every process in full.
    """
    world = runtime.world_size()
    return slice(None) if total < world else slice(runtime.rank(), None, world)


@contextmanager
def sharing(total: int) -> Iterator[slice]:
    """Share a batch of ``total`` clips within the block; yields the places of this process's part."""
    world = runtime.world_size()
    if world == 1:
        yield slice(None)
        return
    rows = part_of(total)
    count = len(range(total)[rows])
    share = Share(total, rows, 1 / world if total < world else count / total)
    token = _SHARE.set(share)
    try:
        yield rows
    finally:
        _SHARE.reset(token)


def own_rows() -> slice:
    """The places of this process's part within the shared batch; all places if none is shared."""
    share = _SHARE.get()
    return slice(None) if share is None else share.rows


def drawn(count: int, draw: Callable[[int], Tensor]) -> Tensor:
    """Random rows for this process's ``count`` clips: ``draw(clips)``, drawn for the whole batch."""
    share = _SHARE.get()
    return draw(count) if share is None else draw(share.total)[share.rows]


class ShareDropout(nn.Dropout):
    """Dropout whose mask is drawn for the whole batch; the first axis of its input is the clip.

    On a CPU its results equal torch's, but it keeps one byte per element for the backward pass instead of
    four.
    """

    def forward(self, input: Tensor) -> Tensor:
        alone = _SHARE.get() is None and input.device.type != "cpu"
        if alone or not self.training or self.p in (0, 1):
            return super().forward(input)

        def draw(clips: int) -> Tensor:
            return input.new_empty((clips, *input.shape[1:]), dtype=torch.bool).bernoulli_(1 - self.p)

        # Divided as a float32, as torch does it: with p = 0.15 a float64 would round to another factor.
        factor = float(torch.ones(()).div(1 - self.p))
        return input * drawn(len(input), draw) * factor


def gathered(values: Tensor) -> Tensor:
    """The rows of all processes ``(clip of the batch, ...)``; gradients flow back to each process."""
    share = _SHARE.get()
    if share is None or share.total == len(values):
        return values
    return torch.as_tensor(_Gathered.apply(values, share))


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, share: Share) -> Tensor:
        ctx.rows = share.rows
        whole = values.new_zeros((share.total, *values.shape[1:]))
        whole[share.rows] = values
        torch.distributed.all_reduce(whole)
        return whole

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone()
        torch.distributed.all_reduce(gradient)
        return gradient[ctx.rows], None


def weighted(loss: Tensor) -> Tensor:
    """A mean over this process's clips, scaled so that its sum over processes is the batch's mean."""
    share = _SHARE.get()
    return loss if share is None else loss * share.weight


@torch.no_grad()
def batch_mean(values: Tensor) -> Tensor:
    """The mean of ``values (clip, ...)`` over the clips of all processes; carries no gradient."""
    mean = weighted(values.mean())
    if _SHARE.get() is not None:
        torch.distributed.all_reduce(mean)
    return mean


@torch.no_grad()
def summed(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses that are `weighted`, summed over processes."""
    if _SHARE.get() is None:
        return losses
    together = torch.stack([loss.float() for loss in losses.values()])
    torch.distributed.all_reduce(together)
    return dict(zip(losses, together.unbind(), strict=True))


@torch.no_grad()
def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients of `weighted` losses by their sum over all processes."""
    if _SHARE.get() is None:
        return
    running = [
        torch.distributed.all_reduce(parameter.grad, async_op=True)
        for parameter in parameters
        if parameter.grad is not None
    ]
    for one in running:
        if one is not None:
            one.wait()


def agreed(figures: dict[str, float]) -> dict[str, float]:
    """The first process's figures, so that all processes take the same decisions."""
    if runtime.world_size() == 1:
        return figures
    from accelerate.utils import broadcast_object_list

    shared = [figures]
    broadcast_object_list(shared)
    return shared[0]
