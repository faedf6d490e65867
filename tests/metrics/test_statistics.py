"""Levels of intervals and tests when neighbouring clips are alike, and the arithmetic of both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindanim.metrics.compare import joint_p, subject_interval
from mindanim.metrics.dependence import dependence
from mindanim.metrics.floors import plan_shuffles
from mindanim.metrics.scored import Places, Shuffled
from mindanim.metrics.statistics import (
    block_interval,
    effect_size,
    holm,
    make_blocks,
    numbered,
    shift_null,
    shift_p,
    sign_flip_p,
)

SEGMENTS = [f"test{segment}" for segment in (1, 2, 3) for _ in range(40)]


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


def autoregressive(rng, sims, segments, clips, persistence):
    """AR(1) scores of variance 1, (sim, clip), that begin afresh in every segment."""
    fresh = rng.standard_normal((sims, segments, clips))
    for clip in range(1, clips):
        fresh[..., clip] *= np.sqrt(1 - persistence**2)
        fresh[..., clip] += persistence * fresh[..., clip - 1]
    return fresh.reshape(sims, segments * clips)


# (segments, clips of each, length of a block) and how many blocks that makes
SETS = {5: (1, 60, 12), 10: (10, 12, 0), 12: (3, 40, 0), 23: (23, 12, 0)}


def layout(blocks):
    segments, clips, length = SETS[blocks]
    names = [f"test{segment:02d}" for segment in range(segments) for _ in range(clips)]
    found = make_blocks(names, length)
    assert len(np.unique(found)) == blocks
    return segments, clips, found, numbered(names)


@pytest.mark.parametrize("persistence", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("count", SETS)
def test_intervals_and_sign_flips_keep_their_level(count, persistence):
    rng = np.random.default_rng([count, round(10 * persistence)])
    segments, clips, blocks, films = layout(count)
    misses, above, flips = [], [], []
    for scores in autoregressive(rng, 4000, segments, clips, persistence):
        found = block_interval(scores, blocks, 199, rng, films)
        misses.append(not found.low <= 0 <= found.high)
        above.append(found.low > 0)
        two_sided = len(flips) % 2 == 1
        flips.append(sign_flip_p(scores, blocks, 199, rng, two_sided, films))
    assert 0.04 <= np.mean(misses) <= 0.06
    assert 0.015 <= np.mean(above) <= 0.035  # one-sided: half of it
    # Five blocks allow p values of 1/32, 2/32, ... only (two-sided 2/32, ...): the test stays below 5 %.
    level = np.mean(np.array(flips) <= 0.05)
    assert level <= 0.06 and (level >= 0.04 or count == 5)


def test_blocks_that_touch_would_not_keep_it_as_independent_ones():
    rng = np.random.default_rng(0)
    blocks, films = make_blocks(["a"] * 80), np.zeros(80, int)
    scores = autoregressive(rng, 4000, 1, 80, 0.7)
    plain, aware = (
        np.mean([abs(found.value) > found.high - found.value for found in intervals])
        for intervals in (
            [block_interval(row, blocks, 199, rng, segments) for row in scores] for segments in (None, films)
        )
    )
    assert plain > 0.08 and aware < 0.065


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
    lag += (1 + 4 * lag) / 64
    places = np.concatenate([np.arange(40), np.arange(24)])
    clips = lag ** np.abs(places[:, None] - places) * (films[:, None] == films)
    member = (blocks[:, None] == np.arange(8)).astype(float)
    means = member.T @ clips @ member / 64
    centred = means - means.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    found = dependence(scores, blocks, films)
    assert found.inflation == pytest.approx(means.sum() / 8 / (np.trace(centred) / 7), rel=1e-2)
    assert found.flips == pytest.approx(means.sum() / np.trace(means), rel=1e-2)
    assert found.df == pytest.approx(np.trace(centred) ** 2 / (centred**2).sum(), rel=1e-2)
    back = np.concatenate([np.arange(40, 64), np.arange(40)])
    assert vars(dependence(scores[back], blocks[back], films[back])) == pytest.approx(vars(found))


def test_independent_scores_have_no_dependence():
    found = dependence(np.ones(24), np.repeat([0, 1, 2], 8), np.zeros(24, int))
    assert (found.inflation, found.df, found.flips) == pytest.approx((1, 2, 1))


def test_intervals_end_where_the_metric_does():
    rng = np.random.default_rng(8)
    hits = np.repeat([1.0, 1.0, 1.0, 0.7], 8)
    free = block_interval(hits, np.repeat(np.arange(4), 8), 99, rng)
    cut = block_interval(hits, np.repeat(np.arange(4), 8), 99, rng, bounds=(0.0, 1.0))
    assert free.high > 1 and (cut.low, cut.high) == (free.low, 1.0)


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
    return Shuffled(scores.ravel(), Places(rows + plan.shifted, rows + plan.partners), plan.partners)


def pair_scores(rng, sims):
    """(clip, clip) scores of autocorrelated truths and reconstructions without any relation between them."""
    for truth, recon, easy, good in film_like(rng, 4 * sims).reshape(sims, 4, -1):
        yield truth[:, None] * recon + 0.5 * easy[:, None] + 0.5 * good


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
        above.append(difference - (found.high - found.value) > 0)
        shifts.append(shift_p(own, shuffled.shifted, plan.runs, 299, rng))
    # One-sided: 2.5 % of the intervals may lie above zero.
    assert 0.01 <= np.mean(above) <= 0.035
    assert 0.04 <= np.mean(np.array(shifts) <= 0.05) <= 0.06


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
    assert (found.value, found.n, found.blocks) == (4.0, 4, 3)
    rest = np.array([3.0 - 8.0, 3.0 - 4.0, 10.0 - 4.0])
    assert found.se == pytest.approx(np.sqrt(3 / 2 * (rest**2).sum()) / 4)
    # Three blocks: Student's t with two degrees of freedom.
    assert found.high - found.value == pytest.approx(4.302652729911275 * found.se)


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
