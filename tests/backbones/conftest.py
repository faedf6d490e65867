"""Tiny backbones, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def diffusion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_diffusion_folder(tmp_path_factory.mktemp("diffusion"))


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="session")
def image_classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_image_classifier_folder(tmp_path_factory.mktemp("image_classifier"))


@pytest.fixture(scope="session")
def video_classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_video_classifier_folder(tmp_path_factory.mktemp("video_classifier"))
