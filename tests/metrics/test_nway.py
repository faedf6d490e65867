"""Closed forms against drawn trials, and against chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindanim.metrics.families.nway_classification import class_hits
from mindanim.vocabulary.identification import hit_probability, identification_hits

TRIALS = 100_000


def drawn_trials(truth, logits, ways, truth_classes, rng):
    """The released procedure: draw distractors without replacement, win if any of the truth's classes beats
    them all. Returns the share of hits among `TRIALS`."""
    own = np.argsort(truth)[-truth_classes:]
    others = np.setdiff1d(np.arange(len(truth)), own)
    hits = 0
    for _ in range(10):
        # The classes of the smallest of independent uniform keys are a draw without replacement.
        keys = rng.random((TRIALS // 10, len(others)), dtype=np.float32)
        drawn = others[np.argpartition(keys, ways - 2, axis=1)[:, : ways - 1]]
        hits += int((logits[own].max() > logits[drawn].max(axis=1)).sum())
    return hits / TRIALS


@pytest.mark.parametrize(("ways", "truth_classes"), [(2, 3), (50, 3), (50, 1), (7, 1)])
def test_class_hits_are_what_a_hundred_thousand_drawn_trials_give(ways, truth_classes):
    rng = np.random.default_rng(0)
    truth, noise = rng.standard_normal((2, 4, 150))
    logits = truth + noise
    exact = class_hits(truth, logits, ways, truth_classes)
    drawn = [drawn_trials(*row, ways, truth_classes, rng) for row in zip(truth, logits, strict=True)]
    spread = np.sqrt(exact * (1 - exact) / TRIALS)
    assert np.all(np.abs(drawn - exact) <= 4.5 * spread + 1e-12)
    assert np.sum((exact > 0.001) & (exact < 0.999)) > 1


@pytest.mark.parametrize(("ways", "truth_classes"), [(2, 3), (50, 3), (2, 1), (50, 1)])
def test_exchangeable_logits_score_chance(ways, truth_classes):
    rng = np.random.default_rng(1)
    truth, logits = rng.standard_normal((2, 20000, 60))
    hits = class_hits(truth, logits, ways, truth_classes)
    chance = truth_classes / (ways + truth_classes - 1)
    assert abs(hits.mean() - chance) < 4 * hits.std() / np.sqrt(len(hits))


def test_a_perfect_answer_always_hits():
    truth = np.random.default_rng(2).standard_normal((10, 60))
    assert np.array_equal(class_hits(truth, truth, 50), np.ones(10))


def test_equal_logits_score_the_odds_of_random_tie_breaking():
    # All answers equal: the best of the truth's classes ties with all distractors, so it wins 1 in N.
    truth = np.arange(60.0)[None]
    assert class_hits(truth, np.zeros((1, 60)), 50)[0] == pytest.approx(1 / 50)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.data())
def test_hit_probability_is_hypergeometric(pool, data):
    from scipy.stats import hypergeom

    higher = data.draw(st.integers(0, pool))
    ties = data.draw(st.integers(0, pool - higher))
    ways = data.draw(st.integers(2, pool + 1))
    behind = [hypergeom.pmf(0, pool, higher + k, ways - 1) for k in range(ties + 1)]
    assert hit_probability(higher, ties, pool, ways) == pytest.approx(np.mean(behind), abs=1e-12)


def test_pools_of_different_sizes_are_told_apart():
    hits = hit_probability([1, 1], [0, 0], [4, 9], 2)
    assert hits == pytest.approx([3 / 4, 8 / 9])


def test_too_small_a_pool_is_an_error():
    with pytest.raises(ValueError, match="50-way"):
        hit_probability(0, 0, 48, 50)


def test_identification_leaves_out_clips_of_the_same_caption():
    similarity = np.array([[0.5, 0.9, 0.1], [0.0, 1.0, 0.2], [0.3, 0.2, 0.1]])
    own = np.array([[0, 0]])
    assert identification_hits(similarity, np.array([0, 1, 2]), own, 2)[0] == 0.5
    assert identification_hits(similarity, np.array([0, 0, 2]), own, 2)[0] == 1.0


@pytest.mark.parametrize("ways", [2, 7])
def test_a_constant_answer_identifies_at_chance(ways):
    pairs = np.stack([np.arange(9)] * 2, axis=1)
    assert identification_hits(np.ones((9, 9)), np.arange(9), pairs, ways) == pytest.approx(1 / ways)
