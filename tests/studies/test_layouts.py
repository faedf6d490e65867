"""Every layout the simulation writes, as its reader finds it: complete, and timed as the truth says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from mindanim.bold.formats.run_reader import RunReader
from mindanim.vocabulary.runs import Run
from tests.studies.layouts import SIZES, opened, simulate

LAYOUTS = tuple(SIZES)


@pytest.fixture(scope="session", params=LAYOUTS)
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp(request.param) / "study", request.param, snr=20.0)


def test_every_run_and_film_is_found(root: Path) -> None:
    study = opened(root)
    assert len(study.facts.subjects) == 2
    for subject in study.facts.subjects:
        assert [row.code for row in study.check(subject)] in (["runs"], ["runs", "track"])
        assert {entry.state for entry in study.inventory(subject)} == {"found"}
        expected = sum(segment.repeats for segment in study.facts.segments)
        assert len(study.runs(subject)) == expected == len(study.inventory(subject))
    films = {film.name: film.path for film in study.films()}
    clips = study.clips()
    assert {clip.film for clip in clips} == films.keys()
    assert len({clip.clip_id for clip in clips}) == len(clips)
    assert [clip.split for clip in clips] == sorted((clip.split for clip in clips), reverse=True)
    captions = study.captions()
    assert captions is not None and captions.keys() == {clip.clip_id for clip in clips}
    counts = {segment.name: segment.clips for segment in study.facts.segments}
    assert counts == {name: sum(clip.segment == name for clip in clips) for name in counts}


def signal(run: Run) -> np.ndarray:
    series = RunReader().open(run.path, volumes=run.volumes, mask=run.mask, axes=run.axes, load=run.load)
    return series.signal(slice(None))


def test_responses_lie_where_the_reader_says(root: Path) -> None:
    """What is recorded at ``shown_s + lag`` of the clips is the truth's response to them, not to their
    neighbours."""
    study = opened(root)
    subject = study.facts.subjects[0]
    truth = np.load(root / f"truth/noiseless_sub-{subject:02d}.npy")
    with (root / "truth/volumes.tsv").open() as file:
        film = np.array([row["film"] for row in csv.DictReader(file, delimiter="\t")])
    lag_s = study.facts.lags_s[0]
    agreement: dict[int, list[float]] = {0: [], 2: []}
    for run in study.runs(subject):
        clips = [clip for clip in study.clips() if clip.segment == run.segment]
        volumes = np.array([(clip.shown_s + lag_s - run.start_s) / run.tr_s for clip in clips])
        np.testing.assert_array_equal(volumes, volumes.round())
        recorded = signal(run)[:, volumes.astype(int)].T
        own = run.path.parent.name.split("_")[1] if study.facts.layout == "hcp" else run.segment
        rows = np.flatnonzero(film == own)
        expected = truth[rows] if study.facts.layout == "algonauts2021" else truth[rows[volumes.astype(int)]]
        for shift, found in agreement.items():
            found.append(correlation(recorded, np.roll(expected, shift, axis=0)))
    assert np.mean(agreement[0]) > 0.5
    assert np.mean(agreement[2]) < 0.2


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Mean over voxels that respond, over clips."""
    keep = other.std(0) > 0.05
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(one.T[keep], other.T[keep], strict=True)]))
