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
from mindanim.metrics.nway import TRUTH_CLASSES, class_hits, drawn_hits

if TYPE_CHECKING:
    import torch

    from mindanim.backbones import (
        ClipBackbone,
        FlowNetwork,
        ImageClassifier,
        VideoClassifier,
        VideoEmbedder,
    )


_PAIRS = 256
"""Pairs whose logits are gathered at a time: 8 frames of 1,000 classes each make 16 MB."""


RELEASED_TRIALS = 100
VIFI_GATE = 0.6
"""Clips whose VIFI is not above it count as 0 in the published consistency measure."""


@dataclass(frozen=True)
class Networks:
    """The frozen networks to look through; any may be missing."""

    image_classifier: ImageClassifier | None = None
    video_classifier: VideoClassifier | None = None
    clip: ClipBackbone | None = None
    vifi: VideoEmbedder | None = None
    raft: FlowNetwork | None = None


@dataclass(frozen=True)
class Answers:
    """What the networks say of a set of clips.

    image_logits: (clip, frame, class). video_logits: (clip, class). video_features: (clip, feature), of the
    video classifier. embeddings: (clip, frame, feature) of length 1. vifi: (clip, feature) of length 1. None
    where there is no such network.
    """

    image_logits: NDArray[np.float32] | None = None
    video_logits: NDArray[np.float32] | None = None
    video_features: NDArray[np.float32] | None = None
    embeddings: NDArray[np.float32] | None = None
    vifi: NDArray[np.float32] | None = None


def ask(clips: Clips, networks: Networks, batch: int) -> Answers:
    """Show all clips to the networks, `batch` clips at a time."""
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in Answers.__dataclass_fields__}
    for shown in _batches(clips, batch):
        count, frames = shown.shape[:2]
        flat = shown.flatten(0, 1)
        if networks.image_classifier is not None:
            logits = networks.image_classifier.logits(flat)
            parts["image_logits"].append(_array(logits).reshape(count, frames, -1))
        if networks.clip is not None:
            embedded = networks.clip.embed_images(flat)
            parts["embeddings"].append(_array(embedded).reshape(count, frames, -1))
        if networks.video_classifier is not None:
            logits, features = networks.video_classifier.logits_and_features(shown)
            parts["video_logits"].append(_array(logits))
            parts["video_features"].append(_array(features))
        if networks.vifi is not None:
            parts["vifi"].append(_array(networks.vifi.embed_clips(shown)))
    return Answers(**{name: np.concatenate(found) if found else None for name, found in parts.items()})


def ask_frozen(answers: Answers, frozen: Clips, networks: Networks, batch: int) -> Answers:
    """The answers to clips whose first frame is held: known from `answers`, save those on whole clips."""
    whole = Networks(video_classifier=networks.video_classifier, vifi=networks.vifi)
    moving = ask(frozen, whole, batch)
    held = [
        None if array is None else np.broadcast_to(array[:, :1], array.shape)
        for array in (answers.image_logits, answers.embeddings)
    ]
    return replace(moving, image_logits=held[0], embeddings=held[1])


def score(
    truth: Answers, recon: Answers, pairs: NDArray[np.intp], ids: Iterable[str]
) -> dict[str, NDArray[np.float64]]:
    """The metrics called `ids` for (truth, reconstruction) pairs, (pair, 2); each (pair,)."""
    return {name: _score(name, truth, recon, pairs) for name in ids}


def _score(name: str, truth: Answers, recon: Answers, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
    first, second = pairs.T
    if name == "vifi":
        return _similarity(_there(truth.vifi), _there(recon.vifi), pairs)
    if name.startswith("clip_pcc."):
        embeddings = _there(recon.embeddings)
        consistency = _cosine(embeddings[second, :-1], embeddings[second, 1:])
        if name == "clip_pcc.adjacent":
            return consistency
        return np.where(_score("vifi", truth, recon, pairs) > VIFI_GATE, consistency, 0.0)
    if name.startswith("clipvideo."):
        return _cosine(_there(truth.embeddings)[first], _there(recon.embeddings)[second])
    task, kind, *form = name.split(".")
    ways, classes = int(task.removesuffix("way")), 1 if form == ["top1"] else TRUTH_CLASSES
    if kind == "video":
        true_logits, logits = _there(truth.video_logits), _there(recon.video_logits)
    else:
        true_logits, logits = _there(truth.image_logits), _there(recon.image_logits)
    drawn = form == ["released"]
    hits = []
    for some in np.split(pairs, range(_PAIRS, len(pairs), _PAIRS)):
        both = true_logits[some[:, 0]], logits[some[:, 1]]
        found = drawn_hits(*both, ways, RELEASED_TRIALS) if drawn else class_hits(*both, ways, classes)
        hits.append(found.reshape(len(some), -1).mean(axis=1))
    return np.concatenate(hits)


def _similarity(
    truth: NDArray[np.float32], recon: NDArray[np.float32], pairs: NDArray[np.intp]
) -> NDArray[np.float64]:
    result: NDArray[np.float64] = np.einsum(
        "pf,pf->p", truth[pairs[:, 0]], recon[pairs[:, 1]], dtype=np.float64
    )
    return result


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
    for start in range(0, len(clips), batch):
        frames = np.stack([clips[index] for index in range(start, min(start + batch, len(clips)))])
        yield as_tensor(frames)


def as_tensor(frames: NDArray[np.uint8]) -> torch.Tensor:
    """(..., height, width, rgb) uint8 -> (..., channel, height, width) float32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, -3).to(torch.float32) / 255


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    result: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return result
