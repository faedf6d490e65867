"""Killed at any instant: there is no artifact or a complete one, and the next run makes it whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindanim.artifacts import Artifact, Coverage, Draft, Workspace, produce
from mindanim.artifacts.artifact import MANIFEST
from tests.ground.toy import SOURCE, ToyConfig, make, options

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

SYSTEM_CALLS = ("fsync", "replace", "rename", "link", "unlink", "rmdir")


def killed_at(call: int, work: Callable[[], Any]) -> bool:
    """Run `work` in a child, killed before its n-th call that changes the disk; False when it made fewer."""
    child = os.fork()
    if child == 0:
        counted: Iterator[int] = iter(range(call + 1))

        def counting(original: Callable[..., Any]) -> Callable[..., Any]:
            def wrapped(*arguments: Any, **named: Any) -> Any:
                if next(counted, None) == call:
                    os.kill(os.getpid(), signal.SIGKILL)
                return original(*arguments, **named)

            return wrapped

        for name in SYSTEM_CALLS:
            setattr(os, name, counting(getattr(os, name)))
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - the child never returns
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def whole(path: Path) -> Artifact | None:
    """The artifact in `path`, complete to the last byte; None when there is none."""
    if not path.exists():
        return None
    artifact = Artifact.load(path)
    assert artifact.problems() == []
    np.testing.assert_array_equal(artifact.array("filled.npy")[:, 0], artifact.array("values.npy"))
    assert {file.name for file in path.iterdir()} == {*artifact.outputs, MANIFEST, "config.toml", "log.txt"}
    return artifact


def test_killed_at_every_step_of_a_first_build(tmp_path: Path) -> None:
    steps = 0
    for call in range(500):
        work = tmp_path / str(call)
        if not killed_at(call, lambda work=work: make(work)):
            break
        steps += 1
        whole(work / "toy/sub-01/fmri")
        artifact = whole(make(work).path)
        assert artifact is not None and artifact.manifest["methods"] == ["Numbers were multiplied."]
        # The lock of a process killed after its last rename stays until somebody needs it.
        left = {path.name for path in artifact.path.parent.iterdir()}
        assert left - {".fmri.lock"} == {"fmri"}, f"killed at call {call}"
    assert steps > 20, "the loop must have met the calls it is about"


def test_killed_at_every_step_of_a_forced_rebuild(tmp_path: Path) -> None:
    old_and_new = []
    for call in range(500):
        work = tmp_path / str(call)
        old = make(work)
        if not killed_at(call, lambda work=work: make(work, factor=5.0, run={"force": True})):
            break
        left = whole(old.path)
        kept = [path for path in (old.path.parent / ".replaced").glob("*") if whole(path)]
        identities = [artifact.identity for artifact in (left, *map(Artifact.load, kept)) if artifact]
        assert old.identity in identities, "the old artifact is never lost"
        old_and_new.append((left is not None and left.identity == old.identity, bool(kept)))
        run = {} if left is None else {"force": True}
        new = make(work, factor=5.0, run=run)
        assert whole(new.path) is not None and new.identity != old.identity
    assert {(True, False), (False, True)} <= set(old_and_new), "kills before and after the exchange"


def grown(work: Path, rows: int) -> Artifact:
    """An artifact of one file per row, of which any number may be asked for; it is extended when asked."""
    run, asked = options(work), [f"{row}.json" for row in range(rows)]

    def build(draft: Draft) -> None:
        for name in asked:
            if draft.extends is not None and name in draft.extends.outputs:
                with draft.write(name) as path:
                    os.link(draft.extends.file(name), path)
            elif not (draft.path / name).exists():
                draft.save_json(name, {"row": name})

    def covers(there: Artifact) -> Coverage:
        return Coverage("rows are missing" if set(asked) - there.outputs.keys() else "")

    path, config = Workspace.of(run).place(run, "fmri"), ToyConfig()
    inputs = {"numbers": SOURCE}
    return produce("fmri", path, config=config, inputs=inputs, run=run, seed=0, build=build, covers=covers)


def test_killed_at_every_step_of_an_extension(tmp_path: Path) -> None:
    seen = set()
    for call in range(500):
        work = tmp_path / str(call)
        old = grown(work, 2)
        if not killed_at(call, lambda work=work: grown(work, 4)):
            break
        folders = [path for path in (old.path, *old.path.parent.glob(".replaced/*")) if path.exists()]
        left = [Artifact.load(path) for path in folders if (path / MANIFEST).exists()]
        complete = [len(artifact.outputs) for artifact in left if not artifact.problems()]
        assert complete, "the old artifact is never lost"
        seen.add((old.path.exists(), max(complete)))
        new = grown(work, 4)
        assert len(new.outputs) == 4 and new.problems() == []
        assert all(new.file(name) for name in new.outputs)
        assert grown(work, 1).manifest["finished"] == new.manifest["finished"], "fewer rows: nothing to do"
    assert seen == {(True, 2), (False, 2), (True, 4)}, "kills before, within and after the exchange"


SLOW = """
import sys, time
from pathlib import Path
from tests.ground.toy import ToyConfig, build_toy, make

def build(draft):
    build_toy(ToyConfig())(draft)
    print("half-way", flush=True)
    time.sleep(60)

make(Path(sys.argv[1]), build=build)
"""


def test_a_real_process_killed_in_the_middle(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "half-way\n"
        process.kill()
    folder = tmp_path / "toy/sub-01"
    assert not (folder / "fmri").exists() and (folder / ".fmri.lock").exists()
    before = time.monotonic()
    artifact = whole(make(tmp_path).path)
    assert artifact is not None and artifact.manifest["sessions"] == 2
    assert time.monotonic() - before < 30, "a dead process's lock is not waited for"
    assert [path.name for path in folder.iterdir()] == ["fmri"]
