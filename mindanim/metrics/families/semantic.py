"""Semantic metrics through frozen networks, which see each clip once; pairs are scored from their answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.families.metric import (
    ANIMATOR,
    SIGNED,
    UNIT,
    AnswerMetric,
    Loading,
    Setting,
    metric,
    network,
    no_remark,
    slug,
)
from mindanim.metrics.families.nway_classification import TRUTH_CLASSES, class_hits, drawn_hits
from mindanim.vocabulary.arrays import Float
from mindanim.vocabulary.identification import WAYS

if TYPE_CHECKING:
    import torch

Answers = Mapping[str, NDArray[np.float32]]
"""Answers of the networks to some clips: name -> (clip, ...)."""

RELEASED_TRIALS = 100
VIFI_GATE = 0.6
"""Clips whose VIFI is not above it count as 0 in the published consistency measure."""
_ROWS = 64
"""Clips whose answers are compared at a time."""
_MINDVIDEO = "Chen et al. 2023, arXiv:2305.11675 (MinD-Video), released evaluation code"


def _frame_by_frame(answer: Any, shown: torch.Tensor) -> tuple[torch.Tensor]:
    """The answers to every frame of (clip, frame, channel, height, width), (clip, frame, ...)."""
    return (answer(shown.flatten(0, 1)).unflatten(0, shown.shape[:2]),)


@network(
    name="image_classifier",
    hub=True,
    missing="no image classifier was given",
    answers=("image_logits",),
    ask=lambda classifier, shown: _frame_by_frame(classifier.logits, shown),
    by_frame=True,
)
def _image_classifier(name: str | Path, on: Loading) -> Any:
    from mindanim.backbones import load_image_classifier

    return load_image_classifier(str(name), on.device, on.dtype, on.offline)


@network(
    name="video_classifier",
    hub=True,
    missing="no video classifier was given",
    answers=("video_logits", "video_features"),
    ask=lambda classifier, shown: classifier.logits_and_features(shown),
)
def _video_classifier(name: str | Path, on: Loading) -> Any:
    from mindanim.backbones import load_video_classifier

    return load_video_classifier(str(name), on.device, on.dtype, on.offline, frames=on.frames)


@network(
    name="clip",
    hub=True,
    missing="no CLIP model was given",
    answers=("embeddings",),
    ask=lambda clip, shown: _frame_by_frame(clip.embed_images, shown),
    by_frame=True,
)
def _clip(name: str | Path, on: Loading) -> Any:
    from mindanim.backbones import load_clip

    return load_clip(str(name), on.device, on.dtype, on.offline)


@network(
    name="vifi",
    missing="no ViFi-CLIP checkpoint was given; --set vifi=FILE",
    answers=("vifi",),
    ask=lambda vifi, shown: (vifi.embed_clips(shown),),
)
def _vifi(file: str | Path, on: Loading) -> Any:
    from mindanim.backbones import load_vifi

    return load_vifi(Path(file), on.device)


def _register_classification(kind: str, ways: int, classes: int, drawn: bool = False) -> None:
    """One metric of N-way classification: N, how many of the truth's classes may win, drawn or exact."""
    three = classes > 1
    whose = "any of the truth's three best classes" if three else "the truth's best class"
    per = "per frame, mean over frames" if kind == "image" else "on the whole clip"
    hits = partial(drawn_hits, ways=ways, trials=RELEASED_TRIALS) if drawn else partial(
        class_hits, ways=ways, truth_classes=classes
    )  # fmt: skip
    answers, needed = f"{kind}_logits", ways + classes - 1

    def check(setting: Setting) -> str:
        classifier = setting.networks[f"{kind}_classifier"]
        if kind == "video" and classifier.frames != setting.shape[0]:
            return f"the video classifier takes {classifier.frames} frames, the clips have {setting.shape[0]}"
        if (found := len(classifier.labels)) < needed:
            return (
                f"{ways}-way with {classes} true class(es) needs {needed} classes, "
                f"the {kind} classifier has {found}"
            )
        return ""

    def score(truth: Answers, recon: Answers) -> Float:
        found = hits(truth[answers], recon[answers])
        means: Float = found.reshape(len(found), -1).mean(axis=1)
        return means

    metric(
        AnswerMetric,
        id=f"{ways}way.{kind}" + ("" if three else ".top1") + (".released" if drawn else ""),
        name=f"{ways}-way {kind} class" + ("" if three else ", top 1") + (", drawn" if drawn else ""),
        group="semantic",
        bounds=UNIT,
        needs=(f"{kind}_classifier",),
        reads=(answers,),
        chance=classes / needed,
        chance_source=f"exchangeable logits: {classes}/({ways}+{classes - 1})"
        if three
        else f"exchangeable logits: 1/{ways}",
        rank={("image", 50): 1, ("image", 2): 2}.get((kind, ways), 0),
        offered=lambda setting: setting.released or not drawn,
        check=check,
        remark=_trained_frames if kind == "video" else no_remark,
        reference=_MINDVIDEO if three else "as above, with one true class",
        note=f"The same by {RELEASED_TRIALS} drawn trials per answer, as released: the exact one with noise."
        if drawn
        else f"Probability that {whose} beats {ways - 1} drawn from all others, {per}; exact, not drawn.",
    )(score)


def _trained_frames(setting: Setting, own: Mapping[str, Float]) -> str:
    video = setting.networks["video_classifier"]
    if video.frames == video.trained_frames:
        return ""
    return f"The classifier was trained on {video.trained_frames} frames and reads {video.frames}."


for _kind in ("image", "video"):
    for _ways in WAYS:
        _register_classification(_kind, _ways, TRUTH_CLASSES)
        _register_classification(_kind, _ways, TRUTH_CLASSES, drawn=True)
        _register_classification(_kind, _ways, 1)


@metric(
    AnswerMetric,
    id="vifi",
    name="VIFI",
    group="semantic",
    bounds=SIGNED,
    needs=("vifi",),
    reads=("vifi",),
    reference="Rasheed et al. 2023, arXiv:2212.03640 (ViFi-CLIP); used by MinD-Video",
    note="Cosine of the clips' embeddings by ViFi-CLIP, the mean over frames. Any two films of the "
    "world are alike to it: read the shuffled floor.",
)
def vifi(truth: Answers, recon: Answers) -> Float:
    result: Float = np.einsum("pf,pf->p", truth["vifi"], recon["vifi"], dtype=np.float64)
    return result


@metric(
    AnswerMetric,
    id="clipvideo.<name>",
    name="CLIP similarity",
    group="semantic",
    bounds=SIGNED,
    needs=("clip",),
    reads=("embeddings",),
    rank=3,
    details=lambda setting: {"id": f"clipvideo.{slug(setting.names.get('clip', '')) or '<name>'}"},
    note="Cosine of the CLIP embeddings of true and reconstructed frame, mean over frames. Not VIFI, "
    "which needs a CLIP model fine-tuned on videos.",
)
def clip_similarity(truth: Answers, recon: Answers) -> Float:
    return _cosine(truth["embeddings"], recon["embeddings"])


@metric(
    AnswerMetric,
    id="clip_pcc.adjacent",
    name="CLIP consistency",
    group="motion",
    bounds=SIGNED,
    needs=("clip",),
    reads=("embeddings",),
    min_frames=2,
    reference=ANIMATOR + ", without its gate",
    note="Mean cosine of CLIP embeddings of adjacent reconstructed frames. Never looks at the truth: "
    "a still clip is perfect.",
)
def consistency(truth: Answers, recon: Answers) -> Float:
    embeddings = recon["embeddings"]
    return _cosine(embeddings[:, :-1], embeddings[:, 1:])


@metric(
    AnswerMetric,
    id="clip_pcc.gated",
    name="CLIP consistency, gated",
    group="motion",
    bounds=SIGNED,
    needs=("vifi", "clip"),  # metrics.json gives the hash of the first; CLIP's is with the ungated form
    reads=("vifi", "embeddings"),
    min_frames=2,
    reference=ANIMATOR,
    note=f"The same, but 0 for clips whose VIFI is {VIFI_GATE} or less: a share of clips more than a "
    "measure of motion. A still clip of the right content is perfect.",
)
def gated_consistency(truth: Answers, recon: Answers) -> Float:
    return np.where(vifi.score(truth, recon) > VIFI_GATE, consistency.score(truth, recon), 0.0)


def recognised(truth: Answers, recon: Answers) -> NDArray[np.bool_] | None:
    """Whether each clip's meaning was decoded: the reconstruction's best class is among the truth's three
    best, in at least half of the frames for an image classifier, else of the clip for a video classifier.

    This is the subset to which the paper restricts its motion test.

    Args:
        truth: Answers to the ground truths.
        recon: Answers to the reconstructions, in the same order.

    Returns:
        (clip,) bool; None without a classifier.
    """
    for kind in ("image_logits", "video_logits"):
        if kind in recon:
            starts = range(0, len(recon[kind]), _ROWS)
            both = ((truth[kind][at : at + _ROWS], recon[kind][at : at + _ROWS]) for at in starts)
            return np.concatenate([_best_among_three(*part) for part in both])
    return None


def _best_among_three(true_logits: NDArray[np.float32], logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    own = np.argpartition(-true_logits, TRUTH_CLASSES - 1, axis=-1)[..., :TRUTH_CLASSES]
    right = (logits.argmax(axis=-1)[..., None] == own).any(axis=-1)
    result: NDArray[np.bool_] = right.reshape(len(right), -1).mean(axis=1) >= 0.5
    return result


def _cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> Float:
    """Mean over frames of the cosine of embeddings of length 1, (..., frame, feature) -> (...)."""
    cosines: Float = np.einsum("...f,...f->...", first, second, dtype=np.float64)
    result: Float = cosines.mean(axis=-1)
    return result
