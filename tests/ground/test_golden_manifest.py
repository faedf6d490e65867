"""The layout of manifest.json, dataset_description.json and config.toml, which other programs read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mindanim.artifacts import Source
from mindanim.artifacts.manifest import MANIFEST_KEYS
from tests.golden import check
from tests.ground.toy import SOURCE, make

GOLDEN = Path(__file__).parent / "golden"
VOLATILE = ("started", "finished", "version", "versions", "commit", "environment", "command")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "raw"
    data.mkdir()
    (data / "run.nii").write_bytes(b"bold")
    detail = {"root": "/raw", "files": {"run.nii": [4, 1]}, "subject": 1}
    runs = Source("runs", Source.of_files("runs", [data / "run.nii"], data).identity, detail)
    fmri = make(tmp_path / "work", inputs={"runs": runs}, run={"data": data})
    return make(
        tmp_path / "work", "semantic", {"fmri": fmri, "weights": SOURCE}, lags=(4.0, 6.0), limit=3
    ).path


def test_manifest(folder: Path) -> None:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    assert manifest.keys() == {key for keys in MANIFEST_KEYS for key in keys.split(", ")}
    for key in VOLATILE:
        assert manifest[key] is None or manifest[key]
        manifest[key] = "..."
    manifest["run"]["work"] = "..."
    check(GOLDEN / "manifest.json", json.dumps(manifest, indent=2) + "\n")


def test_config_toml(folder: Path) -> None:
    check(GOLDEN / "config.toml", (folder / "config.toml").read_text())


def test_dataset_description(folder: Path) -> None:
    record = json.loads((folder.parents[1] / "dataset_description.json").read_text())
    record["GeneratedBy"][0]["Version"] = "..."
    assert record["SourceDatasets"][0]["URL"].startswith("file:///")
    record["SourceDatasets"][0]["URL"] = "file:///..."
    check(GOLDEN / "dataset_description.json", json.dumps(record, indent=2) + "\n")
