"""The definitions in the registry, by group: each metric with the reason, if any, why it cannot be
computed."""

from __future__ import annotations

from collections.abc import Iterator

from mindanim.metrics.nway import TRUTH_CLASSES
from mindanim.metrics.pixel import IDENTICAL_DB, WINDOW
from mindanim.metrics.registry import Metric, Setting, flow_size, slug

WAYS = (2, 50)
RETRIEVED = (1, 10, 100)

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
                yield _classification(kind, ways, taken), reason or (few if classes < needed else "")
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
        name=f"{ways}-way {kind} class" + ("" if three else ", one true class"),
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


def pixel(setting: Setting) -> Entries:
    """Agreement pixel by pixel, frame by frame."""
    small = min(setting.height, setting.width) < WINDOW
    yield (
        Metric(
            id="ssim.rgb7",
            name="SSIM",
            group="pixel",
            bounds=_SIGNED,
            needs=("frames",),
            reference=_WANG,
            note="7 x 7 uniform window on RGB at the frames' own size. Smooth images score high: "
            "a gray image can win.",
        ),
        f"its {WINDOW} px window does not fit into {setting.height} x {setting.width} px" if small else "",
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


def feature(setting: Setting) -> Entries:
    """Stage 1: decoded features against the true ones."""
    no_vectors = "" if "clip" in setting.decoded else "the videos hold no decoded CLIP vectors"
    no_latents = "" if "latents" in setting.decoded else "the videos hold no decoded latents"
    for kind, title in (("clip_text", "Decoded CLIP text"), ("clip_image", "Decoded CLIP image")):
        yield _correlation(kind, title, "decoded_clip", "CLIP vectors less the training mean."), no_vectors
        for ways in WAYS:
            few = f"{ways}-way needs {ways - 1} clips of another caption, a clip has {setting.distractors}"
            yield (
                _identification(kind, title, ways),
                no_vectors or (few if setting.distractors < ways - 1 else ""),
            )
    for top in RETRIEVED:
        yield (
            Metric(
                id=f"retrieval.top{top}",
                name=f"Retrieval, top {top}",
                group="feature",
                bounds=_UNIT,
                needs=("decoded_clip",),
                chance=min(1.0, top / setting.clips),
                chance_source=f"{top} of {setting.clips} clips",
                reference=_ANIMATOR,
                note="Decoded CLIP vector against those of all captions; equal ones share the odds.",
            ),
            no_vectors or (f"the pool has only {setting.clips} clips" if setting.clips <= top else ""),
        )
    first = "First frames less the training mean."
    yield _correlation("latent", "Decoded first latent", "decoded_latents", first), no_latents
    still = f"differences need 2 frames, the clips have {setting.frames}" if setting.frames < 2 else ""
    later = "Later frames' differences to the first: the ceiling of every motion metric."
    yield (
        _correlation("latent_diff", "Decoded latent difference", "decoded_latents", later),
        no_latents or still,
    )


def _correlation(kind: str, title: str, need: str, note: str) -> Metric:
    return Metric(
        id=f"feature.{kind}.r",
        name=f"{title}, r",
        group="feature",
        bounds=_SIGNED,
        needs=(need,),
        chance=0.0,
        chance_source="unrelated vectors",
        note=f"Correlation across features, per clip. {note}",
    )


def _identification(kind: str, title: str, ways: int) -> Metric:
    return Metric(
        id=f"feature.{kind}.{ways}way",
        name=f"{title}, {ways}-way",
        group="feature",
        bounds=_UNIT,
        needs=("decoded_clip",),
        chance=1 / ways,
        chance_source=f"exchangeable similarities: 1/{ways}",
        note=f"Probability that the decoded vector is nearer to its own clip than to {ways - 1} of other "
        "captions, drawn from the test set; exact, not drawn.",
    )


def _no_clip(setting: Setting) -> str:
    return "" if setting.clip_name else "no CLIP model was given"
