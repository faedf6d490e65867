"""N-way classification: a classifier's answer to a reconstruction against its answer to the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mindanim.vocabulary.identification import hit_probability

TRUTH_CLASSES = 3
"""Classes of the ground truth, any of which may win, as in the released code of MinD-Video and
Mind-Animator."""

_ROWS_AT_A_TIME = 1 << 22
"""Logits compared at a time (about 16 MB), to bound memory with a thousand classes."""


def class_hits(
    truth: NDArray[np.floating], logits: NDArray[np.floating], ways: int, truth_classes: int = TRUTH_CLASSES
) -> NDArray[np.float64]:
    """Expected share of hits when the truth's best classes compete against all others.

    A trial draws `ways` - 1 of the other classes; it is a hit when any of the truth's classes beats all of
    them in the answer to the reconstruction. Exchangeable logits score truth_classes / (ways + truth_classes
    - 1) on average.

    Args:
        truth: (..., class), the logits of the ground truth.
        logits: (..., class), the logits of the reconstruction.
        ways: N of the N-way classification.
        truth_classes: How many of the truth's highest logits count as its classes.

    Returns:
        (...) float64.
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
    """Share of hits in `trials` drawn trials, as the released code has it; see `class_hits`.

    Its expectation is `class_hits`, except that ties lose here, as they do there.
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
