"""Stage-1 metrics: the decoded features against the true ones, before any generator can help or hurt.

CLIP vectors and first-frame latents are compared by their correlation across features after the training
clips' mean has been taken away from both sides: without that, any two CLIP vectors correlate at .5 or more
and the number says little about decoding. Latent differences have a natural origin (no motion) and keep it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.inputs.correlations import correlations
from mindanim.metrics.inputs.scratch import IN_TEMPORARY, Scratch
from mindanim.vocabulary.identification import identification_hits

if TYPE_CHECKING:
    from mindanim.metrics.inputs.retrieval_pool import Pool

_CHUNK = 64
"""Pairs, or clips' latents, looked at a time."""


class LatentRows(Protocol):
    """Latents read one clip at a time, each (frame, channel, height, width)."""

    def __getitem__(self, index: int, /) -> NDArray[np.floating]: ...


@dataclass(frozen=True)
class Latents:
    """Decoded and true latents, (clip, frame, channel, height, width), and the training clips' mean first
    frame. Their correlations lie in `scratch`."""

    decoded: LatentRows
    true: LatentRows
    mean_first: NDArray[np.float64]
    scratch: Scratch = IN_TEMPORARY

    def similarity(self, kind: str, clips: int) -> NDArray[np.float64]:
        """`correlations` of the first frames less the mean (`latent`) or of the later frames' differences to
        the first (`latent_diff`), (decoded, target)."""
        result: NDArray[np.float64] = self.scratch.array((clips, clips), np.float64)
        for rows in _parts(np.arange(clips)):
            found = self._views(self.decoded, rows, kind)
            for columns in _parts(np.arange(clips)):
                result[np.ix_(rows, columns)] = correlations(found, self._views(self.true, columns, kind))
        return result

    def _views(self, latents: LatentRows, rows: NDArray[np.intp], kind: str) -> NDArray[np.float64]:
        clips = (latents[row].astype(np.float64) for row in rows)
        first = kind == "latent"
        return np.stack(
            [(clip[0] - self.mean_first if first else clip[1:] - clip[:1]).ravel() for clip in clips]
        )


@dataclass(frozen=True)
class FeatureScorer:
    """Everything the feature metrics need, for all test clips.

    similarities: `clip_image` and `clip_text` -> (decoded, target) correlations. captions: (target,), the
    same number for the same caption. latents: None when the videos have none. pool: the clips of other
    studies that retrieval can look among as well.
    """

    similarities: dict[str, NDArray[np.float64]]
    captions: NDArray[np.intp]
    latents: Latents | None
    pool: Pool | None = None

    @property
    def distractors(self) -> int:
        """The smallest number of clips of another caption that any clip has."""
        return len(self.captions) - int(np.bincount(self.captions).max())

    def score(self, pairs: NDArray[np.intp], ids: Iterable[str]) -> dict[str, NDArray[np.float64]]:
        """The metrics called `ids` for (target, decoded) pairs, (pair, 2); each (pair,)."""
        return {name: self._score(name, pairs) for name in ids}

    def _score(self, name: str, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
        family, _, rest = name.partition(".")
        if family == "retrieval":
            among, _, which = rest.partition(".")
            top = int(among.removeprefix("top"))
            beside = self._beside() if which == "large" else None
            near = self.similarities["clip_text"]
            return np.concatenate([retrieval_hits(near, part, top, beside) for part in _parts(pairs)])
        kind, _, detail = rest.partition(".")
        similarity = self.similarities[kind] if kind in self.similarities else self._of_latents[kind]
        if detail == "r":
            return similarity[pairs[:, 1], pairs[:, 0]]
        ways = int(detail.removesuffix("way"))
        parts = [identification_hits(similarity, self.captions, part, ways) for part in _parts(pairs)]
        return np.concatenate(parts)

    @cached_property
    def _of_latents(self) -> dict[str, NDArray[np.float64]]:
        if self.latents is None:
            raise ValueError("the latents' scores need decoded latents")
        return {kind: self.latents.similarity(kind, len(self.captions)) for kind in ("latent", "latent_diff")}

    def _beside(self) -> NDArray[np.float64]:
        if self.pool is None:
            raise ValueError("the large pool needs the stimuli of another study")
        return self.pool.similarities

    def median_rank(self, large: bool = False) -> float:
        """Median rank of the true clip in retrieval by text, among the test clips or in the `large` pool; 1
        is best, clips of the same caption share the mean rank."""
        similarity = self.similarities["clip_text"]
        beside = self._beside() if large else None
        ranks = []
        for rows in _parts(np.arange(len(similarity))):
            higher, equals = _nearer(similarity, beside, rows, rows)
            ranks.append(higher + (equals + 1) / 2)
        return float(np.median(np.concatenate(ranks)))


def _parts(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """A few rows at a time."""
    return np.split(rows, range(_CHUNK, len(rows), _CHUNK))


def retrieval_hits(
    similarity: NDArray[np.float64],
    pairs: NDArray[np.intp],
    top: int,
    beside: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Probability that the target is among the `top` nearest of the pool, ties broken at random; (pair,).

    similarity: (decoded, target); the pool is all targets. pairs: (pair, 2), rows of target and decoded
    vector. beside: (decoded, other clip), of clips that join the pool.
    """
    higher, equals = _nearer(similarity, beside, *pairs.T)
    hits: NDArray[np.float64] = np.clip((top - higher) / equals, 0.0, 1.0)
    return hits


def _nearer(
    similarity: NDArray[np.float64],
    beside: NDArray[np.float64] | None,
    targets: NDArray[np.intp],
    decoded: NDArray[np.intp],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """How many of the pool lie nearer than the target, and how many as near, the target itself among them."""
    own = similarity[decoded, targets][:, None]
    pools = [similarity] if beside is None else [similarity, beside]
    near = [pool[decoded] for pool in pools]
    higher, equals = (
        sum((found > own).sum(axis=1) for found in near),
        sum((found == own).sum(axis=1) for found in near),
    )
    return np.asarray(higher), np.asarray(equals)


def mean_first_latent(latents: NDArray[np.floating], rows: NDArray[np.intp]) -> NDArray[np.float64]:
    """Mean first frame over the clips `rows` of a (memory-mapped) latent array, read a few clips at a
    time."""
    total = np.zeros(latents.shape[2:])
    for start in range(0, len(rows), _CHUNK):
        total += latents[rows[start : start + _CHUNK], 0].astype(np.float64).sum(axis=0)
    return total / len(rows)
