"""The whole road at a small size: from the raw files of a simulated study to a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mindanim

DECODERS = {
    "train_semantic": {"decoder": "ridge"},
    "train_structure": {"decoder": "ridge"},
    "train_motion": {"decoder": "ridge"},
}
EVALUATION = {"bootstraps": 200, "permutations": 99, "motion_permutations": 19}


def run(work: Path, stage: str, **options: Any) -> Any:
    """One stage on the small study, with quick settings."""
    if stage == "generate":
        options = {"steps": 6, "strength": 0.5} | options
    quick = {"evaluate": EVALUATION, **DECODERS}.get(stage, {})
    subject = {} if stage == "encode_stimuli" else {"subject": 1}
    return getattr(mindanim, stage)(dataset="simulated", work=work, **subject, **quick, **options)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with every stage of subject 1 done."""
    work = tmp_path_factory.mktemp("pipeline")
    films = {"segments": 4, "clips": 20, "test_segments": 2, "test_clips": 8, "test_repeats": 4}
    mindanim.simulate(data=work / "study", work=work, subjects=1, vertices=400, snr=3.0, **films)
    mindanim.encode_stimuli(dataset="simulated", data=work / "study", work=work, views=1)
    run(work, "preprocess", correction="none")
    for stage in (*DECODERS, "generate"):
        run(work, stage)
    run(work, "generate", label="oracle", oracle="all")
    run(work, "evaluate")
    return work


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
    run(work, "preprocess", correction="none")
    for stage in (*DECODERS, "generate", "evaluate"):
        run(work, stage)
    assert manifests == {path: path.stat().st_mtime_ns for path in manifests}


def test_other_options_are_refused_with_the_difference(work: Path) -> None:
    with pytest.raises(mindanim.errors.InputError, match=r"strength") as caught:
        run(work, "generate", strength=0.7)
    assert "--label" in str(caught.value)
    assert "--force" in str(caught.value)


def test_the_report_stands_alone(work: Path) -> None:
    report = (work / "simulated" / "sub-01" / "evaluation" / "report.html").read_text()
    assert "<script src=" not in report
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert "ssim.rgb7" in report
