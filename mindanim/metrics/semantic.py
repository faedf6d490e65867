"""Semantic metrics through frozen networks: what each network says of a set of clips, and scores from that.

Each clip goes through each network once; every pairing is then scored from the stored answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.floors import Clips
from mindanim.metrics.nway import TRUTH_CLASSES, class_hits

if TYPE_CHECKING:
    import torch

    from mindanim.backbones import ClipBackbone, ImageClassifier, VideoClassifier


_PAIRS = 256
"""Pairs whose logits are gathered at a time: 8 frames of 1,000 classes each make 16 MB."""


@dataclass(frozen=True)
class Networks:
    """The frozen networks to look through; any may be missing."""

    image_classifier: ImageClassifier | None = None
    video_classifier: VideoClassifier | None = None
    clip: ClipBackbone | None = None


@dataclass(frozen=True)
class Answers:
    """What the networks say of a set of clips.

    image_logits: (clip, frame, class). video_logits: (clip, class). embeddings: (clip, frame, feature) of
    length 1. None where there is no such network.
    """

    image_logits: NDArray[np.float32] | None
    video_logits: NDArray[np.float32] | None
    embeddings: NDArray[np.float32] | None


def ask(clips: Clips, networks: Networks, batch: int) -> Answers:
    """Show all clips to the networks, `batch` clips at a time."""
    image: list[NDArray[np.float32]] = []
    video: list[NDArray[np.float32]] = []
    embedded: list[NDArray[np.float32]] = []
    for shown in _batches(clips, batch):
        count, frames = shown.shape[:2]
        flat = shown.flatten(0, 1)
        if networks.image_classifier is not None:
            image.append(_array(networks.image_classifier.logits(flat)).reshape(count, frames, -1))
        if networks.clip is not None:
            embedded.append(_array(networks.clip.embed_images(flat)).reshape(count, frames, -1))
        if networks.video_classifier is not None:
            video.append(_array(networks.video_classifier.logits(shown)))
    return Answers(*(np.concatenate(parts) if parts else None for parts in (image, video, embedded)))


def ask_frozen(answers: Answers, frozen: Clips, networks: Networks, batch: int) -> Answers:
    """The answers to clips whose first frame is held: known from `answers`, save the video classifier's."""
    video_only = ask(frozen, Networks(video_classifier=networks.video_classifier), batch)
    held = [
        None if array is None else np.broadcast_to(array[:, :1], array.shape)
        for array in (answers.image_logits, answers.embeddings)
    ]
    return replace(video_only, image_logits=held[0], embeddings=held[1])


def score(
    truth: Answers, recon: Answers, pairs: NDArray[np.intp], ids: Iterable[str]
) -> dict[str, NDArray[np.float64]]:
    """The metrics called `ids` for (truth, reconstruction) pairs, (pair, 2); each (pair,)."""
    return {name: _score(name, truth, recon, pairs) for name in ids}


def _score(name: str, truth: Answers, recon: Answers, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
    first, second = pairs.T
    if name == "clip_pcc.adjacent":
        embeddings = _there(recon.embeddings)
        return _cosine(embeddings[second, :-1], embeddings[second, 1:])
    if name.startswith("clipvideo."):
        return _cosine(_there(truth.embeddings)[first], _there(recon.embeddings)[second])
    task, kind, *one = name.split(".")
    ways, classes = int(task.removesuffix("way")), 1 if one else TRUTH_CLASSES
    if kind == "video":
        true_logits, logits = _there(truth.video_logits), _there(recon.video_logits)
        return class_hits(true_logits[first], logits[second], ways, classes)
    true_logits, logits = _there(truth.image_logits), _there(recon.image_logits)
    hits = [
        class_hits(true_logits[some[:, 0]], logits[some[:, 1]], ways, classes).mean(axis=1)
        for some in np.split(pairs, range(_PAIRS, len(pairs), _PAIRS))
    ]
    return np.concatenate(hits)


def recognised(truth: Answers, recon: Answers) -> NDArray[np.bool_] | None:
    """Whether each clip's meaning was decoded, (clip,) bool; None without a classifier.

    It was when the reconstruction's best class is among the truth's three best: in at least half of the
    frames for an image classifier, else of the clip for a video classifier. This is the subset to which the
    paper restricts its motion test.
    """
    for kind in ("image_logits", "video_logits"):
        logits, true_logits = getattr(recon, kind), getattr(truth, kind)
        if logits is not None:
            own = np.argpartition(-true_logits, TRUTH_CLASSES - 1, axis=-1)[..., :TRUTH_CLASSES]
            right = (logits.argmax(axis=-1)[..., None] == own).any(axis=-1)
            result: NDArray[np.bool_] = right.reshape(len(right), -1).mean(axis=1) >= 0.5
            return result
    return None


def _cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean over frames of the cosine of embeddings of length 1, (..., frame, feature) -> (...)."""
    cosines: NDArray[np.float64] = np.einsum("...f,...f->...", first, second, dtype=np.float64)
    result: NDArray[np.float64] = cosines.mean(axis=-1)
    return result


def _there(array: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if array is None:
        raise ValueError("a metric was asked for whose network is missing")
    return array


def _batches(clips: Clips, batch: int) -> Iterator[torch.Tensor]:
    """Clips as (clip, frame, channel, height, width) float32 in [0, 1]."""
    import torch

    for start in range(0, len(clips), batch):
        frames = np.stack([clips[index] for index in range(start, min(start + batch, len(clips)))])
        yield torch.from_numpy(frames).permute(0, 1, 4, 2, 3).to(torch.float32) / 255


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    result: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return result
