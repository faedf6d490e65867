"""Decoded features of a test set next to the true ones, and where each ranks among the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.inputs.correlations import correlations
from mindanim.vocabulary.arrays import Float
from mindanim.vocabulary.scratch import IN_TEMPORARY, Scratch

if TYPE_CHECKING:
    from mindanim.metrics.inputs.retrieval_pool import Pool

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
        for rows in chunks(np.arange(clips)):
            found = self._views(self.decoded, rows, kind)
            for columns in chunks(np.arange(clips)):
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
        for rows in chunks(np.arange(len(similarity))):
            higher, equals = _nearer(similarity, others, rows, rows)
            ranks.append(higher + (equals + 1) / 2)
        return float(np.median(np.concatenate(ranks)))


def chunks(rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
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
        (pair,), NaN where the target is constant.
    """
    targets, decoded = pairs.T
    higher, equals = _nearer(similarity, others, targets, decoded)
    hits: Float = np.clip((top - higher) / equals, 0.0, 1.0)
    return np.where(np.isnan(similarity[decoded, targets]), np.nan, hits)


def _nearer(
    similarity: Float, others: Float | None, targets: NDArray[np.intp], decoded: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """How many of the pool are nearer than the target, and how many as near, the target among them; constant
    targets count as unrelated (0)."""
    own = np.nan_to_num(similarity[decoded, targets])[:, None]
    pools = [similarity] if others is None else [similarity, others]
    near = [np.nan_to_num(pool[decoded]) for pool in pools]
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
