"""One writer per folder; the dead hold no locks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mindanim.artifacts import lock as module
from mindanim.artifacts.lock import SILENT_S, locked
from mindanim.errors import InputError
from tests.ground.toy import make


def write(path: Path, **holder: Any) -> None:
    path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": "then"} | holder))


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_it_names_its_holder_and_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.lock"
    with locked(path):
        holder = json.loads(path.read_text())
        assert holder["pid"] == os.getpid() and holder["host"] == socket.gethostname()
    assert list(path.parent.iterdir()) == []


def test_it_goes_away_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path / "x.lock"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_live_holder_is_named(tmp_path: Path) -> None:
    with locked(tmp_path / "x.lock"), pytest.raises(InputError) as caught, locked(tmp_path / "x.lock"):
        raise AssertionError("two writers")
    assert str(os.getpid()) in caught.value.why and socket.gethostname() in caught.value.why
    assert "x.lock" in caught.value.hint


def test_a_dead_holder_is_taken_over(tmp_path: Path, dead: int) -> None:
    write(tmp_path / "x.lock", pid=dead)
    with locked(tmp_path / "x.lock"):
        assert json.loads((tmp_path / "x.lock").read_text())["pid"] == os.getpid()


def test_a_reused_process_number_is_a_dead_holder(tmp_path: Path) -> None:
    write(tmp_path / "x.lock", process_start="1")
    with locked(tmp_path / "x.lock"):
        pass


def test_another_host_is_believed_as_long_as_it_touches_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    write(path, host="elsewhere", pid=1)
    with pytest.raises(InputError, match="elsewhere"), locked(path):
        raise AssertionError("two writers")
    old = path.stat().st_mtime - SILENT_S - 60
    os.utime(path, (old, old))
    with locked(path):
        pass


def test_the_holder_touches_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT_S", 0.01)
    touched = module.threading.Event()
    monkeypatch.setattr(module.os, "utime", lambda path: touched.set())
    with locked(tmp_path / "x.lock"):
        assert touched.wait(30)


def test_a_lock_without_content_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "x.lock").write_text("")
    with pytest.raises(InputError, match="remove"), locked(tmp_path / "x.lock"):
        raise AssertionError("two writers")


def test_a_file_system_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise PermissionError("not here")

    monkeypatch.setattr(module.os, "link", no_links)
    with locked(tmp_path / "x.lock"), pytest.raises(InputError), locked(tmp_path / "x.lock"):
        raise AssertionError("two writers")
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_artifact(tmp_path: Path) -> None:
    with locked(tmp_path / "toy/sub-01/.fmri.lock"), pytest.raises(InputError, match="Another mindanim"):
        make(tmp_path)
