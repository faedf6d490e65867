"""The whole road at a small size: from the raw files of a simulated study to a report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mindanim
from mindanim import console
from mindanim.cli.app import main
from mindanim.stages import STAGES
from tests.documentation import ROOT, commands, words

SMALL = {
    "MINDANIM_PREPROCESS_CORRECTION": "none",
    "MINDANIM_ENCODE_STIMULI_VIEWS": "1",
    "MINDANIM_TRAIN_SEMANTIC_DECODER": "ridge",
    "MINDANIM_TRAIN_STRUCTURE_DECODER": "ridge",
    "MINDANIM_TRAIN_MOTION_DECODER": "ridge",
    "MINDANIM_GENERATE_STEPS": "6",
    "MINDANIM_GENERATE_STRENGTH": "0.5",
    "MINDANIM_EVALUATE_BOOTSTRAPS": "200",
    "MINDANIM_EVALUATE_PERMUTATIONS": "99",
    "MINDANIM_EVALUATE_MOTION_PERMUTATIONS": "19",
}
SEVEN = [line for line in commands(ROOT / "README.md") if words(line)[0] in list(STAGES)[:7]]


def run(line: str) -> None:
    """A command of the README, with the simulated study in the place of the real one."""
    line = line.replace("cc2017 --data /data/CC2017", "simulated --data study").replace("cc2017", "simulated")
    try:
        main(words(line))
    except SystemExit as left:
        assert not left.code, line


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The work folder after the seven commands of the README, every one with quick settings."""
    folder = tmp_path_factory.mktemp("pipeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in SMALL.items():
            patch.setenv(name, value)
        films = (
            "segments=4 clips=20 test_segments=2 test_clips=8 test_repeats=4 subjects=1 vertices=400 snr=3"
        )
        run("mindanim simulate --out study " + " ".join(f"--set {option}" for option in films.split()))
        for line in SEVEN:
            if "evaluate" in line:
                run("mindanim generate --subject 1 --label oracle --oracle all")
            run(line)
        yield folder / "mindanim-work"
    console.set_verbosity(console.NORMAL)


def test_the_readme_names_the_seven_stages_in_their_order() -> None:
    assert [words(line)[0] for line in SEVEN] == list(STAGES)[:7]


def test_every_artifact_is_there_with_its_lineage(work: Path) -> None:
    subject = work / "simulated" / "sub-01"
    folders = {path.parent.name for path in subject.glob("*/manifest.json")}
    assert folders == {
        "fmri", "semantic", "structure", "motion", "videos", "videos-oracle", "evaluation",
    }  # fmt: skip
    manifest = json.loads((subject / "evaluation" / "manifest.json").read_text())
    assert {"videos", "stimuli", "fmri"} <= set(manifest["inputs"])


def test_videos_have_the_models_frame_size_and_the_stimulis_frame_count(work: Path) -> None:
    clips = sorted((work / "simulated" / "sub-01" / "videos" / "clips").glob("*.npy"))
    assert len(clips) == 16
    frames = np.load(clips[0])
    assert frames.shape == (8, 64, 64, 3)
    assert frames.dtype == np.uint8


def test_the_oracle_is_closer_to_the_truth_than_the_reconstruction(work: Path) -> None:
    scores = json.loads((work / "simulated" / "sub-01" / "evaluation" / "metrics.json").read_text())["scores"]
    by_id = {score["id"]: score for score in scores}
    for identifier in ("ssim.rgb7", "psnr.db", "flow.corr"):
        assert by_id[identifier]["ceiling"]["oracle"] > by_id[identifier]["value"]


def test_a_second_run_makes_nothing_again(work: Path) -> None:
    manifests = {path: path.stat().st_mtime_ns for path in (work / "simulated").rglob("manifest.json")}
    for line in SEVEN:
        run(line)
    assert manifests == {path: path.stat().st_mtime_ns for path in manifests}


def test_other_options_are_refused_with_the_difference(work: Path) -> None:
    with pytest.raises(mindanim.errors.InputError, match=r"strength") as caught:
        mindanim.generate(subject=1, strength=0.7)
    assert "--label" in str(caught.value)
    assert "--force" in str(caught.value)


def test_the_report_stands_alone(work: Path) -> None:
    report = (work / "simulated" / "sub-01" / "evaluation" / "report.html").read_text()
    assert "<script src=" not in report
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert "ssim.rgb7" in report
