"""The optimizer's step: each weight moves as soon as its gradient is known, where nothing stands against it.

A gradient then lives only until its weight has moved, and on a CPU the large weights of linear layers move
block by block (`blockwise`), so that the gradients of all weights are never in memory together. Adam treats
each number by itself: it makes no difference in which order they move, or how many at a time.
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

    Several processes, a bound on the gradients' norm and the scaling of float16 need all gradients at once:
    then they are kept until the backward pass is over.
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
        # On a GPU many small kernels would take longer than a few large ones.
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
        """The context in which the losses are computed whose gradients `step` follows."""
        large = {parameter: blocks for parameter, blocks in self.blocks.items() if len(blocks) > 1}
        self.blockwise = Blockwise(large, self._move_block)
        return self.blockwise.active()

    def step(self, loss: Tensor, rate: float, penalty: float) -> None:
        """The backward pass of ``loss``, and one step with learning rate ``rate`` and L1 ``penalty``."""
        self.adam.param_groups[0]["lr"], self.penalty = rate, penalty
        # In the same context, for a network may compute parts of its forward pass once more.
        with self.blockwise.active():
            torch.autograd.backward(self.scaler.scale(loss))
        if not self.at_once:
            return
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        # Summed first: what overflows in one process is then seen, and the step left out, by all of them.
        sum_gradients(moved)
        self.scaler.unscale_(self.adam)
        add_l1_gradient(moved, penalty)
        if self.clip_norm:
            nn.utils.clip_grad_norm_(moved, self.clip_norm)
        self.scaler.step(self.adam)
        self.scaler.update()
        self.adam.zero_grad()

    def _move(self, parameter: Tensor) -> None:
        """Move one weight by the gradient that autograd has summed, if any, and give the gradient back."""
        if not isinstance(parameter, nn.Parameter):
            raise TypeError("only parameters are trained")
        if parameter.grad is None:
            return
        if parameter in self.blockwise.handed_over:
            raise RuntimeError("the weight of a blockwise.Linear has another use: make it a torch.nn.Linear")
        blocks = self.blocks[parameter]
        gradient, parameter.grad = parameter.grad, None
        for block, part in zip(blocks, cut_like(gradient, blocks), strict=True):
            block.grad = part
            self._move_block(block)

    def _move_block(self, block: nn.Parameter) -> None:
        add_l1_gradient([block], self.penalty)
        # Those without a gradient, all others at this moment, stay where they are.
        self.adam.step()
        block.grad = None

    def _give(self, parameter: nn.Parameter, steps: float, first: Tensor, second: Tensor) -> None:
        """Give a parameter its moments; its blocks have views of them where AdamW looks for its state."""
        self.moments[parameter] = first, second
        blocks = self.blocks[parameter]
        parts = cut_like(first, blocks), cut_like(second, blocks)
        for block, mean, square in zip(blocks, *parts, strict=True):
            # Fused steps count on the device, others on the CPU.
            place = parameter.device if self.adam.defaults["fused"] else "cpu"
            count = torch.full((), steps, dtype=torch.float32, device=place)
            self.adam.state[block] = {"step": count, "exp_avg": mean, "exp_avg_sq": square}

    def close(self) -> None:
        """Let go of the weights, which otherwise keep their moments alive."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def state_dict(self) -> dict[str, Any]:
        """Everything that a continued training needs, in the order of the parameters."""
        steps = [float(self.adam.state[blocks[0]]["step"]) for blocks in self.blocks.values()]
        return {"steps": steps, "moments": list(self.moments.values()), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        for parameter, steps, moments in zip(self.parameters, state["steps"], state["moments"], strict=True):
            self._give(parameter, steps, *moments)
        # Empty where the training began in another precision: then the scale is found anew.
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
