"""Frames and captions -> features of the frozen models, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mindanim.backbones import ClipBackbone, DiffusionBackbone
from mindanim.stimuli.augment import crop_views
from mindanim.stimuli.frames import middle
from mindanim.vocabulary.limits import pixels_at_once

_TEXTS = 256


def frame_latents(diffusion: DiffusionBackbone, frames: torch.Tensor) -> NDArray[np.float16]:
    """(clip, frame, channel, height, width) in [0, 1] -> scaled latents of the same axes, float16."""
    parts = torch.split(frames.flatten(0, 1), diffusion.frames_at_once)
    encoded = [diffusion.encode_frames(part).cpu() for part in parts]
    latents: NDArray[np.float16] = torch.cat(encoded).half().numpy()
    return latents.reshape(*frames.shape[:2], *latents.shape[1:])


def image_views(
    clip: ClipBackbone, frames: torch.Tensor, clip_ids: Sequence[str], views: int, share: float, seed: int
) -> NDArray[np.float32]:
    """CLIP embeddings (clip, view, feature) of each clip's middle frame: view 0 whole, the others random
    crops.

    Args:
        frames: (clip, frame, channel, height, width) in [0, 1].
        share: Side of the crops, see `crop_views`.
    """
    images = frames[:, middle(frames.shape[1])]
    embedded = [_embed_images(clip, images)[:, None]]
    if views > 1:
        crops = crop_views(images, clip_ids, views - 1, share, seed)
        embedded.append(_embed_images(clip, crops.flatten(0, 1)).reshape(len(images), views - 1, -1))
    features: NDArray[np.float32] = torch.cat(embedded, dim=1).numpy()
    return features


def text_views(clip: ClipBackbone, captions: Sequence[Sequence[str]]) -> NDArray[np.float32]:
    """CLIP embeddings (clip, view, feature) of captions (clip, view)."""
    flat = [caption for views in captions for caption in views]
    features = _each_once(flat, lambda texts: clip.embed_texts(texts).cpu().numpy())
    return features.reshape(len(captions), -1, features.shape[-1])


def text_conditions(
    diffusion: DiffusionBackbone, captions: Sequence[str], tokens: int
) -> NDArray[np.float16]:
    """The diffusion model's hidden states (clip, token, feature) float16 of one caption per clip."""
    features = _each_once(captions, lambda texts: diffusion.encode_text(texts, tokens).cpu().numpy())
    return features.astype(np.float16)


def _each_once(
    texts: Sequence[str], encode: Callable[[list[str]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Encode every distinct text once: captions repeat, across clips and across views."""
    distinct = sorted(set(texts))
    parts = [encode(distinct[start : start + _TEXTS]) for start in range(0, len(distinct), _TEXTS)]
    rows = {text: row for row, text in enumerate(distinct)}
    return np.concatenate(parts)[[rows[text] for text in texts]]


def _embed_images(clip: ClipBackbone, images: torch.Tensor) -> torch.Tensor:
    return torch.cat([clip.embed_images(part).cpu() for part in _split(images, clip.device)])


def _split(images: torch.Tensor, device: torch.device) -> Iterator[torch.Tensor]:
    pixels = images.shape[-1] * images.shape[-2]
    limit = max(1, pixels_at_once(device.type) // pixels)
    return (images[start : start + limit] for start in range(0, len(images), limit))
