"""What the generator is told about each clip: decoded, true, or nothing, feature by feature."""

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
    """A decoder as this room sees it; what `predict` takes and returns depends on the feature."""

    def predict(self, responses: Tensor, /, *rest: Tensor) -> Any: ...


@dataclass(frozen=True)
class Features:
    """The generator's input for some clips, float32 on the CPU.

    clip: (clip, feature) in CLIP space. tokens: (clip, token, feature), the text condition.
    latents: (clip, frame, channel, height, width), scaled.
    """

    clip: Tensor
    tokens: Tensor
    latents: Tensor


@dataclass(frozen=True)
class Known:
    """What is known without the subject's responses. Arrays may be memory-mapped; only the rows asked for are
    read.

    clip: (clip, feature), tokens: (clip, token, feature), latents: (clip, frame, channel, height, width): the
    true features of all clips. empty: (token, feature), the empty prompt.
    means: for each feature left out that has one, its training mean: of the CLIP vectors (feature,) for
    semantic, of the first frames' latents (channel, height, width) for structure.
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
    vector, the mean first frame, a first frame that stays as it is. A true motion is the true change from the
    first frame, added to whichever first frame there is. Tokens and latents are rounded to float16, in which
    they are stored.

    decoders: one per decoded feature. responses: (clip, lag, voxel) of the same clips, in their order.
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
    """Gaussian responses with the mean and the covariance of real ones, and nothing about the clips: (clip,
    lag, voxel).

    Each is the mean response plus a random mixture of all departures from it, weighted by independent unit
    normal numbers of the clip's own generator: its covariance over draws is the sample covariance.

    responses: (clip, lag, voxel), two or more.
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
    """Mean over every second repeat of each clip, from the first ("odd") or the second ("even"); (clip, lag,
    voxel). None when a clip has none of these.

    repeats: (repeat, clip, lag, voxel), NaN where one is missing.
    """
    there = ~np.isnan(repeats[:, :, 0, 0])
    place = np.cumsum(there, axis=0)  # the how-manieth repeat of its clip, from 1
    chosen = there & (place % 2 == (1 if half == "odd" else 0))
    if not chosen.any(axis=0).all():
        return None
    made = np.empty(repeats.shape[1:], np.float32)
    for clip in range(repeats.shape[1]):
        made[clip] = np.asarray(repeats[chosen[:, clip], clip], np.float64).mean(axis=0)
    return made


def _tensor(values: FloatArray) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))
