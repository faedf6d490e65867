"""Films as the unit of intervals and tests: levels under film effects, unequal films, what is one film."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from mindanim.metrics.inference.films import (
    FLIPPED_FILMS,
    estimate,
    film_interval,
    film_test,
    film_units,
    over_films,
    paired,
    why_not_films,
)
from mindanim.metrics.inference.intervals import Resampling, block_interval, make_blocks
from mindanim.metrics.inference.significance import FLIPS, STUDENT
from tests.metrics.levels import autoregressive

FREE = (None, None)


def film_scores(rng, sims, films, clips, icc, correlation):
    """(sim, film * clip) scores of mean 0, of whose variance the films make the share `icc`."""
    inside = autoregressive(rng, sims, films, clips, correlation).reshape(sims, films, clips)
    scores = np.sqrt(icc) * rng.standard_normal((sims, films, 1)) + np.sqrt(1 - icc) * inside
    return scores.reshape(sims, -1)


@pytest.mark.no_cover
@pytest.mark.parametrize("films", [3, 5, 8, 18])
@pytest.mark.parametrize("icc", [0.0, 0.02, 0.1])
def test_films_keep_the_level_whatever_they_have_in_common(films, icc):
    rng = np.random.default_rng([films, round(100 * icc)])
    units = np.repeat(np.arange(films), 24)
    scores = film_scores(rng, 1500, films, 24, icc, 0.3)
    intervals = [film_interval(row, units, FREE) for row in scores]
    tests = [film_test(row, units, 199, rng, two_sided=True).p for row in scores]
    assert 0.93 <= np.mean([one.low <= 0 <= one.high for one in intervals]) <= 0.97
    assert 0.035 <= np.mean(np.array(tests) <= 0.05) <= 0.065


@pytest.mark.no_cover
def test_blocks_inside_films_would_not_keep_it():
    rng = np.random.default_rng(0)
    names = [f"test{film}" for film in range(5) for _ in range(240)]
    blocks, films = make_blocks(names), np.repeat(np.arange(5), 240)
    scores = film_scores(rng, 300, 5, 240, 0.1, 0.3)
    found = [block_interval(row, blocks, 199, rng, films) for row in scores]
    assert np.mean([one.low <= 0 <= one.high for one in found]) < 0.8


@pytest.mark.no_cover
@pytest.mark.parametrize("sizes", [(200, 20, 20), (60, 50, 40, 30, 20, 15, 10, 5), (240, 240, 1)])
@pytest.mark.parametrize("icc", [0.0, 0.1, 1.0])
def test_films_of_unequal_length_keep_the_level(sizes, icc):
    from scipy.special import stdtrit

    rng, clips = np.random.default_rng(len(sizes)), np.array(sizes, float)
    spread = np.sqrt(icc + (1 - icc) / clips)
    mean, error, df = over_films(spread * rng.standard_normal((20_000, len(sizes))), clips)
    assert 0.93 <= np.mean(np.abs(mean) <= error * stdtrit(df, 0.975)) <= 0.99
    plain = np.sqrt(len(sizes) / (len(sizes) - 1)) * error  # the least that a formula for equal films gives
    assert df < len(sizes) - 1 and (plain > 0).all()


def test_equal_films_are_students_t_over_their_means():
    rng = np.random.default_rng(1)
    units, scores = np.repeat(np.arange(5), 10), rng.normal(0.3, 1, 50)
    means = scores.reshape(5, 10).mean(axis=1)
    mean, error, df = over_films(means, np.full(5, 10.0))
    assert (mean, error, df) == pytest.approx((means.mean(), means.std(ddof=1) / np.sqrt(5), 4.0))
    mirrored = np.concatenate([scores, -scores])  # no skewness
    found = film_test(mirrored + 0.1, np.concatenate([units, units + 5]), 99, rng, two_sided=True)
    film_means = (mirrored + 0.1).reshape(10, 10).mean(axis=1)
    assert found.by == STUDENT and found.p == pytest.approx(ttest_1samp(film_means, 0).pvalue)


def test_the_score_is_the_mean_over_clips_and_a_long_film_counts_more():
    scores = np.array([1.0] * 30 + [4.0] * 10 + [4.0] * 10)
    found = film_interval(scores, np.repeat([0, 1, 2], [30, 10, 10]), FREE)
    assert found.value == pytest.approx(scores.mean()) and found.units == 3
    one_clip = film_interval(np.r_[scores, 2.0], np.repeat([0, 1, 2, 3], [30, 10, 10, 1]), FREE)
    assert one_clip.value == pytest.approx(np.r_[scores, 2.0].mean()) and one_clip.units == 4


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((40,), "1 film"),
        ((40, 40), "2 films"),
        ((95, 3, 2), "one film has 95 % of the clips"),
        ((40, 40, 1), ""),
        ((80, 10, 10), ""),
    ],
)
def test_when_films_are_not_the_unit(sizes, reason):
    units = np.repeat(np.arange(len(sizes)), sizes)
    assert why_not_films(units) == reason
    assert (film_interval(np.arange(len(units), dtype=float), units, FREE) is None) == bool(reason)


def test_undefined_clips_may_leave_too_few_films():
    units = np.repeat(np.arange(4), 10)
    scores = np.where(units < 2, 1.0 * np.arange(40), np.nan)
    plan = Resampling(make_blocks(list("aaaaabbbbb" * 4)), units, units, units, 199, 99, 0)
    found = estimate(scores, plan, np.random.default_rng(0))
    assert found.over_films is None and found.stated is found.these_films and found.stated.n == 20
    assert estimate(np.arange(40.0), plan, np.random.default_rng(0)).stated.units == 4


def test_whole_films_change_sign_once_there_are_enough():
    rng = np.random.default_rng(0)
    for films, by in ((FLIPPED_FILMS - 1, STUDENT), (FLIPPED_FILMS, FLIPS)):
        units = np.repeat(np.arange(films), 4)
        assert film_test(rng.normal(1, 1, 4 * films), units, 4999, rng).by == by
    assert film_test(np.ones(12), np.repeat([0, 1, 2], 4), 99, rng).p == 1 / 8, "no spread: all sign patterns"


def test_a_paired_test_states_the_films_and_keeps_the_blocks():
    rng = np.random.default_rng(0)
    names = [f"f{film}" for film in range(4) for _ in range(24)]
    units = np.repeat(np.arange(4), 24)
    plan = Resampling(make_blocks(names), units, units, units, 199, 999, 0)
    gain = np.repeat([0.5, 0.4, 0.1, 0.0], 24) + 0.1 * rng.standard_normal(96)
    found = paired(gain, plan, rng, two_sided=True)
    assert found.stated is found.over_films and found.over_films.p > 0.1
    assert found.these_films.p < 0.05, "these films gain, others may not"


def test_what_counts_as_one_film():
    same = film_units(["a"] * 10 + ["b"] * 10, ["run1"] * 10 + ["run2"] * 10)
    assert len(set(same)) == 2
    movie = film_units(["movie"] * 40, [f"run{clip // 10}" for clip in range(40)])
    assert set(movie) == {0}, "a film cut into runs is one film"
    events = film_units([f"clip{clip}" for clip in range(20)], ["test"] * 20)
    assert np.bincount(events).tolist() == [8, 12], "films of one clip in a run are grouped"
    alone = film_units(["a"] * 10 + ["b"] + ["c"] * 3, ["1"] * 10 + ["2"] + ["3"] * 3)
    assert len(set(alone)) == 3, "a short film with a run of its own stays one"
    mixed = film_units(["long"] * 20 + ["s"] * 3 + ["t"] * 3, ["run"] * 26)
    assert np.bincount(mixed).tolist() == [20, 6]
