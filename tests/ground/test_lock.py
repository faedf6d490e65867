"""One writer per folder; the dead hold no locks."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mindanim.artifacts import lock as module
from mindanim.artifacts.lock import SILENT_S, BusyError, locked, refuse_held
from mindanim.errors import InputError
from tests.ground.toy import make

HOLD = (
    "import sys, time; from pathlib import Path; from mindanim.artifacts.lock import locked\n"
    "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
)


def write(path: Path, **holder: Any) -> None:
    path.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": "then"} | holder))


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    try:
        yield holder
    finally:
        holder.kill()
        holder.communicate()


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


def test_the_lock_of_another_process_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with held_by_another_process(path) as holder:
        for attempt in (lambda: locked(path).__enter__(), lambda: refuse_held(path)):
            with pytest.raises(BusyError, match=f"Process {holder.pid} on {socket.gethostname()}"):
                attempt()
            assert json.loads(path.read_text())["pid"] == holder.pid


def test_the_lock_of_a_killed_holder_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with held_by_another_process(path) as holder:
        holder.kill()
        holder.wait()
        assert json.loads(path.read_text())["pid"] == holder.pid, "it left its file behind"
        with locked(path):
            assert json.loads(path.read_text())["pid"] == os.getpid()


LEFT = (
    *(b"\0\xff{", b"", b"\0" * 10, b"hello world", b"[1, 2]", b"null", b'{"host": [1]}', b"\xef\xbb\xbf{}"),
    *(b'{"a": ' + b"[" * 4000, b'{"pid": 1' + b"0" * 3000 + b"}", b"x" * 100_000),
)


@pytest.mark.parametrize("content", LEFT)
def test_a_lock_file_of_any_bytes_is_not_in_the_way(tmp_path: Path, content: bytes) -> None:
    """Left by a crash of the machine."""
    for use in (lambda: locked(tmp_path / "x.lock").__enter__(), lambda: refuse_held(tmp_path / "x.lock")):
        (tmp_path / "x.lock").write_bytes(content)
        use()


def test_what_is_no_lock_file_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "gone", "folder", "fifo"):
        with pytest.raises(InputError, match="is not a lock file"), locked(tmp_path / name):
            raise AssertionError("locked")
    assert (tmp_path / "precious").read_text() == "kept"


@pytest.mark.parametrize(("number", "word"), [(signal.SIGHUP, "Hung up"), (signal.SIGTERM, "Terminated")])
def test_a_signal_removes_the_lock_and_is_told_once(tmp_path: Path, number: int, word: str) -> None:
    hold = "from mindanim.cli.boundary import run_guarded\ndef work():\n "
    hold += HOLD.replace("\nwith", "\n with") + "\nrun_guarded(work)"
    words = [sys.executable, "-c", hold, str(tmp_path / "x.lock")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        for _ in range(2):  # as schedulers send it
            holder.send_signal(number)
        _, said = holder.communicate(timeout=60)
    assert holder.returncode == 128 + number and said.count(word) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_nobody_holds_is_not_refused(tmp_path: Path) -> None:
    refuse_held(tmp_path / "x.lock")
    write(tmp_path / "x.lock")
    refuse_held(tmp_path / "x.lock")
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize("content", ["", '{"pid": 12', '{"pid": 12, "host":'])
def test_a_holder_that_has_not_written_its_name_yet(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.lock"
    with held_by_another_process(path):
        path.write_text(content)
        with pytest.raises(BusyError, match=r"Process \? on \?"), locked(path):
            raise AssertionError("two writers")
    path.write_text(content)  # killed in the middle of writing it
    with locked(path):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_file_system_without_kernel_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    path = tmp_path / "x.lock"
    monkeypatch.setattr("fcntl.flock", no_locks)
    for _ in range(2):
        with warnings.catch_warnings(action="ignore", category=UserWarning), locked(path):
            with pytest.raises(BusyError, match=f"Process {os.getpid()} on "), locked(path):
                raise AssertionError("two writers")
            with pytest.raises(BusyError):
                refuse_held(path)
        assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_artifact(tmp_path: Path) -> None:
    with locked(tmp_path / "toy/sub-01/.fmri.lock"), pytest.raises(InputError, match="Another mindanim"):
        make(tmp_path)
