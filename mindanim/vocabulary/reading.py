"""The net around parsers of users' files: whatever they raise becomes one error that names the file."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.errors import InputError, MindanimError

_OF_THE_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
_MOST_LETTERS = 300
GET_AGAIN = "Download it again."


@contextmanager
def reading(
    path: Path, what: str, hint: str = GET_AGAIN, *, kind: type[MindanimError] = InputError
) -> Iterator[None]:
    """Turn every error of the block into one that names the file; only calls of parsers belong into it.

    Parsers raise whatever a damaged file leads them to: KeyError, OverflowError, RecursionError, MemoryError.
    Errors of ours, and a full disk, pass unchanged.

    Args:
        path: The file, which must be a regular one: a FIFO would keep its reader waiting.
        what: What it should be, e.g. "NIfTI run".
        hint: What the user can do.
        kind: The class of the error; ConfigError for configuration files.

    Raises:
        MindanimError: Of class `kind`; the parser's own error is its cause.
    """
    try:
        if not path.is_file():
            there = path.exists()
            raise kind(
                f"{path} is not a regular file." if there else f"{path} does not exist.",
                hint=hint if there else "Check the path.",
            )
        yield
    except MindanimError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise
        raise kind(f"{path} is not a readable {what}.", said(error), hint) from error


def said(error: Exception) -> str:
    """What an error says, in one line and not too long, with its class where that is what tells most."""
    text = " ".join(str(error).split())[:_MOST_LETTERS]
    plain = isinstance(error, OSError | ValueError | EOFError) and text
    text = text if plain else f"{type(error).__name__}{': ' if text else ''}{text}"
    return text[0].upper() + text[1:] + ("" if text.endswith(".") else ".")


def map_npy(path: Path, what: str, hint: str = GET_AGAIN) -> NDArray[Any]:
    """The array of a ``.npy`` file, memory-mapped and read-only.

    Raises:
        InputError: It is none, holds Python objects, or claims more bytes than it has.
    """
    with reading(path, what, hint):
        with path.open("rb") as file:
            shape, dtype = npy_header(file)
            held = path.stat().st_size - file.tell()
        check_claim(shape, dtype, held)
        array: NDArray[Any] = np.load(path, mmap_mode="r" if math.prod(shape) else None, allow_pickle=False)
    return array


def npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of the array in an open ``.npy`` file, which is left at the first byte of its data."""
    start = file.read(4)
    if start[:2] == b"PK":
        raise ValueError("it is an archive of several arrays, as .npz is")
    file.seek(-len(start), 1)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"its format {version} is not known")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if any(size < 0 for size in shape):
        raise ValueError(f"its shape {shape} is not possible")
    return shape, dtype


def check_claim(shape: tuple[int, ...], dtype: np.dtype[Any], held: int) -> None:
    """ValueError, with both numbers, where an array of a file has more bytes than the file holds."""
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which may run code")
    if (claimed := math.prod(shape) * dtype.itemsize) > held:
        raise ValueError(f"it claims {claimed:,} bytes and holds {held:,}")


def read_npz(path: Path, names: tuple[str, ...], what: str, hint: str = GET_AGAIN) -> dict[str, NDArray[Any]]:
    """Some arrays of an ``.npz`` archive, by name.

    Raises:
        InputError: It is none, lacks one of them, or one claims more bytes than the archive holds for it.
    """
    with reading(path, what, hint), np.load(path, allow_pickle=False) as archive:
        for name in names:
            with archive.zip.open(f"{name}.npy") as file:
                shape, dtype = npy_header(file)
                check_claim(shape, dtype, archive.zip.getinfo(f"{name}.npy").file_size - file.tell())
        return {name: archive[name] for name in names}
