"""The command line, called in this process, with the toy stage in the place of preprocess."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mindanim import console, stages
from mindanim.cli.app import main
from mindanim.config import recipes
from mindanim.stages import Stage

TOY = Stage(
    "preprocess",
    "Double some numbers.",
    "tests.ground.toy:ToyConfig",
    "tests.ground.toy:toy",
    reads_artifacts=False,
    data="reads",
)


@dataclass(frozen=True)
class Result:
    """What a call of the command line gave back."""

    code: int
    out: str
    err: str


Call = Callable[..., Result]


@pytest.fixture
def toy_stage(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The toy in the place of preprocess, with recipes that set none of the real stage's options."""
    folder = tmp_path_factory.mktemp("recipes")
    for path in recipes.RECIPES.glob("*.toml"):
        text = re.sub(r"^\[preprocess\]\n(?:[^\[].*\n|\n)*", "", path.read_text(), flags=re.MULTILINE)
        (folder / path.name).write_text(text)
    monkeypatch.setattr(recipes, "RECIPES", folder)
    monkeypatch.setitem(stages.STAGES, "preprocess", TOY)
    monkeypatch.setattr("mindanim.studies.READERS", {"toy": None, "simulated": None, "cc2017": None})


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Call]:
    """Run `mindanim WORDS...` in an empty folder, on a terminal 100 columns wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("TERMINAL_WIDTH", raising=False)

    def call(*words: str) -> Result:
        monkeypatch.setattr("sys.argv", ["mindanim", *words])
        with pytest.raises(SystemExit) as caught:
            main(words)
            raise SystemExit(0)
        captured = capsys.readouterr()
        code = caught.value.code
        return Result(code if isinstance(code, int) else 0, captured.out, captured.err)

    yield call
    console.set_verbosity(console.NORMAL)
