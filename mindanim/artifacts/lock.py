"""One writer per artifact folder: file locks that name their holder."""

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

from mindanim.errors import InputError

BEAT_S = 60.0
SILENT_S = 900.0
_MOST_BYTES = 4096
_PATIENCE_S = 0.2
"""Longer than `refuse_held` holds the lock it checks."""


class BusyError(InputError):
    """Another process holds the lock."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` during the block.

    The kernel frees the lock the moment its holder dies. Some network file systems keep locks within one
    host (NFS mounted `nolock`, Lustre mounted `localflock`). The file therefore names its holder, who touches
    it every minute, and a lock of another host counts until it has gone untouched for 15 minutes. On file
    systems without kernel locks `filelock` falls back to a marker file.

    Raises:
        BusyError: another process holds the lock.
        InputError: `path` is not a file.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(
            f"{path} is not a lock file.",
            why="It is a link, a folder or a device.",
            hint="Remove it and run the same command again.",
        )
    lock = filelock.FileLock(path, timeout=_PATIENCE_S)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise _busy(path) from None
    finished = threading.Event()
    try:
        holder = _holder(path)
        if str(holder.get("host", socket.gethostname())) != socket.gethostname() and _age_s(path) < SILENT_S:
            raise _busy(path)
        if "marker" not in holder:
            path.write_text(_record(), encoding="utf-8")
        threading.Thread(target=_beat, args=(path, finished), daemon=True).start()
        try:
            yield
        finally:
            finished.set()
            path.unlink(missing_ok=True)  # while it is held: whoever comes next locks a new file
    finally:
        lock.release()


def refuse_held(path: Path) -> None:
    """Raise BusyError when a running process holds the lock file `path`."""
    if path.exists():
        with locked(path):
            pass


def _record() -> str:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})


def _beat(path: Path, finished: threading.Event) -> None:
    while not finished.wait(BEAT_S):
        with suppress(FileNotFoundError):
            os.utime(path)


def _holder(path: Path) -> dict[str, Any]:
    """What the lock file says about its holder: pid, host, since; `marker` where `filelock` wrote it."""
    try:
        with path.open("rb") as file:  # a crash may leave any bytes, and any number of them
            text = file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    if text.startswith("{"):
        with suppress(ValueError, RecursionError):  # a holder killed in the middle of writing it
            named = json.loads(text)
            return {key: value for key, value in named.items() if isinstance(value, int | str)}
        return {}
    words = text.split()
    if len(words) < 2 or not words[0].isdecimal():
        return {}
    return {"pid": words[0], "host": words[1], "marker": True}


def _age_s(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _busy(path: Path) -> BusyError:
    who = {"pid": "?", "host": "?", "since": "an unknown time"} | _holder(path)
    return BusyError(
        f"Another mindanim is writing next to {path}.",
        why=f"Process {who['pid']} on {who['host']} has held the lock since {who['since']}.",
        hint=f"Wait for it to finish. If that host is down, remove {path} and run again.",
    )
