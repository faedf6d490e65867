"""Uncertainty and tests for scores of clips that follow one another in films.

Neighbouring clips are alike (scenes last, haemodynamic responses overlap), so clips are not exchangeable.
A block is a stretch of consecutive clips within a film segment that is longer than a scene and the response
together. Every interval here and every test in `significance` treats the block as the unit, and reckons with
what blocks that touch have in common (`dependence`). That answers for the films that were shown; `films`
answers for others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mindanim import runtime
from mindanim.metrics.inference.dependence import dependence

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

    se, low, high and df are None with fewer than two units. n counts defined clips, units the blocks or films
    that hold one; df are the degrees of freedom of Student's t.
    """

    value: float
    se: float | None
    low: float | None
    high: float | None
    n: int
    units: int
    df: float | None = None

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends; None with fewer than two units."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@dataclass(frozen=True)
class Resampling:
    """How uncertainty is computed.

    Attributes:
        blocks, segments, films: (clip,), the block, the film segment and the film of each clip.
        runs: (clip,), the segment within which clips were shifted.
        bootstraps, permutations: How many.
        seed: Of both; each metric and floor draws its own numbers.
    """

    blocks: NDArray[np.intp]
    segments: NDArray[np.intp]
    films: NDArray[np.intp]
    runs: NDArray[np.intp]
    bootstraps: int
    permutations: int
    seed: int

    def rng(self, *names: str) -> np.random.Generator:
        """The random numbers of one metric and floor, the same whatever else is computed."""
        return runtime.named_rng(self.seed, *names)

    def of(self, kept: NDArray[np.bool_]) -> Resampling:
        """The same for some of the clips; kept: (clip,)."""
        units = {name: getattr(self, name)[kept] for name in ("blocks", "segments", "films", "runs")}
        return replace(self, **units)


def make_blocks(segments: Sequence[str], block_clips: int = 0) -> NDArray[np.intp]:
    """The block of each clip, (clip,) int from 0.

    Args:
        segments: The film segment of each clip, in film order.
        block_clips: Length of a block; 0 takes the automatic length. A segment is cut into equal parts of
            about that length.
    """
    _, first, runs = np.unique(np.asarray(segments, dtype=object), return_index=True, return_inverse=True)
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
    count = len(set(segments))
    within = "one segment" if count == 1 else f"{count} segments"
    return f"stretches of {_span(sizes)} consecutive clips within {within}"


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
    blocks that touch within a segment have in common; without segments, blocks are taken as independent. The
    width of the interval is that of the symmetric studentised bootstrap over blocks (Hall 1988,
    doi:10.1214/aos/1176350933), which unlike the percentile bootstrap keeps its level; with fewer than twelve
    it is Student's t with the effective degrees of freedom. Where the clips' scores are skewed, both ends
    move to the side of the long tail (`skew_shift`). It is cut where the metric's bounds are.
    """
    defined = ~np.isnan(scores)
    n = int(defined.sum())
    if n == 0:
        return Interval(float("nan"), None, None, None, 0, 0)
    sums, sizes = block_totals(scores[defined], blocks[defined])
    count = len(sums)
    mean, spread = mean_and_error(sums, sizes)
    if count < 2:
        return Interval(float(mean), None, None, None, n, count)
    shared = dependence(scores[defined], blocks[defined], None if segments is None else segments[defined])
    error = float(spread * np.sqrt(shared.inflation))
    half = error * _quantile(sums, sizes, shared.df, resamples, rng)
    ends = cut(float(mean), error * float(skew_shift(scores[defined])), half, bounds)
    return Interval(float(mean), error, *ends, n, count, shared.df)


def cut(mean: float, shift: float, half: float, bounds: Bounds) -> tuple[float, float]:
    """The ends of an interval around `mean + shift`, no further than the metric's bounds."""
    low, high = (-np.inf if bounds[0] is None else bounds[0], np.inf if bounds[1] is None else bounds[1])
    # A mean of identical clips may pass a bound by rounding.
    return min(max(mean + shift - half, low), mean), max(min(mean + shift + half, high), mean)


def _quantile(
    sums: NDArray[np.float64],
    sizes: NDArray[np.float64],
    df: float,
    resamples: int,
    rng: np.random.Generator,
) -> float:
    """Standard errors from the middle to either end of the interval."""
    from scipy.special import stdtrit

    count = len(sums)
    student = float(stdtrit(df, 0.975))
    if count < BOOTSTRAP_BLOCKS:
        return student
    mean, error = mean_and_error(sums, sizes)
    drawn = rng.integers(count, size=(resamples, count))
    means, errors = mean_and_error(sums[drawn], sizes[drawn])
    distances, nothing = np.abs(means - mean), 1e-12 * (abs(mean) + error)
    most = _most_errors(count)
    # A resample of equal blocks has no error of its own: unless it hits the mean, it is infinitely far away.
    far = np.where(distances > nothing, most, 0.0)
    np.divide(distances, errors, out=far, where=errors > nothing)
    found = float(np.quantile(np.minimum(far, most), 0.95))
    return found * student / float(stdtrit(count - 1, 0.975))


def _most_errors(count: int) -> float:
    """The most standard errors that an interval of blocks may reach to one side: 3.6 for 12, 4.6 for many.

    That is what the exact interval of Clopper and Pearson (1934, doi:10.1093/biomet/26.4.404) has upwards
    when one block differs and all others agree, which is as skewed as a sample of `count` can be. Then many
    resamples miss that block, their errors are next to nothing, and the bootstrap alone would have no limit.
    """
    from scipy.special import betaincinv

    # One of n has the standard error 1/n.
    return count * float(betaincinv(2, count - 1, 0.975)) - 1


def skew_shift(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how many standard errors both ends of the interval of a mean of (..., clip) scores move to the side
    of their long tail, up to 1.5: positive where that is the right one.

    A mean of skewed scores is on the short tail's side of the truth mostly when its standard error is too
    small as well. Johnson's modified t (1978, Journal of the American Statistical Association 73, 536)
    corrects that by (1 + 2 t^2) / 6 times the skewness of the mean, here with t = 1.96. The skewness is the
    clips' over the root of their number, for a dozen blocks say next to nothing of theirs: a cautious figure,
    since clips that are alike leave the mean more of it.
    """
    rest = scores - scores.mean(axis=-1, keepdims=True)
    spread = np.sqrt(np.mean(rest**2, axis=-1))
    flat = spread <= 1e-12 * np.abs(scores).max(axis=-1)
    third = np.mean((rest / np.where(flat, 1.0, spread)[..., None]) ** 3, axis=-1)
    skewness = np.where(flat, 0.0, third / np.sqrt(scores.shape[-1]))
    return (1 + 2 * 1.96**2) / 6 * skewness


def mean_and_error(
    sums: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and its linearised standard error from (..., block) totals and sizes, blocks being independent."""
    count, total = sums.shape[-1], sizes.sum(axis=-1)
    mean = sums.sum(axis=-1) / total
    rest = sums - mean[..., None] * sizes
    error = np.sqrt(count / max(count - 1, 1) * (rest**2).sum(axis=-1)) / total
    return mean, error


def block_totals(
    values: NDArray[np.float64], blocks: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum and number of the (clip,) values of each block that has any."""
    _, dense = np.unique(blocks, return_inverse=True)
    return (
        np.bincount(dense, weights=values).astype(np.float64),
        np.bincount(dense).astype(np.float64),
    )
