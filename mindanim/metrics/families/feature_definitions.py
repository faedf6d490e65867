"""The definitions in the registry of what looks at decoded features: each metric with the reason, if any, why
it cannot be computed."""

from __future__ import annotations

from collections.abc import Iterator

from mindanim.metrics.families.metric import Metric, PoolSize, Setting

WAYS = (2, 50)
RETRIEVED = (1, 10, 100)

_ANIMATOR = "Lu et al. 2025, arXiv:2405.03280 (Mind-Animator), released evaluation code"
_UNIT = (0.0, 1.0)
_SIGNED = (-1.0, 1.0)


def feature(setting: Setting) -> Iterator[tuple[Metric, str]]:
    """Stage 1: decoded features against the true ones."""
    no_vectors = "" if "clip" in setting.decoded else "the videos hold no decoded CLIP vectors"
    no_latents = "" if "latents" in setting.decoded else "the videos hold no decoded latents"
    for kind, title in (("clip_text", "Decoded CLIP text"), ("clip_image", "Decoded CLIP image")):
        yield _correlation(kind, title, "decoded_clip", "CLIP vectors less the training mean."), no_vectors
        yield from _identifications(kind, title, "decoded_clip", setting, no_vectors)
    for top in RETRIEVED:
        small = f"the pool has only {setting.clips} clips" if setting.clips <= top else ""
        yield _retrieval(top, setting.clips, None), no_vectors or small
    for top in RETRIEVED:
        pool = setting.pool
        unnamed = "" if pool else "no stimuli of another study were named; --set pool=FOLDER"
        small = f"the pool has only {pool.clips} clips" if pool and pool.clips <= top else ""
        yield _retrieval(top, pool.clips if pool else 1, pool, "large"), no_vectors or unnamed or small
    first = "First frames less the training mean."
    yield _correlation("latent", "Decoded first latent", "decoded_latents", first), no_latents
    yield from _identifications("latent", "Decoded first latent", "decoded_latents", setting, no_latents)
    still = f"differences need 2 frames, the clips have {setting.frames}" if setting.frames < 2 else ""
    later = "Later frames' differences to the first: the ceiling of every motion metric."
    yield (
        _correlation("latent_diff", "Latent difference", "decoded_latents", later),
        no_latents or still,
    )
    yield from _identifications(
        "latent_diff", "Latent difference", "decoded_latents", setting, no_latents or still
    )


def _retrieval(top: int, clips: int, pool: PoolSize | None, which: str = "") -> Metric:
    whose = "those of all captions" if not which else "those of all captions, other studies' among them"
    return Metric(
        id=f"retrieval.top{top}" + (f".{which}" if which else ""),
        name=f"Retrieval, top {top}" + (f", {which}" if which else ""),
        group="feature",
        bounds=_UNIT,
        needs=("decoded_clip",),
        chance=min(1.0, top / clips),
        chance_source=f"{top} of {clips} clips",
        pool=pool,
        reference=_ANIMATOR,
        note=f"Decoded CLIP vector against {whose}; equal ones share the odds.",
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


def _identifications(
    kind: str, title: str, need: str, setting: Setting, lacking: str
) -> Iterator[tuple[Metric, str]]:
    for ways in WAYS:
        few = f"{ways}-way needs {ways - 1} clips of another caption, a clip has {setting.distractors}"
        metric = Metric(
            id=f"feature.{kind}.{ways}way",
            name=f"{title}, {ways}-way",
            group="feature",
            bounds=_UNIT,
            needs=(need,),
            chance=1 / ways,
            chance_source=f"exchangeable similarities: 1/{ways}",
            note=f"Probability that what was decoded is nearer to its own clip than to {ways - 1} of other "
            "captions, drawn from the test set; exact, not drawn.",
        )
        yield metric, lacking or (few if setting.distractors < ways - 1 else "")
