"""The reference pages are what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindanim.artifacts.contents import CONTENTS, departures
from mindanim.cli.reference import FOLDER, main, pages
from mindanim.config.names import KINDS, MAKER
from mindanim.stages import STAGES
from tests.ground.toy import make

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["cli.md", "config.md", "artifacts.md"])
def test_the_committed_pages_are_current(name: str) -> None:
    committed = (ROOT / FOLDER / name).read_text(encoding="utf-8")
    assert pages()[name] == committed, "run: python -m mindanim.cli.reference"


def test_they_are_written_below_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    main()
    assert sorted(path.name for path in (tmp_path / FOLDER).iterdir()) == [
        "artifacts.md",
        "cli.md",
        "config.md",
    ]


def test_every_option_has_its_row() -> None:
    page = pages()["config.md"]
    for stage in STAGES.values():
        section = page.split(f"\n## {stage.name}\n")[1].split("\n## ")[0]
        for name in stage.load_config().model_fields:
            assert f"| `{name}`" in section


def test_every_kind_has_its_contents() -> None:
    assert tuple(CONTENTS) == KINDS == tuple(MAKER)


def test_departures_from_the_declared_contents(tmp_path: Path) -> None:
    found = departures(make(tmp_path, "videos"))
    assert "decoded_clip.npy is missing" in found and "values.npy is not declared" in found
