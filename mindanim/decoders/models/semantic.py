"""Semantic decoders: from responses to the CLIP vector and the text condition."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mindanim.decoders.base import Decoder, Responses, Shapes, register
from mindanim.decoders.models.blockwise_linear import Linear
from mindanim.decoders.models.layers import PAPER, Scaler, response_trunk, xavier


class Semantic(Decoder):
    """A semantic decoder: `decode` is up to the subclass, prediction in batches is here.

    Attributes:
        first_token: Hidden state of the beginning-of-sequence token ``(feature,)``. It is the same for every
            caption, so decoders predict the others and it is prepended.
    """

    kind = "semantic"
    targets = "the caption's CLIP vector and the hidden states of the diffusion model's text encoder"

    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes)
        self.register_buffer("first_token", torch.zeros(shapes.tokens[1]))
        self.first_token: Tensor

    @property
    def token_outputs(self) -> int:
        """Elements of the tokens that are predicted."""
        return (self.shapes.tokens[0] - 1) * self.shapes.tokens[1]

    @abstractmethod
    def decode(self, responses: Tensor) -> tuple[Tensor, Tensor]:
        """Flattened responses to CLIP vectors ``(clip, feature)`` and tokens 1.. ``(clip, token *
        feature)``."""

    @torch.no_grad()
    def predict(self, responses: Responses, *rest: Any) -> dict[str, Tensor]:
        """Decode responses.

        Args:
            responses: ``(clip, lag, voxel)``, z-scored.
            rest: Not used.

        Returns:
            ``clip (clip, feature)`` in CLIP space, not normalised, and ``text_tokens (clip, token, feature)``
            including the constant token 0; float32, on the CPU.
        """
        self.eval()
        clips, tokens = [], []
        for _, batch in self.batches(responses):
            vectors, predicted = self.decode(batch)
            others = predicted.reshape(len(batch), -1, self.shapes.tokens[1])
            first = self.first_token.expand(len(batch), 1, -1)
            clips.append(vectors.float().cpu())
            tokens.append(torch.cat([first, others], dim=1).float().cpu())
        return {"clip": torch.cat(clips), "text_tokens": torch.cat(tokens)}


class SemanticNetwork(Semantic):
    """A semantic decoder that the training loop fits; a subclass defines `forward`."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes)
        self.clip_scaler = Scaler(shapes.clip[0])
        self.token_scaler = Scaler(self.token_outputs)

    @abstractmethod
    def forward(self, responses: Tensor) -> tuple[Tensor, Tensor]:
        """Responses ``(clip, lag * voxel)`` to CLIP vectors ``(clip, feature)`` and tokens 1.. ``(clip,
        token * feature)``, both in the scalers' units."""

    def decode(self, responses: Tensor) -> tuple[Tensor, Tensor]:
        vectors, tokens = self(responses)
        return self.clip_scaler.undo(vectors), self.token_scaler.undo(tokens)


@register("mlp")
class SemanticMlp(SemanticNetwork):
    """The paper's network: a residual trunk into CLIP space, and a head from there to the text condition."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: int | None = None,
        blocks: int = 3,
        dropout: float = 0.3,
        block_dropout: float = 0.15,
        head_widths: Sequence[int] = (2048, 4096),
    ) -> None:
        super().__init__(shapes)
        space = shapes.clip[0]
        width = width or space
        self.trunk = response_trunk(shapes.features, width, blocks, dropout, block_dropout)
        if width != space:
            self.trunk.append(Linear(width, space))
        layers: list[nn.Module] = []
        widths = [space, *head_widths, self.token_outputs]
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            layers += [nn.LayerNorm(inputs), nn.GELU(), Linear(inputs, outputs)]
        self.head = nn.Sequential(*layers)
        xavier(self)

    @classmethod
    def method(cls, config: Any) -> str:
        return (
            f"The semantic decoder is a residual network {PAPER} trained on the squared errors of "
            f"{cls.targets}, and a contrastive loss with CLIP text and image vectors."
        )

    def forward(self, responses: Tensor) -> tuple[Tensor, Tensor]:
        vectors = self.trunk(responses)
        return vectors, self.head(vectors)
