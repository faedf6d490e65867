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
        self.dropout = nn.Dropout(0.15)
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
        mixed = self.dropout(scores.softmax(-1)) @ v
        return self.linears1(mixed.transpose(1, 2).reshape(clips, query.shape[1], -1))


class Sublayer(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.dropout = Norm(width), nn.Dropout(dropout)

    def forward(self, x: Tensor, made: Tensor) -> Tensor:
        return x + self.norm(self.dropout(made))


class FeedForward(nn.Module):
    def __init__(self, token: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.w_1, self.w_2 = nn.Linear(token, inner), nn.Linear(inner, token)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.w_2(self.dropout(self.w_1(x).relu()))


class Layer(nn.Module):
    def __init__(self, token: int, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.self_attn, self.src_attn = Heads(token, width, heads), Heads(token, width, heads)
        self.feed_forward = FeedForward(token, inner, dropout)
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
    def __init__(self, width: int, dropout: float, longest: int = 50) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        codes = torch.zeros(longest, width)
        for place in range(longest):
            for i in range(0, width, 2):
                angle = place / 10000 ** (i / width)
                codes[place, i], codes[place, i + 1] = math.sin(angle), math.cos(angle)
        self.register_buffer("pe", codes[None])

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(x + self.pe[:, : x.shape[1]])


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
        self.tgt_embed = nn.Sequential(Position(token, 0.2))
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


def sines_and_cosines(places: Tensor, width: int) -> Tensor:
    """All sines, then all cosines."""
    rate = torch.tensor([10000 ** (-k / (width // 2)) for k in range(width // 2)], dtype=torch.float64)
    angles = places.double().reshape(-1, 1) * rate
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


class OverFrames(nn.Module):
    """Attention of each patch over frames."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        rows, frames, width = x.shape
        three = self.qkv(x).reshape(rows, frames, 3, self.heads, width // self.heads)
        q, k, v = (three[:, :, part].transpose(1, 2) for part in range(3))
        scores = (q / math.sqrt(q.shape[-1])) @ k.mT
        weights = scores.masked_fill(mask == 0, -1e9).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(rows, frames, width))


class TwoLayers(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x), approximate="tanh"))


class PatchBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.spatial_attention = Heads(width, width, heads)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.mlp = TwoLayers(width, 4 * width)
        self.temporal_attention = OverFrames(width, heads)
        # In the file, but not used.
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.temporal_norm1, self.temporal_fc = nn.LayerNorm(width), nn.Linear(width, width)

    def forward(self, x: Tensor, brain: Tensor, mask: Tensor) -> Tensor:
        """``x (clip, frame, patch, feature)``, ``brain (clip, feature)``."""
        clips, frames, patches, width = x.shape
        over_time = self.temporal_attention(x.transpose(1, 2).reshape(-1, frames, width), mask)
        x = x + over_time.reshape(clips, patches, frames, width).transpose(1, 2)
        single = brain[:, None].expand(-1, frames, -1).reshape(clips * frames, 1, width)
        queries = self.norm1(x).reshape(clips * frames, patches, width)
        x = x + self.spatial_attention(queries, single, single, None).reshape(x.shape)
        return x + self.mlp(self.norm2(x))


class PatchOutput(nn.Module):
    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.linear = nn.Linear(width, values)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm_final(x))


class PatchEmbedding(nn.Module):
    def __init__(self, channels: int, width: int, side: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, side, stride=side)


class PublishedPatchMotion(nn.Module):
    """The generator with patches as tokens; square latents of ``(channel, side, side)``."""

    def __init__(
        self,
        voxels: int,
        latent: tuple[int, int, int],
        *,
        patch: int = 4,
        width: int = 512,
        depth: int = 4,
        heads: int = 8,
        frames: int = 7,
    ) -> None:
        super().__init__()
        channels, self.side, _ = latent
        self.channels, self.patch, self.frames, grid = channels, patch, frames, self.side // patch
        self.frame_embedder = PatchEmbedding(channels, width, patch)
        self.fMRI_to_spatial = nn.Sequential(nn.SiLU(), nn.Linear(voxels, width))
        self.fMRI_to_temporal = nn.Sequential(nn.SiLU(), nn.Linear(voxels, width))  # not used
        row, column = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
        place = [sines_and_cosines(axis, width // 2) for axis in (column, row)]
        self.pos_embed = nn.Parameter(torch.cat(place, dim=1)[None], requires_grad=False)
        time = sines_and_cosines(torch.arange(frames), width)
        self.time_embed = nn.Parameter(time[None], requires_grad=False)
        self.blocks = nn.ModuleList(PatchBlock(width, heads) for _ in range(depth))
        self.final_layer = PatchOutput(width, patch * patch * channels)

    def forward(self, responses: Tensor, frames: Tensor, mask: Tensor) -> Tensor:
        """``frames (clip, frame, channel, side, side)``, as many as the network was made for."""
        clips, count, side = len(frames), frames.shape[1], self.side // self.patch
        embedded = self.frame_embedder.proj(frames.flatten(0, 1)).flatten(2).mT
        x = (embedded + self.pos_embed).unflatten(0, (clips, count)) + self.time_embed[:, :, None]
        brain = self.fMRI_to_spatial(responses)
        for one in self.blocks:
            x = one(x, brain, mask)
        patches = self.final_layer(x).reshape(clips, count, side, side, self.patch, self.patch, self.channels)
        return torch.einsum("bthwpqc->btchpwq", patches).reshape(frames.shape)

    @torch.no_grad()
    def roll_out(self, first: Tensor, responses: Tensor) -> Tensor:
        """All frames from ``first (clip, channel, side, side)``; frames to come are zero until they are
        decoded. Causal masks."""
        clip = torch.zeros(len(first), self.frames + 1, *first.shape[1:])
        clip[:, 0] = first
        mask = torch.tril(torch.ones(self.frames, self.frames))
        for place in range(self.frames):
            clip[:, place + 1] = self(responses, clip[:, :-1], mask)[:, place]
        return clip
