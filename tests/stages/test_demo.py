"""`mindanim demo`: which stages it calls, in which order, and what it makes anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mindanim.config.demo import DemoConfig
from mindanim.config.run_options import RunOptions
from mindanim.stages import demo as stage

Calls = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Calls:
    made: Calls = []

    def caller(recipe: str, shared: dict[str, Any]) -> Any:
        def call(name: str, why: str = "", say: Any = None, **flags: Any) -> Any:
            made.append((name, flags))
            return SimpleNamespace(file=lambda file: tmp_path / file)

        return call

    monkeypatch.setattr(stage, "_caller", caller)
    return made


def run(tmp_path: Path, **options: Any) -> None:
    stage.demo(DemoConfig(**options), RunOptions(dataset="simulated", work=tmp_path))


def test_the_stages_are_called_in_the_order_of_the_road(calls: Calls, tmp_path: Path) -> None:
    run(tmp_path)
    names = [name for name, _ in calls]
    assert names[0] == "simulate" and names[-1] == "evaluate"
    assert names.index("preprocess") < names.index("train-semantic") < names.index("generate")
    assert [flags.get("label", "") for name, flags in calls if name == "generate"] == ["", "oracle"]
    assert not calls[-1][1]["force"]


def test_ablations_bring_their_floor_and_ceilings_before_anything_is_scored(
    calls: Calls, tmp_path: Path
) -> None:
    run(tmp_path, ablations=True)
    first = [name for name, _ in calls].index("evaluate")
    made = {flags.get("label"): flags for name, flags in calls[:first] if name == "generate"}
    assert made["nobrain"]["no_brain"] is True
    assert made["odd"]["sets"] == ("repeats=odd",) and made["even"]["sets"] == ("repeats=even",)
    scored = [flags.get("label", "") for name, flags in calls if name == "evaluate"]
    assert scored == ["nosemantic", "nostructure", "nomotion", ""]
    assert not any(flags["force"] for name, flags in calls if name == "evaluate")


def test_an_evaluation_from_before_the_ablations_is_made_anew(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "simulated" / "sub-01" / "evaluation"
    place.mkdir(parents=True)
    (place / "manifest.json").touch()
    inputs: dict[str, Any] = {"videos": {}}
    monkeypatch.setattr(stage.Artifact, "load", lambda path: SimpleNamespace(manifest={"inputs": inputs}))
    run(tmp_path)
    assert not calls[-1][1]["force"], "without ablations it is taken as it is"
    run(tmp_path, ablations=True)
    assert calls[-1][1]["force"]
    inputs |= dict.fromkeys(("no-brain", "odd repeats", "even repeats"), {})
    run(tmp_path, ablations=True)
    assert not calls[-1][1]["force"]
