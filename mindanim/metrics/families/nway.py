"""N-way identification in closed form: the probability of a hit instead of the share of hits in drawn trials.

A trial draws N - 1 distractors without replacement from a pool of M; the target wins when it beats all of
them. If g members of the pool score higher than the target, the chance that none of them is drawn is
hypergeometric: C(M - g, N - 1) / C(M, N - 1). Ties are broken at random.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

TRUTH_CLASSES = 3
"""Classes of the ground truth of which any may win, as MinD-Video and Mind-Animator released it."""

_ROWS_AT_A_TIME = 1 << 22
"""Logits compared at a time (about 16 MB), which bounds memory for a thousand classes."""


def hit_probability(higher: ArrayLike, ties: ArrayLike, pool: ArrayLike, ways: int) -> NDArray[np.float64]:
    """Probability that the target beats `ways` - 1 distractors drawn without replacement.

    higher, ties, pool: broadcastable integer arrays; how many members of the pool score higher than the
    target, how many equal it, and how many there are. Raises ValueError when a pool has fewer than `ways` -
    1 members.
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


def class_hits(
    truth: NDArray[np.floating], logits: NDArray[np.floating], ways: int, truth_classes: int = TRUTH_CLASSES
) -> NDArray[np.float64]:
    """Expected share of hits when a classifier's answer to a reconstruction is judged by its answer to the
    truth.

    truth, logits: (..., class); the classifier's logits of the ground truth and of the reconstruction.
    The ground truth's classes are its `truth_classes` highest logits; distractors are drawn from all other
    classes; a trial is a hit when any of the truth's classes beats all distractors. Returns (...) float64.
    With exchangeable logits the expectation is truth_classes / (ways + truth_classes - 1).
    """
    classes = truth.shape[-1]
    flat_truth, flat = truth.reshape(-1, classes), logits.reshape(-1, classes)
    step = max(1, _ROWS_AT_A_TIME // classes)
    parts = [
        _class_hits(flat_truth[start : start + step], flat[start : start + step], ways, truth_classes)
        for start in range(0, len(flat), step)
    ]
    return np.concatenate(parts).reshape(truth.shape[:-1])


def drawn_hits(
    truth: NDArray[np.floating], logits: NDArray[np.floating], ways: int, trials: int, seed: int = 0
) -> NDArray[np.float64]:
    """Share of hits in drawn trials, as the released code has it; arguments and result as in `class_hits`.

    Its expectation is `class_hits` (but for ties, which lose here, as they do there).
    """
    rng = np.random.default_rng(seed)
    classes = truth.shape[-1]
    flat_truth, flat = truth.reshape(-1, classes), logits.reshape(-1, classes)
    hits = np.empty(len(flat))
    for row, (true, answer) in enumerate(zip(flat_truth, flat, strict=True)):
        own = np.argpartition(-true, TRUTH_CLASSES - 1)[:TRUTH_CLASSES]
        others = np.delete(answer, own)
        drawn = rng.permuted(np.broadcast_to(others, (trials, len(others))), axis=1)[:, : ways - 1]
        hits[row] = (answer[own].max() > drawn.max(axis=1)).mean()
    return hits.reshape(truth.shape[:-1])


def _class_hits(
    truth: NDArray[np.floating], logits: NDArray[np.floating], ways: int, truth_classes: int
) -> NDArray[np.float64]:
    own = np.argpartition(-truth, truth_classes - 1, axis=1)[:, :truth_classes]
    best = np.take_along_axis(logits, own, axis=1).max(axis=1, keepdims=True)
    others = np.ones(logits.shape, dtype=bool)
    np.put_along_axis(others, own, False, axis=1)
    higher = ((logits > best) & others).sum(axis=1)
    ties = ((logits == best) & others).sum(axis=1)
    return hit_probability(higher, ties, logits.shape[1] - truth_classes, ways)


def identification_hits(
    similarity: NDArray[np.floating], captions: NDArray[np.intp], pairs: NDArray[np.intp], ways: int
) -> NDArray[np.float64]:
    """Probability that a decoded vector is nearer to its target than to all distractors of a trial.

    similarity: (decoded, target), NaN for targets that are constant. captions: (target,), a number for each
    caption; targets of another caption may be drawn. pairs: (pair, 2), the target's and the decoded vector's
    row. Returns (pair,), NaN where the target is constant; as a distractor such a one counts as unrelated.
    """
    targets, decoded = pairs.T
    rows = np.nan_to_num(similarity[decoded], nan=0.0)
    own = similarity[decoded, targets][:, None]
    allowed = captions[targets][:, None] != captions
    higher = ((rows > own) & allowed).sum(axis=1)
    ties = ((rows == own) & allowed).sum(axis=1)
    hits = hit_probability(higher, ties, allowed.sum(axis=1), ways)
    return np.where(np.isnan(own[:, 0]), np.nan, hits)
