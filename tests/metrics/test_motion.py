"""Flow metrics against OpenCV called as the released code calls it, and on films of known motion."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from mindanim.metrics.families import motion
from tests.metrics.films import panned, scores_of, texture


def released_flows(frames):
    flows = []
    for step in range(len(frames) - 1):
        planes = [cv2.cvtColor(frames[step + k], cv2.COLOR_BGR2GRAY) for k in range(2)]
        flows.append(cv2.calcOpticalFlowFarneback(planes[0], planes[1], None, 0.5, 3, 15, 3, 5, 1.2, 0))
    return np.array(flows)


def released_scores(truth, recon):
    first, second = released_flows(truth), released_flows(recon)
    dot = np.sum(first * second, axis=-1)
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    angle = np.degrees(np.arccos(np.clip(dot / (lengths + 1e-8), -1.0, 1.0)))
    return np.linalg.norm(first - second, axis=-1).mean(), angle.mean()


def scored(truth, recon):
    return scores_of(truth, recon, "motion")


def test_end_point_and_angular_error_equal_the_released_calls():
    rng = np.random.default_rng(0)
    truth, recon = panned(texture(rng), (3, 1)), panned(texture(rng), (-2, 2))
    scores, (epe, angle) = scored(truth, recon), released_scores(truth, recon)
    assert scores["epe"] == pytest.approx(epe, rel=1e-6)
    assert scores["ae"] == pytest.approx(angle, rel=1e-6)


@pytest.mark.parametrize("step", [(3, 0), (0, -2), (-2, 2)])
def test_a_pan_is_found_and_its_direction_told(step):
    image, other = (texture(np.random.default_rng(seed)) for seed in (1, 2))
    truth = panned(image, step)
    same, opposite = scored(truth, panned(other, step)), scored(truth, panned(other, (-step[0], -step[1])))
    across = scored(truth, panned(other, (-step[1], step[0])))
    assert same["epe"] < 0.25 * math.hypot(*step) < opposite["epe"]
    assert same["flow.corr"] > 0.95 and same["flow.direction"] > 0.95
    assert opposite["flow.corr"] < -0.95 and opposite["flow.direction"] < -0.95
    assert abs(across["flow.corr"]) < 0.2 and abs(across["flow.direction"]) < 0.2


def test_flow_correlation_is_blind_to_speed_and_end_point_error_is_not():
    image = texture(np.random.default_rng(3))
    truth, slow = panned(image, (4, 0)), panned(image, (1, 0))
    assert scored(truth, slow)["flow.corr"] > 0.95
    assert scored(truth, slow)["epe"] > 2.5


def test_standing_still_scores_zero_correlation_but_a_good_end_point_error():
    rng = np.random.default_rng(4)
    truth = panned(texture(rng), (2, 0))
    frozen = np.broadcast_to(truth[:1], truth.shape)
    wrong = panned(texture(rng), (-2, 0))
    still = scored(truth, frozen)
    assert still["flow.corr"] == 0
    assert still["flow.direction"] == pytest.approx(0, abs=1e-3)
    assert still["ae"] == pytest.approx(90, abs=8)  # Farneback finds some motion in a still clip
    assert still["epe"] < scored(truth, wrong)["epe"]


def test_a_still_truth_leaves_flow_undefined():
    rng = np.random.default_rng(5)
    still = np.broadcast_to(panned(texture(rng), (0, 0), frames=1), (4, 64, 64, 3))
    scores = scored(np.ascontiguousarray(still), panned(texture(rng), (2, 0), frames=4))
    assert math.isnan(scores["flow.corr"]) and math.isnan(scores["flow.direction"])
    assert scores["epe"] > 1.0


def test_a_perfect_reconstruction():
    truth = panned(texture(np.random.default_rng(6)), (2, 1))
    scores = scored(truth, truth)
    assert scores["epe"] == 0
    assert scores["flow.corr"] == pytest.approx(1) and scores["flow.direction"] == pytest.approx(1)


def test_true_flow_of_the_simulated_world_is_recovered_in_direction():
    world = pytest.importorskip("mindanim.simulation.world")
    rng = np.random.default_rng(7)
    right = world.MOTIONS.index("right")
    scene = world.sample_scene(rng, motion=right, size=1, pan=(0.0, 0.0), x=0.0, y=0.0)
    found = world.render(scene, np.arange(6) / 4, size=64)
    flow = motion.describe(found.frames).flow
    moving = found.mask[:-1] > 0.99
    assert flow[moving][:, 0].mean() > 0.5
    assert abs(flow[moving][:, 1].mean()) < 0.3


@pytest.mark.parametrize("shape", [(40, 96), (96, 40)])
def test_whether_a_pixel_moves_is_a_matter_of_the_frame_height(shape):
    height, width = shape
    image = texture(np.random.default_rng(8), 100, 10)[:, :, :]
    film = panned(image, (1, 0), 4, 100, 10)[:, :height, :width]
    found = motion.describe(np.ascontiguousarray(film))
    speed = np.linalg.norm(found.flow, axis=-1)
    assert np.array_equal(found.moving, speed > np.float32(motion.MOVING * height))
    assert not np.array_equal(found.moving, speed > np.float32(motion.MOVING * width))
