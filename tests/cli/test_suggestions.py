"""Commands that messages suggest: they parse, need no editing beyond capitals, and end with the line."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import mindanim
from mindanim.artifacts import Workspace
from mindanim.artifacts.lineage import refuse_stale
from mindanim.cli.app import SUMMARIES, build_app
from mindanim.config.resolve import Asked
from mindanim.config.run_options import RunOptions
from mindanim.config.suggestion import command
from mindanim.errors import InputError
from mindanim.stages.call import perform, prepare
from tests.ground.toy import make, options

PACKAGE = Path(mindanim.__file__).parent
SUGGESTED = re.compile(rf"\bmindanim (?:{'|'.join(SUMMARIES)})\b(?! -->)")
_TOLD = {"cli/reference.py", "cli/app.py", "artifacts/manifest.py"}  # pages and help texts, not hints


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """Every text that the code of `path` may print, with X for what is filled in; no docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    attributes = {
        id(below.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef)
        for below in node.body
        if isinstance(below, ast.Expr)
    }
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if id(node) in docstrings | attributes | inside:
            continue
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "1" for part in node.values)
            yield node.lineno, "".join(map(str, parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


WRITTEN = [
    (f"{path.relative_to(PACKAGE)}:{number}", line[found.start() :])
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).as_posix() not in _TOLD
    for number, text in texts_of(path)
    for line in text.splitlines()
    if (found := SUGGESTED.search(line))
]


def parses(line: str) -> None:
    """Raise unless the command line accepts `line`; values in capitals stand for the user's own."""
    name, *rest = shlex.split(line)[1:]
    call = typer.main.get_command(build_app(name)).commands[name]  # type: ignore[attr-defined]
    call.make_context(name, [re.sub(r"\b(?:NUMBER|N)\b", "1", word) for word in rest])


@pytest.mark.parametrize(("place", "line"), WRITTEN, ids=lambda value: value)
def test_written_suggestions_run_when_pasted(place: str, line: str) -> None:
    assert not line.endswith("."), f"{place}: a full stop would be pasted too"
    parses(line)


OPTION_AT_THE_END = re.compile(r"--[a-z][\w-]*(?:[ =][\w=.+:/-]+)?[.`]+$")


def test_no_full_stop_follows_an_option() -> None:
    assert not [
        f"{path.relative_to(PACKAGE)}:{number}: {line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in ("config", "report")  # help texts and prose
        for number, text in texts_of(path)
        for line in text.splitlines()
        if OPTION_AT_THE_END.search(line)
    ]


def test_a_suggestion_carries_what_the_command_was_given() -> None:
    run = RunOptions(
        dataset="bids-lab", data="/d/my data", subject=2, work="w o", recipe="demo", study={"clip_s": "2"}
    )
    assert shlex.split(command("encode-stimuli", run)) == [
        *("mindanim", "encode-stimuli", "--dataset", "bids-lab", "--work", "w o", "--recipe", "demo"),
        *("--data", "/d/my data", "--study", "clip_s=2"),
    ]
    assert "--subject 2" in command("train-motion", run) and "--data " not in command("train-motion", run)
    assert command("generate", RunOptions(dataset="hcp", subject=1, recipe="hcp")) == (
        "mindanim generate --dataset hcp --subject 1"
    ), "the usual recipe goes without saying"


def test_a_suggestion_repeats_nothing_that_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text('[run]\ndataset = "bids-lab"\nlabel = "a"\nstudy = { clip_s = 2 }\n')
    run = RunOptions(
        dataset="bids-lab", subject=1, label="a", study={"clip_s": "2"}, config=file, recipe="own-study"
    )
    assert command("generate", run) == f"mindanim generate --config {file} --subject 1"
    assert command("generate", run, label="").endswith("--subject 1 --label ''")


def test_missing_inputs_are_listed_with_the_whole_chain(tmp_path: Path) -> None:
    make(tmp_path, "structure", run={"study": {"clip_s": "2"}})
    run = options(tmp_path, recipe="demo")
    with pytest.raises(InputError) as caught:
        Workspace.of(run).read_all(run, "fmri", "stimuli", "videos")
    lines = caught.value.hint.splitlines()
    assert lines[0] == "Run, in this order:"
    assert [line.split()[1] for line in lines[1:]] == [
        "preprocess", "encode-stimuli", "train-semantic", "train-motion", "generate",
    ]  # fmt: skip
    for line in lines[1:]:
        parses(line)
        assert f"--work {tmp_path}" in line and "--recipe demo" in line
    assert "--study clip_s=2" in lines[1] and "--study" not in lines[3]
    assert "(fmri), encoded stimuli (stimuli), videos in" in caught.value.what


def test_stale_inputs_are_remade_in_order(tmp_path: Path) -> None:
    fmri = make(tmp_path)
    semantic, motion = (make(tmp_path, kind, {"fmri": fmri}) for kind in ("semantic", "motion"))
    videos = make(tmp_path, "videos", {"semantic": semantic, "motion": motion})
    make(tmp_path, factor=5.0, run={"force": True})
    (error,) = refuse_stale({"fmri": fmri, "videos": videos, "motion": motion})
    lines = error.hint.splitlines()
    assert [line.split()[1] for line in lines[1:]] == ["train-semantic", "train-motion", "generate"]
    assert error.what.startswith("The inputs videos (") and len(error.why.splitlines()) == 2
    for line in lines[1:]:
        parses(line)


def test_later_stages_take_the_recipe_of_the_stimuli(tmp_path: Path) -> None:
    make(tmp_path, "stimuli", run={"recipe": "demo"})
    given = {"dataset": "toy", "subject": 1, "work": tmp_path}
    found = prepare("train-semantic", Asked(flags=given))
    assert (found.run.recipe, found.recipe.name) == ("demo", "demo")
    assert found.run_origins["recipe"].startswith("the recipe of the stimuli")
    other = prepare("train-semantic", Asked(flags=given, recipe="improved"))
    assert (other.recipe.name, other.run_origins["recipe"]) == ("improved", "--recipe")
    named = prepare("train-semantic", Asked(flags=given, environment={"MINDANIM_RECIPE": "hcp"}))
    assert named.recipe.name == "hcp"


def test_a_dry_run_is_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    monkeypatch.setenv("TRANSFORMERS_OFFLINE", "")
    monkeypatch.setattr("mindanim.stages.train.train_semantic", lambda config, run: seen.append(run.offline))
    make(tmp_path, "stimuli")
    for dry in (True, False):
        given = {"dataset": "toy", "subject": 1, "work": tmp_path, "dry_run": dry}
        perform(prepare("train-semantic", Asked(flags=given)), ("mindanim",))
    assert seen == [True, False]
