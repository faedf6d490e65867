"""Real responses to a film: 40 people, 380 volumes, 293 parcels (OpenNeuro ds004146, CC0).

The people are taken as repeats of one film. The data are not part of the package: they are in a folder
`shared` next to it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mindanim.bold.survey import select, survey
from mindanim.config.preprocess import PreprocessConfig
from mindanim.errors import InputError
from tests.bold.in_memory import planned

TR_S = 0.8
FILE = Path("shared/data/movie-parcels/partly-cloudy-40.npz")
FOUND = next((up / FILE for up in Path(__file__).resolve().parents if (up / FILE).is_file()), None)
pytestmark = pytest.mark.skipif(FOUND is None, reason=f"the real responses are not here: ../{FILE}")


@pytest.fixture(scope="module")
def people() -> np.ndarray:
    """``(person, parcel, volume)``"""
    assert FOUND is not None
    return np.load(FOUND)["x"].astype(np.float32).transpose(0, 2, 1)


def chosen(people: np.ndarray, segments: int, **options: object) -> int:
    """Number of parcels that pass, of a film in so many segments; 0 where the stage refuses."""
    parts = np.array_split(people, segments, axis=2)
    runs = {f"s{number}": [np.ascontiguousarray(run) for run in part] for number, part in enumerate(parts)}
    config = PreprocessConfig(voxels=0, **options)  # type: ignore[arg-type]
    try:
        return len(select(survey(planned(runs, tr_s=TR_S), config), None, config).columns)
    except InputError as error:
        assert "responds reliably" in error.what
        return 0


@pytest.mark.parametrize("segments", [1, 2, 4, 8])
@pytest.mark.parametrize("correction", ["fdr", "maximum"])
def test_most_parcels_respond_reliably(people: np.ndarray, segments: int, correction: str) -> None:
    assert chosen(people, segments, correction=correction) >= 200


def test_nothing_is_found_where_each_person_saw_another_time(people: np.ndarray) -> None:
    found = 0
    for seed in range(12):
        shifts = np.random.default_rng(seed).integers(0, people.shape[2], len(people))
        rolled = np.stack([np.roll(one, by, axis=1) for one, by in zip(people, shifts, strict=True)])
        found += chosen(rolled, 2 if seed % 2 else 4, flips=400) > 0
    assert found <= 3  # binomial: P(more than 3 of 12 at .05) = .2 %


def test_the_time_of_one_half_of_people_is_identified_from_the_other(people: np.ndarray) -> None:
    """Windows of ten volumes: the pattern of half of the people finds its time among all of the other's."""
    scaled = (people - people.mean(2, keepdims=True)) / np.maximum(people.std(2, keepdims=True), 1e-6)
    halves = [scaled[start::2].mean(0) for start in (0, 1)]
    windows = [np.stack([half[:, at : at + 10].ravel() for at in range(0, 380, 10)]) for half in halves]
    times = np.arange(len(windows[0]))
    similar = np.corrcoef(*windows)[: len(times), len(times) :]
    right = (similar.argmax(1) == times).mean()
    by_chance = [(np.roll(similar, by, axis=1).argmax(1) == times).mean() for by in range(1, len(times))]
    assert right > 0.9 and right > 5 * max(by_chance)
