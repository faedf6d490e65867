"""Every layout through the stages that read raw data, by their Python face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mindanim
from mindanim.errors import MindanimError, UsageError
from tests.studies.layouts import SIZES, opened, simulate
from tests.tiny import tiny_clip_folder, tiny_diffusion_folder

PREPROCESS: dict[str, dict[str, Any]] = {
    "cc2017": {"correction": "none", "alpha": 1.0, "detrend_order": 1},
    "hcp": {"selection": "variance", "voxels": 30, "detrend_order": 1},
    "algonauts2021": {"selection": "none", "detrend": "none"},
    "bids": {"selection": "variance", "voxels": 30, "detrend_order": 1},
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "diffusion": str(tiny_diffusion_folder(folder / "diffusion")),
        "clip": str(tiny_clip_folder(folder / "clip")),
    }


@pytest.mark.parametrize("layout", SIZES)
def test_preprocess_and_encode_stimuli(layout: str, models: dict[str, str], tmp_path: Path) -> None:
    root = simulate(tmp_path / "study", layout, snr=20.0, subjects=1)
    study = opened(root)
    subject = study.facts.subjects[0]
    given: dict[str, Any] = {"dataset": "simulated", "data": root, "work": tmp_path / "work"}
    fmri = mindanim.preprocess(subject=subject, **given, **PREPROCESS[layout])
    stimuli = mindanim.encode_stimuli(**given, **models, views=1, frames=4)
    clips = [clip.clip_id for clip in study.clips()]
    assert list(fmri.table("clips.tsv")["clip_id"]) == clips == list(stimuli.table("clips.tsv")["clip_id"])
    tests = sum(clip.split == "test" for clip in study.clips())
    responses = fmri.array("test_repeats.npy")
    assert responses.shape[:2] == (study.facts.repeats["test"], tests)
    assert np.isfinite(responses).all()
    assert fmri.facts["partial"] is False and stimuli.facts["partial"] is False


def test_two_studies_of_one_kind_live_in_one_work_folder(tmp_path: Path) -> None:
    made = {}
    given: dict[str, Any] = {"work": tmp_path / "work", "subject": 1, "study": {"clip_s": "2"}}
    for seed, name in enumerate(("bids", "bids-lab2")):
        root = simulate(tmp_path / f"study{seed}", "bids", subjects=1, seed=seed)
        made[name] = mindanim.preprocess(dataset=name, data=root, **given, **PREPROCESS["bids"])
        assert made[name].path == tmp_path / "work" / name / "sub-01" / "fmri"
    assert made["bids"].identity != made["bids-lab2"].identity
    for name, artifact in made.items():  # each finds its own data again
        assert mindanim.preprocess(dataset=name, **given, **PREPROCESS["bids"]).identity == artifact.identity


@pytest.mark.parametrize("name", ["bids-../elsewhere", "../bids", "bids/lab2", "-bids", ""])
def test_a_name_of_a_study_is_a_folder_of_the_work_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(MindanimError, match="dataset"):
        mindanim.preprocess(dataset=name, data=tmp_path, work=tmp_path / "work", subject=1)


def test_an_unknown_kind_is_refused_with_the_likely_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no study called 'bidz-lab2'\.\nDid you mean 'bids'"):
        mindanim.preprocess(dataset="bidz-lab2", data=tmp_path, work=tmp_path / "work", subject=1)
