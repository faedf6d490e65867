"""The test of the repeats: calibrated on noise, blind to what all runs share, exact for few volumes."""

from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np
import pytest
from scipy import stats

from mindanim.bold.repeat_test import RepeatEvidence, group_repeats, noise_components, tail_bound
from mindanim.bold.selection_limits import check_repeats, free_times, smallest_p
from mindanim.bold.survey import select, survey
from mindanim.config.preprocess import PreprocessConfig
from mindanim.errors import ConfigError, InputError
from tests.bold.in_memory import autoregressive, planned

Runs = dict[str, list[np.ndarray]]


def study(
    seed: int, lengths: list[int], *, ar: float = 0.5, repeats: int = 2, voxels: int = 1500, **parts: float
) -> Runs:
    """Runs of noise and drifts; ``transient`` is common to all runs of a voxel, ``signal`` to a film's."""
    rng, runs = np.random.default_rng(seed), {}
    for number, volumes in enumerate(lengths):
        film, t = autoregressive(rng, 0.5, voxels, volumes), np.linspace(-1, 1, volumes)
        start = parts.get("transient", 0.0) * np.exp(-np.arange(volumes) / 4)
        share = parts.get("signal", 0.0)
        runs[f"s{number}"] = [
            np.sqrt(1 - share) * autoregressive(rng, ar, voxels, volumes)
            + np.sqrt(share) * film
            + start
            + 5 * rng.standard_normal((voxels, 3)) @ np.stack([t, t**2, t**3])
            for _ in range(repeats)
        ]
    return runs


def evidence(runs: Runs, **options: object) -> RepeatEvidence:
    found = survey(planned(runs), PreprocessConfig(**options)).repeats  # type: ignore[arg-type]
    assert found is not None
    return found


def false_positives(runs: Runs, **options: object) -> float:
    return float(np.mean(evidence(runs, flips=400, **options).p("greater") <= 0.05))


@pytest.mark.parametrize("ar", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("lengths", [[20, 20], [90, 90], [60, 90, 75]])
def test_five_of_a_hundred_voxels_of_autocorrelated_noise_pass(ar: float, lengths: list[int]) -> None:
    shares = [false_positives(study(seed, lengths, ar=ar)) for seed in (1, 2)]
    assert 0.036 <= np.mean(shares) <= 0.064  # 3,000 voxels: 5 % +- 3.5 standard errors


@pytest.mark.parametrize("repeats", [3, 6])
def test_more_repeats_keep_the_rate_and_add_power(repeats: int) -> None:
    noise = study(3, [60, 60], repeats=repeats, voxels=3000)
    assert 0.036 <= false_positives(noise) <= 0.064
    power = [
        np.mean(evidence(study(3, [60, 60], repeats=count, signal=0.2, voxels=400)).p("greater") <= 0.05)
        for count in (2, repeats)
    ]
    assert power[1] > power[0] + 0.2


@pytest.mark.parametrize("lengths", [[90, 90], [60, 100, 80]])
def test_a_transient_that_starts_every_run_is_no_response(lengths: list[int]) -> None:
    runs = study(4, lengths, transient=4.0, voxels=3000)
    assert false_positives(runs) <= 0.064
    assert false_positives(runs, run_locked="keep") > 0.08


def test_the_agreement_is_that_of_the_repeats() -> None:
    """One segment: the sum of products of the standardised repeats; its variance and draws by hand."""
    runs = study(5, [40], voxels=30)
    found = evidence(runs, flips=20_000)
    (segment,) = planned(runs).segments
    one, other = (run.cleaned(slice(None)) for run in segment.runs)
    expected = (one.residual * other.residual).sum(1) / (one.deviation * other.deviation)
    np.testing.assert_allclose(found.agreement, expected, atol=1e-3)
    np.testing.assert_allclose(found.null.std(1), np.sqrt(found.variance), rtol=0.03)
    np.testing.assert_allclose(found.null.mean(1) / np.sqrt(found.variance), 0, atol=0.03)


def test_few_volumes_give_the_p_value_of_all_sign_flips() -> None:
    runs = study(6, [12], voxels=20, signal=0.6)
    found = evidence(runs, flips=20_000)
    (segment,) = planned(runs).segments
    one, other = (run.cleaned(slice(None)) for run in segment.runs)
    volumes = np.arange(12)
    left = np.eye(12) - segment.runs[0].basis.T @ segment.runs[0].basis
    components = noise_components(left @ 0.9 ** np.abs(np.subtract.outer(volumes, volumes)) @ left)
    assert components.shape == (12, 7)
    a, b = (run.residual @ components / run.deviation[:, None] for run in (one, other))
    flips = np.array(list(product([-1, 1], repeat=7)))
    exact = ((a * b) @ flips.T >= (a * b).sum(1)[:, None] - 1e-4).mean(1)
    np.testing.assert_allclose(found.p("greater"), exact, atol=0.015)
    assert (tail_bound(found.z) >= exact - 1e-9).all()


def test_components_make_reference_noise_independent() -> None:
    covariance = stats.wishart(40, np.eye(10), seed=0).rvs()
    components = noise_components(covariance).astype(float)
    rotated = components.T @ covariance @ components
    np.testing.assert_allclose(rotated - np.diag(np.diag(rotated)), 0, atol=1e-4 * rotated.max())


def test_p_values_fall_below_one_over_the_draws() -> None:
    """A few responsive voxels among many are found only if their p is not limited by the number of draws."""
    runs = study(7, [100, 100, 100], voxels=1000)
    for name, segment in study(8, [100, 100, 100], voxels=4, signal=0.8).items():
        for run, other in zip(runs[name], segment, strict=True):
            run[:4] = other
    found = evidence(runs, flips=100)
    assert found.p("greater")[:4].max() < 1e-4
    assert found.p("greater")[4:].min() > 1e-5


def test_family_wise_p_values_bound_any_false_voxel() -> None:
    hits = 0
    for seed in range(40):
        found = evidence(study(seed, [40, 40], voxels=100), flips=200)
        hits += found.family_wise("greater", np.ones(100, bool)).min() <= 0.05
    assert hits <= 6  # binomial: P(more than 6 of 40 at .05) < .5 %


def test_candidates_alone_count_for_the_largest() -> None:
    found = evidence(study(9, [60, 60], voxels=200, signal=0.1))
    some = np.arange(200) < 5
    few, all_of_them = (found.family_wise("two-sided", which) for which in (some, np.ones(200, bool)))
    assert (few[some] <= all_of_them[some]).all() and np.isnan(few[~some]).all()


def test_clips_in_another_order_are_compared_clip_by_clip() -> None:
    rng, volumes = np.random.default_rng(10), 80
    order = rng.permutation(volumes)
    film = rng.standard_normal((1500, volumes)) * (np.arange(1500) < 500)[:, None]
    noise = [autoregressive(rng, 0.6, 1500, volumes) for _ in range(2)]
    runs = {"s0": [film + noise[0], film[:, order] + noise[1]]}
    shown = {"s0": [[2.0 * at for at in range(volumes)], [2.0 * at for at in np.argsort(order)]]}
    found = survey(planned(runs, onsets_s=shown), PreprocessConfig()).repeats
    assert found is not None
    p = found.p("greater")
    assert (p[:500] <= 0.05).mean() > 0.9
    assert 0.03 <= (p[500:] <= 0.05).mean() <= 0.075


def test_voxels_without_a_signal_have_no_p_and_harm_no_other() -> None:
    runs = study(11, [50, 50], voxels=40, signal=0.3)
    plain = evidence(runs).p("greater")
    runs["s0"][1][3] = 812.0
    runs["s1"][0][5, 7] = np.nan
    found = survey(planned(runs), PreprocessConfig())
    assert np.flatnonzero(~found.usable).tolist() == [3, 5]
    assert found.repeats is not None
    others = np.setdiff1d(np.arange(40), [3, 5])
    np.testing.assert_allclose(found.repeats.p("greater")[others], plain[others], atol=1e-6)
    assert not set(select(found, None, PreprocessConfig(alpha=1)).columns) & {3, 5}


def test_a_segment_with_one_run_adds_nothing_and_missing_repeats_are_no_harm() -> None:
    runs = study(12, [60, 60, 60], repeats=3, voxels=600, signal=0.3)
    runs["s1"].pop()
    runs["s2"] = runs["s2"][:1]
    p = evidence(runs).p("greater")
    assert (p <= 0.05).mean() > 0.5
    alone = evidence({name: runs[name] for name in ("s0", "s1")}).p("greater")
    np.testing.assert_allclose(p, alone, atol=1e-6)


def test_repeats_form_at_most_four_groups() -> None:
    assert group_repeats(2) == [[0], [1]]
    assert sorted(sum(group_repeats(10), [])) == list(range(10))
    assert [len(group) for group in group_repeats(10)] == [3, 3, 2, 2]


@pytest.mark.parametrize(
    ("lengths", "options", "free"),
    [([20], {}, 15), ([20, 20], {}, 15), ([20, 20], {"run_locked": "keep"}, 30), ([60, 90], {}, 55)],
)
def test_independent_times_are_counted(lengths: list[int], options: dict[str, str], free: int) -> None:
    plan = planned(study(0, lengths, voxels=3))
    assert free_times(list(plan.segments), PreprocessConfig(**options)) == free  # type: ignore[arg-type]


def test_a_threshold_out_of_reach_is_refused_with_what_would_help() -> None:
    plan = planned(study(0, [9], voxels=3))
    config = PreprocessConfig()
    assert smallest_p(plan, config) == 2.0**-4
    with pytest.raises(ConfigError) as caught:
        check_repeats(plan, config)
    assert "smallest p value possible is 0.062" in caught.value.what
    assert "longer repeated runs" in str(caught.value) and "--selection variance" in str(caught.value)
    check_repeats(plan, PreprocessConfig(alpha=1))
    wide = planned(study(0, [24], voxels=60_000 // 20))
    with pytest.raises(ConfigError, match="the threshold 1.7e-05"):
        check_repeats(wide, PreprocessConfig(correction="bonferroni"))


def test_no_repeat_offers_a_choice_and_one_segment_is_enough() -> None:
    once = planned(study(0, [60, 60], repeats=1, voxels=3))
    with pytest.raises(ConfigError, match=r"--selection variance"):
        check_repeats(once, PreprocessConfig())
    single = planned(study(0, [60], voxels=3))
    check_repeats(single, PreprocessConfig())
    with pytest.raises(ConfigError, match="--reliability-test flips"):
        check_repeats(single, PreprocessConfig(reliability_test="ttest"))


def test_a_film_without_any_response_is_an_error_that_names_the_cost_of_few_segments() -> None:
    config = PreprocessConfig(alpha=0.002)
    found = survey(planned(study(13, [40, 40], voxels=50)), config)
    with pytest.raises(InputError, match=r"With 2 segments(?s:.)*run_locked=keep"):
        select(found, None, config)


def test_the_maximum_needs_sign_flips() -> None:
    with pytest.raises(ValueError, match="reliability_test = flips"):
        PreprocessConfig(correction="maximum", reliability_test="ttest")


def test_the_draws_of_many_voxels_are_not_in_memory() -> None:
    """20,000 voxels and 1,000 flips: 80 MB of draws, which files hold; numpy's memory is traced."""
    prepared = planned(study(6, [14, 14], voxels=20_000))
    tracemalloc.start()
    try:
        found = survey(prepared, PreprocessConfig(flips=1000, detrend_order=1)).repeats
        assert found is not None
        for alternative in ("greater", "two-sided"):
            assert np.isfinite(found.p(alternative)).all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.null.nbytes == 80_000_000 and peak < 40e6, peak
