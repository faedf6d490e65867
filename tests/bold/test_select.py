"""Reliability and its test against numpy and scipy, voxel by voxel."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mindanim.bold.voxel_selection import adjust, best, fisher_z, repeat_correlation, t_test


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_repeat_correlation_equals_corrcoef(count: int, mean: float) -> None:
    rng = np.random.default_rng(count)
    repeats = mean + 40 * (rng.standard_normal((1, 6, 50)) + rng.standard_normal((count, 6, 50)))
    expected = [
        np.mean([np.corrcoef(repeats[a, v], repeats[b, v])[0, 1] for a, b in combinations(range(count), 2)])
        for v in range(6)
    ]
    np.testing.assert_allclose(repeat_correlation(repeats), expected, atol=1e-9)


@pytest.mark.parametrize("constant", [0.0, 3.7, 10_000.1])
def test_a_constant_voxel_has_no_correlation(constant: float) -> None:
    repeats = np.random.default_rng(0).standard_normal((2, 3, 40))
    repeats[1, 1] = constant
    assert np.isnan(repeat_correlation(repeats)).tolist() == [False, True, False]


def test_one_repeat_has_no_correlation_at_all() -> None:
    with pytest.raises(ValueError, match="two repeats"):
        repeat_correlation(np.zeros((1, 2, 3)))


def test_fisher_z_stays_finite() -> None:
    r = np.array([-1.0, -0.5, 0.0, 0.5, 1.0, np.nan])
    z = fisher_z(r)
    np.testing.assert_allclose(z[1:4], np.arctanh(r[1:4]))
    assert np.isfinite(z[:5]).all()
    assert np.isnan(z[5])


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_t_test_equals_scipy(alternative: str) -> None:
    values = 0.2 * np.random.default_rng(0).standard_normal((18, 50)) + np.linspace(-0.4, 0.9, 50)
    t, p, freedom = t_test(values, alternative)  # type: ignore[arg-type]
    expected = stats.ttest_1samp(values, 0.0, alternative=alternative)
    np.testing.assert_allclose(t, expected.statistic, rtol=1e-9)
    np.testing.assert_allclose(p, expected.pvalue, rtol=1e-6)
    assert (freedom == 17).all()


def test_t_test_of_finite_values_is_the_same_beside_a_voxel_with_nan() -> None:
    values = np.random.default_rng(0).standard_normal((6, 5))
    holed = np.concatenate([values, np.full((6, 1), np.nan)], axis=1)
    for alone, beside in zip(t_test(values), t_test(holed), strict=True):
        np.testing.assert_array_equal(alone, beside[:5])


def test_t_test_leaves_nan_out_voxel_by_voxel() -> None:
    values = np.random.default_rng(0).standard_normal((6, 5))
    values[2, 1] = np.nan
    values[1:, 2] = np.nan  # one left: no test
    values[:, 3] = 0.3  # no variance: no test
    values[:, 4] = np.nan
    t, p, freedom = t_test(values)
    expected = stats.ttest_1samp(values[:, :2], 0.0, alternative="greater", nan_policy="omit")
    np.testing.assert_allclose(t[:2], np.asarray(expected.statistic), rtol=1e-9)
    np.testing.assert_allclose(p[:2], np.asarray(expected.pvalue), rtol=1e-9)
    assert freedom[1] == 4
    assert np.isnan(t[2:]).all()
    assert np.isnan(p[2:]).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_false_discovery_rate_equals_scipy(values: list[float]) -> None:
    p = np.array(values)
    np.testing.assert_allclose(adjust(p, "fdr"), stats.false_discovery_control(p), atol=1e-12)


def test_corrections_count_the_tests_that_were_made() -> None:
    p = np.array([0.01, np.nan, 0.4, np.nan])
    np.testing.assert_allclose(adjust(p, "bonferroni"), [0.02, np.nan, 0.8, np.nan])
    np.testing.assert_allclose(adjust(p, "fdr"), [0.02, np.nan, 0.4, np.nan])
    np.testing.assert_array_equal(adjust(p, "none"), p)
    assert np.isnan(adjust(np.array([np.nan]), "fdr")).all()


def test_false_discoveries_stay_below_the_rate() -> None:
    """500 of 2,000 voxels respond: of those that pass 5 %, at most about 5 % are false."""
    rng = np.random.default_rng(0)
    z = 0.15 * rng.standard_normal((18, 2000)) + np.where(np.arange(2000) < 500, 0.15, 0.0)
    passed = adjust(t_test(z)[1], "fdr") <= 0.05
    assert passed[:500].mean() > 0.7
    assert passed[500:].sum() / passed.sum() < 0.08


def test_negative_reproducibility_is_no_evidence_unless_asked_for() -> None:
    z = 0.1 * np.random.default_rng(0).standard_normal((18, 2)) + np.array([-0.6, 0.6])
    assert (t_test(z, "greater")[1] < 0.01).tolist() == [False, True]
    assert (t_test(z, "two-sided")[1] < 0.01).tolist() == [True, True]


def test_the_best_are_the_smallest_p_with_ties_by_t() -> None:
    p = np.array([0.0, 0.5, 0.0, 0.1, 0.0, np.nan])
    t = np.array([40.0, 0.1, -60.0, 2.0, 50.0, np.nan])
    assert best(p, t, np.isfinite(p), 2).tolist() == [2, 4]
    assert best(p, t, np.isfinite(p), 4).tolist() == [0, 2, 3, 4]
    assert best(p, t, p <= 0.1, 0).tolist() == [0, 2, 3, 4]


def test_nan_voxels_do_not_shift_the_choice() -> None:
    z = 0.2 * np.random.default_rng(0).standard_normal((10, 60)) + np.linspace(0, 1, 60)
    t, p, _ = t_test(z)
    plain = best(p, t, adjust(p, "bonferroni") <= 1, 20)
    holes = np.insert(z, [0, 30], np.nan, axis=1)
    t, p, _ = t_test(holes)
    chosen = best(p, t, adjust(p, "bonferroni") <= 1, 20)
    np.testing.assert_array_equal(holes[:, chosen], z[:, plain])
