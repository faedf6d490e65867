"""A trial run of the command that trains the shipped backbones."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from examples.demo_backbones.__main__ import main
from examples.demo_backbones.quality import REQUIRED
from mindanim.backbones import load_clip, load_diffusion, load_image_classifier, load_video_classifier


@pytest.fixture
def rehearse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    words = ["--out", str(tmp_path / "set"), "--clips", "24", "--share", "0.0005", "--held-out", "4"]
    monkeypatch.setattr(sys, "argv", ["backbones", *words])
    main()
    return tmp_path / "set"


def test_it_writes_a_readable_set_with_its_card_and_goes_on_where_it_ended(rehearse: Path) -> None:
    before = hashes(rehearse)
    told = json.loads((rehearse / "training.json").read_text(encoding="utf-8"))
    assert set(told["quality"]) == set(REQUIRED)
    assert told["share of the steps"] == 0.0005
    # As many steps as the share says: an untrained set must not look like a trained one.
    assert told["training"]["vae"]["steps"] == 3 and told["quality"]["vae_psnr_db"] < REQUIRED["vae_psnr_db"]
    assert "| no |" in (rehearse / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert load_diffusion(str(rehearse / "diffusion"), "cpu")
    assert load_clip(str(rehearse / "clip"), "cpu")
    assert len(load_image_classifier(str(rehearse / "image_classifier"), "cpu").labels) == 60
    assert len(load_video_classifier(str(rehearse / "video_classifier"), "cpu").labels) == 120

    main()
    assert hashes(rehearse) == before


def hashes(folder: Path) -> dict[str, str]:
    weights = sorted(folder.rglob("*.safetensors"))
    assert len(weights) == 6
    return {str(file.relative_to(folder)): sha256(file.read_bytes()).hexdigest() for file in weights}
