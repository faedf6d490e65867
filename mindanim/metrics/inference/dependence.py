"""What autocorrelation does to a mean over blocks of consecutive clips.

Blocks that touch within a film segment share what lasts across their border, so their means spread less than
independent ones would, and the mean over all of them more than that spread says. How much is taken from the
clips' own lag-one correlation, as if the scores were AR(1) within segments; only this ratio comes from the
model, the scale comes from the blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_STRONGEST = 0.95
"""Correlation of neighbouring clips beyond which nothing is sure."""
_GONE = 1e-4
"""Correlation taken for none."""
_STEP = 0.01
"""By how much the correlation is raised to see what the inflation depends on."""
_LONGEST = math.ceil(math.log(_GONE) / math.log(_STRONGEST + _STEP))
"""Lag from which on the strongest correlation is gone."""


@dataclass(frozen=True)
class Dependence:
    """How far blocks are from independent ones of equal size.

    Attributes:
        inflation: Variance of the mean, over what the sample variance of the blocks makes it.
        df: Degrees of freedom that the product of the two is worth (Satterthwaite's, less what the inflation
            is uncertain by because the correlation is an estimate; blocks - 1 for independent ones).
        flips: Variance of the sum of the block totals over the sum of their variances. 1, blocks - 1 and 1
            without autocorrelation.
    """

    inflation: float
    df: float
    flips: float


def dependence(
    scores: NDArray[np.float64], blocks: NDArray[np.intp], segments: NDArray[np.intp] | None
) -> Dependence:
    """The dependence of the block means of `scores`, (clip,) without NaN, at least two blocks of them.

    Args:
        blocks, segments: (clip,) int, clips of a segment in film order; without segments the blocks are taken
            as independent and alike.
    """
    if segments is None:
        return Dependence(1.0, len(np.unique(blocks)) - 1.0, 1.0)
    order = np.argsort(segments, kind="stable")
    scores, within = scores[order], segments[order]
    _, dense = np.unique(blocks[order], return_inverse=True)
    correlation = _lag_one(scores, within)
    inflation, df, flips = _ratios(_block_covariance(dense, within, correlation), dense)
    above = _ratios(_block_covariance(dense, within, correlation + _STEP), dense)[0]
    # Delta method: the variance of a lag-one correlation is (1 - correlation^2) / n (Bartlett 1946).
    doubt = (np.log(above / inflation) / _STEP) ** 2 * (1 - correlation**2) / len(scores)
    # The relative variance of an estimate of df degrees of freedom is 2 / df, and those of factors add up.
    return Dependence(inflation, 2 / (2 / df + float(doubt)), flips)


def _ratios(covariance: NDArray[np.float64], blocks: NDArray[np.intp]) -> tuple[float, float, float]:
    """`Dependence` from the covariance of the block totals, its df for a correlation that is known."""
    sizes = np.bincount(blocks).astype(np.float64)
    count, total = len(sizes), sizes.sum()
    centre = np.eye(count) - np.outer(sizes, np.ones(count)) / total
    rest = centre @ covariance @ centre.T
    spread = float(np.trace(rest))
    return (
        float(covariance.sum()) * (count - 1) / (count * spread),
        spread**2 / float((rest**2).sum()),
        float(covariance.sum() / np.trace(covariance)),
    )


def _lag_one(scores: NDArray[np.float64], segments: NDArray[np.intp]) -> float:
    """Correlation of clips that follow one another, not below 0, without the bias of the estimated mean
    (Kendall 1954, doi:10.1093/biomet/41.3-4.403)."""
    count = len(scores)
    rest = scores - scores.mean()
    power = float(np.mean(rest**2))
    neighbours = segments[1:] == segments[:-1]
    if not neighbours.any() or power <= 1e-24 * float(np.abs(scores).max()) ** 2:
        return 0.0
    found = float((rest[1:] * rest[:-1])[neighbours].mean()) / power
    # The bias is -(1 + 4 rho) / n, in terms of the true correlation.
    return min(max((count * found + 1) / max(count - 4, 1), 0.0), _STRONGEST)


def _block_covariance(
    blocks: NDArray[np.intp], segments: NDArray[np.intp], correlation: float
) -> NDArray[np.float64]:
    """Covariance of the block totals of an AR(1) process of variance 1, restarted in each segment."""
    count = int(blocks.max()) + 1
    shares = np.cumprod(np.full(len(blocks), correlation))
    lags, cells, forward, backward = _neighbours(blocks.tobytes(), segments.tobytes())
    used = np.searchsorted(lags, np.count_nonzero(shares > _GONE), side="right")
    share = shares[lags[:used] - 1]
    totals = np.bincount(
        np.concatenate([np.arange(count) * (count + 1), cells[:used]]),
        weights=np.concatenate([np.bincount(blocks), share * forward[:used] + share * backward[:used]]),
        minlength=count * count,
    )
    return totals.reshape(count, count).astype(np.float64, copy=False)


@lru_cache(maxsize=32)
def _neighbours(blocks: bytes, segments: bytes) -> tuple[NDArray[np.intp], ...]:
    """Count the pairs of clips within a segment, by lag and blocks; cached, for all metrics ask the same.

    Returns:
        lag: (entry,), ascending. cell: (entry,), position in the flattened (block, block) table.
        forward, backward: (entry,), pairs whose earlier clip is in the block of the row, of the column.
    """
    block, segment = (np.frombuffer(numbers, dtype=np.intp) for numbers in (blocks, segments))
    count = int(block.max()) + 1
    parts: list[tuple[NDArray[np.intp], ...]] = []
    for lag in range(1, min(len(block), _LONGEST + 1)):
        alike = segment[:-lag] == segment[lag:]
        if not alike.any():
            break
        first, second = block[:-lag][alike], block[lag:][alike]
        ahead, back = first * count + second, second * count + first
        cells = np.unique(np.concatenate([ahead, back]))
        forward, backward = (
            np.bincount(np.searchsorted(cells, found), minlength=len(cells)) for found in (ahead, back)
        )
        parts.append((np.full(len(cells), lag), cells, forward, backward))
    return (
        tuple(np.concatenate(part) for part in zip(*parts, strict=True))
        if parts
        else (np.empty(0, np.intp),) * 4
    )
