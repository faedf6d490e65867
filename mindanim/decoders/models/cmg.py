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
    """Multi-head attention from tokens of one width, through an inner width, back to the same width; dropout
    is on the attention weights."""

    def __init__(self, token: int, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (Linear(token, width) for _ in range(3))
        self.out = Linear(width, token)
        self.dropout = ShareDropout(dropout)

    def forward(self, tokens: Tensor, source: Tensor, visible: Tensor | None = None) -> Tensor:
        """``tokens (clip, query, token)`` look at ``source (clip, key, token)`` where ``visible (query,
        key)``."""
        q, k, v = (
            self._split(self.query(tokens)),
            self._split(self.key(source)),
            self._split(self.value(source)),
        )
        if self.training and self.dropout.p:
            scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
            if visible is not None:
                scores = scores.masked_fill(~visible, -math.inf)
            mixed = self.dropout(scores.softmax(3)) @ v
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return torch.as_tensor(self.out(mixed.transpose(1, 2).flatten(2)))

    def _split(self, values: Tensor) -> Tensor:
        return values.reshape(*values.shape[:2], self.heads, -1).transpose(1, 2)


class ProjectedMemory(nn.Module):
    """Cross-attention to a single token, whose softmax is always 1: the token's projection. Dropout on the
    attention weights leaves whole heads out, for each query by itself."""

    def __init__(self, token: int, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.value, self.out = Linear(token, width), Linear(width, token)
        self.dropout = ShareDropout(dropout)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """``memory (clip, 1, token)`` projected, for every one of ``tokens (clip, ..., query, token)``."""
        value = self.value(memory)
        if not (self.training and self.dropout.p):
            ones = (1,) * (tokens.dim() - 2)
            return torch.as_tensor(self.out(value).reshape(len(tokens), *ones, -1).expand_as(tokens))
        clips, *between, queries, _ = tokens.shape
        weights = self.dropout(value.new_ones(clips, *between, self.heads, queries, 1))
        by_head = value.reshape(clips, *(1 for _ in between), self.heads, 1, -1)
        return torch.as_tensor(self.out((weights * by_head).transpose(-3, -2).flatten(-2)))


class CmgLayer(nn.Module):
    """Self-attention over frames, attention to the memory, feed-forward; each ``x +
    norm(dropout(sublayer(x)))``. Attention weights and the feed-forward's hidden units have dropout too."""

    def __init__(
        self,
        token: int,
        width: int,
        heads: int,
        feedforward: int,
        dropout: float,
        attention_dropout: float,
        inner_dropout: float,
        memory_tokens: int,
        norm: Norm,
    ) -> None:
        super().__init__()
        self.attention = Attention(token, width, heads, attention_dropout)
        # Attention to the memory, or what it reduces to if the memory is a single token.
        reader = ProjectedMemory if memory_tokens == 1 else Attention
        self.memory = reader(token, width, heads, attention_dropout)
        hidden = nn.Sequential(nn.ReLU(), ShareDropout(inner_dropout))
        self.feedforward = nn.Sequential(Linear(token, feedforward), hidden, Linear(feedforward, token))
        self.norms = nn.ModuleList(frame_norm(norm, token) for _ in range(3))
        self.dropout = ShareDropout(dropout)

    def forward(self, frames: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        frames = frames + self.norms[0](self.dropout(self.attention(frames, frames, visible)))
        frames = frames + self.norms[1](self.dropout(self.memory(frames, memory)))
        return torch.as_tensor(frames + self.norms[2](self.dropout(self.feedforward(frames))))


@register("cmg")
class FrameTokenCmg(MotionNetwork):
    """CMG with one token per frame, as released: in training mode too, where dropout is in the same places.

    With ``target="difference"`` a linear layer follows the last norm: differences, unlike frames, may be near
    zero, which a normalised vector never is.

    Args:
        shapes: Sizes of responses and latents.
        width: Of the attention; the heads must divide it.
        layers: Number of layers.
        heads: Attention heads.
        feedforward: Width of the feed-forward sublayers.
        dropout: After each sublayer.
        attention_dropout: On the weights of both attentions.
        inner_dropout: Inside the feed-forward sublayers, and after the position codes.
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
        attention_dropout: float = 0.15,
        inner_dropout: float = 0.2,
        memory_tokens: int = 1,
        fmri_width: int = 768,
        fmri_blocks: int = 1,
        fmri_dropout: float = 0.3,
        block_dropout: float = 0.15,
        norm: Norm = "deviation",
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
            CmgLayer(
                *(token, width, heads, feedforward),
                *(dropout, attention_dropout, inner_dropout),
                *(memory_tokens, norm),
            )
            for _ in range(layers)
        )
        self.after_positions = ShareDropout(inner_dropout)
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
        frames = self.after_positions(tokens + self.position[: tokens.shape[1]])
        for layer in self.layers:
            frames = layer(frames, memory, visible)
        return torch.as_tensor(self.head(self.norm(frames)))


def frame_norm(norm: Norm, width: int) -> nn.Module:
    """Layer normalisation over the last axis, of either kind."""
    return nn.LayerNorm(width) if norm == "layer" else DeviationNorm(width)


def sinusoids(positions: int, width: int) -> Tensor:
    """Sinusoidal position codes ``(position, width)`` (Vaswani et al. 2017, section 3.5)."""
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(positions)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :width]
