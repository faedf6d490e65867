"""Inflation of an image diffusion network to clips, without new weights or a copy of its code.

The frames of a clip are folded into the batch; convolutions, feed-forward layers and cross-attention act on
each frame as they do on an image. Only self-attention changes: queries of frame t meet the keys and values of
frame 0 and of frame t-1 (sparse-causal attention; Wu et al. 2023, Tune-A-Video, arXiv 2212.11565).

The temporal attention of the published video network is left out: it is never trained for this method, its
output weight is zero and its bias random, so it only adds a random constant per channel.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mindanim.errors import InputError

GroupNormMode = Literal["frame", "pooled"]


class SparseCausalAttention:
    """A diffusers attention processor: frame t attends to frames 0 and t-1 of its own clip.

    With a single frame it computes what the image model computes.
    """

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def __call__(self, attn: Any, hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        """hidden_states (clip * frame, position, feature) -> same shape."""
        heads = attn.heads
        key, value = attn.to_k(hidden_states), attn.to_v(hidden_states)
        if self.frames > 1:
            key, value = self._with_past(key), self._with_past(value)
        query, key, value = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (attn.to_q(hidden_states), key, value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        out = attn.to_out[0](mixed.transpose(1, 2).flatten(2))
        result: Tensor = attn.to_out[1](out) / attn.rescale_output_factor
        return result

    def _with_past(self, states: Tensor) -> Tensor:
        """(clip * frame, position, feature) -> (clip * frame, 2 * position, feature): frames 0 and t-1."""
        clips = _by_clip(states, self.frames)
        first = clips[:, :1].expand_as(clips)
        previous = torch.cat((clips[:, :1], clips[:, :-1]), dim=1)
        return torch.cat((first, previous), dim=2).flatten(0, 1)


class _PooledGroupNorm(nn.GroupNorm):
    """Group normalisation with statistics pooled over the frames of a clip, as for 5-D tensors."""

    def __init__(self, norm: nn.GroupNorm, frames: int) -> None:
        super().__init__(norm.num_groups, norm.num_channels, norm.eps, affine=False)
        self.weight, self.bias = norm.weight, norm.bias
        self.frames = frames

    def forward(self, input: Tensor) -> Tensor:
        clips = _by_clip(input, self.frames).transpose(1, 2)
        return super().forward(clips).transpose(1, 2).flatten(0, 1)


class SparseCausalUNet(nn.Module):
    """An image UNet that owns its weights and reads clips; made by `sparse_causal`."""

    def __init__(self, unet: Any, frames: int, group_norm: GroupNormMode) -> None:
        super().__init__()
        self.unet = unet
        self.frames = frames
        past = SparseCausalAttention(frames)
        unet.set_attn_processor(
            {
                name: past if ".attn1." in name else processor
                for name, processor in unet.attn_processors.items()
            }
        )
        if group_norm == "pooled":
            _pool_group_norms(unet, frames)

    def forward(self, latents: Tensor, timestep: Tensor | int, text: Tensor) -> Tensor:
        """One evaluation of the network.

        Args:
            latents: (clip, frame, channel, height, width), with the noise of `timestep`.
            timestep: Timestep of the noise schedule.
            text: (clip, token, feature), one condition for all frames of a clip.

        Returns:
            The network's prediction, in the shape and type of `latents`.
        """
        dtype = self.unet.dtype
        folded = latents.flatten(0, 1).to(dtype)
        condition = text.to(dtype).repeat_interleave(self.frames, dim=0)
        (predicted,) = self.unet(folded, timestep, condition, return_dict=False)
        return _by_clip(predicted, self.frames).to(latents.dtype)


def sparse_causal(unet: Any, frames: int, group_norm: GroupNormMode = "frame") -> SparseCausalUNet:
    """Inflate an image UNet to clips of `frames` frames.

    Args:
        unet: A diffusers UNet2DConditionModel; it is changed in place, so do not use it elsewhere.
        frames: Frames per clip.
        group_norm: "frame" normalises each frame separately, as the image model was trained: one frame gives
            the image model's output, and nothing leaks across a cut or back in time. "pooled" takes the
            statistics of the ResNet blocks and of the last normalisation over all frames of a clip, as the
            published video network does.

    Raises:
        InputError: The self-attention is not that of Stable Diffusion 1.x/2.x, or the network expects more
            input channels than a latent has (in-painting and depth models).
    """
    config = unet.config
    named = f"The diffusion model's UNet ({config.get('_name_or_path') or 'given'})"
    if config.in_channels != config.out_channels:
        raise InputError(
            f"{named} takes {config.in_channels} channels and gives {config.out_channels}.",
            why="Only plain text-to-image models can be inflated; in-painting models need more input.",
            hint="Use a Stable Diffusion 1.x or 2.x text-to-image model.",
        )
    attention = [name for name in unet.attn_processors if ".attn1." in name]
    if not attention or config.only_cross_attention or config.addition_embed_type is not None:
        raise InputError(
            f"{named} has no self-attention of the Stable Diffusion 1.x/2.x kind.",
            why="Frames are tied together by their self-attention layers, and by nothing else.",
            hint="Use a Stable Diffusion 1.x or 2.x text-to-image model.",
        )
    return SparseCausalUNet(unet, frames, group_norm)


def _pool_group_norms(unet: Any, frames: int) -> None:
    """Pool the norms that the published network applies to 5-D tensors, not those of transformers."""
    from diffusers.models.resnet import ResnetBlock2D

    for block in [module for module in unet.modules() if isinstance(module, ResnetBlock2D)]:
        block.norm1 = _PooledGroupNorm(block.norm1, frames)
        block.norm2 = _PooledGroupNorm(block.norm2, frames)
    unet.conv_norm_out = _PooledGroupNorm(unet.conv_norm_out, frames)


def _by_clip(folded: Tensor, frames: int) -> Tensor:
    """(clip * frame, ...) -> (clip, frame, ...)."""
    return folded.reshape(-1, frames, *folded.shape[1:])
