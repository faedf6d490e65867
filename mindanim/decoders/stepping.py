"""The optimizer's step: each weight moves as soon as its gradient is known, where nothing stands against it.

A gradient then lives only until its weight has moved, so that the gradients of all weights are never in
memory together. Adam treats each number by itself: the result is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mindanim import runtime
from mindanim.config.training import TrainConfig
from mindanim.decoders.losses import add_l1_gradient
from mindanim.decoders.parallel import sum_gradients


class Stepper:
    """Adam for the parameters of one training, each with moments of its own.

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
        self.parameters, self.clip_norm = parameters, config.clip_norm
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        # Without weight decay AdamW is Adam.
        self.optimizers = {
            parameter: torch.optim.AdamW(
                [parameter],
                lr=config.learning_rate,
                betas=config.betas,
                eps=config.epsilon,
                weight_decay=config.weight_decay,
                fused=device.type in ("cpu", "cuda"),
            )
            for parameter in parameters
        }
        self.penalty = 0.0
        all_at_once = runtime.world_size() > 1 or config.clip_norm > 0 or self.scaler.is_enabled()
        self.hooks: list[Any] = []
        if not all_at_once:
            for parameter in parameters:
                hook: Any = parameter.register_post_accumulate_grad_hook
                self.hooks.append(hook(self._move))

    def step(self, loss: Tensor, rate: float, penalty: float) -> None:
        """The backward pass of ``loss``, and one step with learning rate ``rate`` and L1 ``penalty``."""
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = rate
        self.penalty = penalty
        torch.autograd.backward(self.scaler.scale(loss))
        if self.hooks:
            return
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        for parameter in moved:
            self.scaler.unscale_(self.optimizers[parameter])
        sum_gradients(moved)
        add_l1_gradient(moved, penalty)
        if self.clip_norm:
            nn.utils.clip_grad_norm_(moved, self.clip_norm)
        for parameter in moved:
            self.scaler.step(self.optimizers[parameter])
            parameter.grad = None
        self.scaler.update()

    def _move(self, parameter: Tensor) -> None:
        """Move one weight and give its gradient back."""
        if not isinstance(parameter, nn.Parameter):
            raise TypeError("only parameters are trained")
        add_l1_gradient([parameter], self.penalty)
        self.optimizers[parameter].step()
        parameter.grad = None

    def close(self) -> None:
        """Let go of the weights, which otherwise keep their moments alive."""
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def state_dict(self) -> dict[str, Any]:
        """Everything that a continued training needs, in the order of the parameters."""
        moments = [optimizer.state_dict() for optimizer in self.optimizers.values()]
        return {"moments": moments, "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        for optimizer, moments in zip(self.optimizers.values(), state["moments"], strict=True):
            optimizer.load_state_dict(moments)
        self.scaler.load_state_dict(state["scaler"])
