"""The optimizer's step: each weight is updated as soon as its gradient is known, if possible.

A gradient then exists only until its weight is updated, and on a CPU the large weights of linear layers are
updated block by block (`blockwise_linear`), so the gradients of all weights are never in memory together.
Adam treats every number separately: neither order nor grouping of the updates matters. A step is 1.8 to 2.9
times as fast as the published computation, in 55 to 58 % of its memory (docs/explanation/measurements.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from mindanim import runtime
from mindanim.config.train import TrainConfig
from mindanim.decoders.batch_sharing import sum_gradients
from mindanim.decoders.models.blockwise_linear import Blockwise, cut_like, row_blocks
from mindanim.decoders.training.losses import add_l1_gradient


class Stepper:
    """Adam for the parameters of one training.

    Several processes, a bound on the gradients' norm and float16 scaling need all gradients at once; they are
    then kept until the backward pass is over.

    Args:
        parameters: What is trained.
        config: Adam's options and the bound.
        device: Where the parameters are.
        dtype: Of the forward pass.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        config: TrainConfig,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.parameters, self.clip_norm, self.penalty = parameters, config.clip_norm, 0.0
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.at_once = runtime.world_size() > 1 or config.clip_norm > 0 or self.scaler.is_enabled()
        # On a GPU many small kernels take longer than a few large ones.
        in_blocks = device.type == "cpu" and not self.at_once
        self.blocks = {one: row_blocks(one) if in_blocks else [one] for one in parameters}
        # Without weight decay AdamW is Adam.
        self.adam = torch.optim.AdamW(
            [block for blocks in self.blocks.values() for block in blocks],
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            fused=device.type in ("cpu", "cuda"),
        )
        self.moments: dict[nn.Parameter, tuple[Tensor, Tensor]] = {}
        for parameter in parameters:
            self._give(parameter, 0, torch.zeros_like(parameter), torch.zeros_like(parameter))
        self.blockwise = Blockwise({}, self._move_block)
        self.hooks: list[Any] = []
        if not self.at_once:
            for parameter in parameters:
                hook: Any = parameter.register_post_accumulate_grad_hook
                self.hooks.append(hook(self._move))

    def forward(self) -> AbstractContextManager[Any]:
        """The context in which to compute the loss that is passed to `step`."""
        large = {parameter: blocks for parameter, blocks in self.blocks.items() if len(blocks) > 1}
        self.blockwise = Blockwise(large, self._move_block)
        return self.blockwise.active()

    def step(self, loss: Tensor, rate: float, penalty: float) -> None:
        """The backward pass of ``loss``, and one step with learning rate ``rate`` and L1 ``penalty``."""
        self.adam.param_groups[0]["lr"], self.penalty = rate, penalty
        # In the same context, since a network may recompute parts of its forward pass.
        with self.blockwise.active():
            torch.autograd.backward(self.scaler.scale(loss))
        if not self.at_once:
            return
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        # Summed first: if one process overflows, all of them see it and skip the step.
        sum_gradients(moved)
        self.scaler.unscale_(self.adam)
        add_l1_gradient(moved, penalty)
        if self.clip_norm:
            nn.utils.clip_grad_norm_(moved, self.clip_norm)
        self.scaler.step(self.adam)
        self.scaler.update()
        self.adam.zero_grad()

    def _move(self, parameter: Tensor) -> None:
        """Update one weight by the gradient that autograd has summed, if any, and free the gradient."""
        if not isinstance(parameter, nn.Parameter):
            raise TypeError("only parameters are trained")
        if parameter.grad is None:
            return
        if parameter in self.blockwise.handed_over:
            raise RuntimeError(
                "the weight of a blockwise_linear.Linear is used elsewhere too: make it a torch.nn.Linear"
            )
        blocks = self.blocks[parameter]
        gradient, parameter.grad = parameter.grad, None
        for block, part in zip(blocks, cut_like(gradient, blocks), strict=True):
            block.grad = part
            self._move_block(block)

    def _move_block(self, block: nn.Parameter) -> None:
        add_l1_gradient([block], self.penalty)
        # Weights without a gradient, which now are all others, do not change.
        self.adam.step()
        block.grad = None

    def _give(self, parameter: nn.Parameter, steps: float, first: Tensor, second: Tensor) -> None:
        """Give a parameter its moments; its blocks get views of them as AdamW's state."""
        self.moments[parameter] = first, second
        blocks = self.blocks[parameter]
        parts = cut_like(first, blocks), cut_like(second, blocks)
        for block, mean, square in zip(blocks, *parts, strict=True):
            # Fused steps count on the device, others on the CPU.
            place = parameter.device if self.adam.defaults["fused"] else "cpu"
            count = torch.full((), steps, dtype=torch.float32, device=place)
            self.adam.state[block] = {"step": count, "exp_avg": mean, "exp_avg_sq": square}

    def close(self) -> None:
        """Remove the hooks, through which the weights would keep their moments alive."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to continue a training, in the order of the parameters."""
        steps = [float(self.adam.state[blocks[0]]["step"]) for blocks in self.blocks.values()]
        return {"steps": steps, "moments": list(self.moments.values()), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for parameter, steps, moments in zip(self.parameters, state["steps"], state["moments"], strict=True):
            self._give(parameter, steps, *moments)
        # Empty if the training began in another precision; the scale is then found again.
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
