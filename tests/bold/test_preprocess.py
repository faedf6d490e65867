"""The stage: its artifact as later stages and users find it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mindanim.artifacts import Artifact, Planned
from mindanim.config.preprocess import PreprocessConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import ConfigError, InputError
from mindanim.stages.preprocess import preprocess
from mindanim.studies.readers.cc2017 import CC2017
from mindanim.vocabulary.runs import Run
from tests.cc2017_tree import CORTEX, Tree, write_run, write_simulated


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    folder = tmp_path_factory.mktemp("study")
    train = {f"seg{number}": 30 for number in (1, 2, 3, 4)}
    return write_simulated(folder, train=train, test={"test1": 20, "test2": 20}, noise=0.5)


def options(tree: Tree, work: Path, **more: object) -> RunOptions:
    return RunOptions(dataset="simulated", data=tree.root, subject=1, work=work, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return preprocess(PreprocessConfig(voxels=20), options(tree, tmp_path_factory.mktemp("work")))


def test_the_artifact_keeps_its_contract(made: Artifact) -> None:
    assert made.path.parts[-3:] == ("simulated", "sub-01", "fmri")
    shapes = {name: tuple(entry["shape"]) for name, entry in made.outputs.items() if "shape" in entry}
    assert shapes == {
        "train_responses.npy": (120, 1, 20),
        "train_repeats.npy": (2, 120, 1, 20),
        "test_responses.npy": (40, 1, 20),
        "test_repeats.npy": (3, 40, 1, 20),
    }
    assert {entry["dtype"] for entry in made.outputs.values() if "dtype" in entry} == {"float32"}
    others = {"clips.tsv", "voxels.tsv", "reliability.dscalar.nii", "mask.dscalar.nii", "figures/qc.png"}
    assert set(made.outputs) == set(shapes) | others
    train = made.array("train_responses.npy")
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(0), 1, atol=1e-5)
    assert made.manifest["config"]["lags_s"]["value"] == [4.0]  # the study's, resolved


def test_the_tables_describe_rows_and_columns(made: Artifact) -> None:
    clips, voxels = made.table("clips.tsv"), made.table("voxels.tsv")
    assert clips.columns.tolist() == [
        "clip_id", "split", "segment", "film", "index", "onset_s", "duration_s",
        "lags_s", "volumes", "repeats",
    ]  # fmt: skip
    assert clips.split.tolist() == ["train"] * 120 + ["test"] * 40
    assert clips.iloc[[0, 120, 140]].clip_id.tolist() == ["seg01-0001", "test1-0001", "test2-0001"]
    assert clips.iloc[[0, 120, 140]].volumes.tolist() == [1, 1, 2]
    assert clips.repeats.tolist() == [2] * 120 + [3] * 40
    assert voxels.columns.tolist() == [
        "structure", "vertex", "i", "j", "k", "x_mm", "y_mm", "z_mm", "region",
        "reliability", "statistic", "p", "noise_ceiling", "selected", "column",
    ]  # fmt: skip
    assert len(voxels) == CORTEX
    chosen = voxels[voxels.selected == 1]
    assert chosen.column.tolist() == list(range(20))
    assert chosen.noise_ceiling.between(0, 1).all()
    assert voxels.noise_ceiling.between(0, 1).all()
    assert set(chosen.region) == {"V1"}
    assert (voxels.region == "MT").sum() == 20


def test_the_maps_show_the_table(made: Artifact) -> None:
    voxels = made.table("voxels.tsv")
    mask, reliability = (nib.load(made.file(f"{name}.dscalar.nii")) for name in ("mask", "reliability"))
    np.testing.assert_array_equal(np.asarray(mask.dataobj)[0], voxels.selected)
    np.testing.assert_allclose(np.asarray(reliability.dataobj)[0], voxels.reliability, atol=1e-6)
    assert reliability.header.get_axis(0).name.tolist() == ["reliability", "statistic", "noise ceiling"]
    np.testing.assert_array_equal(reliability.header.get_axis(1).vertex, voxels.vertex)


def test_methods_and_facts_are_written(made: Artifact) -> None:
    text = " ".join(made.manifest["methods"])
    assert "polynomial of degree 4" in text
    assert "4 s after its onset, averaged" in text
    assert "20 voxels were kept" in text
    assert made.findings == []
    assert made.facts["voxels"] == 20
    assert made.facts["voxels_read"] == CORTEX
    assert made.facts["partial"] is False
    assert (made.file("figures/qc.png")).read_bytes().startswith(b"\x89PNG")


def test_the_same_again_is_reused_and_another_config_refused(tree: Tree, made: Artifact) -> None:
    work = made.path.parents[2]
    before = made.file("train_responses.npy").stat().st_mtime_ns
    again = preprocess(PreprocessConfig(voxels=20, lags_s=(4.0,)), options(tree, work))
    assert again.identity == made.identity
    assert again.file("train_responses.npy").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="option voxels: 20 -> 10"):
        preprocess(PreprocessConfig(voxels=10), options(tree, work))


def test_a_changed_run_or_timing_makes_another_artifact(tree: Tree, made: Artifact, tmp_path: Path) -> None:
    copy = Tree(Path(shutil.copytree(tree.root, tmp_path / "study")), tree.signal)
    write_run(copy.run("seg1", 1), 2 * np.asarray(nib.load(copy.run("seg1", 1)).dataobj))
    changed = preprocess(PreprocessConfig(voxels=20), options(copy, tmp_path / "work"))
    assert changed.identity != made.identity
    declared = json.loads((tree.root / "mindanim-study.json").read_text())
    slower = tmp_path / "slower"
    shutil.copytree(tree.root, slower)
    films = {"segments": dict.fromkeys(declared["segments"], 60), "test": {"test1": 40, "test2": 40}}
    (slower / "mindanim-study.json").write_text(json.dumps(declared | films | {"clip_s": 1.0}))
    halved = preprocess(PreprocessConfig(voxels=20), options(Tree(slower, {}), tmp_path / "slower-work"))
    assert halved.identity != made.identity
    assert halved.table("clips.tsv").volumes.tolist()[:3] == [1, 1.5, 2]
    assert "cubic interpolation" in " ".join(halved.manifest["methods"])


def test_another_film_of_a_clip_makes_another_artifact(
    tree: Tree, made: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The film decides which clips are neighbours, and is in clips.tsv."""
    clips = CC2017.clips
    remapped = lambda self: [replace(clip, film="seg1") for clip in clips(self)]  # noqa: E731
    monkeypatch.setattr(CC2017, "clips", remapped)
    changed = preprocess(PreprocessConfig(voxels=20), options(tree, tmp_path / "work"))
    assert changed.identity != made.identity and set(changed.table("clips.tsv")["film"]) == {"seg1"}


def test_findings_travel_with_the_artifact(tree: Tree, tmp_path: Path) -> None:
    copy = Tree(Path(shutil.copytree(tree.root, tmp_path / "study")), tree.signal)
    near = np.asarray(nib.load(copy.run("seg1", 1)).dataobj)
    write_run(copy.run("seg1", 2), near + 1e-3 * np.random.default_rng(0).standard_normal(near.shape))
    copy.run("test2", 3).unlink()
    config = PreprocessConfig(
        standardize="transductive", alternative="two-sided", alpha=1, voxels=60, edge="drop", lags_s=(0.0,)
    )
    with pytest.raises(InputError, match="1 of 14 runs missing"):
        preprocess(config, options(copy, tmp_path / "work"))
    made = preprocess(config, options(copy, tmp_path / "work", allow_partial=True))
    codes = {finding["code"] for finding in made.findings}
    assert codes >= {
        "missing-run",
        "near-duplicate-run",
        "transductive",
        "dropped-clips",
        "unreliable-voxels",
    }
    assert made.facts["partial"] is True
    assert np.isnan(made.array("test_repeats.npy")[2, 19:]).all()


def test_an_atlas_and_regions_of_the_user(tree: Tree, tmp_path: Path) -> None:
    atlas = tmp_path / "mine.dlabel.nii"
    shutil.copy(tree.root / "atlas.dlabel.nii", atlas)
    config = PreprocessConfig(roi=("mt",), atlas=str(atlas), selection="none")
    made = preprocess(config, options(tree, tmp_path / "work"))
    assert set(made.table("voxels.tsv").query("selected == 1").region) == {"MT"}
    assert made.manifest["inputs"]["atlas"]["detail"]["files"].keys() == {"mine.dlabel.nii"}


def test_a_subject_and_a_data_folder_are_needed(
    tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MINDANIM_DATA", raising=False)
    with pytest.raises(InputError, match="raw data folder of simulated is unknown"):
        preprocess(PreprocessConfig(), RunOptions(dataset="simulated", subject=1, work=tmp_path))


@pytest.mark.parametrize(
    ("config", "error", "why"),
    [
        ({"lags_s": (0.0,), "edge": "error"}, InputError, "5 clips are outside their run"),
        ({"roi": ("V9",)}, ConfigError, "no region V9"),
        ({"selection_exclude": ("seg9",)}, ConfigError, "seg9"),
        ({"lags_s": (200.0,)}, InputError, "outside their run"),
    ],
)
def test_a_dry_run_checks_what_can_be_checked_and_writes_nothing(
    tree: Tree, tmp_path: Path, config: dict[str, object], error: type[Exception], why: str
) -> None:
    with pytest.raises(Planned):
        preprocess(PreprocessConfig(), options(tree, tmp_path / "work", dry_run=True))
    with pytest.raises(error, match=why):
        preprocess(PreprocessConfig(**config), options(tree, tmp_path / "work", dry_run=True))  # type: ignore[arg-type]
    assert not (tmp_path / "work").exists()


def test_a_study_of_which_only_training_runs_are_there(tree: Tree, tmp_path: Path) -> None:
    copy = Tree(Path(shutil.copytree(tree.root, tmp_path / "study")), tree.signal)
    for segment in ("test1", "test2"):
        shutil.rmtree(copy.run(segment, 1).parents[1])
    made = preprocess(PreprocessConfig(voxels=5), options(copy, tmp_path / "work", allow_partial=True))
    assert made.array("test_responses.npy").shape == (0, 1, 5)
    assert made.facts["median_noise_ceiling"] is None
    assert made.facts["test_clips"] == 0


def test_the_sidecar_of_confounds_is_an_input(tmp_path: Path) -> None:
    """It says which CompCor columns belong to which mask: another one makes other responses."""
    table = tmp_path / "sub-1_desc-confounds_timeseries.tsv"
    run = Run(1, "film", "train", "seg1", 1, tmp_path / "bold.nii.gz", 0.0, 2.0, 10, confounds=table)
    assert run.files == [run.path, table]
    table.with_suffix(".json").write_text("{}")
    assert run.files == [run.path, table, table.with_suffix(".json")]


def test_what_a_study_shown_once_loses_is_said(tmp_path: Path) -> None:
    once = write_simulated(
        tmp_path / "study", train={"seg1": 20, "seg2": 20}, test={"test1": 10}, repeats=(1, 1)
    )
    with pytest.raises(ConfigError, match=r"no training segment has two(?s:.)*--selection variance"):
        preprocess(PreprocessConfig(), options(once, tmp_path / "work"))
    made = preprocess(PreprocessConfig(selection="variance", voxels=9), options(once, tmp_path / "work"))
    (finding,) = (found for found in made.findings if found["code"] == "no-repeats")
    assert "the 9 chosen voxels respond" in finding["text"] and "reliability is unknown" in finding["text"]
    assert made.table("voxels.tsv")[["reliability", "statistic", "p"]].isna().all(axis=None)


def test_one_repeated_film_is_enough_and_its_run_locked_part_is_named(tmp_path: Path) -> None:
    single = write_simulated(tmp_path / "study", train={"seg1": 60}, test={"test1": 10}, noise=0.5)
    made = preprocess(PreprocessConfig(), options(single, tmp_path / "work"))
    assert 25 <= made.facts["voxels"] <= 34  # 30 respond
    assert any(found["code"] == "run-locked" for found in made.findings)
    assert "was removed, and the summed products" not in " ".join(made.manifest["methods"])
