"""Files that are either complete or absent: written under a temporary name, flushed, renamed."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WRITING = ".writing-"
_BLOCK = 1 << 20


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A sibling path to write to; it takes the name `path` when the block ends without an error.

    The suffix is kept, because some writers choose a format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{WRITING}{os.getpid()}-{path.name}")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def sync(path: Path) -> None:
    """Flush a file, or the list of names in a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def unpacked_size(path: Path, promised: int) -> tuple[int, str]:
    """The number of bytes a gzip file unpacks to and, if it cannot be unpacked to its end, why.

    The trailer states the unpacked size modulo 2^32 (RFC 1952), of the last member if there are several. It
    is trusted if it agrees with `promised`; otherwise the whole file is unpacked.
    """
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 4, 0))
        if int.from_bytes(file.read(4), "little") == promised % 2**32:
            return promised, ""
    size = 0
    try:
        with gzip.open(path) as packed:
            while chunk := packed.read1(_BLOCK):
                size += len(chunk)
    except (OSError, EOFError, zlib.error) as error:
        return size, f": {error}"
    return size, ""
