"""Metrics of decoded features against the true ones, before any generator can help or hurt.

CLIP vectors and first-frame latents are compared by their correlation across features after the training
clips' mean is subtracted from both: without that, any two CLIP vectors correlate at .5 or more and the number
says little about decoding. Latent differences have a natural origin (no motion) and keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.families.metric import ANIMATOR, SIGNED, UNIT, FeatureMetric, Setting, metric
from mindanim.metrics.inputs.decoded_features import DecodedFeatures, chunks, retrieval_hits
from mindanim.vocabulary.arrays import Float
from mindanim.vocabulary.identification import WAYS, identification_hits

RETRIEVED = (1, 10, 100)


def _register_correlation(kind: str, title: str, note: str, **fields: Any) -> None:
    metric(
        FeatureMetric,
        id=f"feature.{kind}.r",
        name=f"{title}, r",
        group="feature",
        bounds=SIGNED,
        chance=0.0,
        chance_source="unrelated vectors",
        note=f"Correlation across features, per clip. {note}",
        **fields,
    )(lambda features, pairs: features.similarity(kind)[pairs[:, 1], pairs[:, 0]])


def _register_identification(kind: str, title: str, ways: int, **fields: Any) -> None:
    def check(setting: Setting) -> str:
        found = setting.features.distractors if setting.features else 0
        return (
            ""
            if found >= ways - 1
            else f"{ways}-way needs {ways - 1} clips of another caption, a clip has {found}"
        )

    def score(features: DecodedFeatures, pairs: NDArray[np.intp]) -> Float:
        similarity, captions = features.similarity(kind), features.captions
        return np.concatenate(
            [identification_hits(similarity, captions, part, ways) for part in chunks(pairs)]
        )

    metric(
        FeatureMetric,
        id=f"feature.{kind}.{ways}way",
        name=f"{title}, {ways}-way",
        group="feature",
        bounds=UNIT,
        chance=1 / ways,
        chance_source=f"exchangeable similarities: 1/{ways}",
        rank=4 if (kind, ways) == ("clip_text", 2) else 0,
        check=check,
        note=f"Probability that what was decoded is nearer to its own clip than to {ways - 1} of other "
        "captions, drawn from the test set; exact, not drawn.",
        **fields,
    )(score)


def _register_retrieval(top: int, large: bool) -> None:
    def clips(setting: Setting) -> int:
        pool = setting.features.pool if setting.features else None
        return setting.clips if not large else pool.clips if pool else 1

    def check(setting: Setting) -> str:
        if large and (setting.features is None or setting.features.pool is None):
            return "no stimuli of another study were named; --set pool=FOLDER"
        return f"the pool has only {clips(setting)} clips" if clips(setting) <= top else ""

    def details(setting: Setting) -> dict[str, Any]:
        pool = setting.features.pool if large and setting.features else None
        chance = min(1.0, top / clips(setting))
        return {"chance": chance, "chance_source": f"{top} of {clips(setting)} clips", "pool": pool}

    def score(features: DecodedFeatures, pairs: NDArray[np.intp]) -> Float:
        near, others = features.vectors["clip_text"], features.others(large)
        return np.concatenate([retrieval_hits(near, part, top, others) for part in chunks(pairs)])

    metric(
        FeatureMetric,
        id=f"retrieval.top{top}" + (".large" if large else ""),
        name=f"Retrieval, top {top}" + (", large" if large else ""),
        group="feature",
        bounds=UNIT,
        needs=("decoded_clip",),
        check=check,
        details=details,
        remark=_large_rank if large else _rank,
        reference=ANIMATOR,
        note=f"Decoded CLIP vector against those of all captions{', other studies included' if large else ''}"
        "; equal ones share the odds.",
    )(score)


def _rank(setting: Setting, own: Mapping[str, Float]) -> str:
    return f"{_of_clips(setting.features.median_rank(), setting.clips)}." if setting.features else ""


def _large_rank(setting: Setting, own: Mapping[str, Float]) -> str:
    if setting.features is None or (pool := setting.features.pool) is None:
        return ""
    return (
        f"{_of_clips(setting.features.median_rank(large=True), pool.clips)}; left out for looking like "
        f"another clip of the pool: {pool.duplicates} ({pool.by_hash} by perceptual hash, "
        f"{pool.by_clip} by CLIP)."
    )


def _of_clips(median: float, clips: int) -> str:
    return f"Median rank {median:g} of {clips} (chance {(clips + 1) / 2:g})"


def _register(kind: str, title: str, note: str, **fields: Any) -> None:
    """The metrics of one kind of decoded features."""
    _register_correlation(kind, title, note, **fields)
    for ways in WAYS:
        _register_identification(kind, title, ways, **fields)


_VECTORS, _LATENTS = ("decoded_clip",), ("decoded_latents",)
for _kind, _title in (("clip_text", "Decoded CLIP text"), ("clip_image", "Decoded CLIP image")):
    _register(_kind, _title, "CLIP vectors less the training mean.", needs=_VECTORS)
for _large in (False, True):
    for _top in RETRIEVED:
        _register_retrieval(_top, _large)
_register("latent", "Decoded first latent", "First frames less the training mean.", needs=_LATENTS)
_register(
    "latent_diff",
    "Latent difference",
    "Later frames' differences to the first: the ceiling of every motion metric.",
    needs=_LATENTS,
    min_frames=2,
)
