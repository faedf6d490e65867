"""Slow trends that truths and reconstructions have in common, and the test of the pairing."""

from __future__ import annotations

import numpy as np
import pytest

from mindanim.metrics.floors import plan_shuffles
from mindanim.metrics.inference.significance import p_of_null, shift_null
from mindanim.metrics.inference.trends import without_trends
from tests.metrics.levels import autoregressive

FILMS = [f"test{film}" for film in range(5) for _ in range(24)]


def drifting(rng, sims, share):
    """(sim, clip): a share of the variance is a line in film time, up or down."""
    time = np.sqrt(3) * np.linspace(-1, 1, 24)
    line = time * rng.choice([-1, 1], (sims, 5, 1))
    noise = autoregressive(rng, sims, 5, 24, 0.3).reshape(sims, 5, 24)
    return (np.sqrt(share) * line + np.sqrt(1 - share) * noise).reshape(sims, -1)


def levels(rng, score, share, sims=400):
    """How often the shifts reject unrelated truths and reconstructions, with and without trends."""
    plan = plan_shuffles(FILMS, [str(clip) for clip in range(120)], 9)
    rejected = []
    for truth, recon in zip(drifting(rng, sims, share), drifting(rng, sims, share), strict=True):
        own, shifted = score(truth, recon), score(truth[:, None], recon[plan.shifted])
        nulls = [shift_null(own, shifted, plan.runs, 199, rng, each) for each in (None, plan.shifted)]
        rejected.append([p_of_null(null) <= 0.05 for null in nulls])
    return np.mean(rejected, axis=0)


@pytest.mark.no_cover
@pytest.mark.parametrize("score", [np.multiply, lambda a, b: -np.abs(a - b)], ids=["product", "distance"])
def test_shifts_do_not_take_a_common_trend_for_decoding(score):
    rng = np.random.default_rng(0)
    drifts, removed = levels(rng, score, 0.5)
    assert drifts > 0.1 and removed <= 0.05
    plain, removed = levels(rng, score, 0.0)
    assert 0.03 <= plain <= 0.08 and 0.025 <= removed <= 0.07, "and nothing is lost where there is none"


def test_a_real_relation_is_found_on_top_of_a_trend():
    rng = np.random.default_rng(1)
    plan = plan_shuffles(FILMS, [str(clip) for clip in range(120)], 9)
    truth, recon = drifting(rng, 2, 0.3)
    recon = recon + truth
    null = shift_null(truth * recon, truth[:, None] * recon[plan.shifted], plan.runs, 999, rng, plan.shifted)
    assert p_of_null(null) < 0.01


def test_what_is_smooth_in_both_times_is_gone_and_the_rest_is_not():
    plan = plan_shuffles(["a"] * 24, [str(clip) for clip in range(24)], 9)
    sources = np.concatenate([np.arange(24)[:, None], plan.shifted], axis=1)
    time = np.linspace(-1, 1, 24)
    smooth = 3 + time[:, None] * time[sources] - (time[:, None] - time[sources]) ** 2
    assert np.abs(without_trends(smooth, sources, plan.runs)).max() < 1e-12
    signal = smooth + (sources == np.arange(24)[:, None])
    left = without_trends(signal, sources, plan.runs).mean(axis=0)
    assert left[0] > 0.5 and left[1:].max() < 0.1


def test_short_films_and_few_shifts_are_left_alone():
    rng = np.random.default_rng(0)
    for size, shifts in ((7, 6), (24, 3)):
        plan = plan_shuffles(["a"] * size, [str(clip) for clip in range(size)], shifts)
        sources = np.concatenate([np.arange(size)[:, None], plan.shifted], axis=1)
        scores = rng.standard_normal(sources.shape)
        assert np.array_equal(without_trends(scores, sources, plan.runs), scores)


def test_undefined_clips_and_runs_with_fewer_shifts_are_no_obstacle():
    rng = np.random.default_rng(0)
    names = ["a"] * 20 + ["b"] * 10 + ["c"]
    plan = plan_shuffles(names, [str(clip) for clip in range(31)], 12)
    own, shifted = rng.standard_normal(31), rng.standard_normal(plan.shifted.shape)
    shifted[plan.shifted < 0] = np.nan
    own[3], shifted[3] = np.nan, np.nan
    null = shift_null(own, shifted, plan.runs, 99, rng, plan.shifted)
    assert null.shape == (100,) and np.isfinite(null).all()
