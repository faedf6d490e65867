"""Discovery of CC2017 and its comparison with the declared facts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mindanim.errors import InputError
from mindanim.studies.base import regular_clips
from mindanim.studies.readers.cc2017 import CC2017, FACTS, segment_of
from tests.cc2017_tree import CORTEX, SUBCORTICAL, write_run

FOLDER = "Subject{0:02d}/video_fmri_dataset/subject{0}/fmri"
SMALL = replace(
    FACTS,
    segments=tuple(
        segment_of(name, 8, 2 if name.startswith("seg") else 3) for name in ("seg1", "seg2", "test1", "test2")
    ),
    dropped={(3, "test2", 2): "it began about 10 s late"},
)


def place(root: Path, subject: int, segment: str, repeat: int) -> Path:
    return root / FOLDER.format(subject) / segment / "cifti" / f"{segment}_{repeat}_Atlas.dtseries.nii"


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Subjects 1 and 3 of a small study in this layout; subject 2 is not there."""
    root = tmp_path_factory.mktemp("cc2017")
    rng = np.random.default_rng(0)
    for subject in (1, 3):
        for segment in SMALL.segments:
            for repeat in range(1, segment.repeats + 1):
                data = rng.standard_normal((segment.volumes, SUBCORTICAL + CORTEX))
                write_run(place(root, subject, segment.name, repeat), data)
    films = root / "Stimuli/video_fmri_dataset/stimuli"
    films.mkdir(parents=True)
    for segment in SMALL.segments:
        (films / f"{segment.name}.mp4").touch()
    return root


@pytest.fixture
def root(master: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(master, tmp_path / "CC2017_Purdue"))


def study(root: Path, **options: bool) -> CC2017:
    return CC2017(root, facts=SMALL, **options)


def test_declared_facts_are_those_of_the_papers() -> None:
    train = [segment for segment in FACTS.segments if segment.split == "train"]
    test = [segment for segment in FACTS.segments if segment.split == "test"]
    assert (len(train), len(test)) == (18, 5)
    assert sum(segment.clips for segment in train) == 4320
    assert sum(segment.clips for segment in test) == 1200
    assert {segment.volumes for segment in train} == {245}
    assert [segment.volumes for segment in test] == [245, 246, 246, 246, 246]
    assert FACTS.repeats == {"train": 2, "test": 10}


@pytest.mark.parametrize("segment", FACTS.segments, ids=lambda segment: segment.name)
def test_default_lag_reads_the_volumes_that_the_released_scripts_keep(segment) -> None:  # type: ignore[no-untyped-def]
    """1-based 2:end-4 of 245 volumes, 3:end-4 of 246."""
    kept = np.arange(1, 241) if segment.volumes == 245 else np.arange(2, 242)
    onsets = np.arange(segment.clips) * FACTS.clip_s
    np.testing.assert_array_equal((onsets + FACTS.lags_s[0] - segment.start_s) / FACTS.tr_s, kept)


def test_clips_are_numbered_from_one_with_training_first() -> None:
    clips = regular_clips(FACTS)
    assert (clips[0].clip_id, clips[-1].clip_id) == ("seg01-0001", "test5-0240")
    assert [clip.split for clip in clips] == ["train"] * 4320 + ["test"] * 1200
    assert clips[6].onset_s == 12.0
    assert clips[6].index == 7
    assert len({clip.clip_id for clip in clips}) == 5520


def test_a_complete_subject_is_found_without_a_finding(root: Path) -> None:
    for given in (root, root.parent):  # the folder itself, or the one that holds it
        found = study(given)
        assert [row.status for row in found.check(1)] == ["ok"]
        runs = found.runs(1)
        assert [run.name for run in runs][:3] == ["seg1 repeat 1", "seg1 repeat 2", "seg2 repeat 1"]
        assert {run.segment: run.start_s for run in runs} == {"seg1": 2, "seg2": 2, "test1": 2, "test2": 0}
        assert all(run.path.is_file() for run in runs)
        assert [film.name for film in found.films()] == ["seg1", "seg2", "test1", "test2"]


def test_bundles_unpacked_into_one_folder_are_read_too(root: Path, tmp_path: Path) -> None:
    merged = tmp_path / "merged"
    shutil.move(root / "Subject01/video_fmri_dataset", merged / "video_fmri_dataset")
    shutil.move(root / "Stimuli/video_fmri_dataset/stimuli", merged / "video_fmri_dataset/stimuli")
    assert len(study(merged).runs(1)) == 10
    assert len(study(merged).films()) == 4


def test_the_late_run_of_subject_3_is_left_out_and_said(root: Path) -> None:
    found = study(root)
    assert "test2 repeat 2" not in [run.name for run in found.runs(3)]
    assert [(row.status, row.code) for row in found.check(3)] == [("ok", "runs"), ("note", "dropped-run")]
    assert "test2_2: it began about 10 s late" in found.check(3)[1].text
    assert FACTS.dropped == {(3, "test2", 9): "it began about 10 s late"}


def remove_run(root: Path) -> None:
    place(root, 1, "seg2", 1).unlink()


def shorten(root: Path) -> None:
    write_run(place(root, 1, "seg2", 1), np.random.default_rng(9).standard_normal((12, SUBCORTICAL + CORTEX)))


def truncate(root: Path) -> None:
    path = place(root, 1, "seg2", 1)
    path.write_bytes(path.read_bytes()[:-100])


def compress(root: Path) -> None:
    path = place(root, 1, "seg2", 1)
    path.rename(path.with_name(path.name + ".gz"))


def copy_within_segment(root: Path) -> None:
    shutil.copy(place(root, 1, "seg2", 2), place(root, 1, "seg2", 1))


def overwrite(root: Path) -> None:
    place(root, 1, "seg2", 1).write_bytes(b"<html>not found</html>")


def make_cifti_1(root: Path) -> None:
    path = place(root, 1, "seg2", 1)
    path.write_bytes(path.read_bytes().replace(b'Version="2.0"', b'Version="1.0"'))


FAULTS = [
    (remove_run, "missing-run", "1 of 10 runs missing: .*seg2_1_Atlas", 9),
    (shorten, "wrong-volumes", "has 12 volumes instead of 13", 9),
    (truncate, "unreadable-run", "seg2_1.* is truncated", 9),
    (compress, "missing-run", "1 of 10 runs missing", 9),
    (copy_within_segment, "duplicate-run", "seg2_1.* and seg2_2", 9),
    (overwrite, "unreadable-run", "not a CIFTI file", 9),
    (make_cifti_1, "unreadable-run", "CIFTI-1", 9),
]


@pytest.mark.parametrize(
    ("damage", "code", "text", "left"), FAULTS, ids=[damage.__name__ for damage, *_ in FAULTS]
)
def test_a_fault_is_an_error_and_with_allow_partial_a_finding(
    root: Path, damage: Callable[[Path], None], code: str, text: str, left: int
) -> None:
    damage(root)
    with pytest.raises(InputError, match=f"(?s){text}") as caught:
        study(root).runs(1)
    assert "--allow-partial" in str(caught.value)
    partial = study(root, allow_partial=True)
    assert len(partial.runs(1)) == left
    assert code in [row.code for row in partial.check(1) if row.status == "problem"]


def test_all_faults_are_reported_together(root: Path) -> None:
    remove_run(root)
    place(root, 1, "test1", 3).write_bytes(b"")
    write_run(place(root, 1, "test2", 1), np.zeros((5, SUBCORTICAL + CORTEX)))
    with pytest.raises(InputError) as caught:
        study(root).runs(1)
    message = str(caught.value)
    assert message.startswith("3 problems")
    assert all(name in message for name in ("seg2_1", "test1_3", "test2_1"))


def test_a_long_list_of_runs_is_cut_short_but_kept_in_the_data(root: Path) -> None:
    for segment in ("seg1", "seg2", "test1", "test2"):
        shutil.rmtree(place(root, 1, segment, 1).parent)
    place(root, 1, "seg1", 1).parent.mkdir()
    with pytest.raises(InputError, match=r"10 of 10 runs missing: .*seg1_1.*test2_1.*; and 2 more"):
        study(root).runs(1)
    missing = study(root).check(1)[1]
    assert len(missing.data["runs"]) == 10
    with pytest.raises(InputError, match="No usable run of subject 1 is left"):
        study(root, allow_partial=True).runs(1)


def test_the_same_data_under_two_films_leaves_neither(root: Path) -> None:
    shutil.copy(place(root, 1, "seg1", 1), place(root, 1, "test1", 1))
    names = [run.name for run in study(root, allow_partial=True).runs(1)]
    assert "seg1 repeat 1" not in names
    assert "test1 repeat 1" not in names


def test_equal_samples_of_unequal_data_are_no_duplicate(root: Path) -> None:
    """The quick signature looks at samples; only equal data blocks count."""
    first, second = place(root, 1, "seg1", 1), place(root, 1, "seg1", 2)
    data = bytearray(first.read_bytes())
    data[-3000] ^= 1
    second.write_bytes(data)
    assert len(study(root).runs(1)) == 10


def test_undeclared_and_misnamed_files_are_notes(root: Path) -> None:
    write_run(place(root, 1, "seg1", 7), np.random.default_rng(3).standard_normal((13, SUBCORTICAL + CORTEX)))
    shutil.copy(place(root, 1, "seg1", 1), place(root, 1, "seg1", 1).with_name("seg1_1.Atlas.dtseries.nii"))
    rows = study(root).check(1)
    assert {row.code for row in rows if row.status == "note"} == {"extra-run", "extra-file"}
    assert len(study(root).runs(1)) == 10


def test_two_subjects_with_the_same_data_are_said(root: Path) -> None:
    shutil.copytree(root / "Subject01", root / "Subject02")
    (root / "Subject02/video_fmri_dataset/subject1").rename(root / "Subject02/video_fmri_dataset/subject2")
    twins = [row for row in study(root).check(1) if row.code == "identical-subjects"]
    assert len(twins) == 1
    assert "10 runs of subjects 1 and 2" in twins[0].text


def test_a_packed_bundle_says_to_unzip_it(tmp_path: Path) -> None:
    (tmp_path / "Subject01").mkdir()
    (tmp_path / "Subject01/bundle.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"unzip .*Subject01/bundle\.zip"):
        study(tmp_path).runs(1)
    with pytest.raises(InputError, match=r"unzip .*bundle\.zip"):
        study(tmp_path / "Subject01")


def test_a_folder_without_the_study_and_an_unknown_subject(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="layout of CC2017"):
        study(tmp_path / "empty")
    with pytest.raises(InputError, match="no subject 7"):
        study(root).runs(7)
    with pytest.raises(InputError, match="There is no folder .*Subject02"):
        study(root).runs(2)


def test_missing_films(root: Path) -> None:
    (root / "Stimuli/video_fmri_dataset/stimuli/seg2.mp4").unlink()
    with pytest.raises(InputError, match=r"1 of 4 films .*seg2\.mp4"):
        study(root).films()
    assert [film.name for film in study(root, allow_partial=True).films()] == ["seg1", "test1", "test2"]


def test_captions_beside_the_study(root: Path) -> None:
    assert study(root).captions() is None
    rows = [f"{clip.clip_id}\tsomething" for clip in study(root).clips()]
    (root / "captions.tsv").write_text("\n".join(["clip_id\tcaption", *rows]))
    captions = study(root).captions()
    assert captions is not None
    assert captions["test2-0008"] == "something"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: rows[:-1], "1 without a row: test2-0008.\nGive one row per clip"),
        (lambda rows: [*rows, rows[0]], "named twice: seg01-0001"),
        (lambda rows: [*rows, "seg99-0001\tx"], "not a clip of the study: seg99-0001"),
        (lambda rows: ["seg01-0001\t ", *rows[1:]], "1 without a caption: seg01-0001.\nWrite a sentence"),
        (lambda rows: [], "has no rows"),
    ],
)
def test_captions_that_do_not_fit(root: Path, change: Callable[[list[str]], list[str]], why: str) -> None:
    rows = change([f"{clip.clip_id}\tsomething" for clip in study(root).clips()])
    (root / "captions.tsv").write_text("\n".join(["clip_id\tcaption", *rows]))
    with pytest.raises(InputError, match=why):
        study(root).captions()
