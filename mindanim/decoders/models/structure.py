"""Structure decoders: from responses to the latent of the first frame."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from mindanim.decoders.base import Decoder, Responses, Shapes, register
from mindanim.decoders.batch_sharing import ShareDropout
from mindanim.decoders.models.blockwise_linear import Linear
from mindanim.decoders.models.layers import PAPER, Residual, Scaler, xavier


class Structure(Decoder):
    """A structure decoder: `decode` is up to the subclass, prediction in batches is here."""

    kind = "structure"
    targets = "the latent of the first frame"

    @abstractmethod
    def decode(self, responses: Tensor) -> Tensor:
        """Flattened responses to latents ``(clip, channel * height * width)``."""

    @torch.no_grad()
    def predict(self, responses: Responses, *rest: Any) -> Tensor:
        """Decode responses to the first frame's scaled latent.

        Args:
            responses: ``(clip, lag, voxel)``, z-scored.
            rest: Not used.

        Returns:
            ``(clip, channel, height, width) float32`` on the CPU.
        """
        self.eval()
        latents = [self.decode(batch).float().cpu() for _, batch in self.batches(responses)]
        return torch.cat(latents).reshape(-1, *self.shapes.latent)


class StructureNetwork(Structure):
    """A structure decoder that the training loop fits; a subclass defines `forward`."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes)
        self.scaler = Scaler(shapes.latent_size)

    @abstractmethod
    def forward(self, responses: Tensor) -> Tensor:
        """Responses ``(clip, lag * voxel)`` to latents ``(clip, channel * height * width)`` in the scaler's
        units."""

    def decode(self, responses: Tensor) -> Tensor:
        return self.scaler.undo(self(responses))


@register("mlp")
class StructureMlp(StructureNetwork):
    """The paper's network: a linear residual trunk with dropout, LayerNorm, ReLU and one linear layer."""

    def __init__(self, shapes: Shapes, *, width: int = 1024, blocks: int = 2, dropout: float = 0.2) -> None:
        super().__init__(shapes)
        residuals = (Residual(Linear(width, width), ShareDropout(dropout)) for _ in range(blocks))
        self.trunk = nn.Sequential(Linear(shapes.features, width), ShareDropout(dropout), *residuals)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), Linear(width, shapes.latent_size))
        xavier(self)

    @classmethod
    def method(cls, config: Any) -> str:
        return (
            f"The structure decoder is a residual network {PAPER} trained on the squared error of "
            f"{cls.targets}."
        )

    def forward(self, responses: Tensor) -> Tensor:
        return torch.as_tensor(self.head(self.trunk(responses)))
