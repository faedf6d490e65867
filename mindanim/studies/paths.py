"""Paths in a study's tables: whoever wrote them, they must stay within its folder."""

from __future__ import annotations

from pathlib import Path

from mindanim.errors import InputError

_MOST_BYTES = 255
OUTSIDE = "outside"
"""Option of the readers that follow tables: ``--study outside=allow`` lets paths leave the data folder."""


def inside(root: Path, text: str, table: Path, *, allow_outside: bool = False) -> Path:
    """The file that ``text`` in ``table`` means, below ``root``.

    Absolute paths, ``..`` and links that lead out of ``root`` are refused unless ``allow_outside``. Whether
    the file is there is not asked.

    Raises:
        InputError: The path is refused; names path and table.
    """
    if not text.strip() or "\0" in text:
        raise InputError(
            f"{table} has an empty path.", "Every row must name a file.", "Fill it in, or remove the row."
        )
    if (longest := max(len(part.encode(errors="replace")) for part in text.split("/"))) > _MOST_BYTES:
        raise InputError(
            f"{table} names a file '{text[:40]}...', which no file system can hold.",
            f"A part of the name has {longest} bytes; at most {_MOST_BYTES} are possible.",
        )
    path = root / text
    if allow_outside:
        return path
    try:
        within = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # a link that leads to itself
        raise InputError(f"The path '{text}' in {table} does not exist.", str(error)) from error
    if Path(text).is_absolute() or ".." in Path(text).parts or not within:
        raise InputError(
            f"The path '{text}' in {table} is outside {root}.",
            "Tables may come from others, so their paths must stay within the data folder.",
            f"Move the file there, or, if you trust the table, allow it: --study {OUTSIDE}=allow",
        )
    return path
