"""The motion shuffle test: equal to doing it the slow way, and right about which clips pass."""

from __future__ import annotations

import numpy as np
import pytest

from mindanim.metrics import frame_order
from mindanim.metrics.inference.intervals import Resampling
from mindanim.metrics.inference.significance import STUDENT
from tests.metrics.films import panned, scores_of, texture


def film(seed, step):
    return panned(texture(np.random.default_rng(seed)), step, frames=5)


def test_looked_up_scores_equal_scoring_the_permuted_clip():
    truth, recon = film(0, (2, 1)), film(1, (2, -1))
    orders = frame_order.draw_orders(5, 4, np.random.default_rng(0))
    found = frame_order.score_orders(truth, recon, orders)
    for row, order in enumerate(orders):
        slow = scores_of(truth, recon[order], "motion")
        assert found["epe"][row] == pytest.approx(slow["epe"], rel=1e-6)
        assert found["flow.corr"][row] == pytest.approx(slow["flow.corr"], rel=1e-6)


def test_orders_begin_with_the_true_and_the_reversed_one():
    orders = frame_order.draw_orders(6, 30, np.random.default_rng(1))
    assert orders[0].tolist() == [0, 1, 2, 3, 4, 5] and orders[1].tolist() == [5, 4, 3, 2, 1, 0]
    assert np.array_equal(np.sort(orders, axis=1), np.tile(np.arange(6), (32, 1)))


def many(truths, recons, permutations=99):
    ids = [f"test1-{index:04d}" for index in range(len(truths))]
    return frame_order.score_test_set(truths, recons, ids, permutations, 0, 1)


def resampling(clips):
    """Every clip a film of its own."""
    each = np.arange(clips)
    return Resampling(each, each, each, each, 100, 99, 0)


def test_right_motion_passes_and_a_still_clip_does_not():
    truths = [film(seed, (2, 0)) for seed in range(4)]
    right = many(truths, [film(seed + 10, (2, 0)) for seed in range(4)])
    still = many(truths, [np.broadcast_to(film(seed, (0, 0))[:1], truths[0].shape) for seed in range(4)])
    plan = resampling(4)
    for metric in frame_order.METRICS:
        passed = frame_order.set_test(right, metric, plan, np.random.default_rng(0))
        failed = frame_order.set_test(still, metric, plan, np.random.default_rng(0))
        assert passed["p_set"] == pytest.approx(0.01) and passed["p_median"] <= 0.05
        assert passed["p_reversed"] < 0.01 and passed["p_reversed_by"] == STUDENT  # four films
        assert failed["p_set"] == 1 and failed["share_below_05"] == 0


def test_unrelated_smooth_motion_passes_on_end_point_error_but_not_against_its_reversal():
    truths = [film(seed, (2, 0)) for seed in range(6)]
    unrelated = many(truths, [film(seed + 20, (0, 2 * (-1) ** seed)) for seed in range(6)])
    plan = resampling(6)
    rng = np.random.default_rng(0)
    for metric in frame_order.METRICS:
        found = frame_order.set_test(unrelated, metric, plan, rng)
        assert found["p_reversed"] > 0.1
        if metric == "epe":
            assert found["p_set"] <= 0.05
    opposite = many(truths, [film(seed + 20, (-2, 0)) for seed in range(6)])
    for metric in frame_order.METRICS:
        assert frame_order.set_test(opposite, metric, plan, rng)["p_reversed"] > 0.9


def test_a_still_truth_is_left_out_of_flow_correlation():
    still = np.ascontiguousarray(np.broadcast_to(film(0, (0, 0))[:1], (5, 64, 64, 3)))
    scores = many([still], [film(1, (1, 0))], 19)
    assert frame_order.order_p(scores[0]["flow.corr"], "flow.corr") is None
    empty = frame_order.set_test(scores, "flow.corr", resampling(1), np.random.default_rng(0))
    assert empty["clips"] == 0 and empty["p_set"] is None


def test_each_clip_has_permutations_of_its_own_whatever_the_others_are():
    truths, recons = [film(0, (2, 0)), film(1, (1, 1))], [film(2, (1, 0)), film(3, (0, 2))]
    both = frame_order.score_test_set(truths, recons, ["a", "b"], 19, 3, 2)
    alone = frame_order.score_test_set(truths[1:], recons[1:], ["b"], 19, 3, 1)
    assert np.array_equal(both[1]["epe"], alone[0]["epe"])
