"""Who is paired with whom, and what stands in for a reconstruction."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mindanim.metrics.floors import Frozen, gray_clip, plan_shuffles
from tests.metrics.films import noise


def test_shifts_are_circular_and_stay_within_their_segment():
    segments = ["a"] * 10 + ["b"] * 6
    plan = plan_shuffles(segments, [str(index) for index in range(16)], 3)
    assert plan.shifted.shape == (16, 3)
    assert plan.shifted[:10, 0].tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert plan.shifted[10:, 0].tolist() == [12, 13, 14, 15, 10, 11]
    for column in plan.shifted.T:
        assert sorted(column) == list(range(16))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 25), min_size=1, max_size=5), st.integers(1, 12), st.integers(1, 4))
def test_nobody_meets_itself_or_its_caption(sizes, shifts, persistence):
    segments = [f"s{number}" for number, size in enumerate(sizes) for _ in range(size)]
    captions = [f"caption {index // persistence}" for index in range(len(segments))]
    plan = plan_shuffles(segments, captions, shifts)
    for clip, row in enumerate(plan.partners):
        for other in row[row >= 0]:
            assert captions[other] != captions[clip]
    assert not np.any(plan.shifted == np.arange(len(segments))[:, None])
    if len(set(captions)) > 1 and min(sizes) >= 4:
        assert np.all((plan.partners >= 0) == (plan.shifted >= 0))
        assert np.all((plan.shifted >= 0).any(axis=1))


def test_short_segments_are_shifted_as_one():
    plan = plan_shuffles(["a", "b", "c", "d", "e"], list("vwxyz"), 9)
    assert plan.shifted.shape == (5, 4) and np.all(plan.runs == 0)


def test_a_short_film_leaves_the_others_to_themselves():
    """Else the effect of a film would no longer cancel, of all films, because one has a single clip."""
    segments = ["a"] * 6 + ["b"] + ["c"] * 5 + ["d"] * 2
    plan = plan_shuffles(segments, [str(clip) for clip in range(14)], 9)
    for clip, row in enumerate(plan.shifted):
        met = {segments[other] for other in row[row >= 0]}
        assert met <= ({segments[clip]} if segments[clip] in "ac" else {"b", "d"}) and met
    alone = plan_shuffles(["a"] * 6 + ["b"], list("tuvwxyz"), 9)
    assert np.all(alone.shifted[6] == -1) and np.all(alone.partners[6] == -1)


def test_shifts_stay_within_the_films_of_a_segment_unless_these_are_short():
    films = ["x"] * 5 + ["y"] * 5
    plan = plan_shuffles(["run"] * 10, list("abcdefghij"), 3, films)
    assert plan.shifted[:5].max() < 5 <= plan.shifted[5:].min()
    events = plan_shuffles(["run"] * 10, list("abcdefghij"), 3, list("abcdefghij"))
    assert len(set(events.runs)) == 1 and (events.shifted >= 0).all()


def test_a_partner_with_another_caption_comes_from_the_same_film_if_there_is_one():
    plan = plan_shuffles(["a"] * 6 + ["b"] * 6, list("uuuuuv") + list("wwwwww"), 2)
    assert set(plan.partners[:5].ravel()) == {5} and plan.partners[5].max() < 5
    assert plan.partners[6:].max() < 6


def test_a_single_segment_is_shifted_more_often():
    """So that p against the shuffled floor can fall below .05."""
    captions = [str(clip) for clip in range(80)]
    assert plan_shuffles(["a"] * 80, captions, 0).shifted.shape == (80, 39)
    assert plan_shuffles(["a"] * 40 + ["b"] * 40, captions, 0).shifted.shape == (80, 9)
    assert plan_shuffles(["a"] * 12, captions[:12], 0).shifted.shape == (12, 11)


def test_no_partner_when_all_captions_agree():
    plan = plan_shuffles(["a"] * 6, ["same"] * 6, 2)
    assert np.all(plan.partners == -1) and np.all(plan.shifted >= 0)


def test_pairs_name_each_needed_pair_once():
    plan = plan_shuffles(["a"] * 8, list("aabbccdd"), 3)
    pairs = plan.pairs()
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    needed = {
        (clip, int(other))
        for table in (plan.shifted, plan.partners)
        for clip, row in enumerate(table)
        for other in row
    }
    assert {tuple(map(int, pair)) for pair in pairs} == needed


def test_stand_ins():
    clips = [noise(np.random.default_rng(seed), 3, 8, 8, 3) for seed in range(2)]
    frozen = Frozen(clips)
    assert len(frozen) == 2
    assert np.array_equal(frozen[1], np.stack([clips[1][0]] * 3))
    assert np.all(gray_clip((3, 8, 8, 3)) == 128)
