"""Split-half reliability against its definition and against the truth of a simulation."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from mindanim.bold.noise_ceiling import noise_ceiling, spearman_brown, split_half


def repeats(count: int, voxels: int, times: int, noise: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((voxels, times)) + noise * rng.standard_normal((count, voxels, times))


@pytest.mark.parametrize(("count", "splits"), [(2, 1), (3, 3), (4, 3), (5, 15), (10, 126)])
def test_split_half_is_the_mean_over_all_splits(count: int, splits: int) -> None:
    data = repeats(count, 4, 60, 2.0)
    half, correlations = count // 2, []
    for one in combinations(range(count), half):
        for other in combinations([index for index in range(count) if index not in one], half):
            if one[0] < other[0]:
                halves = data[list(one)].mean(0), data[list(other)].mean(0)
                correlations.append([np.corrcoef(a, b)[0, 1] for a, b in zip(*halves, strict=True)])
    assert len(correlations) == splits
    expected = spearman_brown(np.mean(correlations, axis=0), count / half)
    np.testing.assert_allclose(split_half(data), expected, atol=1e-10)


def test_many_repeats_are_sampled_alike_each_time() -> None:
    data = repeats(14, 3, 50, 2.0)
    np.testing.assert_array_equal(split_half(data), split_half(data))


def test_spearman_brown_of_two_halves() -> None:
    np.testing.assert_allclose(spearman_brown(np.array([0.0, 0.5, 1.0]), 2), [0, 2 / 3, 1])


@pytest.mark.parametrize(("count", "noise"), [(2, 1.0), (10, 3.0), (9, 3.0)])
def test_the_ceiling_is_what_the_true_response_reaches(count: int, noise: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((30, 2000))
    data = truth + noise * rng.standard_normal((count, 30, 2000))
    reached = [np.corrcoef(a, b)[0, 1] for a, b in zip(truth, data.mean(0), strict=True)]
    assert noise_ceiling(split_half(data)).mean() == pytest.approx(np.mean(reached), abs=0.01)


def test_noise_has_no_ceiling_and_constants_none_defined() -> None:
    data = repeats(4, 3, 500, 1.0)
    data[:, 0] = np.random.default_rng(1).standard_normal((4, 500))
    data[:, 1] = 5.0
    ceiling = noise_ceiling(split_half(data))
    assert ceiling[0] < 0.45
    assert np.isnan(ceiling[1])
    assert ceiling[2] > 0.8
    np.testing.assert_array_equal(noise_ceiling(np.array([-0.2, 0.25, 1.2])), [0, 0.5, 1])


def test_one_repeat_has_no_halves() -> None:
    with pytest.raises(ValueError, match="two repeats"):
        split_half(np.zeros((1, 2, 3)))
