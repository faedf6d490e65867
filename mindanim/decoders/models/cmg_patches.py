"""The consistency motion generator with patches as tokens, as in the released code."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from mindanim.decoders.base import Shapes, register
from mindanim.decoders.models.blockwise_linear import Linear
from mindanim.decoders.models.cmg import Attention, ProjectedMemory
from mindanim.decoders.models.layers import PAPER, xavier
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.errors import ConfigError


class PatchLayer(nn.Module):
    """Each patch attends to its past, then patches read the responses, then a feed-forward; each is added.

    Only the feed-forward has a norm before it. The released code has one before the reading as well, which
    has no effect: it changes the queries alone, and there is a single key.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float, attention_dropout: float) -> None:
        super().__init__()
        self.temporal = Attention(width, width, heads)
        self.spatial = ProjectedMemory(width, width, heads, attention_dropout)
        inner = round(mlp_ratio * width)
        self.norm = plain_norm(width)
        self.feedforward = nn.Sequential(
            Linear(width, inner), nn.GELU(approximate="tanh"), Linear(inner, width)
        )

    def forward(self, patches: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        """``patches (clip, frame, patch, feature)`` of the same shape; memory ``(clip, 1, feature)``."""
        clips, _, count, _ = patches.shape
        over_time = patches.transpose(1, 2).flatten(0, 1)
        moved = self.temporal(over_time, over_time, visible).unflatten(0, (clips, count))
        patches = patches + moved.transpose(1, 2).contiguous()
        patches = patches + self.spatial(patches, memory)
        return torch.as_tensor(patches + self.feedforward(self.norm(patches)))


@register("cmg-patches")
class PatchCmg(MotionNetwork):
    """CMG whose tokens are patches of the latent (Mind-Animator, arXiv 2405.03280, section 3.3), as released.

    Positions in the frame and in time are fixed sine-cosine codes. The responses are read without a trunk,
    through SiLU and one linear layer. The last layer starts at zero. The paper reports that small patches
    overfit and produce a grid pattern.

    Args:
        shapes: Sizes of responses and latents.
        patch_size: Side of a square patch, in latent pixels.
        patch_width: Features per patch.
        patch_layers: Number of layers.
        patch_heads: Attention heads.
        mlp_ratio: Hidden width of the feed-forward sublayers, in patch widths.
        attention_dropout: On the weights of the attention to the responses.
        rest: See `MotionNetwork`.

    Raises:
        ConfigError: The patches do not tile the latent, or the heads do not divide their features.
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        patch_size: int = 4,
        patch_width: int = 512,
        patch_layers: int = 4,
        patch_heads: int = 8,
        mlp_ratio: float = 4.0,
        attention_dropout: float = 0.15,
        **rest: Any,
    ) -> None:
        super().__init__(shapes, **rest)
        channels, height, width = shapes.latent
        if height % patch_size or width % patch_size or patch_width % 4 or patch_width % patch_heads:
            raise ConfigError(
                f"Patches of {patch_size} x {patch_size} and {patch_width} features do not fit latents of "
                f"{height} x {width} and {patch_heads} heads.",
                "Patches must tile the latent; the heads, and four, must divide their features (sines and "
                "cosines in both directions).",
                "Choose another patch_size, patch_width or patch_heads.",
            )
        self.patch_size, self.grid = patch_size, (height // patch_size, width // patch_size)
        values = channels * patch_size**2
        self.to_memory = nn.Sequential(nn.SiLU(), Linear(shapes.features, patch_width))
        self.embed = Linear(values, patch_width)
        self.layers = nn.ModuleList(
            PatchLayer(patch_width, patch_heads, mlp_ratio, attention_dropout) for _ in range(patch_layers)
        )
        self.norm = plain_norm(patch_width)
        self.head = Linear(patch_width, values)
        self.register_buffer("place", grid_codes(*self.grid, patch_width), persistent=False)
        self.register_buffer("time", codes(shapes.frames - 1, patch_width), persistent=False)
        self.place: Tensor
        self.time: Tensor
        xavier(self)
        nn.init.zeros_(self.head.weight)

    @classmethod
    def method(cls, config: Any) -> str:
        return (
            f"The motion decoder is a consistency motion generator {PAPER}, a causal transformer over "
            f"patches of {config.patch_size} x {config.patch_size} latent pixels guided by the responses, "
            f"trained on the squared error of {cls.target_words(config)}."
        )

    def memory(self, responses: Tensor) -> Tensor:
        return torch.as_tensor(self.to_memory(responses)[:, None])

    def forward(self, tokens: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        patches = self.embed(self.cut(tokens)) + self.place + self.time[: tokens.shape[1], None]
        for layer in self.layers:
            patches = layer(patches, memory, visible)
        return self.join(self.head(self.norm(patches)))

    def cut(self, tokens: Tensor) -> Tensor:
        """Latents ``(clip, frame, latent)`` to patches ``(clip, frame, patch, value)``, row by row."""
        channels, (rows, columns), side = self.shapes.latent[0], self.grid, self.patch_size
        parts = tokens.reshape(*tokens.shape[:2], channels, rows, side, columns, side)
        return parts.permute(0, 1, 3, 5, 2, 4, 6).flatten(4).flatten(2, 3)

    def join(self, patches: Tensor) -> Tensor:
        """Patches back to latents: the inverse of `cut`."""
        channels, (rows, columns), side = self.shapes.latent[0], self.grid, self.patch_size
        parts = patches.reshape(*patches.shape[:2], rows, columns, channels, side, side)
        return parts.permute(0, 1, 4, 2, 5, 3, 6).flatten(2)


def plain_norm(width: int) -> nn.LayerNorm:
    """Layer normalisation without a learned scale and shift."""
    return nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)


def codes(positions: int, width: int) -> Tensor:
    """Codes of positions ``(position, width)``: all sines, then all cosines, of falling frequency."""
    half = width // 2
    frequency = torch.exp(torch.arange(half) * (-math.log(10000.0) / half))
    angle = torch.arange(positions)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def grid_codes(rows: int, columns: int, width: int) -> Tensor:
    """Codes of places in a grid ``(row * column, width)``: half the features code the column, then half the
    row."""
    across = codes(columns, width // 2)[None].expand(rows, columns, -1)
    down = codes(rows, width // 2)[:, None].expand(rows, columns, -1)
    return torch.cat([across, down], dim=2).flatten(0, 1)
