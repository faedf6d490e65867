"""The definitions in the registry of what looks at frames, by group: each metric with the reason, if any, why
it cannot be computed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mindanim.metrics.families.metric import Metric, Setting, flow_size, slug
from mindanim.metrics.families.nway_classification import TRUTH_CLASSES
from mindanim.metrics.families.pixel import IDENTICAL_DB, SMALLEST
from mindanim.metrics.families.semantic import RELEASED_TRIALS, VIFI_GATE

WAYS = (2, 50)
RAFT_SIDE = 128
"""RAFT correlates features at an eighth of the size over four levels: smaller frames leave nothing."""
RELEASED_FLOW = "512"

Entries = Iterator[tuple[Metric, str]]

_MINDVIDEO = "Chen et al. 2023, arXiv:2305.11675 (MinD-Video), released evaluation code"
_ANIMATOR = "Lu et al. 2025, arXiv:2405.03280 (Mind-Animator), released evaluation code"
_WANG = "Wang et al. 2004, doi:10.1109/TIP.2003.819861, as released by MinD-Video and Mind-Animator"
_UNIT = (0.0, 1.0)
_SIGNED = (-1.0, 1.0)


def semantic(setting: Setting) -> Entries:
    """Classification of the reconstruction judged by that of the truth, and CLIP similarity."""
    for kind, classes in (("image", setting.image_classes), ("video", setting.video_classes)):
        reason = "" if classes else f"no {kind} classifier was given"
        if kind == "video" and classes and setting.video_frames != setting.frames:
            reason = (
                f"the video classifier takes {setting.video_frames} frames, the clips have {setting.frames}"
            )
        for ways in WAYS:
            for taken in (TRUTH_CLASSES, 1):
                needed = ways + taken - 1
                few = (
                    f"{ways}-way with {taken} true class(es) needs {needed} classes, "
                    f"the {kind} classifier has {classes}"
                )
                few = few if classes < needed else ""
                yield _classification(kind, ways, taken), reason or few
                if taken == TRUTH_CLASSES and setting.released:
                    yield _drawn(kind, ways), reason or few
    yield (
        Metric(
            id="vifi",
            name="VIFI",
            group="semantic",
            bounds=_SIGNED,
            needs=("vifi",),
            reference="Rasheed et al. 2023, arXiv:2212.03640 (ViFi-CLIP); used by MinD-Video",
            note="Cosine of the clips' embeddings by ViFi-CLIP, the mean over frames. Any two films of the "
            "world are alike to it: read the shuffled floor.",
        ),
        _no_vifi(setting),
    )
    yield (
        Metric(
            id=f"clipvideo.{slug(setting.clip_name) or '<name>'}",
            name="CLIP similarity",
            group="semantic",
            bounds=_SIGNED,
            needs=("clip",),
            note="Cosine of the CLIP embeddings of true and reconstructed frame, mean over frames. Not VIFI, "
            "which needs a CLIP model fine-tuned on videos.",
        ),
        _no_clip(setting),
    )


def _classification(kind: str, ways: int, taken: int) -> Metric:
    three = taken > 1
    whose = "any of the truth's three best classes" if three else "the truth's best class"
    per = "per frame, mean over frames" if kind == "image" else "on the whole clip"
    return Metric(
        id=f"{ways}way.{kind}" + ("" if three else ".top1"),
        name=f"{ways}-way {kind} class" + ("" if three else ", top 1"),
        group="semantic",
        bounds=_UNIT,
        needs=(f"{kind}_classifier",),
        chance=taken / (ways + taken - 1),
        chance_source=f"exchangeable logits: {taken}/({ways}+{taken - 1})"
        if three
        else f"exchangeable logits: 1/{ways}",
        reference=_MINDVIDEO if three else "as above, with one true class",
        note=f"Probability that {whose} beats {ways - 1} drawn from all others, {per}; exact, not drawn.",
    )


def _drawn(kind: str, ways: int) -> Metric:
    exact = _classification(kind, ways, TRUTH_CLASSES)
    return replace(
        exact,
        id=f"{exact.id}.released",
        name=f"{exact.name}, drawn",
        note=f"The same by {RELEASED_TRIALS} drawn trials per answer, as released: the exact one with noise.",
    )


def pixel(setting: Setting) -> Entries:
    """Agreement pixel by pixel, frame by frame."""
    forms = (
        ("ssim.rgb7", "SSIM", _WANG, "7 x 7 uniform window on RGB at the frames' own size. Smooth images "
         "score high: a gray image can win."),
        ("ssim.gaussian11", "SSIM, Gaussian window", "Wang et al. 2004, doi:10.1109/TIP.2003.819861",
         "11 x 11 Gaussian window on RGB. For papers that used it."),
        ("ssim.graycol", "SSIM, gray columns", "Scotti et al. 2023, arXiv:2305.18274 (MindEye), its code",
         "Gray frames whose columns count as images of their own, at the frames' own size. For papers that "
         "used it."),
    )  # fmt: skip
    for identifier, name, reference, note in forms:
        side = SMALLEST[identifier]
        small = min(setting.height, setting.width) < side
        yield (
            Metric(
                id=identifier,
                name=name,
                group="pixel",
                bounds=_SIGNED,
                needs=("frames",),
                reference=reference,
                note=note,
            ),
            f"its {side} px window does not fit into {setting.height} x {setting.width} px" if small else "",
        )
    yield (
        Metric(
            id="psnr.db",
            name="PSNR",
            group="pixel",
            bounds=(0.0, IDENTICAL_DB),
            needs=("frames",),
            reference=_ANIMATOR,
            note="dB with peak 255; 100 for identical frames. Rewards the mean image.",
        ),
        "",
    )
    yield (
        Metric(
            id="hue.cosine",
            name="Hue, cosine",
            group="pixel",
            bounds=_UNIT,
            needs=("frames",),
            reference=_ANIMATOR,
            note="Cosine of OpenCV hue planes, published as Hue-pcc. No hue is negative: any two agree.",
        ),
        "",
    )
    yield (
        Metric(
            id="hue.pearson",
            name="Hue, correlation",
            group="pixel",
            bounds=_SIGNED,
            needs=("frames",),
            chance=0.0,
            chance_source="unrelated planes",
            note="Correlation of the same planes: what the name Hue-pcc says.",
        ),
        "",
    )
    yield (
        Metric(
            id="hue.circular",
            name="Hue agreement",
            group="pixel",
            bounds=_SIGNED,
            needs=("frames",),
            note="Mean cosine of the hue difference, weighted by the truth's chroma. Gray scores 0.",
        ),
        "",
    )


def motion(setting: Setting) -> Entries:
    """Consistency of the reconstruction, and its optical flow against the truth's."""
    still = f"motion needs 2 frames, the clips have {setting.frames}" if setting.frames < 2 else ""
    size = flow_size(setting.height, setting.width)
    yield (
        Metric(
            id="clip_pcc.adjacent",
            name="CLIP consistency",
            group="motion",
            bounds=_SIGNED,
            needs=("clip",),
            reference=_ANIMATOR + ", without its gate",
            note="Mean cosine of CLIP embeddings of adjacent reconstructed frames. Never looks at the truth: "
            "a still clip is perfect.",
        ),
        still or _no_clip(setting),
    )
    yield (
        Metric(
            id="clip_pcc.gated",
            name="CLIP consistency, gated",
            group="motion",
            bounds=_SIGNED,
            needs=("vifi", "clip"),  # the first one's hash stands beside it; CLIP's beside the ungated form
            reference=_ANIMATOR,
            note=f"The same, but 0 for clips whose VIFI is {VIFI_GATE} or less: a share of clips more than a "
            "measure of motion. A still clip of the right content is perfect.",
        ),
        still or _no_clip(setting) or _no_vifi(setting),
    )
    yield (
        Metric(
            id=f"epe.farneback{size}",
            name="End-point error",
            group="motion",
            bounds=(0.0, None),
            direction="lower",
            needs=("frames",),
            reference=_ANIMATOR,
            note="px per frame step at the frames' own size. Rewards no motion at all: see the frozen floor.",
        ),
        still,
    )
    yield (
        Metric(
            id=f"ae.farneback{size}",
            name="Angular error",
            group="motion",
            bounds=(0.0, 180.0),
            direction="lower",
            needs=("frames",),
            chance=90.0,
            chance_source="unrelated directions",
            reference=_ANIMATOR,
            note="Degrees over all pixels; 90 wherever either flow is zero, so the truth itself is not at 0.",
        ),
        still,
    )
    tall = min(setting.height, setting.width)
    yield (
        Metric(
            id="epe.raft",
            name="End-point error, RAFT",
            group="motion",
            bounds=(0.0, None),
            direction="lower",
            needs=("raft",),
            reference="Teed and Deng 2020, arXiv:2003.12039",
            note="px per frame step, flow by RAFT. Rewards no motion at all: see the frozen floor.",
        ),
        still
        or ("" if setting.raft else "no RAFT checkpoint was given; --set raft=FILE")
        or (f"RAFT needs frames of {RAFT_SIDE} px, these have {tall}" if tall < RAFT_SIDE else ""),
    )
    if size != RELEASED_FLOW:
        yield (
            Metric(
                id=f"epe.farneback{RELEASED_FLOW}",
                name="End-point error at 512 px",
                group="motion",
                bounds=(0.0, None),
                needs=("frames",),
                note="",
            ),
            still
            or f"it is defined on frames of {RELEASED_FLOW} px; epe.farneback{size} is the same on these",
        )
    for identifier, name, what in (
        ("flow.corr", "Flow correlation", "Correlation about zero of the flow vectors"),
        ("flow.direction", "Flow direction", "Mean cosine of the angle between the flows"),
    ):
        yield (
            Metric(
                id=identifier,
                name=name,
                group="motion",
                bounds=_SIGNED,
                needs=("frames",),
                chance=0.0,
                chance_source="unrelated directions",
                note=f"{what} over pixels that move in the truth. Standing still scores 0.",
            ),
            still,
        )


def _no_vifi(setting: Setting) -> str:
    return "" if setting.vifi else "no ViFi-CLIP checkpoint was given; --set vifi=FILE"


def _no_clip(setting: Setting) -> str:
    return "" if setting.clip_name else "no CLIP model was given"
