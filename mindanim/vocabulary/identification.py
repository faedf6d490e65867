"""N-way identification in closed form: the probability of a hit instead of the share of hits in drawn trials.

A trial draws N - 1 distractors without replacement from a pool of M; the target wins when it beats all of
them. If g members of the pool score higher than the target, the chance that none of them is drawn is
hypergeometric: C(M - g, N - 1) / C(M, N - 1). Ties are broken at random, so a constant prediction scores
chance, 1/N.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

WAYS = (2, 50)
"""N of the N-way identifications and classifications that are reported."""
MOST_WAYS = max(WAYS)
"""N by which decoders are scored on their validation clips."""


def hit_probability(higher: ArrayLike, ties: ArrayLike, pool: ArrayLike, ways: int) -> NDArray[np.float64]:
    """Probability that the target beats `ways` - 1 distractors drawn without replacement.

    Args:
        higher: Members of the pool that score higher than the target; integers.
        ties: Members of the pool that score the same as the target, broadcastable to `higher`.
        pool: Size of the pool, broadcastable to `higher`.
        ways: N of the N-way identification.

    Returns:
        The expectation under random tie-breaking, in the broadcast shape.

    Raises:
        ValueError: A pool has fewer than `ways` - 1 members.
    """
    higher, ties, pool = np.broadcast_arrays(higher, ties, pool)
    if np.any(pool < ways - 1):
        raise ValueError(f"{ways}-way needs {ways - 1} distractors; the pool has {int(pool.min())}")
    hits = np.empty(higher.shape)
    for size in np.unique(pool):
        here = pool == size
        # Random tie-breaking puts the target behind 0, 1, ..., ties of its equals, each with the same
        # probability.
        summed = np.concatenate([[0.0], np.cumsum(_beats_all(int(size), ways - 1))])
        low, equals = higher[here], ties[here]
        hits[here] = (summed[low + equals + 1] - summed[low]) / (equals + 1)
    return hits


def _beats_all(pool: int, drawn: int) -> NDArray[np.float64]:
    """For g = 0 ... pool members that score higher: the probability that none is among those drawn; (g,)."""
    left = np.arange(pool, 0, -1)
    return np.concatenate([[1.0], np.cumprod(np.maximum(left - drawn, 0) / left)])


def identification_hits(
    similarity: NDArray[np.floating], captions: NDArray[np.intp], pairs: NDArray[np.intp], ways: int
) -> NDArray[np.float64]:
    """Probability that a decoded vector is nearer to its target than to all distractors of a trial.

    Args:
        similarity: (decoded, target); NaN for constant targets, which as distractors count as unrelated (0).
        captions: (target,), equal numbers for equal captions; distractors have another caption.
        pairs: (pair, 2), the rows of the target and of the decoded vector.
        ways: N of the N-way identification.

    Returns:
        (pair,), NaN where the target is constant.
    """
    targets, decoded = pairs.T
    rows = np.nan_to_num(similarity[decoded], nan=0.0)
    own = similarity[decoded, targets][:, None]
    allowed = captions[targets][:, None] != captions
    higher = ((rows > own) & allowed).sum(axis=1)
    ties = ((rows == own) & allowed).sum(axis=1)
    hits = hit_probability(higher, ties, allowed.sum(axis=1), ways)
    return np.where(np.isnan(own[:, 0]), np.nan, hits)
