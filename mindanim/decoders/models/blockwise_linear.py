"""Linear layers whose weight is updated block by block of rows during the backward pass.

The gradient of a large weight is as large as the weight, and is written once, read once and then discarded.
Computed a few rows at a time and used immediately, it stays in the processor's cache and needs no memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_ELEMENTS, _ROWS = 1 << 20, 512
"""Least size of a block: with fewer elements the calls, with fewer rows the matrix products would take
longer. The elements are 16 MB in float32, with gradient and two moments."""


class Linear(nn.Linear):
    """torch's linear layer, but `Blockwise` can update its weight, which must not be used elsewhere."""

    def forward(self, input: Tensor) -> Tensor:
        context = _ACTIVE.get()
        if context is None or not torch.is_grad_enabled():
            return super().forward(input)
        return context.linear(input, self.weight, self.bias)


def row_blocks(parameter: nn.Parameter) -> list[nn.Parameter]:
    """Views of some rows each of a large matrix ``(row, column)``; a small one is a single block."""
    if parameter.dim() < 2:
        return [parameter]
    rows = max(_ROWS, _ELEMENTS // parameter[0].numel())
    parts = torch.split(parameter.detach(), rows)
    return [nn.Parameter(part) for part in parts] if len(parts) > 1 else [parameter]


def cut_like(values: Tensor, blocks: Sequence[Tensor]) -> Sequence[Tensor]:
    """Views of ``values``, which have the whole parameter's shape, that correspond to its ``blocks``."""
    return [values] if len(blocks) == 1 else torch.split(values, [len(block) for block in blocks])


class Blockwise:
    """A context in which `Linear` layers pass on the gradient of their weight in blocks.

    It must be active in the forward and the backward pass. Autograd computes no gradient for these weights.
    A layer that is called more than once has a gradient with several parts, and is left to autograd.

    Args:
        blocks: Row blocks of each weight to treat so.
        use: Called in the backward pass for each block once it has its ``grad``, to update the block; the
            gradient's memory is then reused.
    """

    def __init__(
        self, blocks: Mapping[nn.Parameter, list[nn.Parameter]], use: Callable[[nn.Parameter], None]
    ) -> None:
        self.blocks, self.use = blocks, use
        self.calls: Counter[nn.Parameter] = Counter()
        self.handed_over: set[nn.Parameter] = set()
        self.buffer: Tensor | None = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """The context itself; it can be entered again."""
        token = _ACTIVE.set(self)
        try:
            yield
        finally:
            _ACTIVE.reset(token)

    def linear(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """``input (..., column)`` through a linear layer, ``(..., row)``."""
        if not isinstance(weight, nn.Parameter) or weight not in self.blocks:
            return functional.linear(input, weight, bias)
        self.calls[weight] += 1
        kind = input.device.type
        if torch.is_autocast_enabled(kind):
            # Cast here, so that the smaller copy is kept for the backward pass, as with autocast.
            input = input.to(torch.get_autocast_dtype(kind))
        return torch.as_tensor(_Linear.apply(input, weight, bias, self))

    def hand_over(self, weight: nn.Parameter, outputs: Tensor, inputs: Tensor) -> None:
        """Compute and use ``outputs.T @ inputs``, the gradient of ``weight``, block by block.

        Args:
            weight: Of the layer.
            outputs: Gradient of the layer's outputs ``(clip, row)``.
            inputs: ``(clip, column)``.
        """
        self.handed_over.add(weight)
        blocks = self.blocks[weight]
        for block, part in zip(blocks, cut_like(outputs.T, blocks), strict=True):
            if inputs.dtype == block.dtype:
                if self.buffer is None or self.buffer.numel() < block.numel():
                    self.buffer = torch.empty_like(block).flatten()
                block.grad = self.buffer[: block.numel()].view_as(block)
                torch.mm(part, inputs, out=block.grad)
            else:
                block.grad = (part @ inputs).to(block.dtype)
            self.use(block)
            block.grad = None


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: nn.Parameter, bias: nn.Parameter | None, context: Blockwise
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.weight, ctx.context = weight, context
        return functional.linear(inputs, weight, bias)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        outputs = gradient.reshape(-1, gradient.shape[-1])
        rows = inputs.reshape(-1, inputs.shape[-1])
        to_inputs, to_weight, to_bias, _ = ctx.needs_input_grad
        back = own = offset = None
        if to_bias:
            offset = outputs.sum(0).to(weight.dtype)
        # Before the weight moves.
        if to_inputs:
            back = (outputs @ weight.to(outputs.dtype)).view_as(inputs)
        if to_weight and ctx.context.calls[ctx.weight] > 1:
            own = (outputs.T @ rows).to(weight.dtype)
        elif to_weight:
            ctx.context.hand_over(ctx.weight, outputs, rows)
        return back, own, offset, None


_ACTIVE: ContextVar[Blockwise | None] = ContextVar("blockwise", default=None)
