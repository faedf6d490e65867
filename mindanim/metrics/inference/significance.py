"""Tests of a paired difference over blocks and of the pairing by circular shifts; correction for many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.inference.dependence import dependence
from mindanim.metrics.inference.intervals import block_totals, mean_and_error, skew_shift
from mindanim.metrics.inference.trends import without_trends

FLIPPED_BLOCKS = 8
"""Fewest blocks for sign flips. Fewer have too few sign patterns: with five, the only p value up to .05 is
1/32 (two-sided none), so the true level is 3.1 % (or 0). Student's t is used instead."""
SHIFTS, FLIPS, STUDENT = "circular shifts", "sign flips", "Student's t"


@dataclass(frozen=True)
class Significance:
    """A p value and the test it comes from: SHIFTS, FLIPS or STUDENT. Both None where nothing is defined."""

    p: float | None
    by: str | None


def paired_test(
    differences: NDArray[np.float64],
    blocks: NDArray[np.intp],
    permutations: int,
    rng: np.random.Generator,
    two_sided: bool = False,
    segments: NDArray[np.intp] | None = None,
) -> Significance:
    """Whether the mean of (clip,) differences is positive (or, two-sided, not zero), blocks being the unit.

    Sign flips with FLIPPED_BLOCKS blocks or more. With fewer, Student's t over blocks, which keeps its level
    however few they are and, two-sided at 5 %, does not exceed it where their variances differ (Ibragimov and
    Müller 2010, doi:10.1198/jbes.2009.08046); sign flips after all where blocks do not differ.
    """
    if len(np.unique(blocks[~np.isnan(differences)])) < FLIPPED_BLOCKS:
        p = student_p(differences, blocks, two_sided, segments)
        if p is not None:
            return Significance(p, STUDENT)
    p = sign_flip_p(differences, blocks, permutations, rng, two_sided, segments)
    return Significance(p, None if p is None else FLIPS)


def student_p(
    differences: NDArray[np.float64],
    blocks: NDArray[np.intp],
    two_sided: bool = False,
    segments: NDArray[np.intp] | None = None,
) -> float | None:
    """p of Student's t over blocks: below .05, two-sided, where the interval of few blocks excludes zero.

    The error, the degrees of freedom and the correction for skewness are those of `block_interval`. Arguments
    as of `paired_test`. None with fewer than two blocks or without any difference between them.
    """
    defined = ~np.isnan(differences)
    values, within = differences[defined], blocks[defined]
    if len(np.unique(within)) < 2:
        return None
    mean, spread = mean_and_error(*block_totals(values, within))
    if spread <= 1e-12 * float(np.abs(values).max()):
        return None
    shared = dependence(values, within, None if segments is None else segments[defined])
    t = float(mean) / (float(spread) * float(np.sqrt(shared.inflation))) + float(skew_shift(values))
    return student_tail(t, shared.df, two_sided)


def student_tail(t: float, df: float, two_sided: bool) -> float:
    """p of Student's t, one-sided for large values or two-sided."""
    from scipy.special import stdtr

    return float(2 * stdtr(df, -abs(t))) if two_sided else float(stdtr(df, -t))


def sign_flip_p(
    differences: NDArray[np.float64],
    blocks: NDArray[np.intp],
    permutations: int,
    rng: np.random.Generator,
    two_sided: bool = False,
    segments: NDArray[np.intp] | None = None,
) -> float | None:
    """Paired permutation test that the mean difference is positive (or, two-sided, not zero).

    Args:
        differences: (clip,); all clips of a block change sign together. With few blocks all sign patterns are
            taken, otherwise `permutations` are drawn; p = (1 + #(at least as large)) / (1 + number). Flipped
            blocks are independent of each other; where the given ones are not, because they touch within a
            segment, the observed mean is first divided by what that adds to its spread. None when nothing is
            defined.
    """
    defined = ~np.isnan(differences)
    if not defined.any():
        return None
    sums, _ = block_totals(differences[defined], blocks[defined])
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


def p_of_null(null: NDArray[np.float64]) -> float:
    """The one-sided p value of (1 + permutation,) values, the observed one first; larger is better."""
    return _p_of(float(null[0]), null[1:], two_sided=False)


def shift_null(
    own: NDArray[np.float64],
    shifted: NDArray[np.float64],
    runs: NDArray[np.intp],
    permutations: int,
    rng: np.random.Generator,
    sources: NDArray[np.intp] | None = None,
) -> NDArray[np.float64] | None:
    """The mean in the true pairing and under circular shifts of each run, (1 + permutation,).

    Args:
        own: (clip,) in the true pairing.
        sources: (clip, shift), the clip that each shifted reconstruction is of: then slow trends within runs
            are removed first (`without_trends`), and the means are relative to the run's mean over pairings.
        shifted: (clip, shift) after each shift of the clip's run, NaN where the run has no such shift. All
            combinations of shifts are taken when there are no more than `permutations`. Clips whose own score
            is undefined are left out. The same runs and random numbers give the same shifts, whatever is
            scored. None when nothing can be shifted.
    """
    columns = np.concatenate([own[:, None], shifted], axis=1)
    kept = ~np.isnan(own)
    if not kept.any() or shifted.shape[1] == 0:
        return None
    if sources is not None:
        numbers = np.arange(len(own))[:, None]
        pairs = np.concatenate([numbers, sources], axis=1)
        columns = without_trends(columns, pairs, runs)
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
    sums, sizes = block_totals(differences[defined], blocks[defined])
    means = sums / sizes
    spread = float(means.std(ddof=1)) if len(means) > 1 else 0.0
    return float(means.mean()) / spread if spread > 0 else None
