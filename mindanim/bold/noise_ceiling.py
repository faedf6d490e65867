"""How well a voxel could be predicted at best: the reliability of its mean response over repeats."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np

from mindanim.vocabulary.arrays import Float

_MOST_SPLITS = 400


def spearman_brown(correlation: Float, factor: float) -> Float:
    """Reliability of a measurement ``factor`` times as long (Spearman 1910; Brown 1910)."""
    return factor * correlation / (1 + (factor - 1) * correlation)


def split_half(repeats: Float) -> Float:
    """Reliability ``(voxel,)`` of the mean over repeats: correlation of two halves, stepped up to all.

    repeats ``(repeat, voxel, time)``, at least two. The correlation is the mean over all ways to form two
    equal halves (with an odd number one repeat stays out in turn); of more than 400 ways a fixed random
    sample is taken. All splits come from one repeat-by-repeat covariance per voxel. NaN where a half is
    constant.
    """
    count = len(repeats)
    if count < 2:
        raise ValueError("split_half needs at least two repeats")
    half = count // 2
    centred = np.moveaxis(repeats - repeats.mean(2, keepdims=True), 1, 0)
    covariance = (centred @ np.swapaxes(centred, 1, 2)).reshape(len(centred), count**2)
    first, second = _splits(count, half)

    def between(one: Float, other: Float) -> Float:
        """Covariance ``(voxel, split)`` of the sums over two halves: one matrix product for all splits."""
        weights = one[:, :, None] * other[:, None, :]
        return np.asarray(covariance @ weights.reshape(len(one), count**2).T)

    with np.errstate(divide="ignore", invalid="ignore"):
        variances = between(first, first) * between(second, second)
        correlation = (between(first, second) / np.sqrt(variances)).mean(1)
    return spearman_brown(correlation, count / half)


def noise_ceiling(reliability: Float) -> Float:
    """Highest correlation to expect of a noise-free prediction: root of the reliability, 0 if negative."""
    return np.sqrt(np.clip(reliability, 0.0, 1.0))


@lru_cache(maxsize=8)
def _splits(count: int, half: int) -> tuple[Float, Float]:
    """Pairs of disjoint halves as weights ``(split, repeat)``."""
    if comb(count, half) * comb(count - half, half) // 2 <= _MOST_SPLITS:
        halves = [
            (one, other)
            for one in combinations(range(count), half)
            for other in combinations(sorted(set(range(count)) - set(one)), half)
            if one[0] < other[0]
        ]
    else:
        rng = np.random.default_rng(0)
        orders = [rng.permutation(count) for _ in range(_MOST_SPLITS)]
        halves = [(tuple(order[:half]), tuple(order[half : 2 * half])) for order in orders]
    first, second = np.zeros((2, len(halves), count))
    for index, (one, other) in enumerate(halves):
        first[index, list(one)] = second[index, list(other)] = 1.0
    return first, second
