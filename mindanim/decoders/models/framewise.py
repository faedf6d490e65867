"""A motion decoder that predicts each later frame from the response alone, not from other frames.

Mind-Animator's ablation replaces its generator by a network of this kind (arXiv 2405.03280).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mindanim.decoders.base import Shapes, register
from mindanim.decoders.models.blockwise_linear import Linear
from mindanim.decoders.models.layers import response_trunk, xavier
from mindanim.decoders.models.motion import MotionNetwork


@register("mlp")
class FramewiseMlp(MotionNetwork):
    """A response trunk, LayerNorm, GELU and a separate linear layer for each later frame.

    No frame is an input: with ``target="frame"`` each frame depends on the response alone, with
    ``"difference"`` what is added to the given first frame does.

    The linear layers are the rows of one matrix ``(frame - 1) * latent x fmri_width``. At the published sizes
    (7 frames of 16,384, width 768) it has 88 M of the decoder's 92 M parameters, a third of the generator's.
    A single layer for all frames, with a code for each, would have 13 M, but one response could hardly
    predict different things for different frames.

    Args:
        shapes: Sizes of responses and latents.
        fmri_width: Width of the trunk.
        fmri_blocks: Its residual blocks.
        fmri_dropout: Dropout after its first layer.
        block_dropout: Dropout in its residual blocks.
        rest: See `MotionNetwork`.
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        fmri_width: int = 768,
        fmri_blocks: int = 1,
        fmri_dropout: float = 0.3,
        block_dropout: float = 0.15,
        **rest: Any,
    ) -> None:
        super().__init__(shapes, **rest)
        later = (shapes.frames - 1, shapes.latent_size)
        self.trunk = response_trunk(shapes.features, fmri_width, fmri_blocks, fmri_dropout, block_dropout)
        self.frames = nn.Sequential(
            nn.LayerNorm(fmri_width),
            nn.GELU(),
            Linear(fmri_width, later[0] * later[1]),
            nn.Unflatten(1, later),
        )
        xavier(self)

    @classmethod
    def method(cls, config: Any) -> str:
        return (
            "The motion decoder is a residual network that predicts each later frame from the response "
            f"alone, trained on the squared error of {cls.target_words(config)}."
        )

    def memory(self, responses: Tensor) -> Tensor:
        """All later frames ``(clip, frame - 1, latent)``, in the scaler's units."""
        return torch.as_tensor(self.frames(self.trunk(responses)))

    def forward(self, tokens: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        return memory[:, : tokens.shape[1]]
