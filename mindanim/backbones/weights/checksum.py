"""Checksums of large files, computed once and cached by path, size and modification time."""

from __future__ import annotations

import contextlib
import json
import os
from functools import cache
from pathlib import Path

from mindanim.artifacts.files import atomic_path, sha256_of
from mindanim.config.invocation import shared


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content, hexadecimal.

    Cached in ``sha256.json`` in the user's cache folder (``$XDG_CACHE_HOME/mindanim``, otherwise
    ``~/.cache/mindanim``) as long as the file's size and modification time are the same.
    """
    real = path.resolve()
    status = real.stat()
    key = f"{real}|{status.st_size}|{status.st_mtime_ns}"
    known = _remembered(_cache_file())
    if key not in known:
        known[key] = sha256_of(real)
        if shared().dry_run:
            return known[key]
        # A cache folder that is not writable only costs time in the next run.
        with contextlib.suppress(OSError), atomic_path(_cache_file()) as draft:
            draft.write_text(json.dumps(known))
    return known[key]


def _cache_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mindanim" / "sha256.json"


@cache
def _remembered(file: Path) -> dict[str, str]:
    try:
        known = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
