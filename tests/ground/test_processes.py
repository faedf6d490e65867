"""Several processes of one launch share the work on one artifact."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from mindanim import runtime
from mindanim.artifacts import Draft
from tests.ground.toy import make, options

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PROCESSES = 3


def build(draft: Draft) -> None:
    """Each process writes its own clips and its rows of a shared array; one of them writes the rest."""
    rank = runtime.rank()
    shared = draft.open_array("shared.npy", (PROCESSES,), "int64", axes="clip")
    shared[rank] = rank + 1
    shared.flush()
    with draft.write(f"clips/{rank}.txt", unit="text") as path:
        path.write_text(str(rank))
    draft.mark_done(f"clip {rank}")
    draft.save_json("about.json", {"by": rank})
    draft.methods("Said once.")
    draft.finding("once", "Found once.")


def member(rank: int, work: Path, barrier: Any, results: Any) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(PROCESSES))
    runtime.wait_for_all = lambda: barrier.wait(60)
    first = make(work, build=build)
    again = make(work, build=build)
    results.put((rank, first.identity, again.manifest["finished"] == first.manifest["finished"]))


@pytest.fixture
def launched(tmp_path: Path) -> list[tuple[int, str, bool]]:
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(PROCESSES), context.Queue()
    members = [
        context.Process(target=member, args=(rank, tmp_path, barrier, results)) for rank in range(PROCESSES)
    ]
    for process in members:
        process.start()
    found = [results.get(timeout=120) for _ in members]
    for process in members:
        process.join(60)
        assert process.exitcode == 0
    return sorted(found)


def test_all_of_them_make_and_get_one_artifact(
    launched: list[tuple[int, str, bool]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert [rank for rank, _, _ in launched] == list(range(PROCESSES))
    assert len({identity for _, identity, _ in launched}) == 1 and all(same for _, _, same in launched)
    artifact = make(tmp_path, build=build)
    assert artifact.array("shared.npy").tolist() == [1, 2, 3]
    assert artifact.json("about.json") == {"by": 0}
    assert {f"clips/{rank}.txt" for rank in range(PROCESSES)} <= artifact.outputs.keys()
    assert artifact.outputs["clips/2.txt"]["unit"] == "text"
    assert artifact.manifest["methods"] == ["Said once."] and len(artifact.findings) == 1
    assert artifact.manifest["sessions"] == 1 and options(tmp_path).subject == 1
