"""`mindanim show`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mindanim.artifacts import Draft
from tests.cli.conftest import Call
from tests.ground.toy import make

WORK = Path("mindanim-work")


@pytest.fixture
def study(call: Call) -> Call:
    """Two subjects, a stale decoder, an unfinished variant."""
    fmri = make(WORK)
    make(WORK, "semantic", {"fmri": fmri})
    make(WORK, factor=5.0, run={"force": True})
    make(WORK, run={"subject": 2})

    def stopped(draft: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(WORK, build=stopped, run={"label": "odd"})
    return call


def test_the_list_of_all(study: Call) -> None:
    lines = [line.split() for line in study("show").out.splitlines() if line.startswith(" toy")]
    assert [(line[1], line[2], line[3]) for line in lines] == [
        ("01", "fmri", "ready"),
        ("01", "semantic", "stale"),
        ("02", "fmri", "ready"),
        ("01", "fmri-odd", "unfinished"),
    ]


def test_the_list_of_one_subject(study: Call) -> None:
    rows = json.loads(study("show", "--dataset", "toy", "--subject", "2", "--json").out)
    assert [(row["subject"], row["folder"]) for row in rows] == [(2, "fmri")]


def test_an_empty_work_folder(call: Call) -> None:
    assert call("show").out == "There are no artifacts in mindanim-work.\n"


def test_one_artifact(study: Call) -> None:
    result = study("show", str(WORK / "toy/sub-01/semantic/values.npy"))
    assert result.code == 0
    for part in (
        "semantic  mindanim-work/toy/sub-01/semantic",
        "state     stale",
        "factor: 2.0 -> 5.0",
        "rows  3",
        "values.npy",
        "clip feature",
        "3 rows",
        "STALE",
        "numbers aaaaaaaa",
    ):
        assert part in result.out
    assert result.out.index("fmri ") < result.out.index("numbers aaaaaaaa"), (
        "inputs stand below what they made"
    )


def test_one_artifact_as_json(study: Call) -> None:
    shown = json.loads(study("show", str(WORK / "toy/sub-01/semantic"), "--json").out)
    assert shown["state"] == "stale" and len(shown["reasons"]) == 1
    (fmri,) = shown["lineage"]
    assert fmri["name"] == "fmri" and fmri["changed"] and fmri["inputs"][0]["source"]


def test_damage_is_shown(study: Call) -> None:
    (WORK / "toy/sub-02/fmri/values.npy").unlink()
    assert json.loads(study("show", str(WORK / "toy/sub-02/fmri"), "--json").out)["state"] == "damaged"


@pytest.mark.parametrize(("path", "says"), [("nowhere", "does not exist"), (".", "not an artifact")])
def test_what_is_no_artifact(study: Call, path: str, says: str) -> None:
    result = study("show", path)
    assert result.code == 4 and says in result.err


def test_lines_of_a_pipe_can_be_read(call: Call) -> None:
    import pandas as pd

    def wide(draft: Draft) -> None:
        table = pd.DataFrame({"clip_id": ["a"]} | {f"a long name of a metric {n}": [1.0] for n in range(900)})
        draft.save_table("per_clip.tsv", table, units={})

    make(WORK, build=wide)
    shown = call("show", str(WORK / "toy/sub-01/fmri")).out.splitlines()
    lines = [line for line in shown if not line.startswith("made by")]  # the command, to be pasted
    assert max(map(len, lines)) < 200 and any("and 893 more" in line for line in lines)
