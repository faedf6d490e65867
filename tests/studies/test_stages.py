"""Every layout through the stages that read raw data, by their Python face."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mindanim
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
