"""Drift removal against numpy.polyfit, nilearn and a plain definition of flaws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mindanim.bold.clean import deviation, divide, drift_basis, flaws, remove_drift
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
