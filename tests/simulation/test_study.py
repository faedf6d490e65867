"""The simulated study on disk: what the files hold, what decides them, and what the stage refuses."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import av
import nibabel as nib
import numpy as np
import pytest
from pydantic import ValidationError

from mindanim.artifacts import Planned
from mindanim.config.run_options import RunOptions
from mindanim.config.simulate import SimulateConfig
from mindanim.errors import InputError, UsageError
from mindanim.simulation.regions import REGIONS, plant
from mindanim.simulation.study import write_study
from mindanim.simulation.truth import read_scenes
from mindanim.simulation.world import render
from mindanim.stages.simulate import simulate
from mindanim.studies import open_study
from mindanim.vocabulary.limits import HEMISPHERES

TINY = {
    "subjects": 1,
    "segments": 2,
    "clips": 5,
    "repeats": 2,
    "test_segments": 2,
    "test_clips": 4,
    "test_repeats": 3,
    "vertices": 60,
    "fps": 8,
    "frame_px": 32,
}


def write(root: Path, **options: object) -> Path:
    root.mkdir(parents=True)
    write_study(root, SimulateConfig(**(TINY | options)), "identity")
    return root


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def hashes(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def runs_of(root: Path, subject: int = 1) -> dict[str, Path]:
    folder = root / f"CC2017_Purdue/Subject{subject:02d}/video_fmri_dataset/subject{subject}/fmri"
    return {path.name: path for path in sorted(folder.glob("*/cifti/*.dtseries.nii"))}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("simulated") / "study", subjects=2)


def test_the_reader_finds_every_run_and_film(study):
    opened = open_study("simulated", study)
    assert opened.facts.subjects == (1, 2)
    assert opened.facts.lags_s == (6.0,)
    for subject in opened.facts.subjects:
        assert {finding.status for finding in opened.check(subject)} == {"ok"}
        assert len(opened.runs(subject)) == 2 * 2 + 2 * 3
    assert [film.name for film in opened.films()] == ["seg1", "seg2", "test1", "test2"]
    assert opened.captions().keys() == {clip.clip_id for clip in opened.clips()} == read_scenes(study).keys()


def test_runs_begin_and_end_as_in_the_layout(study):
    starts = {run.film: (run.start_s, run.volumes) for run in open_study("simulated", study).runs(1)}
    assert starts == {"seg1": (2.0, 10), "seg2": (2.0, 10), "test1": (2.0, 9), "test2": (0.0, 10)}
    for name, path in runs_of(study).items():
        assert nib.load(path).shape[0] == starts[name.split("_")[0]][1]


def test_runs_are_dense_series_on_the_cortical_mesh(study):
    for path in runs_of(study).values():
        image = nib.load(path)
        series, brain = image.header.get_axis(0), image.header.get_axis(1)
        assert image.nifti_header["intent_code"] == 3002
        assert (series.step, series.unit) == (2.0, "SECOND")
        assert brain == plant(TINY["vertices"]).axis()
        data = image.get_fdata()
        assert np.isfinite(data).all()
        assert (data.std(0) > 0).all()


def test_every_run_is_its_own(study):
    digests = list(hashes(study / "CC2017_Purdue").values())
    assert len(set(digests)) == len(digests)


def test_films_show_the_scenes_of_the_truth_in_order(study):
    scenes = read_scenes(study)
    folder = study / "CC2017_Purdue/Stimuli/video_fmri_dataset/stimuli"
    for name, prefix, clips in (("seg1", "seg01", 5), ("test2", "test2", 4)):
        with av.open(str(folder / f"{name}.mp4")) as film:
            shown = list(film.decode(video=0))
        assert len(shown) == clips * 16
        np.testing.assert_allclose([frame.time for frame in shown], np.arange(len(shown)) / 8, atol=1e-4)
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in shown]).astype(float)
        shots = [
            render(scenes[f"{prefix}-{k:04d}"], np.arange(16) / 8, 2.0, 32).frames
            for k in range(1, clips + 1)
        ]
        assert np.abs(frames - np.concatenate(shots)).mean() < 2


def test_the_atlas_labels_the_planted_vertices_and_nothing_else(study):
    image = nib.load(study / "atlas.dlabel.nii")
    labels, brain = image.header.get_axis(0), image.header.get_axis(1)
    assert image.nifti_header["intent_code"] == 3007
    assert len(brain) == 59_412
    names = [labels.label[0][int(key)][0] for key in image.get_fdata()[0]]
    found = {
        (str(structure), int(vertex)): name
        for structure, vertex, name in zip(brain.name, brain.vertex, names, strict=True)
        if name != "???"
    }
    planted = {
        (row["structure"], int(row["vertex"])): row["region"]
        for row in table(study / "truth/regions.tsv")
        if row["region"] != "n/a"
    }
    assert found == planted
    expected = {f"{side}_{region.name}_ROI" for side in "LR" for region in REGIONS if region.name}
    assert set(planted.values()) == expected == {label for label, _ in labels.label[0].values()} - {"???"}


def test_the_truth_is_written_with_the_study(study):
    truth = study / "truth"
    clips, volumes = table(truth / "clips.tsv"), table(truth / "volumes.tsv")
    assert [row["clip_id"] for row in clips] == [
        clip.clip_id for clip in open_study("simulated", study).clips()
    ]
    assert [int(row["scene_id"]) for row in clips] == sorted(int(row["scene_id"]) for row in clips)
    responses = np.load(truth / "noiseless_sub-01.npy")
    rows = table(truth / "vertices_sub-01.tsv")
    assert responses.shape == (len(volumes), len(rows))
    assert float(next(row for row in volumes if row["film"] == "test1")["film_time_s"]) == 2.0
    assert float(next(row for row in volumes if row["film"] == "test2")["film_time_s"]) == 0.0
    training = responses[[row["film"].startswith("seg") for row in volumes]]
    reliability = np.array([float(row["reliability"]) for row in rows])
    np.testing.assert_allclose(training.var(0)[reliability > 0], reliability[reliability > 0], rtol=0.02)
    assert {row["prefers"] for row in rows if row["role"] == "none"} == {"nothing"}


def test_subjects_share_vertices_but_not_tuning(study):
    one, two = (table(study / f"truth/vertices_sub-0{subject}.tsv") for subject in (1, 2))
    assert [row["vertex"] for row in one] == [row["vertex"] for row in two]
    assert [row["prefers"] for row in one] != [row["prefers"] for row in two]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_study(tmp_path):
    one, again, other = (write(tmp_path / name, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))
    assert hashes(one) == hashes(again)
    differing = {name for name, digest in hashes(other).items() if digest != hashes(one)[name]}
    same = hashes(one).keys() - differing
    assert same == {"atlas.dlabel.nii", "truth/regions.tsv", "truth/volumes.tsv"}


def test_a_null_study_has_the_films_but_not_their_responses(tmp_path):
    real, null = (write(tmp_path / name, null=null) for name, null in (("real", False), ("null", True)))
    films = "CC2017_Purdue/Stimuli"
    assert hashes(real / films) == hashes(null / films)
    assert hashes(real / "truth")["clips.tsv"] == hashes(null / "truth")["clips.tsv"]
    one, two = (np.load(root / "truth/noiseless_sub-01.npy") for root in (real, null))
    informative = one.std(0) > 0
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(one.T[informative], two.T[informative], strict=True)]
    assert abs(np.mean(r)) < 0.2


def test_without_motion_only_the_motion_regions_fall_silent(tmp_path):
    root = write(tmp_path / "study", no_motion=True)
    responses = np.load(root / "truth/noiseless_sub-01.npy")
    roles = np.array([row["role"] for row in table(root / "truth/regions.tsv")])
    assert not responses[:, roles == "motion"].any()
    for role in ("layout", "meaning"):
        assert responses[:, roles == role].any(0).mean() > 0.5


@pytest.mark.parametrize(
    "options",
    [
        {"tr_s": 1.0, "clip_s": 1.0, "repeats": 1},
        {"tr_s": 1.0, "clip_s": 4.0},
        {"tr_s": 1.5, "clip_s": 3.0, "lags_s": (4.0, 6.0, 8.0)},
        {"clips": 2, "test_clips": 2, "test_repeats": 1, "scene_clips": (1, 1), "fps": 24, "frame_px": 48},
    ],
)
def test_other_timings_and_sizes(tmp_path, options):
    root = write(tmp_path / "study", **options)
    opened = open_study("simulated", root)
    facts = json.loads((root / "mindanim-study.json").read_text())
    assert (opened.facts.tr_s, opened.facts.clip_s) == (facts["tr_s"], facts["clip_s"])
    for run in opened.runs(1):
        image = nib.load(run.path)
        assert image.shape[0] == run.volumes
        assert image.header.get_axis(0).step == facts["tr_s"]
        last = max(clip.onset_s for clip in opened.clips() if clip.film == run.film) + max(facts["lags_s"])
        assert run.start_s + (run.volumes - 1) * run.tr_s >= last
    with av.open(str(opened.films()[0].path)) as film:
        frames = film.streams.video[0].frames
    assert frames == round(facts["clip_s"] * facts["fps"]) * facts["segments"]["seg1"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"clip_s": 1.1, "fps": 24}, "whole number of frames"),
        ({"scene_clips": (3, 1)}, "scene_clips"),
        ({"lags_s": (6.0, 30.0)}, "lags_s"),
        ({"lags_s": (1.0,)}, "lags_s"),
        ({"frame_px": 33}, "frame_px"),
        ({"vertices": 10**6}, "vertices"),
    ],
)
def test_options_that_do_not_fit_are_named(options, named):
    with pytest.raises(ValidationError, match=named):
        SimulateConfig(**options)


class TestStage:
    def test_writes_once_and_then_has_nothing_to_do(self, tmp_path):
        run = RunOptions(data=tmp_path / "study")
        root = simulate(SimulateConfig(**TINY), run)
        before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
        assert simulate(SimulateConfig(**TINY), run) == root
        assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
        assert [path.name for path in tmp_path.iterdir()] == ["study"]

    def test_another_study_in_the_folder_is_refused_with_the_difference(self, tmp_path):
        run = RunOptions(data=tmp_path / "study")
        simulate(SimulateConfig(**TINY), run)
        with pytest.raises(InputError, match="option snr: 1.0 -> 2.0"):
            simulate(SimulateConfig(**TINY, snr=2.0), run)
        root = simulate(SimulateConfig(**TINY, snr=2.0), run.model_copy(update={"force": True}))
        assert json.loads((root / "mindanim-study.json").read_text())["options"]["snr"] == 2.0
        aside = [path for path in tmp_path.iterdir() if path != root]
        assert len(aside) == 1
        assert json.loads((aside[0] / "mindanim-study.json").read_text())["options"]["snr"] == 1.0

    def test_a_folder_with_other_things_is_left_alone(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(InputError, match="contains something else"):
            simulate(SimulateConfig(**TINY), RunOptions(data=tmp_path))
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_a_dry_run_writes_nothing(self, tmp_path):
        with pytest.raises(Planned):
            simulate(SimulateConfig(**TINY), RunOptions(data=tmp_path / "study", dry_run=True))
        assert not list(tmp_path.iterdir())

    def test_needs_a_folder(self):
        with pytest.raises(UsageError, match="--out"):
            simulate(SimulateConfig(**TINY), RunOptions())

    def test_what_a_killed_run_left_is_overwritten(self, tmp_path, monkeypatch):
        import mindanim.stages.simulate as stage

        def killed(root: Path, *rest: object) -> None:
            (root / "half.nii").write_text("half")
            raise KeyboardInterrupt

        run = RunOptions(data=tmp_path / "study")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(stage, "write_study", killed)
            simulate(SimulateConfig(**TINY), run)
        assert not run.data.exists()
        root = simulate(SimulateConfig(**TINY), run)
        assert not (root / "half.nii").exists()
        assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_structures_are_named_as_in_the_runs(study):
    assert {row["structure"] for row in table(study / "truth/regions.tsv")} == set(HEMISPHERES)
