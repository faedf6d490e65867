"""Levels of intervals and tests when neighbouring clips are alike, and the arithmetic of both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincinv
from scipy.stats import ttest_1samp

from mindanim.metrics.comparison import joint_p, subject_interval
from mindanim.metrics.floors import plan_shuffles
from mindanim.metrics.inference.dependence import dependence
from mindanim.metrics.inference.intervals import block_interval, make_blocks
from mindanim.metrics.inference.significance import (
    FLIPS,
    STUDENT,
    Significance,
    effect_size,
    holm,
    p_of_null,
    paired_test,
    shift_null,
    sign_flip_p,
)
from mindanim.metrics.with_floors import Shuffled
from mindanim.vocabulary.arrays import numbered
from tests.metrics.levels import CORRELATIONS, SETS, autoregressive, simulate

SEGMENTS = [f"test{segment}" for segment in (1, 2, 3) for _ in range(40)]


def shift_p(*arguments):
    """The one-sided p value of circular shifts; None where there is nothing to shift."""
    null = shift_null(*arguments)
    return None if null is None else p_of_null(null)


def film_like(rng, sims, segments=3, clips=40, persistence=0.3):
    """Scores with mean 0 as films give them, (sim, clip): half from scenes of 1 to 3 clips, half AR(1)."""
    parts = []
    for _ in range(segments):
        lengths = rng.integers(1, 4, (sims, clips))
        starts = np.cumsum(lengths, axis=1)
        scene = (np.arange(clips)[None, :, None] >= starts[:, None, :]).sum(axis=2)
        scenes = np.take_along_axis(rng.standard_normal((sims, clips)), scene, axis=1)
        slow = np.empty((sims, clips))
        slow[:, 0] = rng.standard_normal(sims)
        for clip in range(1, clips):
            fresh = rng.standard_normal(sims) * np.sqrt(1 - persistence**2)
            slow[:, clip] = persistence * slow[:, clip - 1] + fresh
        parts.append(np.sqrt(0.5) * (scenes + slow))
    return np.concatenate(parts, axis=1)


@pytest.mark.no_cover  # tracing tens of thousands of repetitions of lines that other tests cover takes long
@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("blocks", SETS)
def test_intervals_and_paired_tests_keep_their_level(blocks, correlation):
    found = simulate(blocks, correlation)
    assert 0.04 <= found.misses <= 0.06
    assert 0.015 <= found.above <= 0.035  # one-sided: half of it
    for level in found.levels:
        assert 0.04 <= level <= 0.06


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("scores", "blocks", "correlation", "misses", "above"),
    [
        ("log-normal, spread .5", 12, 0.3, 0.06, 0.03),
        ("log-normal, spread 1", 12, 0.3, 0.07, 0.03),
        ("log-normal, spread 1", 23, 0.3, 0.07, 0.03),
        ("10 % zeros, else 1", 12, 0.3, 0.06, 0.04),
        ("10 % zeros, else 1", 23, 0.3, 0.06, 0.04),
        ("2 % zeros, else 1", 23, 0.3, 0.06, 0.04),
        ("10 % from 0 to 1, else near 0", 12, 0.3, 0.06, 0.03),
    ],
)
def test_intervals_of_skewed_scores_err_little_and_are_no_wider_than_the_exact_ones(
    scores, blocks, correlation, misses, above
):
    found = simulate(blocks, correlation, scores, 2000)
    assert 0.005 <= found.misses <= misses and found.above <= above
    # Clopper and Pearson: one block of 12 that differs, 3.6 standard errors; of 23, 4.1. Slightly more where
    # touching blocks leave fewer degrees of freedom.
    widest = max((one.high - one.low) / (2 * one.se) for one in found.intervals if one.se)
    assert widest < {12: 4.2, 23: 4.3}[blocks]


@pytest.mark.parametrize("blocks", [12, 15, 30])
def test_next_to_nothing_in_the_other_blocks_changes_next_to_nothing(blocks):
    """All blocks agree but one, exactly or nearly: the interval must not explode in between."""
    rng = np.random.default_rng(blocks)
    scores, members = np.full(10 * blocks, 0.8), np.repeat(np.arange(blocks), 10)
    scores[:10] = 0.5
    noise = rng.standard_normal(len(scores))
    found = [
        block_interval(scores + size * noise, members, 499, np.random.default_rng(0))
        for size in (0.0, 1e-12, 1e-6, 1e-3)
    ]
    exact = (blocks * betaincinv(2, blocks - 1, 0.975) - 1) * found[0].se
    assert (found[0].high - found[0].low) / 2 == pytest.approx(exact)
    for one in found[1:]:
        assert (one.low, one.high) == pytest.approx((found[0].low, found[0].high), rel=2e-2)
        assert 0.5 < one.low < 0.8 - 0.3 / blocks < one.high < 0.9


def test_ends_move_to_the_side_of_the_long_tail():
    rng = np.random.default_rng(0)
    scores, blocks = np.exp(rng.standard_normal(120)), np.repeat(np.arange(12), 10)
    right = block_interval(scores, blocks, 499, np.random.default_rng(1))
    left = block_interval(-scores, blocks, 499, np.random.default_rng(1))
    skewness = np.mean((scores - scores.mean()) ** 3) / scores.std() ** 3
    johnson = right.se * skewness / np.sqrt(120) * (1 + 2 * 1.96**2) / 6
    assert (right.low + right.high) / 2 - right.value == pytest.approx(johnson) and johnson > 0.1 * right.se
    assert (left.low, left.high) == pytest.approx((-right.high, -right.low))


@pytest.mark.no_cover
def test_blocks_that_touch_would_not_keep_it_as_independent_ones():
    rng = np.random.default_rng(0)
    blocks, films = make_blocks(["a"] * 80), np.zeros(80, int)
    scores = autoregressive(rng, 4000, 1, 80, 0.7)
    plain, aware = (
        np.mean([not found.low <= 0 <= found.high for found in intervals])
        for intervals in (
            [block_interval(row, blocks, 199, rng, segments) for row in scores] for segments in (None, films)
        )
    )
    assert plain > 0.08 and aware < 0.065


@pytest.mark.no_cover
def test_scenes_on_top_of_slow_changes_are_handled():
    rng = np.random.default_rng(0)
    blocks, films = make_blocks(SEGMENTS), numbered(SEGMENTS)
    found = [block_interval(scores, blocks, 199, rng, films) for scores in film_like(rng, 4000)]
    assert 0.04 <= np.mean([not one.low <= 0 <= one.high for one in found]) <= 0.06


def test_dependence_is_what_the_covariance_of_an_autoregressive_process_says():
    rng = np.random.default_rng(3)
    blocks, films = make_blocks(["a"] * 40 + ["b"] * 24, 8), np.repeat([0, 1], [40, 24])
    scores = autoregressive(rng, 1, 1, 64, 0.6)[0]
    rest = scores - scores.mean()
    lag = np.mean((rest[1:] * rest[:-1])[films[1:] == films[:-1]]) / np.mean(rest**2)
    lag = (64 * lag + 1) / 60
    places = np.concatenate([np.arange(40), np.arange(24)])
    member = (blocks[:, None] == np.arange(8)).astype(float)

    def covariances(lag):
        clips = lag ** np.abs(places[:, None] - places) * (films[:, None] == films)
        means = member.T @ clips @ member / 64
        centred = means - means.mean(axis=0)
        return means, centred - centred.mean(axis=1, keepdims=True)

    def inflation(lag):
        means, centred = covariances(lag)
        return means.sum() / 8 / (np.trace(centred) / 7)

    means, centred = covariances(lag)
    found = dependence(scores, blocks, films)
    assert found.inflation == pytest.approx(inflation(lag), rel=1e-2)
    assert found.flips == pytest.approx(means.sum() / np.trace(means), rel=1e-2)
    known = np.trace(centred) ** 2 / (centred**2).sum()
    slope = (np.log(inflation(lag + 1e-3)) - np.log(inflation(lag - 1e-3))) / 2e-3
    df = 2 / (2 / known + slope**2 * (1 - lag**2) / 64)
    assert found.df == pytest.approx(df, rel=2e-2) and df < known
    back = np.concatenate([np.arange(40, 64), np.arange(40)])
    assert vars(dependence(scores[back], blocks[back], films[back])) == pytest.approx(vars(found))


def test_independent_scores_have_no_dependence():
    found = dependence(np.ones(24), np.repeat([0, 1, 2], 8), np.zeros(24, int))
    assert (found.inflation, found.flips) == pytest.approx((1, 1))
    assert 1.9 < found.df <= 2  # touching blocks: that nothing lasts is an estimate


def test_intervals_end_where_the_metric_does():
    rng = np.random.default_rng(8)
    hits = np.repeat([1.0, 1.0, 1.0, 0.7], 8)
    free = block_interval(hits, np.repeat(np.arange(4), 8), 99, rng)
    cut = block_interval(hits, np.repeat(np.arange(4), 8), 99, rng, bounds=(0.0, 1.0))
    assert free.high > 1 and (cut.low, cut.high) == (free.low, 1.0)


@pytest.mark.no_cover
def test_clips_taken_as_independent_would_not_keep_it():
    rng = np.random.default_rng(1)
    every_clip = np.arange(len(SEGMENTS))
    misses = [
        abs(found.value) > 1.96 * found.se
        for found in (block_interval(scores, every_clip, 100, rng) for scores in film_like(rng, 400))
    ]
    assert np.mean(misses) > 0.12


def shuffled_of(scores, plan):
    """What `plan` takes of (clip, clip) scores."""
    rows = len(scores) * np.arange(len(scores))[:, None]
    return Shuffled(scores.ravel(), rows + plan.shifted, rows + plan.partners, plan.partners, plan.shifted)


def pair_scores(rng, sims):
    """(clip, clip) scores of autocorrelated truths and reconstructions without any relation between them."""
    for truth, recon, easy, good in film_like(rng, 4 * sims).reshape(sims, 4, -1):
        yield truth[:, None] * recon + 0.5 * easy[:, None] + 0.5 * good


@pytest.mark.no_cover
def test_shuffled_floor_and_circular_shifts_keep_their_level():
    rng = np.random.default_rng(3)
    plan = plan_shuffles(SEGMENTS, [str(index) for index in range(120)], 9)
    blocks = make_blocks(SEGMENTS)
    above, shifts = [], []
    for scores in pair_scores(rng, 1500):
        own = np.diag(scores)
        shuffled = shuffled_of(scores, plan)
        found = block_interval(shuffled.differences(own), blocks, 200, rng, numbered(SEGMENTS))
        difference = (own - shuffled.floor).mean()
        above.append(difference + (found.low - found.value) > 0)
        shifts.append(shift_p(own, shuffled.shifted, plan.runs, 299, rng))
    # One-sided: 2.5 % of the intervals may lie above zero.
    assert 0.01 <= np.mean(above) <= 0.035
    assert 0.04 <= np.mean(np.array(shifts) <= 0.05) <= 0.06


@pytest.mark.no_cover
@pytest.mark.parametrize("subjects", [3, 5, 10])
def test_shifts_alike_in_all_subjects_keep_their_level(subjects):
    """Subjects saw the same films, and their videos have a generator in common; none knows the clip."""
    rng = np.random.default_rng(subjects)
    sims = 4000
    plan = plan_shuffles(SEGMENTS, [str(index) for index in range(120)], 9)
    truths = autoregressive(rng, sims, 3, 40, 0.7)
    shared = autoregressive(rng, sims, 3, 40, 0.7)
    alone = autoregressive(rng, sims * subjects, 3, 40, 0.7).reshape(sims, subjects, 120)

    def null(truth, recon, seed):
        shifted = truth[:, None] * recon[plan.shifted]
        return shift_null(truth * recon, shifted, plan.runs, 199, np.random.default_rng(seed))

    makes = 0.7 * shared[:, None] + 0.7 * alone
    together = joint_p(1, [null(truths[0], recon, 0) for recon in makes[0]])
    # The mean of the subjects' nulls is the null of their mean, which is quicker to draw.
    p = [
        joint_p(1, [null(truth, recons.mean(axis=0), seed)])
        for seed, (truth, recons) in enumerate(zip(truths, makes, strict=True))
    ]
    assert p[0] == together
    assert 0.04 <= np.mean(np.array(p) <= 0.05) <= 0.06


@pytest.mark.no_cover
@pytest.mark.parametrize("subjects", [3, 5, 10])
def test_intervals_over_subjects_keep_their_level(subjects):
    rng = np.random.default_rng(subjects)
    misses = []
    for values in rng.standard_normal((4000, subjects)):
        low, high = subject_interval(values, (None, None))[1:]
        misses.append(not low <= 0 <= high)
    assert 0.04 <= np.mean(misses) <= 0.06


def test_a_real_relation_is_found():
    rng = np.random.default_rng(4)
    plan = plan_shuffles(SEGMENTS, [str(index) for index in range(120)], 9)
    scores = next(pair_scores(rng, 1))
    scores[np.arange(120), np.arange(120)] += 1.5
    own, rows = np.diag(scores), np.arange(120)[:, None]
    assert shift_p(own, scores[rows, plan.shifted], plan.runs, 999, rng) < 0.01


def test_power_grows_with_the_effect():
    rng = np.random.default_rng(11)
    plan = plan_shuffles(SEGMENTS, [str(index) for index in range(120)], 9)
    rows, blocks = np.arange(120)[:, None], make_blocks(SEGMENTS)
    found = []
    for effect in (0.0, 0.4, 1.0):
        hits = []
        for scores in pair_scores(rng, 60):
            scores[np.arange(120), np.arange(120)] += effect
            own = np.diag(scores)
            flips = sign_flip_p(own - scores[rows, plan.shifted].mean(axis=1), blocks, 199, rng)
            hits.append(
                (shift_p(own, scores[rows, plan.shifted], plan.runs, 199, rng) <= 0.05, flips <= 0.05)
            )
        found.append(np.mean(hits, axis=0))
    assert (found[0] < 0.2).all() and (found[1] > found[0]).all()
    assert (found[2] > 0.9).all(), "an effect as large as the spread of the scores is nearly always found"


def test_contributions_average_to_the_difference():
    rng = np.random.default_rng(5)
    captions = [str(clip // 3) for clip in range(120)]
    plan = plan_shuffles(SEGMENTS, captions, 7)
    scores = rng.standard_normal((120, 120))
    shuffled = shuffled_of(scores, plan)
    own = np.diag(scores)
    assert shuffled.differences(own).mean() == pytest.approx((own - shuffled.floor).mean())


def test_general_quality_of_truths_and_reconstructions_cancels():
    truth, recon = np.random.default_rng(6).standard_normal((2, 120))
    plan = plan_shuffles(SEGMENTS, [str(index) for index in range(120)], 39)
    scores = truth[:, None] + recon[None]
    shuffled = shuffled_of(scores, plan)
    # What is left is of the order of one part in 39: a clip's own pair is not among its shuffles.
    assert np.abs(shuffled.differences(np.diag(scores))).std() < 0.4 * np.std(truth + recon)


def test_blocks_are_segments_where_there_are_enough():
    many = [f"film{index // 5}" for index in range(50)]
    assert make_blocks(many).tolist() == [index // 5 for index in range(50)]
    assert np.bincount(make_blocks(SEGMENTS)).tolist() == [10] * 12
    assert np.bincount(make_blocks(SEGMENTS, 8)).tolist() == [8] * 15
    assert np.bincount(make_blocks(many, 5)).tolist() == [5] * 10


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(0, 20))
def test_blocks_never_cross_segments_and_cover_every_clip(sizes, length):
    segments = [f"s{number:02d}" for number, size in enumerate(sizes) for _ in range(size)]
    blocks = make_blocks(segments, length)
    assert len(np.unique(blocks)) == blocks.max() + 1
    for block in np.unique(blocks):
        members = np.flatnonzero(blocks == block)
        assert len({segments[member] for member in members}) == 1
        assert np.array_equal(members, np.arange(members[0], members[-1] + 1))


def test_mean_and_error_of_unequal_blocks():
    scores = np.array([1.0, 2.0, 3.0, 10.0, np.nan])
    found = block_interval(scores, np.array([0, 0, 1, 2, 2]), 100, np.random.default_rng(0))
    assert (found.value, found.n, found.units) == (4.0, 4, 3)
    rest = np.array([3.0 - 8.0, 3.0 - 4.0, 10.0 - 4.0])
    assert found.se == pytest.approx(np.sqrt(3 / 2 * (rest**2).sum()) / 4)
    # Three blocks: Student's t with two degrees of freedom, about a middle moved by Johnson's correction.
    skewness = np.mean((scores[:4] - 4) ** 3) / np.std(scores[:4]) ** 3
    middle = 4 + found.se * skewness / np.sqrt(4) * (1 + 2 * 1.96**2) / 6
    ends = middle - 4.302652729911275 * found.se, middle + 4.302652729911275 * found.se
    assert (found.low, found.high) == pytest.approx(ends)


def test_degenerate_sets():
    rng = np.random.default_rng(0)
    one = block_interval(np.array([2.0, 4.0]), np.zeros(2, int), 100, rng)
    assert (one.value, one.low, one.se) == (3.0, None, None)
    none = block_interval(np.full(3, np.nan), np.arange(3), 100, rng)
    assert none.n == 0 and np.isnan(none.value)
    same = block_interval(np.ones(80), make_blocks(["a"] * 80), 100, rng)
    assert (same.value, same.low, same.high) == (1, 1, 1)
    assert sign_flip_p(np.full(3, np.nan), np.arange(3), 99, rng) is None
    assert shift_p(np.ones(1), np.empty((1, 0)), np.zeros(1, int), 99, rng) is None


def test_sign_flips_are_exact_with_few_blocks():
    differences = np.array([1.0, 2.0, 3.0])
    assert sign_flip_p(differences, np.arange(3), 99, np.random.default_rng(0)) == 1 / 8
    assert sign_flip_p(-differences, np.arange(3), 99, np.random.default_rng(0)) == 1
    assert sign_flip_p(differences, np.arange(3), 99, np.random.default_rng(0), two_sided=True) == 2 / 8


def test_few_blocks_are_tested_by_students_t():
    differences = np.array([1.0, 1.5, 2.5, 3.5, 4.0])  # not skewed
    for two_sided, alternative in ((False, "greater"), (True, "two-sided")):
        expected = ttest_1samp(differences, 0, alternative=alternative).pvalue
        found = paired_test(differences, np.arange(5), 99, np.random.default_rng(0), two_sided)
        assert found.by == STUDENT and found.p == pytest.approx(expected)
    assert paired_test(-differences, np.arange(5), 99, np.random.default_rng(0)).p > 0.95
    with_gap = np.append(differences, np.nan)
    assert paired_test(with_gap, np.arange(6), 99, np.random.default_rng(0)).by == STUDENT


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 7), st.booleans())
def test_students_t_finds_something_where_the_interval_excludes_zero(seed, blocks, touching):
    rng = np.random.default_rng(seed)
    differences, members = np.exp(rng.standard_normal(10 * blocks)) - 1, np.repeat(np.arange(blocks), 10)
    films = np.zeros(10 * blocks, int) if touching else None
    tested = paired_test(differences, members, 99, rng, True, films)
    found = block_interval(differences, members, 99, rng, films)
    assert tested.by == STUDENT and (tested.p < 0.05) == (found.low > 0 or found.high < 0)


def test_signs_are_flipped_where_there_are_blocks_enough_or_no_spread():
    rng = np.random.default_rng(1)
    differences = rng.standard_normal(8) + 1
    expected = sign_flip_p(differences, np.arange(8), 999, rng)
    assert paired_test(differences, np.arange(8), 999, rng) == Significance(expected, FLIPS)
    assert paired_test(np.ones(5), np.arange(5), 99, rng) == Significance(1 / 32, FLIPS)
    assert paired_test(np.zeros(5), np.arange(5), 99, rng) == Significance(1.0, FLIPS)
    assert paired_test(np.full(3, np.nan), np.arange(3), 99, rng) == Significance(None, None)


def test_shifts_are_enumerated_when_they_are_few():
    own, shifted = np.array([3.0, 3.0]), np.array([[1.0, 0.0], [2.0, 4.0]])
    runs = np.array([0, 1])
    # Of the nine combinations only (0, 3 -> 4) beats the true one.
    assert shift_p(own, shifted, runs, 99, np.random.default_rng(0)) == 2 / 9


def test_holm_is_what_statsmodels_and_r_give():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": None, "e": 0.005})
    assert adjusted == {
        "a": pytest.approx(0.03),
        "b": pytest.approx(0.06),
        "c": pytest.approx(0.06),
        "d": None,
        "e": pytest.approx(0.02),
    }


def test_effect_size_is_over_blocks():
    differences = np.array([1.0, 1.0, 3.0, 3.0])
    assert effect_size(differences, np.array([0, 0, 1, 1])) == pytest.approx(2 / np.sqrt(2))
    assert effect_size(np.ones(4), np.arange(4)) is None
