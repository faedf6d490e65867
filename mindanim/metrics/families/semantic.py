"""Semantic metrics through frozen networks: what each network says of a set of clips, and scores from that.

Each clip goes through each network once; every pairing is then scored from the stored answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.families.nway_classification import TRUTH_CLASSES, class_hits, drawn_hits
from mindanim.metrics.inputs.scratch import IN_TEMPORARY, Scratch
from mindanim.vocabulary.arrays import to_tensor
from mindanim.vocabulary.clips import Clips

if TYPE_CHECKING:
    import torch

    from mindanim.backbones import (
        ClipBackbone,
        FlowNetwork,
        ImageClassifier,
        VideoClassifier,
        VideoEmbedder,
    )


_ROWS = 64
"""Pairs or clips whose answers are gathered at a time: 8 frames of 1,000 classes each make 4 MB."""


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


def ask(clips: Clips, networks: Networks, batch: int, scratch: Scratch = IN_TEMPORARY) -> Answers:
    """Show all clips to the networks, `batch` clips at a time; the answers lie in `scratch`."""
    if networks == Networks():
        return Answers()
    found: dict[str, NDArray[np.float32]] = {}
    for start in range(0, len(clips), batch):
        frames = np.stack([clips[index] for index in range(start, min(start + batch, len(clips)))])
        for name, said in _ask_batch(to_tensor(frames), networks).items():
            if name not in found:
                found[name] = scratch.array((len(clips), *said.shape[1:]), np.float32)
            found[name][start : start + len(said)] = said
    return Answers(**found)


def _ask_batch(shown: torch.Tensor, networks: Networks) -> dict[str, NDArray[np.float32]]:
    """What the networks say of (clip, frame, channel, height, width) float32 in [0, 1], by field of
    `Answers`."""
    count, frames = shown.shape[:2]
    flat = shown.flatten(0, 1)
    said = {}
    if networks.image_classifier is not None:
        said["image_logits"] = _array(networks.image_classifier.logits(flat)).reshape(count, frames, -1)
    if networks.clip is not None:
        said["embeddings"] = _array(networks.clip.embed_images(flat)).reshape(count, frames, -1)
    if networks.video_classifier is not None:
        logits, features = networks.video_classifier.logits_and_features(shown)
        said |= {"video_logits": _array(logits), "video_features": _array(features)}
    if networks.vifi is not None:
        said["vifi"] = _array(networks.vifi.embed_clips(shown))
    return said


def ask_frozen(
    answers: Answers, frozen: Clips, networks: Networks, batch: int, scratch: Scratch = IN_TEMPORARY
) -> Answers:
    """The answers to clips whose first frame is held: known from `answers`, save those on whole clips."""
    whole = Networks(video_classifier=networks.video_classifier, vifi=networks.vifi)
    moving = ask(frozen, whole, batch, scratch)
    held = [
        None if array is None else np.broadcast_to(array[:, :1], array.shape)
        for array in (answers.image_logits, answers.embeddings)
    ]
    return replace(moving, image_logits=held[0], embeddings=held[1])


def score(
    truth: Answers, recon: Answers, pairs: NDArray[np.intp], ids: Iterable[str]
) -> dict[str, NDArray[np.float64]]:
    """The metrics called `ids` for (truth, reconstruction) pairs, (pair, 2); each (pair,)."""
    parts = _parts(pairs)
    return {name: np.concatenate([_score(name, truth, recon, part) for part in parts]) for name in ids}


def _parts(rows: NDArray[Any]) -> list[NDArray[Any]]:
    """A few rows at a time."""
    return np.split(rows, range(_ROWS, len(rows), _ROWS))


def _score(name: str, truth: Answers, recon: Answers, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
    first, second = pairs.T
    if name == "vifi":
        return _similarity(_there(truth.vifi), _there(recon.vifi), pairs)
    if name.startswith("clip_pcc."):
        embeddings = _there(recon.embeddings)[second]
        consistency = _cosine(embeddings[:, :-1], embeddings[:, 1:])
        if name == "clip_pcc.adjacent":
            return consistency
        return np.where(_score("vifi", truth, recon, pairs) > VIFI_GATE, consistency, 0.0)
    if name.startswith("clipvideo."):
        return _cosine(_there(truth.embeddings)[first], _there(recon.embeddings)[second])
    task, kind, *form = name.split(".")
    ways, classes = int(task.removesuffix("way")), 1 if form == ["top1"] else TRUTH_CLASSES
    if kind == "video":
        both = _there(truth.video_logits)[first], _there(recon.video_logits)[second]
    else:
        both = _there(truth.image_logits)[first], _there(recon.image_logits)[second]
    if form == ["released"]:
        hits = drawn_hits(*both, ways, RELEASED_TRIALS)
    else:
        hits = class_hits(*both, ways, classes)
    means: NDArray[np.float64] = hits.reshape(len(pairs), -1).mean(axis=1)
    return means


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
            both = zip(_parts(true_logits), _parts(logits), strict=True)
            return np.concatenate([_best_among_three(*part) for part in both])
    return None


def _best_among_three(true_logits: NDArray[np.float32], logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    own = np.argpartition(-true_logits, TRUTH_CLASSES - 1, axis=-1)[..., :TRUTH_CLASSES]
    right = (logits.argmax(axis=-1)[..., None] == own).any(axis=-1)
    result: NDArray[np.bool_] = right.reshape(len(right), -1).mean(axis=1) >= 0.5
    return result


def _cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean over frames of the cosine of embeddings of length 1, (..., frame, feature) -> (...)."""
    cosines: NDArray[np.float64] = np.einsum("...f,...f->...", first, second, dtype=np.float64)
    result: NDArray[np.float64] = cosines.mean(axis=-1)
    return result


def _there(array: NDArray[np.float32] | None) -> NDArray[np.float32]:
    if array is None:
        raise ValueError("a metric was asked for whose network is missing")
    return array


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    result: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return result
