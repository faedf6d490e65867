"""The features that clips are generated from: each one decoded, true, or left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mindanim.config.generate import Feature, GenerateConfig
from mindanim.runtime import clip_generator

FloatArray = NDArray[np.floating[Any]]


class Decoder(Protocol):
    """A decoder; what `predict` takes and returns depends on the feature."""

    def predict(self, responses: Tensor, /, *rest: Tensor) -> Any: ...


@dataclass(frozen=True)
class Features:
    """The generator's input for some clips, float32 on the CPU.

    Attributes:
        clip: (clip, feature), in CLIP space.
        tokens: (clip, token, feature), the text condition.
        latents: (clip, frame, channel, height, width), scaled.
    """

    clip: Tensor
    tokens: Tensor
    latents: Tensor


@dataclass(frozen=True)
class Known:
    """What is known without the subject's responses.

    Arrays may be memory-mapped; only the rows asked for are read.

    Attributes:
        clip: (clip, feature), true CLIP vectors of all clips.
        tokens: (clip, token, feature), true text conditions.
        latents: (clip, frame, channel, height, width), true latents.
        empty: (token, feature), the empty prompt.
        means: Training means of features left out: of the CLIP vectors (feature,) for semantic, of the first
            frames' latents (channel, height, width) for structure.
    """

    clip: FloatArray
    tokens: FloatArray
    latents: FloatArray
    empty: FloatArray
    means: Mapping[Feature, FloatArray]


def features(
    config: GenerateConfig,
    decoders: Mapping[Feature, Decoder],
    responses: Tensor,
    known: Known,
    rows: NDArray[np.intp],
) -> Features:
    """Assemble the features of the clips in `rows` of `known`.

    A feature left out is replaced by what is known without the brain: the empty prompt and the mean CLIP
    vector, the mean first frame, a still first frame. True motion is the true change from the first frame,
    added to the first frame in use. Tokens and latents are rounded to float16, as they are stored.

    Args:
        config: Which features are decoded, true, or left out.
        decoders: One per decoded feature.
        responses: (clip, lag, voxel), of the clips in `rows`, in their order.
        known: What is known without responses.
        rows: Rows of the clips in the arrays of `known`.
    """
    count, frames = len(rows), known.latents.shape[1]
    if config.is_decoded("semantic"):
        decoded = decoders["semantic"].predict(responses)
        clip, tokens = decoded["clip"], decoded["text_tokens"]
    elif config.is_true("semantic"):
        clip, tokens = _tensor(known.clip[rows]), _tensor(known.tokens[rows])
    else:
        clip = _tensor(known.means["semantic"]).expand(count, -1)
        tokens = _tensor(known.empty).expand(count, -1, -1)
    true_latents = _tensor(known.latents[rows])
    if config.is_decoded("structure"):
        first = decoders["structure"].predict(responses)
    elif config.is_true("structure"):
        first = true_latents[:, 0]
    else:
        first = _tensor(known.means["structure"]).expand(count, -1, -1, -1)
    if config.is_decoded("motion"):
        latents = decoders["motion"].predict(responses, first)
    elif config.is_true("motion"):
        latents = true_latents + (first - true_latents[:, 0])[:, None]
    else:
        latents = first[:, None].expand(-1, frames, -1, -1, -1)
    return Features(clip, tokens.half().float(), latents.half().float())


def noise_responses(responses: FloatArray, clip_ids: Sequence[str], seed: int) -> NDArray[np.float32]:
    """Gaussian noise with the mean and covariance of real responses: (clip, lag, voxel).

    Each is the mean response plus a sum of all deviations from it, weighted by independent standard normal
    numbers from the clip's own generator, so its covariance over draws is the sample covariance.

    Args:
        responses: (clip, lag, voxel), of two or more clips.
        clip_ids: Names of the clips to draw for.
        seed: Seed of the noise.
    """
    count = len(responses)
    mean = responses.mean(axis=0, dtype=np.float64)
    weights = torch.stack(
        [torch.randn(count, generator=clip_generator(seed, name, "no-brain")) for name in clip_ids]
    )
    departures = (responses - mean).reshape(count, -1)
    mixed = (weights.double().numpy() / np.sqrt(count - 1)) @ departures
    drawn: NDArray[np.float32] = (mean + mixed.reshape(len(clip_ids), *mean.shape)).astype(np.float32)
    return drawn


def half_of_repeats(repeats: FloatArray, half: str) -> NDArray[np.float32] | None:
    """Mean over every second repeat of each clip: (clip, lag, voxel); None if a clip has none of these.

    Args:
        repeats: (repeat, clip, lag, voxel), NaN where one is missing.
        half: "odd" starts from the first repeat, "even" from the second.
    """
    there = ~np.isnan(repeats[:, :, 0, 0])
    place = np.cumsum(there, axis=0)  # number of the repeat within its clip, from 1
    chosen = there & (place % 2 == (1 if half == "odd" else 0))
    if not chosen.any(axis=0).all():
        return None
    made = np.empty(repeats.shape[1:], np.float32)
    for clip in range(repeats.shape[1]):
        made[clip] = np.asarray(repeats[chosen[:, clip], clip], np.float64).mean(axis=0)
    return made


def _tensor(values: FloatArray) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))
