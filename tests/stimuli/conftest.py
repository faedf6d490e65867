"""Tiny backbones, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of the tiny models, by kind."""
    root = tmp_path_factory.mktemp("models")
    return {
        "diffusion": str(tiny.tiny_diffusion_folder(root / "diffusion")),
        "clip": str(tiny.tiny_clip_folder(root / "clip")),
        "captioner": str(tiny.tiny_captioner_folder(root / "captioner")),
    }
