"""Drift removal against numpy.polyfit, nilearn and a plain definition of flaws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mindanim.bold.clean import clean, deviation, divide, drift_basis, flaws, inner, remove_drift
from mindanim.errors import ConfigError


def bold(voxels: int, volumes: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    time = np.linspace(-1, 1, volumes)
    return np.asarray(1e4 + 500 * time**3 - 200 * time + 30 * rng.standard_normal((voxels, volumes)))


@pytest.mark.parametrize("order", [0, 1, 4, 8])
@pytest.mark.parametrize("volumes", [30, 240, 241])
def test_polynomial_detrending_equals_polyfit(order: int, volumes: int) -> None:
    signal = bold(5, volumes)
    cleaned = remove_drift(signal, drift_basis("polynomial", volumes, 2.0, order=order))
    time = np.linspace(-1, 1, volumes)
    for series, residual in zip(signal, cleaned, strict=True):
        expected = series - np.polyval(np.polyfit(time, series, order), time)
        np.testing.assert_allclose(residual, expected, atol=1e-6 * expected.std())
        np.testing.assert_allclose(
            divide(residual[None], deviation(residual[None]))[0],
            (expected - expected.mean()) / expected.std(),
            atol=1e-6,
        )


@pytest.mark.parametrize(("volumes", "tr_s"), [(240, 2.0), (300, 0.8), (65, 2.0)])
def test_cosine_high_pass_equals_nilearn(volumes: int, tr_s: float) -> None:
    from nilearn.glm.first_level.design_matrix import create_cosine_drift

    signal = bold(4, volumes)
    cleaned = remove_drift(signal, drift_basis("cosine", volumes, tr_s, period_s=100.0))
    drifts = create_cosine_drift(1 / 100.0, np.arange(volumes) * tr_s)
    expected = signal - (drifts @ np.linalg.lstsq(drifts, signal.T, rcond=None)[0]).T
    np.testing.assert_allclose(cleaned, expected, atol=1e-6)


def test_without_a_drift_model_the_mean_goes() -> None:
    signal = bold(3, 20)
    cleaned = remove_drift(signal, drift_basis("none", 20, 2.0))
    np.testing.assert_allclose(cleaned, signal - signal.mean(1, keepdims=True), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    volumes=st.integers(12, 60),
    order=st.integers(0, 6),
    coefficients=arrays(np.float64, 7, elements=st.floats(-1e4, 1e4, width=32)),
)
def test_a_drift_of_the_model_leaves_no_trace(volumes: int, order: int, coefficients: np.ndarray) -> None:
    """Adding any polynomial up to the order changes nothing, and cleaning twice is cleaning once."""
    basis = drift_basis("polynomial", volumes, 2.0, order=order)
    signal = np.random.default_rng(0).standard_normal((3, volumes))
    drift = np.polynomial.polynomial.polyval(np.linspace(-1, 1, volumes), coefficients[: order + 1])
    cleaned = remove_drift(signal, basis)
    np.testing.assert_allclose(remove_drift(signal + drift, basis), cleaned, atol=1e-8)
    np.testing.assert_allclose(remove_drift(cleaned, basis), cleaned, atol=1e-12)
    np.testing.assert_allclose(cleaned.mean(1), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "options"),
    [("polynomial", {"order": 9}), ("cosine", {"period_s": 4.0})],
    ids=["order", "period"],
)
def test_a_model_that_explains_everything_is_refused(model: str, options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="explain the signal away"):
        drift_basis(model, 10, 2.0, **options)  # type: ignore[arg-type]


def test_flaws_tell_not_finite_from_constant() -> None:
    signal = bold(7, 20)
    signal[1, 3], signal[2, 0], signal[3, 5] = np.nan, np.inf, -np.inf
    signal[4], signal[5] = 0.0, 10_000.1
    non_finite, constant = flaws(signal)
    assert np.flatnonzero(non_finite).tolist() == [1, 2, 3]
    assert np.flatnonzero(constant).tolist() == [4, 5]


def test_dividing_by_no_deviation_gives_zero() -> None:
    np.testing.assert_array_equal(divide(np.ones((2, 3)), np.array([0.0, 2.0])), [[0] * 3, [0.5] * 3])


def test_cleaning_in_place_finds_the_flaws_and_leaves_the_others_alone() -> None:
    rng = np.random.default_rng(3)
    signal = 1e4 + 30 * rng.standard_normal((40, 97))
    basis = drift_basis("polynomial", 97, 2.0)
    alone = [clean(series[None].copy(), basis).residual[0] for series in signal]
    signal[3] = 8123.25
    signal[5, 60] = np.nan
    signal[9, 0] = np.inf
    signal[12, 1] = -np.inf
    signal[20] = 0.0
    signal[21] = 5e3 * (1 + 1e-11 * rng.standard_normal(97))  # constant but for rounding
    signal[25] = 700.0
    signal[25, 31] = 701.0  # equal in the volumes that are looked at first
    non_finite, constant = flaws(signal)
    expected = remove_drift(signal[25:26], basis)[0]
    cleaned = clean(signal.copy(), basis)
    np.testing.assert_array_equal(cleaned.non_finite, non_finite)
    np.testing.assert_array_equal(cleaned.constant, constant)
    assert np.flatnonzero(non_finite).tolist() == [5, 9, 12]
    assert np.flatnonzero(constant).tolist() == [3, 20, 21]
    flawed = non_finite | constant
    assert not cleaned.residual[flawed].any()
    assert not cleaned.deviation[flawed].any()
    np.testing.assert_allclose(cleaned.residual[25], expected, atol=1e-9)
    for voxel in np.flatnonzero(~flawed):
        if voxel != 25:
            np.testing.assert_allclose(cleaned.residual[voxel], alone[voxel], atol=1e-9)
    np.testing.assert_allclose(cleaned.deviation[~flawed], cleaned.residual[~flawed].std(1), rtol=1e-9)


def test_removing_drift_leaves_the_signal_alone_unless_told() -> None:
    signal = np.random.default_rng(0).standard_normal((4, 30))
    before, basis = signal.copy(), drift_basis("polynomial", 30, 1.0)
    residual = remove_drift(signal, basis)
    np.testing.assert_array_equal(signal, before)
    assert np.shares_memory(remove_drift(signal, basis, overwrite=True), signal)
    np.testing.assert_array_equal(signal, residual)


def test_inner_products() -> None:
    one, other = np.random.default_rng(0).standard_normal((2, 5, 33))
    np.testing.assert_allclose(inner(one, other), (one * other).sum(1))
    out = np.zeros(9)
    inner(one, other, out=out[2:7])
    np.testing.assert_allclose(out, np.pad((one * other).sum(1), 2))
