"""Parts of networks: the trunk that reads the responses, layer norms, and scaling of targets."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mindanim.decoders.batch_sharing import ShareDropout
from mindanim.decoders.models.blockwise_linear import Linear

PAPER = "(Mind-Animator, arXiv 2405.03280)"
"""The citation of methods sentences."""
_COLUMNS = 1024


class Residual(nn.Module):
    """``x + layers(x)``."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, values: Tensor) -> Tensor:
        return torch.add(values, self.layers(values))


def _dense(inputs: int, width: int, dropout: float) -> tuple[nn.Module, ...]:
    return Linear(inputs, width), nn.LayerNorm(width), nn.GELU(), ShareDropout(dropout)


def response_trunk(
    features: int, width: int, blocks: int, dropout: float, block_dropout: float
) -> nn.Sequential:
    """Linear, LayerNorm, GELU, dropout, then residual blocks of the same: ``(clip, feature)`` to ``(clip,
    width)``."""
    residuals = (Residual(*_dense(width, width, block_dropout)) for _ in range(blocks))
    return nn.Sequential(*_dense(features, width, dropout), *residuals)


def xavier(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases for every linear layer (Glorot and Bengio 2010)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)


class Scaler(nn.Module):
    """Per-element mean and scale of a target, kept with the decoder; the identity until `fit` is called."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("scale", torch.ones(shape))
        self.mean: Tensor
        self.scale: Tensor

    @torch.no_grad()
    def fit(self, targets: Callable[[slice], Tensor]) -> None:
        """Fit mean and standard deviation over clips; elements that do not vary keep scale 1.

        Args:
            targets: Returns ``(clip, *shape)`` for some columns of the last axis, so that never all are in
            memory.
        """
        for start in range(0, self.mean.shape[-1], _COLUMNS):
            columns = slice(start, start + _COLUMNS)
            values = targets(columns).float()
            deviation = values.std(0, correction=0)
            self.mean[..., columns] = values.mean(0)
            self.scale[..., columns] = torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation))

    def apply_to(self, targets: Tensor) -> Tensor:
        """Targets to standard units."""
        return (targets - self.mean) / self.scale

    def undo(self, values: Tensor) -> Tensor:
        """Standard units back to the target's."""
        return values * self.scale + self.mean


class DeviationNorm(nn.Module):
    """Layer normalisation that divides by the standard deviation plus epsilon: ``(x - mean) / (std + 1e-6)``.

    The standard deviation has ``n - 1`` in its denominator. torch's own layer norm divides by the root of
    the variance over ``n`` plus epsilon. Checkpoints of Mind-Animator's motion generator were trained with
    this one.
    """

    epsilon = 1e-6

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, values: Tensor) -> Tensor:
        values = values.float()  # as in torch's layer norm under autocast
        deviation, mean = torch.std_mean(values, dim=-1, keepdim=True)
        return self.weight * (values - mean) / (deviation + self.epsilon) + self.bias
