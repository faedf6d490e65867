"""The consistency motion generator (CMG) with one token per frame (Mind-Animator, arXiv 2405.03280,
section 3.3)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mindanim.decoders.base import Shapes, register
from mindanim.decoders.batch_sharing import ShareDropout
from mindanim.decoders.models.blockwise_linear import Linear
from mindanim.decoders.models.layers import PAPER, DeviationNorm, response_trunk, xavier
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.errors import ConfigError

Norm = Literal["layer", "deviation"]


class Attention(nn.Module):
    """Multi-head attention from tokens of one width, through an inner width, back to the same width."""

    def __init__(self, token: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (Linear(token, width) for _ in range(3))
        self.out = Linear(width, token)

    def forward(self, tokens: Tensor, source: Tensor, visible: Tensor | None = None) -> Tensor:
        """``tokens (clip, query, token)`` look at ``source (clip, key, token)`` where ``visible (query,
        key)``."""
        q, k, v = (
            self._split(self.query(tokens)),
            self._split(self.key(source)),
            self._split(self.value(source)),
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return torch.as_tensor(self.out(mixed.transpose(1, 2).flatten(2)))

    def _split(self, values: Tensor) -> Tensor:
        return values.reshape(*values.shape[:2], self.heads, -1).transpose(1, 2)


class ProjectedMemory(nn.Module):
    """Cross-attention to a single token, whose softmax is always 1: the token's projection."""

    def __init__(self, token: int, width: int) -> None:
        super().__init__()
        self.value, self.out = Linear(token, width), Linear(width, token)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """``memory (clip, 1, token)`` projected, for every one of ``tokens (clip, query, token)``."""
        return torch.as_tensor(self.out(self.value(memory)).expand_as(tokens))


class CmgLayer(nn.Module):
    """Self-attention over frames, attention to the memory, feed-forward; each ``x +
    norm(dropout(sublayer(x)))``."""

    def __init__(
        self,
        token: int,
        width: int,
        heads: int,
        feedforward: int,
        dropout: float,
        memory_tokens: int,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.attention = Attention(token, width, heads)
        self.memory = memory_reader(token, width, heads, memory_tokens)
        self.feedforward = nn.Sequential(Linear(token, feedforward), nn.ReLU(), Linear(feedforward, token))
        self.norms = nn.ModuleList(frame_norm(norm, token) for _ in range(3))
        self.dropout = ShareDropout(dropout)

    def forward(self, frames: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        frames = frames + self.norms[0](self.dropout(self.attention(frames, frames, visible)))
        frames = frames + self.norms[1](self.dropout(self.memory(frames, memory)))
        return torch.as_tensor(frames + self.norms[2](self.dropout(self.feedforward(frames))))


@register("cmg")
class FrameTokenCmg(MotionNetwork):
    """CMG with one token per frame, as released.

    With ``target="difference"`` a linear layer follows the last norm: differences, unlike frames, may be near
    zero, which a normalised vector never is.

    Args:
        shapes: Sizes of responses and latents.
        width: Of the attention; the heads must divide it.
        layers: Number of layers.
        heads: Attention heads.
        feedforward: Width of the feed-forward sublayers.
        dropout: After each sublayer.
        memory_tokens: Tokens that encode the responses.
        fmri_width: Width of the response trunk.
        fmri_blocks: Its residual blocks.
        fmri_dropout: Dropout after its first layer.
        block_dropout: Dropout in its residual blocks.
        norm: "layer" is torch's LayerNorm, "deviation" that of the published checkpoints.
        rest: See `MotionNetwork`.

    Raises:
        ConfigError: The heads do not divide the width.
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        width: int = 1024,
        layers: int = 2,
        heads: int = 4,
        feedforward: int = 768,
        dropout: float = 0.2,
        memory_tokens: int = 1,
        fmri_width: int = 768,
        fmri_blocks: int = 1,
        fmri_dropout: float = 0.3,
        block_dropout: float = 0.15,
        norm: Norm = "layer",
        **rest: Any,
    ) -> None:
        super().__init__(shapes, **rest)
        if width % heads:
            raise ConfigError(
                f"{heads} attention heads do not divide a width of {width}.",
                hint="Choose a number of heads that does: --set heads=4",
            )
        token = shapes.latent_size
        self.trunk = response_trunk(shapes.features, fmri_width, fmri_blocks, fmri_dropout, block_dropout)
        self.to_memory = nn.Sequential(
            Linear(fmri_width, memory_tokens * token), nn.Unflatten(1, (memory_tokens, token))
        )
        self.layers = nn.ModuleList(
            CmgLayer(token, width, heads, feedforward, dropout, memory_tokens, norm) for _ in range(layers)
        )
        self.norm = frame_norm(norm, token)
        self.head = Linear(token, token) if self.target == "difference" else nn.Identity()
        self.register_buffer("position", sinusoids(shapes.frames, token), persistent=False)
        self.position: Tensor
        xavier(self)

    @classmethod
    def method(cls, config: Any) -> str:
        return (
            f"The motion decoder is a consistency motion generator {PAPER}, a causal transformer over "
            f"frames guided by the responses, trained on the squared error of "
            f"{cls.target_words(config)}."
        )

    def memory(self, responses: Tensor) -> Tensor:
        return torch.as_tensor(self.to_memory(self.trunk(responses)))

    def forward(self, tokens: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        frames = tokens + self.position[: tokens.shape[1]]
        for layer in self.layers:
            frames = layer(frames, memory, visible)
        return torch.as_tensor(self.head(self.norm(frames)))


def frame_norm(norm: Norm, width: int) -> nn.Module:
    """Layer normalisation over the last axis, of either kind."""
    return nn.LayerNorm(width) if norm == "layer" else DeviationNorm(width)


def memory_reader(token: int, width: int, heads: int, memory_tokens: int) -> nn.Module:
    """Attention to the memory, or what it reduces to if the memory is a single token."""
    return ProjectedMemory(token, width) if memory_tokens == 1 else Attention(token, width, heads)


def sinusoids(positions: int, width: int) -> Tensor:
    """Sinusoidal position codes ``(position, width)`` (Vaswani et al. 2017, section 3.5)."""
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(positions)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :width]
