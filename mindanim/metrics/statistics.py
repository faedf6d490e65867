"""Uncertainty and tests for scores of clips that follow one another in films.

Neighbouring clips are alike (scenes last, haemodynamic responses overlap), so clips are not exchangeable.
Blocks are: a film segment where there are enough, otherwise stretches of consecutive clips within a segment
that are longer than a scene and the response together. Every interval and test below treats the block as
the unit, and reckons with what blocks that touch have in common (`dependence`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim import runtime
from mindanim.metrics.dependence import dependence

ENOUGH_SEGMENTS = 8
"""From so many segments on, a block is a segment."""
SHORTEST, LONGEST, BLOCKS_WANTED = 8, 40, 12
"""Automatic block length, in clips: a twelfth of the test set within these limits. At 2 s per clip, 8 clips
are longer than a scene of three and the ten seconds of a response; longer ones leave less correlation
between neighbouring blocks, as long as enough blocks remain."""
BOOTSTRAP_BLOCKS = 12
"""With fewer blocks the resampled standard errors are too coarse (the level falls to 3 to 4 % with 8 to 11),
and Student's t takes the bootstrap's place."""

Bounds = tuple[float | None, float | None]


@dataclass(frozen=True)
class Interval:
    """A mean with its uncertainty.

    se, low and high are None with fewer than two blocks. n counts defined clips, blocks those that hold one.
    """

    value: float
    se: float | None
    low: float | None
    high: float | None
    n: int
    blocks: int


@dataclass(frozen=True)
class Resampling:
    """How uncertainty is computed.

    blocks, segments: (clip,), the block and the film segment of each clip. runs: (clip,), the segment within
    which clips were shifted. bootstraps, permutations: how many. seed: of both; each metric and floor has
    numbers of its own.
    """

    blocks: NDArray[np.intp]
    segments: NDArray[np.intp]
    runs: NDArray[np.intp]
    bootstraps: int
    permutations: int
    seed: int

    def rng(self, *names: str) -> np.random.Generator:
        """The random numbers of one metric and floor, the same whatever else is computed."""
        return runtime.named_rng(self.seed, *names)


def numbered(names: Sequence[str]) -> NDArray[np.intp]:
    """(name,) int from 0: the same number for the same name."""
    _, numbers = np.unique(np.asarray(names, dtype=object), return_inverse=True)
    return numbers.astype(np.intp)


def make_blocks(segments: Sequence[str], block_clips: int = 0) -> NDArray[np.intp]:
    """The block of each clip, (clip,) int from 0.

    segments: the film segment of each clip, in film order. block_clips: length of a block where segments
    are cut; 0 takes the automatic length. A segment is cut into equal parts of about that length.
    """
    _, first, runs = np.unique(np.asarray(segments, dtype=object), return_index=True, return_inverse=True)
    if len(first) >= ENOUGH_SEGMENTS and block_clips == 0:
        return runs.astype(np.intp)
    length = block_clips or int(np.clip(round(len(runs) / BLOCKS_WANTED), SHORTEST, LONGEST))
    blocks = np.empty(len(runs), dtype=np.intp)
    made = 0
    for run in np.argsort(first):
        members = np.flatnonzero(runs == run)
        for part in np.array_split(members, max(1, round(len(members) / length))):
            blocks[part] = made
            made += 1
    return blocks


def block_rule(segments: Sequence[str], blocks: NDArray[np.intp]) -> str:
    """What a block is, in words, for the tables."""
    sizes = np.bincount(blocks)
    if len(np.unique(blocks)) == len(set(segments)):
        return f"film segments of {_span(sizes)} clips"
    return f"stretches of {_span(sizes)} consecutive clips within {len(set(segments))} segments"


def _span(sizes: NDArray[np.intp]) -> str:
    low, high = int(sizes.min()), int(sizes.max())
    return str(low) if low == high else f"{low} to {high}"


def block_interval(
    scores: NDArray[np.float64],
    blocks: NDArray[np.intp],
    resamples: int,
    rng: np.random.Generator,
    segments: NDArray[np.intp] | None = None,
    bounds: Bounds = (None, None),
) -> Interval:
    """Mean, standard error and 95 % interval of `scores` (clip,), blocks being the unit. NaN scores are
    left out.

    The standard error is that of a ratio of block totals (clips may be missing from blocks), widened by what
    blocks that touch within a segment have in common; without segments no two blocks have anything. The
    interval is the symmetric studentised bootstrap over blocks (Hall 1988, doi:10.1214/aos/1176350933), which
    unlike the percentile bootstrap keeps its level; with fewer than twelve it is Student's t with the
    effective degrees of freedom. It is cut where the metric's bounds are.
    """
    defined = ~np.isnan(scores)
    n = int(defined.sum())
    if n == 0:
        return Interval(float("nan"), None, None, None, 0, 0)
    sums, sizes = _totals(scores[defined], blocks[defined])
    count = len(sums)
    mean, spread = _mean_and_error(sums, sizes)
    if count < 2:
        return Interval(float(mean), None, None, None, n, count)
    shared = dependence(scores[defined], blocks[defined], None if segments is None else segments[defined])
    error = float(spread * np.sqrt(shared.inflation))
    half = error * _quantile(sums, sizes, shared.df, resamples, rng)
    low, high = (-np.inf if bounds[0] is None else bounds[0], np.inf if bounds[1] is None else bounds[1])
    # A mean of identical clips may pass a bound by rounding.
    ends = min(max(float(mean) - half, low), float(mean)), max(min(float(mean) + half, high), float(mean))
    return Interval(float(mean), error, *ends, n, count)


def _quantile(
    sums: NDArray[np.float64],
    sizes: NDArray[np.float64],
    df: float,
    resamples: int,
    rng: np.random.Generator,
) -> float:
    """Standard errors from the mean to either end of the interval."""
    from scipy.special import stdtrit

    count = len(sums)
    student = float(stdtrit(df, 0.975))
    if count < BOOTSTRAP_BLOCKS:
        return student
    mean, error = _mean_and_error(sums, sizes)
    drawn = rng.integers(count, size=(resamples, count))
    means, errors = _mean_and_error(sums[drawn], sizes[drawn])
    # A resample of equal blocks has no error of its own and says nothing about the spread.
    usable = errors > 1e-12 * (abs(mean) + error)
    if not usable.any():
        return 0.0
    found = float(np.quantile(np.abs(means[usable] - mean) / errors[usable], 0.95))
    return found * student / float(stdtrit(count - 1, 0.975))


def _mean_and_error(
    sums: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and its linearised standard error from (..., block) totals and sizes."""
    count, total = sums.shape[-1], sizes.sum(axis=-1)
    mean = sums.sum(axis=-1) / total
    rest = sums - mean[..., None] * sizes
    error = np.sqrt(count / max(count - 1, 1) * (rest**2).sum(axis=-1)) / total
    return mean, error


def _totals(
    values: NDArray[np.float64], blocks: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of the values of each block that has any."""
    _, dense = np.unique(blocks, return_inverse=True)
    return (
        np.bincount(dense, weights=values).astype(np.float64),
        np.bincount(dense).astype(np.float64),
    )


def sign_flip_p(
    differences: NDArray[np.float64],
    blocks: NDArray[np.intp],
    permutations: int,
    rng: np.random.Generator,
    two_sided: bool = False,
    segments: NDArray[np.intp] | None = None,
) -> float | None:
    """Paired permutation test that the mean difference is positive (or, two-sided, not zero).

    differences: (clip,); all clips of a block change sign together. With few blocks all sign patterns are
    taken, otherwise `permutations` are drawn; p = (1 + #(at least as large)) / (1 + number). Flipped blocks
    are independent of each other; where the given ones are not, because they touch within a segment, the
    observed mean is first divided by what that adds to its spread. None when nothing is defined.
    """
    defined = ~np.isnan(differences)
    if not defined.any():
        return None
    sums, _ = _totals(differences[defined], blocks[defined])
    count = len(sums)
    if 2**count - 1 <= permutations:
        patterns = np.arange(1, 2**count)[:, None] >> np.arange(count) & 1
        signs = 1.0 - 2.0 * patterns
    else:
        signs = rng.choice([-1.0, 1.0], size=(permutations, count))
    added = 1.0
    if segments is not None and count > 1:
        added = dependence(differences[defined], blocks[defined], segments[defined]).flips
    return _p_of(float(sums.sum()) / np.sqrt(added), signs @ sums, two_sided)


def shift_p(
    own: NDArray[np.float64],
    shifted: NDArray[np.float64],
    runs: NDArray[np.intp],
    permutations: int,
    rng: np.random.Generator,
) -> float | None:
    """Permutation test of the pairing: each run's reconstructions are shifted circularly, runs independently.

    own, shifted: goodness (larger is better) as `shift_null` takes them. p as in `sign_flip_p`, one-sided.
    """
    null = shift_null(own, shifted, runs, permutations, rng)
    return None if null is None else p_of_null(null)


def p_of_null(null: NDArray[np.float64]) -> float:
    """The one-sided p value of (1 + permutation,) values, the observed one first; larger is better."""
    return _p_of(float(null[0]), null[1:], two_sided=False)


def shift_null(
    own: NDArray[np.float64],
    shifted: NDArray[np.float64],
    runs: NDArray[np.intp],
    permutations: int,
    rng: np.random.Generator,
) -> NDArray[np.float64] | None:
    """The mean in the true pairing and under circular shifts of each run, (1 + permutation,).

    own: (clip,) in the true pairing. shifted: (clip, shift) after each shift of the clip's run, NaN where the
    run has no such shift. All combinations of shifts are taken when there are no more than `permutations`.
    Clips whose own score is undefined are left out. The same runs and random numbers give the same shifts,
    whatever is scored. None when nothing can be shifted.
    """
    columns = np.concatenate([own[:, None], shifted], axis=1)
    kept = ~np.isnan(own)
    if not kept.any() or shifted.shape[1] == 0:
        return None
    tables = []
    for run in np.unique(runs[kept]):
        rows = columns[kept & (runs == run)]
        tables.append(rows[:, ~np.isnan(rows).all(axis=0)].sum(axis=0))
    choices = np.array([len(table) for table in tables])
    if np.isnan(np.concatenate(tables)).any() or choices.max() == 1:
        return None
    total = np.prod(choices.astype(np.float64))
    if total - 1 <= permutations:
        picks = np.stack(np.unravel_index(np.arange(1, int(total)), tuple(choices)), axis=1)
    else:
        picks = rng.integers(choices, size=(permutations, len(choices)))
    drawn = np.concatenate([np.zeros((1, len(choices)), np.intp), picks])
    sums = np.sum([table[drawn[:, run]] for run, table in enumerate(tables)], axis=0)
    null: NDArray[np.float64] = sums / kept.sum()
    return null


def _p_of(observed: float, null: NDArray[np.float64], two_sided: bool) -> float:
    if two_sided:
        observed, null = abs(observed), np.abs(null)
    # Sums of the same numbers in another order differ by rounding: they count as equal.
    as_large = null >= observed - 1e-9 * max(1.0, abs(observed))
    return float((1 + as_large.sum()) / (1 + len(null)))


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Holm's step-down adjustment over the tests that were done (Holm 1979); None stays None."""
    done = sorted((p, name) for name, p in p_values.items() if p is not None)
    adjusted: dict[str, float | None] = {name: None for name in p_values}
    largest = 0.0
    for rank, (p, name) in enumerate(done):
        largest = max(largest, min(1.0, (len(done) - rank) * p))
        adjusted[name] = largest
    return adjusted


def effect_size(differences: NDArray[np.float64], blocks: NDArray[np.intp]) -> float | None:
    """Paired effect size over blocks: mean of the block means over their standard deviation. None if there
    is no spread."""
    defined = ~np.isnan(differences)
    if not defined.any():
        return None
    sums, sizes = _totals(differences[defined], blocks[defined])
    means = sums / sizes
    spread = float(means.std(ddof=1)) if len(means) > 1 else 0.0
    return float(means.mean()) / spread if spread > 0 else None
