"""The consistency motion generator with patches as tokens: attention over time, then to the responses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mindanim.decoders.base import Shapes, register
from mindanim.decoders.batch_sharing import ShareDropout
from mindanim.decoders.models.blockwise_linear import Linear
from mindanim.decoders.models.cmg import Attention, memory_reader, sinusoids
from mindanim.decoders.models.layers import PAPER, response_trunk, xavier
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.errors import ConfigError


class PatchLayer(nn.Module):
    """A temporal module (each patch attends to its past), a spatial module (patches attend to the memory) and
    a feed-forward, each ``x + dropout(sublayer(LayerNorm(x)))``."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, dropout: float, memory_tokens: int) -> None:
        super().__init__()
        self.temporal = Attention(width, width, heads)
        self.spatial = memory_reader(width, width, heads, memory_tokens)
        inner = round(mlp_ratio * width)
        self.feedforward = nn.Sequential(
            Linear(width, inner), nn.GELU(approximate="tanh"), Linear(inner, width)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = ShareDropout(dropout)

    def forward(self, patches: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        """``patches (clip, frame, patch, feature)`` of the same shape; memory ``(clip, token, feature)``."""
        clips, frames, count, _ = patches.shape
        over_time = self.norms[0](patches).transpose(1, 2).flatten(0, 1)
        moved = self.temporal(over_time, over_time, visible).unflatten(0, (clips, count))
        patches = patches + self.dropout(moved.transpose(1, 2).contiguous())
        read = self.spatial(self.norms[1](patches).flatten(1, 2), memory).unflatten(1, (frames, count))
        patches = patches + self.dropout(read)
        return torch.as_tensor(patches + self.dropout(self.feedforward(self.norms[2](patches))))


@register("cmg-patches")
class PatchCmg(MotionNetwork):
    """CMG whose tokens are patches of the latent (Mind-Animator, arXiv 2405.03280, section 3.3).

    Positions in the frame and in time are fixed sine-cosine codes. The paper reports that small patches
    overfit and produce a grid pattern.

    Args:
        shapes: Sizes of responses and latents.
        patch_size: Side of a square patch, in latent pixels.
        patch_width: Features per patch.
        patch_layers: Number of layers.
        patch_heads: Attention heads.
        mlp_ratio: Hidden width of the feed-forward sublayers, in patch widths.
        dropout: After each sublayer.
        memory_tokens: Tokens that encode the responses.
        fmri_width: Width of the response trunk.
        fmri_blocks: Its residual blocks.
        fmri_dropout: Dropout after its first layer.
        block_dropout: Dropout in its residual blocks.
        rest: See `MotionNetwork`.

    Raises:
        ConfigError: The patches do not tile the latent, or the heads do not divide their features.
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        patch_size: int = 8,
        patch_width: int = 512,
        patch_layers: int = 4,
        patch_heads: int = 8,
        mlp_ratio: float = 4.0,
        dropout: float = 0.2,
        memory_tokens: int = 1,
        fmri_width: int = 768,
        fmri_blocks: int = 1,
        fmri_dropout: float = 0.3,
        block_dropout: float = 0.15,
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
        self.trunk = response_trunk(shapes.features, fmri_width, fmri_blocks, fmri_dropout, block_dropout)
        self.to_memory = nn.Sequential(
            Linear(fmri_width, memory_tokens * patch_width),
            nn.Unflatten(1, (memory_tokens, patch_width)),
        )
        self.embed = Linear(values, patch_width)
        self.layers = nn.ModuleList(
            PatchLayer(patch_width, patch_heads, mlp_ratio, dropout, memory_tokens)
            for _ in range(patch_layers)
        )
        self.norm = nn.LayerNorm(patch_width)
        self.head = Linear(patch_width, values)
        self.register_buffer("place", grid_codes(*self.grid, patch_width), persistent=False)
        self.register_buffer("time", sinusoids(shapes.frames, patch_width), persistent=False)
        self.place: Tensor
        self.time: Tensor
        xavier(self)

    @classmethod
    def method(cls, config: Any) -> str:
        return (
            f"The motion decoder is a consistency motion generator {PAPER}, a causal transformer over "
            f"patches of {config.patch_size} x {config.patch_size} latent pixels guided by the responses, "
            f"trained on the squared error of {cls.target_words(config)}."
        )

    def memory(self, responses: Tensor) -> Tensor:
        return torch.as_tensor(self.to_memory(self.trunk(responses)))

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


def grid_codes(rows: int, columns: int, width: int) -> Tensor:
    """Sine-cosine codes of places in a grid ``(row * column, width)``: half the features code the row, half
    the column."""
    down = sinusoids(rows, width // 2)[:, None].expand(rows, columns, -1)
    across = sinusoids(columns, width // 2)[None].expand(rows, columns, -1)
    return torch.cat([down, across], dim=2).flatten(0, 1)
