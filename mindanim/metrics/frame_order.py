"""The motion shuffle test: would the same frames in another order fit the truth as well?

The frames of each reconstruction are permuted, each clip with permutations of its own, and the permuted
clip is scored like the original. p = (1 + #(permuted at least as good)) / (1 + permutations). A still clip
cannot pass.

What it does not show: a permuted clip jumps more than a smooth one, and end-point error punishes jumps, so
*any* smooth motion passes on `epe`, even the wrong one. So the same frames played backwards are scored as
well: as smooth as the original, opposite in motion. Only motion that agrees with the truth beats its own
reversal.

The flow between every ordered pair of frames of a clip is computed once; a permutation only looks up which
pairs it makes adjacent, so that a thousand permutations cost as much as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim import console, runtime
from mindanim.metrics.families import motion
from mindanim.metrics.inference.films import paired
from mindanim.metrics.inference.intervals import Resampling
from mindanim.vocabulary.arrays import Frames
from mindanim.vocabulary.clips import Clips
from mindanim.vocabulary.scratch import IN_TEMPORARY, Scratch

METRICS = {"epe": -1.0, "flow.corr": 1.0}
"""What is tested, and the sign that makes larger values better."""

CORRECT = "clips whose reconstruction's best class is among the truth's three best in half of the frames"
NOTE = (
    "p: share of frame orders that fit the truth at least as well as the decoded one. Smooth motion of any "
    "kind can pass on end-point error; only motion that agrees with the truth beats its own reversal."
)

OrderScores = dict[str, NDArray[np.float64]]
"""Scores of one clip per metric, (2 + permutation,): true order, reversed, permuted; NaN where undefined."""


def draw_orders(frames: int, permutations: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """The true order, the reversed one, then `permutations` random ones; (2 + permutation, frame)."""
    true = np.arange(frames)
    drawn = rng.permuted(np.tile(true, (permutations, 1)), axis=1)
    return np.concatenate([true[None], true[None, ::-1], drawn])


def score_orders(truth: Frames, recon: Frames, orders: NDArray[np.intp]) -> OrderScores:
    """Score a reconstruction under each frame order.

    Args:
        truth, recon: (frame, height, width, rgb) uint8, at least two frames.
        orders: (order, frame).
    """
    target = motion.describe(truth)
    steps, height = target.flow.shape[:2]
    planes = motion.gray(recon)
    frames = len(planes)
    error = np.zeros((steps, frames, frames))
    dot, power = np.zeros_like(error), np.zeros_like(error)
    selected = np.where(target.moving[..., None], target.flow, 0).reshape(steps, -1).astype(np.float64)
    mask = target.moving.reshape(steps, -1).astype(np.float64)
    for first in range(frames):
        for second in range(frames):
            if first != second:
                flow = motion.flow_between(planes[first], planes[second])
                errors = motion.length(target.flow - flow)
                error[:, first, second] = errors.mean(axis=(1, 2), dtype=np.float64)
                wide = flow.astype(np.float64)
                dot[:, first, second] = selected @ wide.ravel()
                power[:, first, second] = mask @ (wide**2).sum(axis=-1).ravel()
    at = np.arange(steps), orders[:, :-1], orders[:, 1:]
    scores = {"epe": error[at].mean(axis=1), "flow.corr": np.full(len(orders), np.nan)}
    if target.moving.any():
        sums = dot[at].sum(axis=1), (selected**2).sum(), power[at].sum(axis=1)
        scores["flow.corr"] = motion.correlation_of_sums(*sums, int(target.moving.sum()), height)
    return scores


def order_p(scores: NDArray[np.float64], metric: str) -> float | None:
    """The p value of (2 + permutation,) scores as `score_orders` gives them; None when they are undefined."""
    if np.isnan(scores).any():
        return None
    goodness = METRICS[metric] * scores
    # Orders that make the same frame pairs adjacent differ by rounding only: they are equally good.
    as_good = goodness[2:] >= goodness[0] - 1e-9
    return float((1 + as_good.sum()) / (1 + len(as_good)))


def score_test_set(
    truth: Clips,
    recon: Clips,
    clip_ids: Sequence[str],
    permutations: int,
    seed: int,
    threads: int,
    scratch: Scratch = IN_TEMPORARY,
) -> list[OrderScores]:
    """`score_orders` of every clip, each with its own permutations; clip_ids seed them.
    The scores are in `scratch`."""
    table = scratch.array((len(truth), len(METRICS), 2 + permutations), np.float64)
    results = [dict(zip(METRICS, rows, strict=True)) for rows in table]

    def one(index: int) -> None:
        rng = runtime.named_rng(seed, clip_ids[index], "frame order")
        frames = recon[index]
        found = score_orders(truth[index], frames, draw_orders(len(frames), permutations, rng))
        for metric, scores in found.items():
            results[index][metric][:] = scores

    followed: console.Progress[None] = console.progress(len(truth), "frame orders")
    with motion.single_threaded_opencv(), ThreadPoolExecutor(threads) as pool, followed:
        for _ in pool.map(one, range(len(truth))):
            followed.advance()
    return results


def motion_test(
    clips: Sequence[OrderScores],
    correct: NDArray[np.bool_] | None,
    resampling: Resampling,
) -> dict[str, Any]:
    """`motion_test` of metrics.json: both metrics, over all clips and (`correct`) over those recognised.

    Args:
        correct: (clip,) bool, or None when that is not known. The p value of each clip is in `per_clip`, None
            where it is undefined.
    """
    found: dict[str, Any] = {"permutations": len(clips[0]["epe"]) - 2, "correct_rule": CORRECT, "note": NOTE}
    for metric in METRICS:
        rng = resampling.rng(metric, "frame order")
        tested = set_test(clips, metric, resampling, rng)
        tested["per_clip"] = [order_p(clip[metric], metric) for clip in clips]
        tested["correct"] = None
        if correct is not None:
            some = [clip for clip, right in zip(clips, correct, strict=True) if right]
            tested["correct"] = set_test(some, metric, resampling.of(correct), rng)
        found[metric] = tested
    return found


def set_test(
    clips: Sequence[OrderScores], metric: str, resampling: Resampling, rng: np.random.Generator
) -> dict[str, Any]:
    """The test over a set: the mean over clips in true order against that of each clip's k-th permutation.

    Args:
        resampling: Of these clips, for the test against the reversed order (`paired`).

    Returns:
        `clips` (how many are defined), `value` (true order), `null` (the permuted means), `p_set`, `p_median`
        and `share_below_05` over clips, `reversed` (the mean backwards), `p_reversed` and `p_reversed_by`
        (the test), and both for other films (`reversed_over_films`, None with too few) and for these
        (`reversed_these_films`).
    """
    kept = np.array([not np.isnan(clip[metric]).any() for clip in clips], np.bool_)
    names = (
        "value",
        "null",
        "p_set",
        "p_median",
        "share_below_05",
        "reversed",
        "p_reversed",
        "p_reversed_by",
        "reversed_over_films",
        "reversed_these_films",
    )
    if not kept.any():
        return {"clips": 0} | dict.fromkeys(names)
    scores = [clip[metric] for clip, defined in zip(clips, kept, strict=True) if defined]
    mean = np.zeros_like(scores[0])
    for row in scores:
        mean += row
    mean /= len(scores)
    per_clip = np.array([order_p(row, metric) for row in scores], dtype=np.float64)
    gain = METRICS[metric] * np.array([row[0] - row[1] for row in scores])
    tested = paired(gain, resampling.of(kept), rng)
    return {
        "clips": len(scores),
        "value": float(mean[0]),
        "null": mean[2:].tolist(),
        "p_set": order_p(mean, metric),
        "p_median": float(np.median(per_clip)),
        "share_below_05": float((per_clip <= 0.05).mean()),
        "reversed": float(mean[1]),
        "p_reversed": tested.stated.p,
        "p_reversed_by": tested.stated.by,
        "reversed_over_films": tested.over_films and {"p": tested.over_films.p, "p_by": tested.over_films.by},
        "reversed_these_films": {"p": tested.these_films.p, "p_by": tested.these_films.by},
    }
