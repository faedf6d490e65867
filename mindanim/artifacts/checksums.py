"""Checksums of files, computed once and remembered until a file changes.

What is remembered is in the user's cache folder (``$XDG_CACHE_HOME/mindanim/sha256``, otherwise
``~/.cache/mindanim/sha256``), one file per folder. A file counts as unchanged as long as its size, inode and
times of modification and of status change are the same; the last of these cannot be set back.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from mindanim.artifacts.files import atomic_path, sha256_of

_UNUSED_S = 365 * 86400.0
"""Age at which the memory of a folder that is not used any more is removed."""


def checksums(folder: Path, names: Iterable[str], *, again: bool = False) -> dict[str, str]:
    """The sha256, in hexadecimal, of some files below a folder, by name.

    Args:
        folder: The folder.
        names: Paths relative to it.
        again: Read all files, also those that are remembered.
    """
    real = folder.resolve()
    known, fresh, found = _remembered(_memory_of(real)), False, {}
    for name in names:
        mark = _mark(f"{real}{os.sep}{name}")
        if again or not _is_entry(before := known.get(name, [])) or before[:-1] != mark:
            known[name], fresh = [*mark, sha256_of(real / name)], True
        found[name] = str(known[name][-1])
    if fresh:
        _write(real)
    return found


def file_sha256(path: Path) -> str:
    """The sha256 of one file, hexadecimal."""
    real = path.resolve()
    return checksums(real.parent, [real.name])[real.name]


def remember(folder: Path, found: dict[str, str]) -> None:
    """Note checksums, by name relative to the folder, that were computed when the files were written."""
    real = folder.resolve()
    known = _remembered(_memory_of(real))
    known.update({name: [*_mark(f"{real}{os.sep}{name}"), value] for name, value in found.items()})
    _write(real)


def _mark(path: str) -> list[int]:
    found = os.stat(path)
    return [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, list) and len(entry) == 5 and isinstance(entry[-1], str)


def _memory_of(folder: Path) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]
    return Path(base) / "mindanim" / "sha256" / f"{name}.json"


@cache
def _remembered(file: Path) -> dict[str, Any]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(folder: Path) -> None:
    """Keep what is known of a folder; a cache folder that is not writable only costs time in the next run."""
    file = _memory_of(folder)
    with contextlib.suppress(OSError, UnicodeEncodeError):
        new = not file.exists()
        with atomic_path(file) as draft:
            draft.write_text(json.dumps(_remembered(file)), encoding="utf-8")
        if new:
            for other in os.scandir(file.parent):
                if other.stat().st_mtime < time.time() - _UNUSED_S:
                    os.unlink(other)
