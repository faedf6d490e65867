"""One writer per artifact folder."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mindanim import console
from mindanim.errors import InputError

BEAT_S = 60.0
SILENT_S = 900.0


class BusyError(InputError):
    """Somebody else holds the lock."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` during the block.

    The file names the process and host that hold it, and is touched every minute. A lock is taken over
    when its process no longer runs on this host, or when it is another host's and has not been touched
    for 15 minutes. Raises BusyError when somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "process_start": _process_start(os.getpid()),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if not _take(path, mine):
        _drop_if_stale(path)
        if not _take(path, mine):
            raise _busy(path, _holder(path))
    finished = threading.Event()
    threading.Thread(target=_beat, args=(path, finished), daemon=True).start()
    try:
        yield
    finally:
        finished.set()
        if _holder(path) == mine:
            path.unlink(missing_ok=True)


def refuse_held(path: Path) -> None:
    """Raise BusyError when the lock file `path` is held by a process that still runs."""
    holder = _holder(path)
    if holder is not None and not _stale(path, holder):
        raise _busy(path, holder)


def _beat(path: Path, finished: threading.Event) -> None:
    while not finished.wait(BEAT_S):
        with suppress(FileNotFoundError):
            os.utime(path)


def _take(path: Path, mine: dict[str, Any]) -> bool:
    """Create the lock, content and all, in one step, also on network file systems; False when it is there."""
    beside = path.with_name(f"{path.name}-{os.getpid()}")
    beside.write_text(json.dumps(mine), encoding="utf-8")
    try:
        os.link(beside, path)
    except (FileExistsError, FileNotFoundError):  # someone else was first, and may have cleared up after us
        return False
    except OSError:  # a file system without hard links
        try:
            with path.open("x", encoding="utf-8") as lock:
                lock.write(json.dumps(mine))
        except FileExistsError:
            return False
    finally:
        beside.unlink(missing_ok=True)
    for leftover in path.parent.glob(f"{path.name}-*"):
        leftover.unlink(missing_ok=True)  # of processes killed while they took the lock
    return True


def _drop_if_stale(path: Path) -> None:
    holder = _holder(path)
    if holder is None:
        return
    if not _stale(path, holder):
        raise _busy(path, holder)
    # Renaming first makes sure that of several waiting processes only one removes this very lock.
    aside = path.with_name(f"{path.name}-stale-{os.getpid()}")
    try:
        os.rename(path, aside)
    except FileNotFoundError:
        return
    moved = _holder(aside)
    if moved != holder:
        with suppress(FileExistsError):
            os.link(aside, path)
        aside.unlink(missing_ok=True)
        raise _busy(path, moved)
    aside.unlink()
    console.detail(f"took over the lock of process {holder.get('pid')}, which no longer runs")


def _holder(path: Path) -> dict[str, Any] | None:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def _stale(path: Path, holder: dict[str, Any]) -> bool:
    pid = holder.get("pid")
    if holder.get("host") == socket.gethostname() and isinstance(pid, int):
        return not _alive(pid, holder.get("process_start"))
    try:
        return time.time() - path.stat().st_mtime > SILENT_S
    except FileNotFoundError:
        return True


def _alive(pid: int, process_start: str | None) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A process number is used again after a reboot or a long while: the start time tells the two apart.
    started = _process_start(pid)
    return started is None or started == process_start


def _process_start(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; "" for a dead one, None where one cannot know."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[0] == "Z" else fields[19]


def _busy(path: Path, holder: dict[str, Any] | None) -> BusyError:
    who = {"pid": "?", "host": "?", "since": "?"} | (holder or {})
    return BusyError(
        f"Another mindanim is writing beside {path}.",
        why=f"Process {who['pid']} on {who['host']} holds the lock since {who['since']}.",
        hint=f"Wait for it. If that process is dead, remove {path} and run again.",
    )
