"""Reading responses at film times: volumes, fractions of volumes, lags, edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline, interp1d

from mindanim.bold.timing import Timing, outside, sampling


def read(onsets, lags, signal, start_s=0.0, tr_s=2.0, interpolation="cubic"):  # type: ignore[no-untyped-def]
    """Responses ``(voxel, clip, lag)``."""
    timing = Timing.of(onsets, lags)
    how = sampling(timing, start_s, tr_s, signal.shape[1], interpolation)
    return how(signal[:, how.window])[:, timing.index], how


@pytest.mark.parametrize(("start_s", "first"), [(2.0, 1), (0.0, 2)])
def test_lags_of_whole_volumes_read_exactly_those_volumes(start_s: float, first: int) -> None:
    signal = np.random.default_rng(0).standard_normal((3, 246))
    responses, how = read(np.arange(240) * 2.0, [4.0], signal, start_s)
    np.testing.assert_array_equal(responses[:, :, 0], signal[:, first : first + 240])
    assert (how.window.start, how.window.stop) == (first, first + 240)
    assert how.clamped == 0


def test_several_lags_stack_on_their_axis() -> None:
    signal = np.random.default_rng(0).standard_normal((2, 40))
    responses, how = read(np.arange(30) * 2.0, [2.0, 8.0, 4.0], signal)
    for position, volume in enumerate((1, 4, 2)):
        np.testing.assert_array_equal(responses[:, :, position], signal[:, volume : volume + 30])
    assert (how.window.start, how.window.stop) == (1, 34)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_lags_between_volumes_equal_scipy(interpolation: str) -> None:
    signal = np.random.default_rng(0).standard_normal((3, 50))
    onsets, lags = np.arange(20) * 3.0, [4.7, 6.1]
    responses, how = read(onsets, lags, signal, 1.3, 2.0, interpolation)
    volumes = np.arange(how.window.start, how.window.stop)
    oracle = (CubicSpline if interpolation == "cubic" else interp1d)(
        volumes * 2.0 + 1.3, signal[:, how.window], axis=1
    )
    np.testing.assert_allclose(responses, oracle(np.add.outer(onsets, lags)), atol=1e-9)


def test_a_smooth_signal_is_recovered_between_volumes() -> None:
    """Half a TR off, a 20 s wave: the spline is right to a part in a thousand."""
    times = np.arange(60) * 2.0
    signal = np.sin(2 * np.pi * times / 20)[None]
    responses, _ = read(np.arange(5, 40) * 2.0, [5.0], signal)
    np.testing.assert_allclose(
        responses[0, :, 0], np.sin(2 * np.pi * (np.arange(5, 40) * 2 + 5.0) / 20), atol=2e-3
    )


@settings(max_examples=60, deadline=None)
@given(
    lag=st.floats(0, 12),
    start_s=st.floats(-3, 3),
    tr_s=st.floats(0.5, 3),
    clip_s=st.floats(0.5, 4),
    clips=st.integers(1, 15),
)
def test_a_straight_line_is_read_exactly_at_any_timing(
    lag: float, start_s: float, tr_s: float, clip_s: float, clips: int
) -> None:
    """Film time itself as the signal: every response must be its clip's onset plus the lag."""
    volumes = 200
    film_time = (start_s + np.arange(volumes) * tr_s)[None]
    onsets = np.arange(clips) * clip_s
    timing = Timing.of(onsets, [lag])
    far = outside(timing, start_s, tr_s, volumes)
    expected = onsets + lag
    slack = 1e-5 * tr_s
    surely_inside = (expected >= film_time[0, 0] + slack) & (expected <= film_time[0, -1] - slack)
    surely_outside = (expected < film_time[0, 0] - slack) | (expected > film_time[0, -1] + slack)
    assert not far[surely_inside].any()
    assert far[surely_outside].all()
    for interpolation in ("linear", "cubic"):
        responses, _ = read(onsets, [lag], film_time, start_s, tr_s, interpolation)
        np.testing.assert_allclose(responses[0, ~far, 0], expected[~far], atol=1e-5 * tr_s)


def test_clips_beyond_the_run_are_clamped_and_counted() -> None:
    signal = np.arange(10.0)[None]
    responses, how = read([0.0, 2.0, 16.0, 18.0], [0.0, 4.0], signal, 2.0)
    assert outside(Timing.of([0.0, 2.0, 16.0, 18.0], [0.0, 4.0]), 2.0, 2.0, 10).tolist() == [
        True,
        False,
        False,
        True,
    ]
    np.testing.assert_array_equal(responses[0], [[0, 1], [0, 2], [7, 9], [8, 9]])
    assert how.clamped == 2
