"""Planted leaks are found, each with an option that removes it; studies without any are silent."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mindanim
from mindanim.errors import InputError
from mindanim.studies.base import Facts
from mindanim.studies.checks.leakage import audit_clips, close_clips, leave_out
from mindanim.studies.readers.cc2017 import FACTS
from mindanim.vocabulary.clips import Clip, Split
from mindanim.vocabulary.runs import Run
from tests.studies.layouts import SIZES, opened, simulate
from tests.tiny import tiny_clip_folder, tiny_diffusion_folder

FILM = replace(FACTS, lags_s=(4.0,), tr_s=2.0)


def clip(
    clip_id: str,
    split: Split,
    onset_s: float,
    *,
    film: str = "film",
    segment: str = "",
    at_s: float | None = None,
) -> Clip:
    return Clip(clip_id, split, segment or split, film, 1, onset_s, 2.0, at_s)


def run(segment: str, split: Split, path: str = "run.nii", start_s: float = 0.0) -> Run:
    return Run(1, "film", split, segment, 1, Path(path), start_s, 2.0, 100)


BOTH = [run("train", "train"), run("test", "test")]


def codes(clips: list[Clip], runs: list[Run], facts: Facts = FILM, **more: Any) -> list[str]:
    return [finding.code for finding in audit_clips(clips, runs, facts, **more)]


def test_clips_nearer_than_the_haemodynamic_response_in_one_recording() -> None:
    clips = [clip("a", "train", 0), clip("b", "train", 30), clip("c", "test", 11), clip("d", "test", 100)]
    findings = audit_clips(clips, BOTH, FILM)  # a ends 9 s before c begins, c ends 17 s before b begins
    assert [finding.code for finding in findings] == ["close-in-time"]
    assert findings[0].data["pairs"] == [("a", "c")] and findings[0].data["clips"] == ["a"]
    assert "1 test clips" in findings[0].text and "purge_s=10" in findings[0].text
    assert codes(clips, BOTH, window_s=9.0) == []
    left = [one for one in clips if one.clip_id not in close_clips(clips, BOTH, 10.0)]
    assert codes(left, BOTH) == []
    assert codes(clips, [run("train", "train", "1.nii"), run("test", "test", "2.nii")]) == []


def test_closeness_is_on_the_recordings_clock_not_the_films() -> None:
    """Two films in one run, the test film shown right after the training film."""
    clips = [clip("a", "train", 50, at_s=20.0), clip("b", "test", 0, film="other", at_s=22.0)]
    assert codes(clips, BOTH) == ["close-in-time"]
    shifted = [run("train", "train"), run("test", "test", start_s=-60.0)]  # 60 s later on its own clock
    assert codes(clips, shifted) == []


def test_single_responses_share_no_signal() -> None:
    betas = replace(FILM, lags_s=(0.0,), tr_s=2.0)
    assert codes([clip("a", "train", 0), clip("b", "test", 0, film="other", at_s=2.0)], BOTH, betas) == []


def test_spans_of_one_film_on_both_sides() -> None:
    clips = [clip("a", "train", 0), clip("b", "train", 20), clip("c", "test", 21)]
    finding = audit_clips(clips, (), FILM)[0]
    assert (finding.code, finding.data["pairs"]) == ("repeated-spans", [("b", "c")])
    assert codes(leave_out(clips, ["b"]), []) == []
    assert codes([clip("a", "train", 0), clip("c", "test", 2.0)], []) == []  # they only touch


def test_training_segments_that_know_each_other() -> None:
    one, two = clip("a", "train", 0, segment="one"), clip("b", "train", 4, segment="two")
    shared = [run("one", "train"), run("two", "train")]
    assert codes([one, two], shared) == ["validation-neighbours"]
    assert codes([one, replace(two, onset_s=0.0)], []) == ["validation-neighbours"]
    assert codes([one, two], [run("one", "train", "1.nii"), run("two", "train", "2.nii")]) == []


@given(
    onsets=st.lists(st.integers(0, 60), min_size=2, max_size=20, unique=True),
    tests=st.sets(st.integers(0, 19)),
    window_s=st.integers(1, 15),
)
def test_purging_leaves_no_close_pair_and_takes_no_more_than_needed(
    onsets: list[int], tests: set[int], window_s: int
) -> None:
    clips = [
        clip(f"{index}", "test" if index in tests else "train", 3.0 * onset)
        for index, onset in enumerate(onsets)
    ]
    gone = close_clips(clips, BOTH, window_s)
    for one in clips:
        near = [
            other
            for other in clips
            if other.split == "test"
            and one.split == "train"
            and abs(other.onset_s - one.onset_s) - 2 < window_s
        ]
        assert (one.clip_id in gone) == bool(near)


def test_lists_of_clips_to_leave_out(tmp_path: Path) -> None:
    clips = [clip("a", "train", 0), clip("b", "train", 20), clip("c", "test", 40)]
    (tmp_path / "list.txt").write_text("a\n\nc\n")
    assert [one.clip_id for one in leave_out(clips, [f"@{tmp_path / 'list.txt'}"])] == ["b"]
    with pytest.raises(InputError, match="the study does not have: z"):
        leave_out(clips, ["z"])
    with pytest.raises(InputError, match=r"none\.txt does not exist"):
        leave_out(clips, [f"@{tmp_path / 'none.txt'}"])


@pytest.mark.parametrize("layout", SIZES)
def test_simulated_studies_are_clean(layout: str, tmp_path: Path) -> None:
    study = opened(simulate(tmp_path / "study", layout, subjects=1))
    runs = study.runs(study.facts.subjects[0])
    assert audit_clips(study.clips(), runs, study.facts) == []


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A study of tables made of a simulated one, with every leak: a training film shown again as a test film,
    a test segment cut from the end of a training run, one run stored as another, two equal subjects."""
    root = tmp_path_factory.mktemp("planted")
    source = simulate(root / "source", "bids", subjects=1, segments=3, clips=8, test_clips=4)
    folder = root / "study"
    shutil.copytree(source / "stimuli", folder / "films")
    shutil.copy(folder / "films" / "seg1.mp4", folder / "films" / "again.mp4")
    derived = source / "derivatives/fmriprep/sub-01/func"
    runs = ["subject\tsegment\trepeat\tpath\tmask\ttr_s\tstart_s"]
    for subject in (1, 2):
        for film in ("seg1", "seg2", "seg3", "test1"):
            for path in sorted(derived.glob(f"*task-{film}_run-*_desc-preproc_bold.nii.gz")):
                repeat = int(path.name.split("run-")[1][0])
                copy = folder / f"sub{subject}_{film}_{repeat}.nii.gz"
                shutil.copy(path, copy)
                mask = path.with_name(path.name.replace("preproc_bold", "brain_mask"))
                shutil.copy(mask, folder / "mask.nii.gz")
                runs.append(f"{subject}\t{film}\t{repeat}\t{copy.name}\tmask.nii.gz\t2.0\t-4.0")
        runs.append(f"{subject}\tlate\t1\tsub{subject}_seg2_1.nii.gz\tmask.nii.gz\t2.0\t-4.0")
        runs.append(f"{subject}\tcopied\t1\tsub{subject}_test1_1.nii.gz\tmask.nii.gz\t2.0\t-4.0")
    clips = ["clip_id\tsplit\tsegment\tfilm\tonset_s\tduration_s\tcaption"]
    spans = [
        ("seg1", "train", "seg1", 0, 8),
        ("seg2", "train", "seg2", 0, 4),
        ("seg3", "train", "seg3", 0, 8),
    ]
    spans += [
        ("test1", "test", "test1", 0, 4),
        ("late", "test", "seg2", 4, 8),
        ("copied", "test", "again", 0, 4),
    ]
    for segment, split, film, first, stop in spans:
        for index in range(first, stop):
            clips.append(f"{segment}-{index}\t{split}\t{segment}\tfilms/{film}.mp4\t{2 * index}\t2\ta clip")
    (folder / "runs.tsv").write_text("\n".join(runs))
    (folder / "clips.tsv").write_text("\n".join(clips))
    (folder / "study.json").write_text(json.dumps({"lags_s": [6.0]}))
    models = {
        "diffusion": str(tiny_diffusion_folder(root / "diffusion")),
        "clip": str(tiny_clip_folder(root / "clip")),
    }
    return {"dataset": "tables", "data": folder, "work": root / "work", "models": models}


def found(artifact: Any) -> dict[str, dict[str, Any]]:
    return {finding["code"]: finding for finding in artifact.findings}


def test_every_planted_leak_is_found_by_preprocess(planted: dict[str, Any]) -> None:
    given = {name: planted[name] for name in ("dataset", "data", "work")}
    options = {"selection": "variance", "detrend": "none", "voxels": 20}
    made = mindanim.preprocess(subject=1, standardize="transductive", **given, **options)
    findings = found(made)
    assert {"close-in-time", "identical-subjects", "transductive"} <= findings.keys()
    assert findings["close-in-time"]["data"]["clips"] == [f"seg2-{index}" for index in range(4)]
    mended = mindanim.preprocess(subject=1, label="mended", purge_s=10.0, **given, **options)
    assert {"close-in-time", "transductive"}.isdisjoint(found(mended))
    assert "4 clips are left out" in found(mended)["purged"]["text"]
    assert len(mended.array("train_responses.npy")) == len(made.array("train_responses.npy")) - 4


def test_the_repeated_film_is_found_by_encode_stimuli(planted: dict[str, Any]) -> None:
    given = {name: planted[name] for name in ("dataset", "data", "work")}
    made = mindanim.encode_stimuli(**given, **planted["models"], views=1, frames=4)
    finding = found(made)["near-duplicate-clips"]
    assert {tuple(pair[:2]) for pair in finding["data"]["pairs"]} >= {
        (f"seg1-{index}", f"copied-{index}") for index in range(4)
    }
    assert set(finding["data"]["clips"]) >= {f"seg1-{index}" for index in range(4)}
    assert np.all([pair[2] <= 0.12 for pair in finding["data"]["pairs"][:4]])
