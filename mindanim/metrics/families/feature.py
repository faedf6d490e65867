"""Metrics of decoded features against the true ones, before any generator can help or hurt.

CLIP vectors and first-frame latents are compared by their correlation across features after the training
clips' mean is subtracted from both: without that, any two CLIP vectors correlate at .5 or more and the number
says little about decoding. Latent differences have a natural origin (no motion) and keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.families.metric import ANIMATOR, SIGNED, UNIT, FeatureMetric, Setting, metric
from mindanim.metrics.inputs.correlations import correlations
from mindanim.metrics.inputs.scratch import IN_TEMPORARY, Scratch
from mindanim.vocabulary.arrays import Float
from mindanim.vocabulary.identification import identification_hits

if TYPE_CHECKING:
    from mindanim.metrics.inputs.retrieval_pool import Pool

WAYS = (2, 50)
RETRIEVED = (1, 10, 100)
_CHUNK = 64
"""Pairs, or clips' latents, looked at a time."""


class LatentRows(Protocol):
    """Latents read one clip at a time, each (frame, channel, height, width)."""

    def __getitem__(self, index: int, /) -> NDArray[np.floating]: ...


@dataclass(frozen=True)
class Latents:
    """Decoded and true latents.

    Attributes:
        decoded: (clip, frame, channel, height, width).
        true: The same of the ground truth.
        mean_first: (channel, height, width), the training clips' mean first frame.
        scratch: Where to put their correlations.
    """

    decoded: LatentRows
    true: LatentRows
    mean_first: Float
    scratch: Scratch = IN_TEMPORARY

    def similarity(self, kind: str, clips: int) -> Float:
        """`correlations` of the first frames less the mean (`latent`) or of the later frames' differences to
        the first (`latent_diff`), (decoded, target)."""
        result: Float = self.scratch.array((clips, clips), np.float64)
        for rows in _parts(np.arange(clips)):
            found = self._views(self.decoded, rows, kind)
            for columns in _parts(np.arange(clips)):
                result[np.ix_(rows, columns)] = correlations(found, self._views(self.true, columns, kind))
        return result

    def _views(self, latents: LatentRows, rows: NDArray[np.intp], kind: str) -> Float:
        clips = (latents[row].astype(np.float64) for row in rows)
        first = kind == "latent"
        return np.stack(
            [(clip[0] - self.mean_first if first else clip[1:] - clip[:1]).ravel() for clip in clips]
        )


@dataclass(frozen=True)
class DecodedFeatures:
    """Everything that the feature metrics need, for all test clips.

    Attributes:
        vectors: `clip_image` and `clip_text` -> (decoded, target) correlations.
        captions: (target,), equal numbers for equal captions.
        latents: None when the videos have none.
        pool: The clips of other studies that retrieval can search as well.
    """

    vectors: dict[str, Float]
    captions: NDArray[np.intp]
    latents: Latents | None
    pool: Pool | None = None

    @property
    def distractors(self) -> int:
        """The smallest number of clips of another caption that any clip has."""
        return len(self.captions) - int(np.bincount(self.captions).max())

    def similarity(self, kind: str) -> Float:
        """Correlations, (decoded, target); kind: `clip_image`, `clip_text`, `latent` or `latent_diff`."""
        return self.vectors[kind] if kind in self.vectors else self._of_latents[kind]

    @cached_property
    def _of_latents(self) -> dict[str, Float]:
        if self.latents is None:
            raise ValueError("the latents' scores need decoded latents")
        return {kind: self.latents.similarity(kind, len(self.captions)) for kind in ("latent", "latent_diff")}

    def others(self, large: bool) -> Float | None:
        """(decoded, other clip) similarities of the large pool, if it is the one searched."""
        if not large:
            return None
        if self.pool is None:
            raise ValueError("the large pool needs the stimuli of another study")
        return self.pool.similarities

    def median_rank(self, large: bool = False) -> float:
        """Median rank of the true clip in retrieval by text, among the test clips or in the `large` pool; 1
        is best, clips of the same caption share the mean rank."""
        similarity, others = self.vectors["clip_text"], self.others(large)
        ranks = []
        for rows in _parts(np.arange(len(similarity))):
            higher, equals = _nearer(similarity, others, rows, rows)
            ranks.append(higher + (equals + 1) / 2)
        return float(np.median(np.concatenate(ranks)))


def _parts(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """A few rows at a time."""
    return np.split(rows, range(_CHUNK, len(rows), _CHUNK))


def retrieval_hits(
    similarity: Float, pairs: NDArray[np.intp], top: int, others: Float | None = None
) -> Float:
    """Probability that the target is among the `top` nearest of the pool, ties broken at random.

    Args:
        similarity: (decoded, target); the pool is all targets.
        pairs: (pair, 2), rows of target and decoded vector.
        top: How many are retrieved.
        others: (decoded, other clip), of clips that join the pool.

    Returns:
        (pair,).
    """
    higher, equals = _nearer(similarity, others, *pairs.T)
    hits: Float = np.clip((top - higher) / equals, 0.0, 1.0)
    return hits


def _nearer(
    similarity: Float, others: Float | None, targets: NDArray[np.intp], decoded: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """How many of the pool are nearer than the target, and how many as near, the target among them."""
    own = similarity[decoded, targets][:, None]
    pools = [similarity] if others is None else [similarity, others]
    near = [pool[decoded] for pool in pools]
    higher = sum((found > own).sum(axis=1) for found in near)
    equals = sum((found == own).sum(axis=1) for found in near)
    return np.asarray(higher), np.asarray(equals)


def mean_first_latent(latents: NDArray[np.floating], rows: NDArray[np.intp]) -> Float:
    """Mean first frame over the clips `rows` of a (memory-mapped) latent array, read a few clips at a
    time."""
    total = np.zeros(latents.shape[2:])
    for start in range(0, len(rows), _CHUNK):
        total += latents[rows[start : start + _CHUNK], 0].astype(np.float64).sum(axis=0)
    return total / len(rows)


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
            [identification_hits(similarity, captions, part, ways) for part in _parts(pairs)]
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
        return np.concatenate([retrieval_hits(near, part, top, others) for part in _parts(pairs)])

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
