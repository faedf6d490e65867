"""Choice of clips, noise in the place of responses, and options that contradict each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mindanim.config.generate import GenerateConfig
from mindanim.errors import InputError
from mindanim.generation.clip_choice import chosen_rows
from mindanim.generation.features import half_of_repeats, noise_responses

IDS = [f"test{film}-{n:04}" for film in (1, 2) for n in range(1, 21)]


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        ("", list(range(40))),
        ("1-3", [0, 1, 2]),
        ("3,1", [0, 2]),
        ("2-2, test2-0001 ,2", [1, 20]),
        ("test1-0020,40", [19, 39]),
    ],
)
def test_clips_are_chosen_by_number_or_name(wanted: str, rows: list[int]) -> None:
    assert chosen_rows(IDS, wanted, None) == rows


@pytest.mark.parametrize("wanted", ["0", "41", "5-3", "test3-0001", "1;2", "-3"])
def test_what_is_no_clip_is_refused_by_name(wanted: str) -> None:
    with pytest.raises(InputError) as error:
        chosen_rows(IDS, f"1,{wanted}", None)
    assert wanted in error.value.what
    assert "40 clips" in error.value.why


@given(st.sets(st.integers(1, 40), min_size=1), st.integers(1, 50))
def test_a_limit_keeps_the_first_of_the_chosen(numbers: set[int], limit: int) -> None:
    wanted = ",".join(map(str, numbers))
    assert chosen_rows(IDS, wanted, limit) == [n - 1 for n in sorted(numbers)][:limit]


def test_noise_responses_have_the_moments_of_the_responses_and_know_nothing_of_the_clips() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((6, 6))
    responses = (
        (rng.standard_normal((50, 6)) @ mixing + 2 * np.arange(6)).reshape(50, 2, 3).astype(np.float32)
    )
    ids = [f"clip{n}" for n in range(20_000)]
    noise = noise_responses(responses, ids, seed=1).reshape(-1, 6)
    flat = responses.reshape(50, 6)
    np.testing.assert_allclose(noise.mean(axis=0), flat.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(np.cov(noise.T), np.cov(flat.T), atol=0.05 * np.cov(flat.T).max())
    with_clip = [
        abs(np.corrcoef(noise[row] - noise.mean(0), flat[row] - flat.mean(0))[0, 1]) for row in range(50)
    ]
    other_clip = [
        abs(np.corrcoef(noise[row] - noise.mean(0), flat[row - 1] - flat.mean(0))[0, 1]) for row in range(50)
    ]
    assert abs(np.mean(with_clip) - np.mean(other_clip)) < 0.2


def test_noise_responses_vary_as_the_population_of_few_responses_does() -> None:
    """The sample variance, with divisor n - 1: with 3 responses, divisor n would give two thirds of it."""
    responses = np.array([[[0.0, -5.0]], [[1.0, 5.0]], [[5.0, 0.0]]], np.float32)
    noise = noise_responses(responses, [f"clip{number}" for number in range(5_000)], seed=2)
    np.testing.assert_allclose(noise.var(axis=0, ddof=1), responses.var(axis=0, ddof=1), rtol=0.1)


def test_noise_responses_belong_to_the_clip_not_to_the_selection() -> None:
    responses = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    some, all_of_them = (noise_responses(responses, ids, 3) for ids in (["b"], ["a", "b", "c"]))
    np.testing.assert_array_equal(some[0], all_of_them[1])


@pytest.mark.parametrize(
    "options",
    [
        {"without": ("motion",), "oracle": ("all",)},
        {"without": ("semantic",), "oracle": ("semantic",)},
        {"no_brain": True, "oracle": ("all",)},
        {"noise": "some"},
        {"noise": 1.5},
        {"strength": 0.0},
    ],
)
def test_contradictions_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GenerateConfig.model_validate(options)


def test_noise_can_be_named_and_order_does_not_make_another_artifact() -> None:
    assert GenerateConfig.model_validate({"noise": "shared"}).noise == 1
    assert GenerateConfig.model_validate({"noise": "independent"}).noise == 0
    one, other = ({"without": order} for order in (("motion", "semantic"), ("semantic", "motion")))
    assert GenerateConfig.model_validate(one) == GenerateConfig.model_validate(other)


def test_halves_of_the_repeats_count_only_repeats_that_are_there():
    repeats = np.arange(4, dtype=np.float32)[:, None, None, None] * np.ones((4, 2, 1, 3), np.float32)
    repeats[1, 1] = np.nan  # the second clip has repeats 0, 2, 3
    odd, even = (half_of_repeats(repeats, half) for half in ("odd", "even"))
    assert odd is not None and even is not None
    np.testing.assert_allclose(odd[:, 0, 0], [1.0, 1.5])
    np.testing.assert_allclose(even[:, 0, 0], [2.0, 2.0])
    repeats[1:, 0] = np.nan
    assert half_of_repeats(repeats, "even") is None
