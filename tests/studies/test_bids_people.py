"""Subjects by number and label, and events as people write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mindanim
from mindanim.bold.response_plan import make_plan
from mindanim.config.preprocess import PreprocessConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import InputError, UsageError
from mindanim.stages.show import overview
from mindanim.studies import open_study
from mindanim.vocabulary.subjects import folder_of, in_order, subject_of, subject_of_folder
from tests.studies.bids_tree import (
    ROWS,
    SHAPE,
    bold,
    finding,
    opened,
    repeats,
    write_bold,
    write_events,
    write_nifti,
    write_study,
)


@pytest.mark.parametrize(
    ("text", "subject", "folder"),
    [
        ("1", 1, "sub-01"),
        ("sub-01", 1, "sub-01"),
        ("001", 1, "sub-01"),
        (" 12 ", 12, "sub-12"),
        ("100610", 100610, "sub-100610"),
        ("pilot01", "pilot01", "sub-pilot01"),
        ("sub-01A", "01A", "sub-01A"),
        ("00", "00", "sub-00"),
    ],
)
def test_what_a_subject_is_called(text: str, subject: int | str, folder: str) -> None:
    assert subject_of(text) == subject and folder_of(subject) == folder
    assert subject_of_folder(folder) == subject and RunOptions(subject=text).subject == subject


@pytest.mark.parametrize("text", ["", "sub-", "a_b", "../x", "a/b", "1.5", "-1", "ä", "a" * 65, "٣"])
def test_what_is_no_subject(text: str) -> None:
    with pytest.raises(ValueError, match="a subject is"):
        RunOptions(subject=text)
    assert subject_of_folder(f"sub-{text}") is None


def test_numbers_come_before_labels() -> None:
    assert in_order(["b", 10, 2, "a", 2]) == [2, 10, "a", "b"]


def test_a_number_keeps_its_person(tmp_path: Path) -> None:
    write_study(tmp_path, subjects=("02", "03"))
    before = [run.path for run in opened(tmp_path).runs(2)]
    (tmp_path / "derivatives/freesurfer/sub-01_ses-1").mkdir(parents=True)
    (tmp_path / "sub-pilot01/func").mkdir(parents=True)
    write_bold(
        tmp_path / "derivatives/fmriprep/sub-01A/func/sub-01A_task-film_run-1_desc-preproc_bold.nii.gz"
    )
    study = opened(tmp_path)
    assert [run.path for run in study.runs(2)] == before
    assert study.facts.subjects == (2, 3, "01A")
    with pytest.raises(InputError, match=r"no subject 1(?s:.)*2, 3, 01A"):
        study.runs(1)


def test_two_labels_of_one_number(tmp_path: Path) -> None:
    write_study(tmp_path, subjects=("1", "01"))
    with pytest.raises(InputError, match="sub-01 and sub-1 are the same number"):
        opened(tmp_path)


def test_a_label_goes_through_the_stages(tmp_path: Path) -> None:
    write_study(tmp_path / "data", subjects=("pilot01",))
    options: dict[str, Any] = {"selection": "none", "detrend": "none"}
    made = mindanim.preprocess(
        dataset="bids",
        data=tmp_path / "data",
        subject="sub-pilot01",
        work=tmp_path / "work",
        study={"test": "film:test.mp4"},
        **options,
    )
    assert made.path.parts[-2:] == ("sub-pilot01", "fmri") and made.manifest["subject"] == "pilot01"
    for subject, rows in (("pilot01", 1), (1, 0)):
        found = overview(RunOptions(subject=subject, work=tmp_path / "work"))
        assert [row["subject"] for row in found] == ["pilot01"] * rows
    with pytest.raises(InputError, match="--subject pilot01"):  # of the command that makes what it needs
        mindanim.generate(dataset="bids", subject="pilot01", work=tmp_path / "work")


def test_subjects_of_tables_have_labels_too(tmp_path: Path) -> None:
    for place in (1, 2):
        np.save(tmp_path / f"{place}.npy", np.random.default_rng(place).standard_normal((9, 4)))
    (tmp_path / "a.mp4").touch(), (tmp_path / "b.mp4").touch()
    clips = "clip_id\tsplit\tsegment\tfilm\tonset_s\tduration_s\n"
    clips += "a\ttrain\ta\ta.mp4\t0\t2\nb\ttest\tb\tb.mp4\t0\t2\n"
    runs = "subject\tsegment\trepeat\tpath\ttr_s\taxes\n" + "".join(
        f"sub-P1\t{segment}\t1\t{place}.npy\t2\tvolume voxel\n" for place, segment in ((1, "a"), (2, "b"))
    )
    (tmp_path / "clips.tsv").write_text(clips), (tmp_path / "runs.tsv").write_text(runs)
    study = open_study("tables", tmp_path)
    assert study.facts.subjects == ("P1",) and len(study.runs("P1")) == 2
    (tmp_path / "runs.tsv").write_text(runs.replace("\t2\tvolume", "\t2000\tvolume"))
    with pytest.raises(InputError, match=r"runs\.tsv, line 2: tr_s is 2000(?s:.)*milliseconds"):
        open_study("tables", tmp_path)


@pytest.mark.parametrize("name", ["f.wmv", "f.gif", "f.ts", "picture.png", "sound.wav", "clip7"])
def test_rows_of_unknown_endings_are_counted(tmp_path: Path, name: str) -> None:
    write_study(tmp_path)
    for run in (1, 2):
        rows = [(a, b, name if a >= 24 else film, d) for a, b, film, d in ROWS]
        write_events(tmp_path / f"sub-01/func/sub-01_task-film_run-{run}_events.tsv", rows)
    study = opened(tmp_path)
    assert len([clip for clip in study.clips() if clip.split == "train"]) == 12
    text = finding(study, "skipped-rows")
    assert text.startswith("Subject 1: 6 rows of events are skipped") and name in text


@pytest.mark.parametrize("name", ["n/a", "N/A", "", "NA", "nan"])
def test_rows_without_a_stimulus_are_passed_over(tmp_path: Path, name: str) -> None:
    write_study(tmp_path)
    rows = [*ROWS, (60, 10, name, 0)]
    write_events(tmp_path / "sub-01/func/sub-01_task-film_run-1_events.tsv", rows)
    study = opened(tmp_path)
    assert repeats(study) == {"train": 2, "test": 1} and not finding(study, "skipped-rows")


def test_rows_shorter_than_a_clip_are_counted(tmp_path: Path) -> None:
    write_study(tmp_path)
    assert not finding(opened(tmp_path, clip_s="2"), "short-rows")
    path = tmp_path / "sub-01/func/sub-01_task-film_run-1_events.tsv"
    write_events(path, [*ROWS, (40, 1, "film.mp4", 40), (42, 1.5, "film.mp4", 42)])
    study = opened(tmp_path, clip_s="2")
    assert repeats(study) == {"train": 2, "test": 1}
    assert "2 rows of events are skipped, because they are shorter" in finding(study, "short-rows")
    write_events(path, [*ROWS, (40, 0, "film.mp4", 40)])
    with pytest.raises(InputError, match=r"line 17: film\.mp4 lasts 0 s"):
        opened(tmp_path, clip_s="2")


def test_no_film_at_all_says_what_there_is(tmp_path: Path) -> None:
    write_study(tmp_path)
    for path in (tmp_path / "sub-01/func").glob("*_events.tsv"):
        write_events(path, [(0, 2, "f.wmv", 0)])
    with pytest.raises(InputError, match=r"(?s)No film is shown.*film's extension.*f\.wmv"):
        opened(tmp_path)


@pytest.mark.parametrize("form", ["stimuli/{}", "bids::stimuli/{}", "stimuli\\{}"])
def test_films_relative_to_the_dataset(tmp_path: Path, form: str) -> None:
    write_study(tmp_path)
    for path in (tmp_path / "sub-01/func").glob("*_events.tsv"):
        path.write_text(path.read_text().replace("film.mp4", form.format("film.mp4")))
    study = opened(tmp_path)
    assert [film.path.is_file() for film in study.films()] == [True, True]


def test_a_quotation_mark_that_is_never_closed(tmp_path: Path) -> None:
    write_study(tmp_path)
    for run in (1, 2):
        path = tmp_path / f"sub-01/func/sub-01_task-film_run-{run}_events.tsv"
        lines = path.read_text().splitlines()
        lines[0] += "\tnote"
        lines[3] += '\t5" screen'
        lines[4] += '\t"said'
        path.write_text("\n".join(lines))
    assert len([clip for clip in opened(tmp_path).clips() if clip.split == "train"]) == len(ROWS)


def test_a_rule_that_fits_no_clip(tmp_path: Path) -> None:
    write_study(tmp_path)
    with pytest.raises(InputError, match="test=run:7 fits no clip"):
        opened(tmp_path, test="run:7")
    with pytest.raises(UsageError, match="names no clips"):
        opened(tmp_path, test="run:")


def film_of_a_whole_scan(root: Path, volumes: int, duration_s: float, onset_s: float = 6.0) -> None:
    """Two runs of one film and one of another, cut into clips of 2 s."""
    for run, film in ((1, "film.mp4"), (2, "film.mp4"), (3, "test.mp4")):
        stem = f"sub-01_task-film_run-{run}"
        rng = np.random.default_rng(run)
        func = root / "derivatives/fmriprep/sub-01/func"
        write_nifti(
            func / f"{stem}_desc-preproc_bold.nii.gz", rng.standard_normal((*SHAPE, volumes)).astype("f4")
        )
        write_nifti(func / f"{stem}_desc-brain_mask.nii.gz", np.ones(SHAPE, np.uint8))
        write_events(root / f"sub-01/func/{stem}_events.tsv", [(onset_s, duration_s, film, 0)])
    (root / "stimuli").mkdir()
    (root / "stimuli/film.mp4").touch(), (root / "stimuli/test.mp4").touch()


@pytest.mark.parametrize(
    ("duration_s", "edge", "clips"),
    [
        (174, {}, 84),
        (174, {"edge": "nearest"}, 87),
        (162, {}, 81),
        (162, {"edge": "error"}, 81),
        (180, {}, 84),
    ],
)
def test_a_film_that_lasts_to_the_end_of_its_scan(
    tmp_path: Path, duration_s: float, edge: dict[str, Any], clips: int
) -> None:
    """180 s of scan, the film from 6 s on; the response 6 s later is recorded for clips up to 172 s."""
    film_of_a_whole_scan(tmp_path, 90, duration_s)
    study = opened(tmp_path, clip_s="2")
    plan = make_plan(
        study.runs(1), study.clips(), study.facts.lags_s, PreprocessConfig(detrend="none", **edge)
    )
    assert len(plan.clips("train")) == len(plan.clips("test")) == clips
    lost = int(duration_s / 2) - clips
    assert len(plan.dropped) == 2 * lost and plan.clamped == (9 if edge.get("edge") == "nearest" else 0)
    if lost:
        assert plan.dropped[0] == "film-0085"
        with pytest.raises(InputError, match=f"{2 * lost} clips are outside"):
            make_plan(study.runs(1), study.clips(), (6.0,), PreprocessConfig(detrend="none", edge="error"))


def test_a_scan_that_was_broken_off_is_refused(tmp_path: Path) -> None:
    film_of_a_whole_scan(tmp_path, 90, 174)
    write_bold(
        tmp_path / "derivatives/fmriprep/sub-01/func/sub-01_task-film_run-2_desc-preproc_bold.nii.gz",
        volumes=50,
    )
    with pytest.raises(
        InputError, match=r"run-2.* ends at 100 s \(TR 2 s, 50 volumes\), but 40 of 87 clips begin"
    ):
        opened(tmp_path, clip_s="2").runs(1)


def test_a_repetition_time_that_is_too_short_shows(tmp_path: Path) -> None:
    """A header's default of 1 s makes runs look half as long."""
    film_of_a_whole_scan(tmp_path, 90, 174)
    (tmp_path / "task-film_bold.json").write_text(json.dumps({"RepetitionTime": 1.0}))
    with pytest.raises(InputError, match=r"ends at 90 s \(TR 1 s"):
        opened(tmp_path, clip_s="2").runs(1)


def test_a_mask_is_missing_by_name(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    for path in func.glob("*run-2*mask*"):
        path.unlink()
    with pytest.raises(InputError, match=r"1 runs without a file .*run-2.*lacks .*desc-brain_mask\.nii\.gz"):
        opened(tmp_path).runs(1)
    assert bold(func, 2).is_file()
