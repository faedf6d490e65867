"""Stage 1c: the consistency motion generator (CMG), a causal transformer over the frames of a clip."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mindanim.decoders.base import Decoder, Responses, Shapes
from mindanim.decoders.blocks import Scaler, response_trunk, xavier
from mindanim.decoders.masks import causal, first_only
from mindanim.errors import InputError


class Motion(Decoder):
    """What the motion decoders share: prediction from a first frame."""

    kind = "motion"

    def follow(self, responses: Tensor, first: Tensor) -> Tensor:
        """Frames 1.. ``(clip, frame - 1, latent)`` that follow ``first (clip, latent)``; both latents
        flattened."""
        raise NotImplementedError

    @torch.no_grad()
    def predict(self, responses: Responses, *rest: Any) -> Tensor:
        """Decode responses ``(clip, lag, voxel)`` and first frames ``(clip, channel, height, width)``.

        Returns scaled latents ``(clip, frame, channel, height, width) float32`` on the CPU; frame 0 is the
        given one. Raises InputError when the first frames do not fit the decoder.
        """
        (first,) = rest
        self.eval()
        first = torch.as_tensor(first, dtype=torch.float32)
        if tuple(first.shape) != (len(responses), *self.shapes.latent):
            raise InputError(
                f"The motion decoder needs first frames of shape {(len(responses), *self.shapes.latent)}, "
                f"not {tuple(first.shape)}.",
                "It was trained on latents of another diffusion model, or on other clips.",
            )
        clips = []
        for rows, batch in self.batches(responses):
            start = first[rows].to(self.device).flatten(1)
            following = self.follow(batch, start).float()
            clips.append(torch.cat([start[:, None], following], dim=1).cpu())
        return torch.cat(clips).reshape(-1, *self.shapes.latents)


class Attention(nn.Module):
    """Multi-head attention from tokens of one width, through an inner width, back to the same width."""

    def __init__(self, token: int, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(token, width) for _ in range(3))
        self.out = nn.Linear(width, token)

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
    """What cross-attention to a single token comes to: its softmax is always 1, so the token's projection
    is added."""

    def __init__(self, token: int, width: int) -> None:
        super().__init__()
        self.value, self.out = nn.Linear(token, width), nn.Linear(width, token)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """``memory (clip, 1, token)`` projected, for every one of ``tokens (clip, query, token)``."""
        return torch.as_tensor(self.out(self.value(memory)).expand_as(tokens))


class CmgLayer(nn.Module):
    """Self-attention over frames, the responses' memory, a feed-forward; each as ``x +
    LayerNorm(dropout(sublayer(x)))``."""

    def __init__(
        self, token: int, width: int, heads: int, feedforward: int, dropout: float, memory_tokens: int
    ) -> None:
        super().__init__()
        self.attention = Attention(token, width, heads)
        self.memory = ProjectedMemory(token, width) if memory_tokens == 1 else Attention(token, width, heads)
        self.feedforward = nn.Sequential(
            nn.Linear(token, feedforward), nn.ReLU(), nn.Linear(feedforward, token)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(token) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, frames: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        frames = frames + self.norms[0](self.dropout(self.attention(frames, frames, visible)))
        frames = frames + self.norms[1](self.dropout(self.memory(frames, memory)))
        return torch.as_tensor(frames + self.norms[2](self.dropout(self.feedforward(frames))))


class FrameTokenCmg(Motion):
    """CMG with one token per frame (Mind-Animator, arXiv 2405.03280, section 3.3; the released default).

    target "frame": the tokens are the frames' latents and each output is the next one. target "difference":
    the tokens after the first are the differences to the first frame, scaled per frame and element, and so
    are the outputs, through one more linear layer: what moves is then all there is to predict.
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        target: Literal["frame", "difference"] = "frame",
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
        rollout_mask: Literal["causal", "first"] = "causal",
        difference_gain: float = 1.0,
    ) -> None:
        super().__init__(shapes)
        token = shapes.latent_size
        self.target, self.gain = target, difference_gain
        self.rollout_mask = causal if rollout_mask == "causal" else first_only
        self.trunk = response_trunk(shapes.features, fmri_width, fmri_blocks, fmri_dropout, block_dropout)
        self.to_memory = nn.Sequential(
            nn.Linear(fmri_width, memory_tokens * token), nn.Unflatten(1, (memory_tokens, token))
        )
        self.layers = nn.ModuleList(
            CmgLayer(token, width, heads, feedforward, dropout, memory_tokens) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(token)
        self.head = nn.Linear(token, token) if target == "difference" else nn.Identity()
        self.first_scaler = Scaler(token)
        self.later_scaler = Scaler(shapes.frames - 1, token)
        self.register_buffer("position", sinusoids(shapes.frames, token), persistent=False)
        self.position: Tensor
        xavier(self)

    def fit_scalers(self, latents: Tensor) -> None:
        """Take the scales of frames (of differences) from training latents ``(clip, frame, latent)``."""
        self.first_scaler.fit(latents[:, 0])
        self.later_scaler.fit(self.later(latents))

    def later(self, latents: Tensor) -> Tensor:
        """What the tokens after the first stand for ``(clip, frame - 1, latent)``: frames or differences."""
        return latents[:, 1:] - latents[:, :1] if self.target == "difference" else latents[:, 1:]

    def memory(self, responses: Tensor) -> Tensor:
        """Flattened responses to memory tokens ``(clip, token, latent)``."""
        return torch.as_tensor(self.to_memory(self.trunk(responses)))

    def forward(self, tokens: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        """The token that follows each of ``tokens (clip, frame, latent)``, in the scalers' units."""
        frames = tokens + self.position[: tokens.shape[1]]
        for layer in self.layers:
            frames = layer(frames, memory, visible)
        return torch.as_tensor(self.head(self.norm(frames)))

    def follow(self, responses: Tensor, first: Tensor) -> Tensor:
        memory = self.memory(responses)
        tokens = self.first_scaler.apply_to(first)[:, None]
        for count in range(1, self.shapes.frames):
            visible = self.rollout_mask(count).to(self.device)
            tokens = torch.cat([tokens, self(tokens, memory, visible)[:, -1:]], dim=1)
        later = self.later_scaler.undo(tokens[:, 1:])
        return first[:, None] + self.gain * later if self.target == "difference" else later


def sinusoids(positions: int, width: int) -> Tensor:
    """Sinusoidal position codes ``(position, width)`` (Vaswani et al. 2017, section 3.5)."""
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(positions)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)[:, :width]
