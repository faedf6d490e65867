import dataclasses

import numpy as np
import pytest
import torch

from mindanim.decoders.decoding_scores import (
    element_correlation,
    identification,
    pooled_correlation,
    shift_p_value,
)
from tests.decoders.planted import planted


def test_element_correlation_is_numpys() -> None:
    rng = np.random.default_rng(0)
    true = rng.standard_normal((40, 6))
    predicted = true + rng.standard_normal((40, 6))
    expected = np.mean([np.corrcoef(predicted[:, j], true[:, j])[0, 1] for j in range(6)])
    assert element_correlation(torch.tensor(predicted), torch.tensor(true)) == pytest.approx(expected)
    # An element that never varies has no correlation; a constant prediction has 0.
    true[:, 2] = 1.0
    predicted[:, 3] = 1.0
    kept = [0.0 if j == 3 else np.corrcoef(predicted[:, j], true[:, j])[0, 1] for j in (0, 1, 3, 4, 5)]
    assert element_correlation(torch.tensor(predicted), torch.tensor(true)) == pytest.approx(np.mean(kept))


def test_mean_prediction_scores_zero() -> None:
    torch.manual_seed(0)
    true = torch.randn(20, 3, 4) + 5
    mean = true.mean(0, keepdim=True).expand_as(true)
    assert pooled_correlation(mean, true) == 0
    assert element_correlation(mean, true) == 0
    assert pooled_correlation(true, true) == pytest.approx(1)


@pytest.mark.parametrize("ways", [2, 5])
def test_identification_equals_drawn_trials(ways: int) -> None:
    rng = np.random.default_rng(1)
    true = rng.standard_normal((12, 5))
    predicted = true + 2.0 * rng.standard_normal((12, 5))
    labels = np.array([0, 0, *range(1, 11)])
    found = identification(torch.tensor(predicted), torch.tensor(true), ways, torch.tensor(labels))
    unit = [values / np.linalg.norm(values, axis=1, keepdims=True) for values in (predicted, true)]
    cosine = unit[0] @ unit[1].T
    hits = []
    for clip in range(12):
        others = np.flatnonzero(labels != labels[clip])
        for _ in range(1500):
            drawn = rng.choice(others, ways - 1, replace=False)
            hits.append(bool((cosine[clip, drawn] < cosine[clip, clip]).all()))
    assert found.accuracy == pytest.approx(np.mean(hits), abs=0.02)
    assert found.chance == 1 / ways and found.ways == ways


def test_identification_in_a_small_pool_says_so() -> None:
    found = identification(torch.eye(4), torch.eye(4), 50)
    assert (found.accuracy, found.ways, found.chance) == (1.0, 4, 0.25)


def test_a_constant_prediction_identifies_at_chance() -> None:
    true = torch.randn(10, 5, generator=torch.Generator().manual_seed(0))
    for ways in (2, 5):
        assert identification(torch.zeros(10, 5), true, ways).accuracy == pytest.approx(1 / ways)


def test_shift_p_value() -> None:
    torch.manual_seed(1)
    true = torch.randn(30, 50)
    assert shift_p_value(true + torch.randn(30, 50), true) == pytest.approx(1 / 30)
    values = [shift_p_value(torch.randn(30, 50), true) for _ in range(200)]
    assert np.mean(np.array(values) <= 0.1) == pytest.approx(0.1, abs=0.06)


def test_motion_that_follows_from_the_first_frame_alone_is_chance() -> None:
    """The decoded first frame tells of the motion here, and a decoder that uses nothing else is at chance."""
    data = planted().motion
    change = data.latents[:, 1:] - data.latents[:, :1]
    told = data.decoded + 0.3 * change.mean(1)
    data = dataclasses.replace(data, decoded=told)

    def from_frame(rows: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        return (1.5 * first)[:, None].expand(-1, change.shape[1], -1)

    def from_response(rows: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        return first[:, None] + change[rows] + 0.1 * from_frame(rows, first)

    rows = data.validation
    moved = from_frame(rows, data.decoded[rows]) - data.decoded[rows][:, None]
    assert shift_p_value(moved, change[rows]) <= 0.05 and data.response_p(from_frame) == 1
    assert data.response_p(from_response) == pytest.approx(0.05)


def test_responses_are_shifted_evenly_over_all_clips_and_first_frames_are_not() -> None:
    data = dataclasses.replace(planted().motion, validation=torch.arange(40))
    asked: list[list[int]] = []

    def follow(rows: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        asked.append(rows.tolist())
        assert torch.equal(first, data.decoded[:40])
        return data.latents[rows, 1:]

    data.response_p(follow)
    places = list(range(40))
    assert asked == [places[shift:] + places[:shift] for shift in range(0, 40, 2)]
