"""Choosing voxels by how well their response repeats, on training runs only.

Per segment the repeats' responses are correlated (Wen et al. 2018, Cerebral Cortex 28:4136). Their agreement
is tested over time within runs (`repeat_test`), or, as published, over segments: Fisher-transformed
correlations enter a one-sample t test per voxel. Only *positive* reproducibility is evidence of a response,
so the test is one-sided by default.
"""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mindanim.vocabulary.arrays import Float

Alternative = Literal["greater", "two-sided"]
Correction = Literal["fdr", "bonferroni", "none"]

_LARGEST_R = 1 - 1e-12
_SMALLEST_SHARE = 1e-13
"""Variance over mean square up to which a signal counts as constant: below it is only rounding."""


def repeat_correlation(repeats: Float) -> Float:
    """Mean correlation ``(voxel,)`` over all pairs of repeats; NaN where a voxel is constant in any repeat.

    repeats ``(repeat, voxel, time)``, at least two. Covariances come from inner products, without centred
    copies of the data: in float64 that costs no accuracy while the mean is within 1e4 deviations.
    """
    count, _, times = repeats.shape
    if count < 2:
        raise ValueError("repeat_correlation needs at least two repeats")
    mean = repeats @ np.full(times, 1 / times)  # a matrix product: twice as fast as mean()
    power = np.einsum("rvt,rvt->rv", repeats, repeats) / times
    variance = power - mean**2
    varies = (variance > _SMALLEST_SHARE * power).all(0)
    total = np.zeros(repeats.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        for one, other in combinations(range(count), 2):
            covariance = np.einsum("vt,vt->v", repeats[one], repeats[other]) / times - mean[one] * mean[other]
            total += covariance / np.sqrt(variance[one] * variance[other])
    return np.where(varies, total / (count * (count - 1) / 2), np.nan)


def fisher_z(correlation: Float) -> Float:
    """Inverse hyperbolic tangent; correlations of +-1 are moved inside by 1e-12 so that they stay finite."""
    return np.arctanh(np.clip(correlation, -_LARGEST_R, _LARGEST_R))


def t_test(values: Float, alternative: Alternative = "greater") -> tuple[Float, Float, Float]:
    """One-sample t test of ``values (segment, voxel)`` against 0, NaN left out voxel by voxel.

    Returns:
        T, p and degrees of freedom, each ``(voxel,)``; NaN where fewer than two values are finite or all are
        equal.
    """
    from scipy.special import stdtr

    finite = np.isfinite(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        if finite.all():  # the usual case; counting and masking would take as long as the test
            count = np.full(values.shape[1], len(values))
            mean = values.sum(0) / len(values)
            centred = values - mean
        else:
            count = finite.sum(0)
            mean = np.where(finite, values, 0.0).sum(0) / count
            centred = np.where(finite, values - mean, 0.0)
        variance = np.einsum("sv,sv->v", centred, centred) / (count - 1)
        t = mean / np.sqrt(variance / count)
    t = np.where((count >= 2) & (variance > 0), t, np.nan)
    freedom = np.maximum(count - 1, 1).astype(float)
    p = stdtr(freedom, -t) if alternative == "greater" else 2 * stdtr(freedom, -np.abs(t))
    return t, np.asarray(p), freedom


def adjust(p: Float, correction: Correction) -> Float:
    """P values ``(voxel,)`` corrected for the number of tests; NaN values do not count as tests and stay NaN.

    ``fdr`` is Benjamini and Hochberg (1995), ``bonferroni`` multiplies by the number of tests, at most 1.
    """
    tested = np.isfinite(p)
    count = int(tested.sum())
    adjusted = np.full_like(p, np.nan)
    if correction == "none" or count == 0:
        return p.copy()
    if correction == "bonferroni":
        adjusted[tested] = np.minimum(p[tested] * count, 1.0)
        return adjusted
    order = np.argsort(p[tested])
    ranked = p[tested][order] * count / np.arange(1, count + 1)
    stepped = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    values = np.empty(count)
    values[order] = stepped
    adjusted[tested] = values
    return adjusted


def best(p: Float, t: Float, passed: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """The indices, ascending, of at most ``most`` voxels that ``passed``, smallest p first (0 = no limit).

    The *uncorrected* p orders them, since corrected values tie at 1; equal p (underflow) are ordered by
    ``|t|``.
    """
    candidates = np.flatnonzero(passed)
    if most and len(candidates) > most:
        order = np.lexsort((-np.abs(t[candidates]), p[candidates]))
        candidates = np.sort(candidates[order[:most]])
    return candidates
