"""Which files of a BIDS study are viewings of a film, and which are versions of one viewing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from mindanim.errors import InputError
from tests.studies.bids_tree import (
    MNI,
    ROWS,
    SHAPE,
    bold,
    finding,
    opened,
    rename,
    repeats,
    write_bold,
    write_events,
    write_nifti,
    write_sidecar,
    write_study,
)

TWO = {"train": 2, "test": 1}


def test_echoes_next_to_their_combination_are_not_read(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    for run in (1, 2, 3):
        for echo in (1, 2, 3):
            stem = f"sub-01_task-film_run-{run}_echo-{echo}"
            write_sidecar(write_bold(func / f"{stem}_desc-preproc_bold.nii.gz", 7), {"RepetitionTime": 2.0})
    study = opened(tmp_path)
    assert repeats(study) == TWO
    assert all("echo" not in run.path.name for run in study.runs(1))
    assert "echo-1, echo-2, echo-3. These are versions of one viewing" in finding(study, "other-versions")


@pytest.mark.parametrize("masks", [True, False])
def test_one_of_several_echoes_is_chosen_with_its_mask(tmp_path: Path, masks: bool) -> None:
    """fMRIPrep writes one mask for all echoes of a run."""
    func = write_study(tmp_path)
    for run in (1, 2, 3):
        whole = bold(func, run)
        for echo in ("1", "02"):
            write_bold(bold(func, run, f"echo-{echo}"), run, mask=masks)
        whole.unlink(), whole.with_name(whole.name.replace(".nii.gz", ".json")).unlink()
    with pytest.raises(InputError, match=r"(?s)exists in 2 versions.*not repeats.*combined.*--study echo=1"):
        opened(tmp_path)
    study = opened(tmp_path, echo="2")
    assert repeats(study) == TWO
    for run in study.runs(1):
        assert "echo-02" in run.path.name and run.mask is not None and run.mask.is_file()
        assert ("echo" in run.mask.name) == masks


def test_events_that_are_written_once_per_echo(tmp_path: Path) -> None:
    write_study(tmp_path)
    for path in sorted((tmp_path / "sub-01/func").glob("*_events.tsv")):
        for echo in (1, 2):
            shutil.copy(path, path.with_name(path.name.replace("_events", f"_echo-{echo}_events")))
        path.unlink()
    assert repeats(opened(tmp_path)) == TWO


def test_the_magnitude_is_read_and_the_phase_is_not(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    for run in (1, 2, 3):
        for part in ("mag", "phase"):
            write_bold(bold(func, run, f"part-{part}"), run)
        bold(func, run).unlink()
    study = opened(tmp_path)
    assert repeats(study) == TWO and all("part-mag" in run.path.name for run in study.runs(1))
    assert "part-phase" in finding(study, "other-versions")
    for path in func.glob("*part-mag*"):
        path.unlink()
    with pytest.raises(InputError, match=r"(?s)no magnitude.*part-phase.*--study part=phase"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("name", "entity", "value"),
    [
        ("{stem}_rec-norm_" + MNI + "_desc-preproc_bold.nii.gz", "rec", "norm"),
        ("{stem}_" + MNI + "_desc-smoothAROMAnonaggr_bold.nii.gz", "desc", "preproc"),
        ("{stem}_" + MNI + "_res-2_desc-preproc_bold.nii.gz", "res", "2"),
        ("{stem}_space-T1w_desc-preproc_bold.nii.gz", "space", "T1w"),
        ("{stem}_desc-preproc_bold.nii.gz", "space", "MNI152NLin2009cAsym"),
        ("{stem}_" + MNI + "_desc-optcomDenoised_bold.nii.gz", "desc", "optcomDenoised"),
        ("{stem}_" + MNI + "_bold.nii.gz", "desc", "preproc"),
    ],
)
def test_other_versions_must_be_chosen(tmp_path: Path, name: str, entity: str, value: str) -> None:
    func = write_study(tmp_path)
    for run in (1, 2, 3):
        write_bold(func / name.format(stem=f"sub-01_task-film_run-{run}"), run)
    with pytest.raises(InputError, match=f"(?s)exists in 2 versions.*not repeats.*--study {entity}="):
        opened(tmp_path)
    study = opened(tmp_path, **{entity: value})
    assert repeats(study) == TWO and all(f"{entity}-{value}" in run.path.name for run in study.runs(1))


def test_the_version_without_an_entity_can_be_chosen(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    for run in (1, 2, 3):
        write_bold(func / f"sub-01_task-film_run-{run}_desc-preproc_bold.nii.gz", run)
    study = opened(tmp_path, space="none")
    assert repeats(study) == TWO and all("space" not in run.path.name for run in study.runs(1))


def test_two_folders_of_derivatives(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    shutil.copytree(func.parents[1], tmp_path / "derivatives/fmriprep-old")
    with pytest.raises(InputError, match="--study derivatives=fmriprep"):
        opened(tmp_path)
    assert repeats(opened(tmp_path, derivatives="fmriprep-old")) == TWO


def test_denoised_runs_in_another_folder_take_fmripreps_mask(tmp_path: Path) -> None:
    """As tedana or a script of one's own leaves them: the series alone."""
    func = write_study(tmp_path)
    other = tmp_path / "derivatives/tedana/sub-01/func"
    for run in (1, 2, 3):
        path = bold(func, run)
        write_bold(other / path.name.replace("preproc", "denoised"), run, mask=False)
    study = opened(tmp_path, desc="denoised")
    masks = [run.mask for run in study.runs(1)]
    assert all(mask is not None and mask.is_relative_to(func) and mask.is_file() for mask in masks)


def test_versions_are_not_mixed(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    bold(func, 2).rename(Path(str(bold(func, 2)).replace("desc-preproc", "desc-denoised")))
    with pytest.raises(InputError, match=r"(?s)must not be mixed: 2 as desc-preproc.*1 as desc-denoised"):
        opened(tmp_path).runs(1)


@pytest.mark.parametrize("entity", ["acq-mb", "dir-PA", "ce-none", "ses-2"])
def test_other_acquisitions_are_repeats(tmp_path: Path, entity: str) -> None:
    func = write_study(tmp_path)
    folder = Path(f"sub-01/{entity}/func" if entity.startswith("ses") else "sub-01/func")
    stem = (
        f"sub-01_{entity}_task-film_run-1" if entity.startswith("ses") else f"sub-01_task-film_{entity}_run-1"
    )
    path = write_bold(func.parents[1] / folder / f"{stem}_{MNI}_desc-preproc_bold.nii.gz", 9)
    write_sidecar(path, {"RepetitionTime": 2.0})
    write_events(tmp_path / folder / f"{stem}_events.tsv", ROWS)
    assert repeats(opened(tmp_path)) == {"train": 3, "test": 1}


@pytest.mark.parametrize("where", ["derivatives", "sub-01"])
def test_run_1_and_run_01_are_one_run(tmp_path: Path, where: str) -> None:
    write_study(tmp_path)
    rename(tmp_path / where, lambda name: name.replace("run-", "run-0"))
    study = opened(tmp_path, test="run:03")
    assert repeats(study) == TWO
    assert [row.status for row in study.check(1)] == ["ok"]


def test_versions_of_runs_without_films_do_not_matter(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    for space in (MNI, "space-T1w"):
        write_bold(func / f"sub-01_task-rest_{space}_desc-preproc_bold.nii.gz", 5)
    study = opened(tmp_path)
    assert repeats(study) == TWO and "it has no events" in finding(study, "extra-file")


def test_run_1_and_run_01_side_by_side_are_ambiguous(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    shutil.copy(bold(func, 1), str(bold(func, 1)).replace("run-1", "run-01"))
    with pytest.raises(InputError, match=r"(?s)exists in 2 versions.*run-01.*run-1.*Keep one of them"):
        opened(tmp_path)


def test_confounds_of_a_reconstruction_in_the_order_of_bids(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    rename(tmp_path, lambda name: name.replace("film_run", "film_rec-a_dir-AP_run"))
    for run in (1, 2, 3):
        (func / f"sub-01_task-film_rec-a_dir-AP_run-{run}_desc-confounds_timeseries.tsv").touch()
    runs = opened(tmp_path).runs(1)
    assert [run.confounds is not None for run in runs] == [True] * 3


def test_runs_that_are_not_preprocessed_are_named_with_their_events(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    bold(func, 2).unlink()
    write_nifti(tmp_path / "sub-01/func/sub-01_task-film_run-2_bold.nii.gz", np.ones((*SHAPE, 4), np.float32))
    with pytest.raises(
        InputError, match=r"(?s)1 of 3 runs missing: sub-01_task-film_run-2 has events.*fMRIPrep"
    ):
        opened(tmp_path).runs(1)
    assert repeats(opened(tmp_path, allow_partial=True)) == {"train": 1, "test": 1}
    with pytest.raises(InputError, match=r"no preprocessed run with desc-clean"):
        opened(tmp_path, desc="clean").runs(1)


def test_files_that_systems_and_programs_leave(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    for folder in (func, tmp_path / "sub-01/func", tmp_path / "stimuli"):
        (folder / ".DS_Store").write_bytes(b"\0")
        for path in list(folder.iterdir()):
            (folder / f"._{path.name}").write_bytes(b"\0\5\26\7")
    (tmp_path / "derivatives/.datalad/sub-99/func").mkdir(parents=True)
    (tmp_path / "derivatives/freesurfer/sub-01_ses-1").mkdir(parents=True)
    (tmp_path / "derivatives/fmriprep/sub-01.html").touch()
    for name in (
        "recording-cardiac_physio.tsv.gz",
        "desc-MELODIC_mixing.tsv",
        "desc-hmc_boldref.nii.gz",
        "sbref.nii.gz",
    ):
        (func / f"sub-01_task-film_run-1_{name}").touch()
    (func / "sub-01_task-film_run-1_desc-preproc_bold.nii.gz.part").touch()
    study = opened(tmp_path)
    assert repeats(study) == TWO and study.facts.subjects == (1,)
    assert [row.status for row in study.check(1)] == ["ok"]


def test_a_link_without_its_file(tmp_path: Path) -> None:
    """As datalad leaves what has not been fetched."""
    func = write_study(tmp_path)
    bold(func, 1).unlink()
    bold(func, 1).symlink_to(tmp_path / ".git/annex/objects/x")
    with pytest.raises(InputError, match="datalad get"):
        opened(tmp_path).runs(1)


def test_runs_under_another_session_are_named(tmp_path: Path) -> None:
    """Sessions in the derivatives alone: what has no events may be what is missed."""
    func = write_study(tmp_path)
    func.rename(func.parent / "temporary"), (func.parent / "ses-1").mkdir()
    (func.parent / "temporary").rename(func.parent / "ses-1/func")
    rename(func.parent / "ses-1", lambda name: name.replace("sub-01_", "sub-01_ses-1_"))
    with pytest.raises(InputError, match=r"(?s)3 of 3 runs missing.*no events: sub-01_ses-1_task-film_run-1"):
        opened(tmp_path).runs(1)
