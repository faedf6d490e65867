"""Mind-Animator's published decoders, re-created from their description.

Only the names and shapes of their arrays and the computation. Benchmarks compare with them, and tests use
them as the reference.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def block(inputs: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout))


class Trunk(nn.Module):
    def __init__(self, voxels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.lin0 = block(voxels, width, 0.3)
        self.mlp = nn.ModuleList(block(width, width, 0.15) for _ in range(blocks))

    def trunk(self, responses: Tensor) -> Tensor:
        values = self.lin0(responses)
        for one in self.mlp:
            values = values + one(values)
        return values


class PublishedSemantic(Trunk):
    def __init__(self, voxels: int, clip: int, tokens: int, hidden: tuple[int, int] = (2048, 4096)) -> None:
        super().__init__(voxels, clip, 3)
        one, two = hidden
        self.lin1 = nn.Sequential(
            *(nn.LayerNorm(clip), nn.GELU(), nn.Linear(clip, one)),
            *(nn.LayerNorm(one), nn.GELU(), nn.Linear(one, two)),
            *(nn.LayerNorm(two), nn.GELU(), nn.Linear(two, tokens)),
        )
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, responses: Tensor) -> tuple[Tensor, Tensor]:
        vector = self.trunk(responses)
        return vector, self.lin1(vector)


class PublishedStructure(nn.Module):
    def __init__(self, voxels: int, latent: int, width: int = 1024) -> None:
        super().__init__()
        self.lin0 = nn.Sequential(nn.Linear(voxels, width), nn.Dropout(0.2))
        self.mlp = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.Dropout(0.2)) for _ in range(2))
        self.lin1 = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, latent))

    def forward(self, responses: Tensor) -> Tensor:
        values = self.lin0(responses)
        for one in self.mlp:
            values = values + one(values)
        return self.lin1(values)


class Norm(nn.Module):
    """(x - mean) / (unbiased standard deviation + 1e-6)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a_2, self.b_2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        deviation = ((x - mean).square().sum(-1, keepdim=True) / (x.shape[-1] - 1)).sqrt()
        return self.a_2 * (x - mean) / (deviation + 1e-6) + self.b_2


class Heads(nn.Module):
    def __init__(self, token: int, width: int, heads: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(token, width) for _ in range(3))
        self.linears1 = nn.Linear(width, token)
        self.heads = heads

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        clips = len(query)
        q, k, v = (
            linear(x).view(clips, x.shape[1], self.heads, -1).transpose(1, 2)
            for linear, x in zip(self.linears, (query, key, value), strict=True)
        )
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores.masked_fill(mask == 0, -1e9)
        mixed = scores.softmax(-1) @ v
        return self.linears1(mixed.transpose(1, 2).reshape(clips, query.shape[1], -1))


class Sublayer(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.dropout = Norm(width), nn.Dropout(dropout)

    def forward(self, x: Tensor, made: Tensor) -> Tensor:
        return x + self.norm(self.dropout(made))


class FeedForward(nn.Module):
    def __init__(self, token: int, inner: int) -> None:
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(token, inner), nn.Linear(inner, token)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(self.w_1(x).relu())


class Layer(nn.Module):
    def __init__(self, token: int, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.self_attn, self.src_attn = Heads(token, width, heads), Heads(token, width, heads)
        self.feed_forward = FeedForward(token, inner)
        self.sublayer = nn.ModuleList(Sublayer(token, dropout) for _ in range(3))

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        x = self.sublayer[0](x, self.self_attn(x, x, x, mask))
        x = self.sublayer[1](x, self.src_attn(x, memory, memory, None))
        return self.sublayer[2](x, self.feed_forward(x))


class Stack(nn.Module):
    def __init__(self, token: int, layers: int, *rest: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(token, *rest) for _ in range(layers))  # type: ignore[arg-type]
        self.norm = Norm(token)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, memory, mask)
        return self.norm(x)


class Position(nn.Module):
    def __init__(self, width: int, longest: int = 50) -> None:
        super().__init__()
        codes = torch.zeros(longest, width)
        for place in range(longest):
            for i in range(0, width, 2):
                angle = place / 10000 ** (i / width)
                codes[place, i], codes[place, i + 1] = math.sin(angle), math.cos(angle)
        self.register_buffer("pe", codes[None])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.shape[1]]


class Encoder(Trunk):
    def __init__(self, voxels: int, width: int, token: int) -> None:
        super().__init__(voxels, width, 1)
        self.lin1 = nn.Linear(width, token)

    def forward(self, responses: Tensor) -> Tensor:
        return self.lin1(self.trunk(responses))[:, None]


class PublishedMotion(nn.Module):
    def __init__(
        self, voxels: int, token: int, *, fmri: int = 768, width: int = 1024, inner: int = 768
    ) -> None:
        super().__init__()
        self.encoder = Encoder(voxels, fmri, token)
        self.tgt_embed = nn.Sequential(Position(token))
        self.decoder = Stack(token, 2, width, 4, inner, 0.2)

    def forward(self, frames: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
        return self.decoder(self.tgt_embed(frames), self.encoder(responses), mask)

    def roll_out(self, first: Tensor, responses: Tensor, frames: int) -> Tensor:
        """From the third position on, only the first frame is visible."""
        clip = first[:, None]
        for count in range(1, frames):
            mask = torch.tril(torch.ones(count, count))
            mask[2:, 1:] = 0
            clip = torch.cat([clip, self(clip, responses, mask)[:, -1:]], dim=1)
        return clip
