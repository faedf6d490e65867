"""When the volumes of a BIDS run were acquired: by its own sidecar or header, and never by another run's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, Cifti2MetaData, SeriesAxis

from mindanim.errors import InputError, UsageError
from mindanim.studies import open_study
from mindanim.studies.header_clock import header_clock
from tests.studies.bids_tree import (
    bold,
    finding,
    opened,
    rename,
    repeats,
    write_bold,
    write_sidecar,
    write_study,
)


@pytest.mark.parametrize(
    ("sidecar", "header", "words"),
    [
        ({}, {"tr_s": 0.0}, "no RepetitionTime in a sidecar, and its header gives a TR of 0 s"),
        ({}, {"tr_s": 2000.0}, r"a TR of 2000 s \(milliseconds\?\)"),
        ({}, {"unit": "unknown"}, "its header gives no TR"),
        ({"RepetitionTime": None}, {"tr_s": 0.0}, "no RepetitionTime"),
        ({"RepetitionTime": 2000}, {}, r"RepetitionTime of .*run-1 is 2000 in .*json.*milliseconds"),
        ({"RepetitionTime": 0}, {}, "RepetitionTime of .*run-1 is 0 in"),
        ({"RepetitionTime": "2.0"}, {}, r"RepetitionTime of .*run-1 is '2\.0' in"),
        ({"RepetitionTime": float("nan")}, {}, "RepetitionTime of .*run-1 is nan in"),
        ({"RepetitionTime": True}, {}, "RepetitionTime of .*run-1 is True in"),
        ({"RepetitionTime": 2.0, "StartTime": "n/a"}, {}, r"StartTime in .*_bold\.json is 'n/a'"),
        ({"RepetitionTime": 2.0, "StartTime": 500}, {}, r"StartTime in .* is 500.*milliseconds"),
        ({"RepetitionTime": 2.0, "StartTime": float("inf")}, {}, "StartTime in .* is inf"),
        ({"VolumeTiming": [0, 2, 5, 9]}, {"tr_s": 0.0}, "VolumeTiming in .* is not evenly spaced"),
        ({"VolumeTiming": [0, 2, 4]}, {}, "VolumeTiming in .* has 3 times, but the run has 40 volumes"),
    ],
)
def test_a_clock_that_is_not_known(
    tmp_path: Path, sidecar: dict[str, Any], header: dict[str, Any], words: str
) -> None:
    write_study(tmp_path, sidecar=sidecar, **header)
    study = opened(tmp_path)
    with pytest.raises(InputError, match=f"(?s)3 runs whose timing is not known: .*{words}"):
        study.runs(1)
    assert {entry.code for entry in study.inventory(1)} == {"unknown-timing"}


@pytest.mark.parametrize(
    ("sidecar", "header", "tr_s", "start_s"),
    [
        ({}, {"tr_s": 2000.0, "unit": "msec"}, 2.0, 0.0),
        ({"RepetitionTime": 2.0, "StartTime": None}, {}, 2.0, 0.0),
        ({"RepetitionTime": 2.0, "StartTime": 0.97}, {}, 2.0, 0.97),
        ({"RepetitionTime": 2.0, "StartTime": -1}, {}, 2.0, -1.0),
        ({"VolumeTiming": [8.0 + 2 * volume for volume in range(40)]}, {"tr_s": 0.0}, 2.0, 8.0),
        ({"RepetitionTime": 2.0}, {"tr_s": 0.0}, 2.0, 0.0),
    ],
)
def test_a_clock_that_is_known(
    tmp_path: Path, sidecar: dict[str, Any], header: dict[str, Any], tr_s: float, start_s: float
) -> None:
    write_study(tmp_path, sidecar=sidecar, **header)
    runs = opened(tmp_path).runs(1)
    assert [(run.tr_s, run.start_s) for run in runs] == [(pytest.approx(tr_s), pytest.approx(start_s))] * 3


def test_a_run_without_a_repetition_time_does_not_take_anothers(tmp_path: Path) -> None:
    func = write_study(tmp_path, tr_s=0.0)
    write_sidecar(bold(func, 2), {})
    study = opened(tmp_path)
    with pytest.raises(InputError, match="1 runs whose timing is not known: sub-01_task-film_run-2 has no"):
        study.runs(1)
    assert repeats(opened(tmp_path, allow_partial=True)) == {"train": 1, "test": 1}


def test_every_run_has_its_own_repetition_time(tmp_path: Path) -> None:
    func = write_study(tmp_path)
    write_sidecar(write_bold(bold(func, 2), 2, volumes=80, tr_s=1.0), {"RepetitionTime": 1.0})
    assert [run.tr_s for run in opened(tmp_path).runs(1)] == [2.0, 1.0, 2.0]


def test_a_sidecar_for_all_runs_of_the_task(tmp_path: Path) -> None:
    func = write_study(tmp_path, sidecar={}, tr_s=0.0)
    for path in func.glob("*_bold.json"):
        path.unlink()
    (tmp_path / "task-film_bold.json").write_text('{"RepetitionTime": 2.0}')
    assert {run.tr_s for run in opened(tmp_path).runs(1)} == {2.0}


SLICES = {"RepetitionTime": 2.0, "SliceTimingCorrected": True}


@pytest.mark.parametrize(
    ("asked", "start_s", "asks"),
    [(None, 0.0, True), ("half", 1.0, False), ("0", 0.0, False), ("0.9", 0.9, False)],
)
def test_slice_timing_without_its_reference_asks(
    tmp_path: Path, asked: str | None, start_s: float, asks: bool
) -> None:
    write_study(tmp_path, sidecar=SLICES)
    study = opened(tmp_path, **({} if asked is None else {"start_time": asked}))
    assert {run.start_s for run in study.runs(1)} == {start_s}
    text = finding(study, "slice-timing")
    assert bool(text) == asks and (not asks or "StartTime" in text and "--study start_time=half" in text)


@pytest.mark.parametrize(
    "sidecar", [{"RepetitionTime": 2.0, "SliceTimingCorrected": False}, SLICES | {"StartTime": 0.0}]
)
def test_nothing_is_asked_where_the_reference_is_known(tmp_path: Path, sidecar: dict[str, Any]) -> None:
    write_study(tmp_path, sidecar=sidecar)
    assert not finding(opened(tmp_path), "slice-timing")


def test_a_start_time_that_is_no_time(tmp_path: Path) -> None:
    write_study(tmp_path)
    with pytest.raises(UsageError, match="start_time=middle"):
        opened(tmp_path, start_time="middle")


def test_a_start_in_a_nifti_header_asks(tmp_path: Path) -> None:
    write_study(tmp_path, sidecar={"RepetitionTime": 2.0}, start=1.0)
    assert "toffset" in finding(opened(tmp_path), "toffset")


@pytest.mark.parametrize(
    ("raw", "sidecar", "asks"),
    [(44, {}, True), (40, {}, False), (38, {}, False), (44, {"StartTime": 8.0}, False)],
)
def test_removed_volumes_ask(tmp_path: Path, raw: int, sidecar: dict[str, Any], asks: bool) -> None:
    """As after the removal of four dummy scans, of which events know nothing."""
    write_study(tmp_path, sidecar={"RepetitionTime": 2.0} | sidecar)
    for run in (1, 2, 3):
        path = tmp_path / f"sub-01/func/sub-01_task-film_run-{run}_bold.nii.gz"
        write_bold(path, run, volumes=raw, mask=False)
    study = opened(tmp_path)
    text = finding(study, "fewer-volumes")
    assert ("3 runs" in text and "--study start_time=" in text) == asks
    assert repeats(study) == {"train": 2, "test": 1}


def write_series(
    path: Path, start_s: float = 0.0, step_s: float = 2.0, exponent: int = 0, unit: str = "SECOND"
) -> Path:
    """A dense series of 40 volumes whose header has a long history before its axes."""
    right, left = (
        BrainModelAxis.from_surface(np.arange(3), 9, name=f"cortex_{side}") for side in ("right", "left")
    )
    data = np.random.default_rng(list(path.name.encode())).standard_normal((40, 6)).astype(np.float32)
    image = Cifti2Image(data, (SeriesAxis(start_s, step_s, 40, unit=unit), right + left))
    image.header.matrix[0].series_exponent = exponent
    image.header.matrix.metadata = Cifti2MetaData({"Provenance": "wb_command -cifti-smoothing " * 300})
    image.nifti_header.set_intent("ConnDenseSeries")
    nib.save(image, path)
    return path


@pytest.mark.parametrize(
    ("axis", "tr_s", "start_s"),
    [
        ({}, 2.0, 0.0),
        ({"start_s": 10.0}, 2.0, 10.0),
        ({"start_s": 8000.0, "step_s": 720.0, "exponent": -3}, 0.72, 8.0),
        ({"step_s": 0.0}, 0.0, 0.0),
        ({"unit": "HERTZ"}, None, 0.0),
    ],
)
def test_the_series_axis_of_a_cifti_header(
    tmp_path: Path, axis: dict[str, Any], tr_s: float | None, start_s: float
) -> None:
    clock = header_clock(write_series(tmp_path / "run.dtseries.nii", **axis))
    assert clock.start_s == pytest.approx(start_s)
    assert clock.tr_s is None if tr_s is None else clock.tr_s == pytest.approx(tr_s)


def surfaces(root: Path, sidecar: dict[str, Any], **axis: Any) -> None:
    func = write_study(root)
    for run in (1, 2, 3):
        name = f"sub-01_task-film_run-{run}_space-fsLR_den-91k_bold"
        write_series(func / f"{name}.dtseries.nii", **axis)
        write_sidecar(func / f"{name}.nii.gz", sidecar)
    for path in [*func.glob("*preproc*"), *func.glob("*mask*")]:
        path.unlink()


@pytest.mark.parametrize(("sidecar", "start_s"), [({}, 10.0), ({"StartTime": 0.5}, 0.5)])
def test_a_series_that_begins_later(tmp_path: Path, sidecar: dict[str, Any], start_s: float) -> None:
    """SeriesStart places the first volume, unless a sidecar does."""
    surfaces(tmp_path, sidecar, start_s=10.0)
    study = opened(tmp_path)
    assert {run.start_s for run in study.runs(1)} == {start_s}
    assert ("SeriesStart" in finding(study, "series-start")) == (start_s == 10.0)


def test_a_series_with_a_step_of_zero(tmp_path: Path) -> None:
    surfaces(tmp_path, {}, step_s=0.0)
    with pytest.raises(InputError, match="TR of 0 s"):
        opened(tmp_path).runs(1)


def test_names_with_leading_zeros_find_their_sidecar(tmp_path: Path) -> None:
    func = write_study(tmp_path, tr_s=0.0)
    rename(func, lambda name: name.replace("run-", "run-0") if name.endswith(".json") else name)
    assert {run.tr_s for run in opened(tmp_path).runs(1)} == {2.0}


@pytest.mark.parametrize(
    ("column", "start_s", "words"), [("", 4.0, "which is used"), ("0", 0.0, "another start")]
)
def test_tables_take_the_series_start_unless_they_say_another(
    tmp_path: Path, column: str, start_s: float, words: str
) -> None:
    clips = "clip_id\tsplit\tsegment\tfilm\tonset_s\tduration_s\n"
    runs = "subject\tsegment\trepeat\tpath\ttr_s\tstart_s\n"
    for segment, split in (("a", "train"), ("b", "test")):
        write_series(tmp_path / f"{segment}.dtseries.nii", start_s=4.0)
        clips += f"{segment}\t{split}\t{segment}\tf.mp4\t0\t2\n"
        runs += f"1\t{segment}\t1\t{segment}.dtseries.nii\t2\t{column}\n"
    (tmp_path / "clips.tsv").write_text(clips), (tmp_path / "runs.tsv").write_text(runs)
    study = open_study("tables", tmp_path)
    assert {run.start_s for run in study.runs(1)} == {start_s}
    assert words in finding(study, "series-start")
