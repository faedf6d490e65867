"""Tab-separated tables as people write them: by hand, from R or pandas, saved by Excel.

Quotation marks are ordinary characters, as in BIDS, so one that is never closed swallows no rows; only a cell
that is quoted as a whole, as spreadsheets do, loses its marks.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mindanim.errors import InputError
from mindanim.vocabulary.words import names_and_more

_SEPARATORS = {",": "commas", ";": "semicolons", "  ": "spaces"}


@dataclass(frozen=True)
class Tsv:
    """A table of text cells without surrounding spaces.

    Attributes:
        rows: By row, a cell per column; empty lines are left out.
        lines: Line number of each row in the file, from 1.
    """

    columns: list[str]
    rows: list[list[str]]
    lines: list[int]


def read_tsv(path: Path, needed: Sequence[str] = (), hint: str = "") -> Tsv:
    """Read a table; empty columns and cells to the right of it, which spreadsheets leave, are ignored.

    Args:
        path: The file, UTF-8, with or without a byte order mark, with the line ends of any system.
        needed: Columns that it must have.
        hint: What the table should look like, for the errors.

    Raises:
        InputError: The file is no text, is empty, lacks or repeats a column, has a column without a name, or
            has a row with more cells than columns.
    """
    lines = _text(path, hint).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    filled = [(place, line) for place, line in enumerate(lines, start=1) if line.strip()]
    if not filled:
        raise InputError(f"{path} is empty.", hint=hint)
    columns, *rows = [[_unquoted(cell) for cell in line.split("\t")] for _, line in filled]
    numbers = [place for place, _ in filled[1:]]
    while columns and not columns[-1]:
        columns.pop()
    if missing := [name for name in needed if name not in columns]:
        marks = [] if len(columns) > 1 else [name for mark, name in _SEPARATORS.items() if mark in columns[0]]
        raise InputError(
            f"{path} has no column {', '.join(missing)}.",
            f"Its columns are: {', '.join(columns)}."
            + (f" Is it separated by {marks[0]} instead of tabs?" if marks else ""),
            hint,
        )
    if not all(columns):
        place = columns.index("") + 1
        raise InputError(f"{path}: column {place} has no name.", "The first line names the columns.", hint)
    if twice := [name for name, count in Counter(columns).items() if count > 1]:
        raise InputError(f"{path} has two columns {names_and_more(twice)}.", hint=hint)
    kept, kept_numbers = [], []
    for cells, place in zip(rows, numbers, strict=True):
        if any(cells[len(columns) :]):
            raise InputError(
                f"{path}, line {place}, has more cells than the table has columns.",
                f"It has {len(cells)}, the first line {len(columns)}.",
                hint,
            )
        if any(cells):
            kept.append(cells[: len(columns)] + [""] * (len(columns) - len(cells)))
            kept_numbers.append(place)
    return Tsv(columns, kept, kept_numbers)


def _text(path: Path, hint: str) -> str:
    if path.exists() and not path.is_file():  # a FIFO would keep its reader waiting
        raise InputError(f"{path} is not a regular file.", hint=hint)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read.", str(error), hint) from error
    save = "Save it as UTF-8 text, tab-separated."
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError(f"{path} is not a text file in UTF-8.", "It seems to be UTF-16.", f"{save} {hint}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        why = f"Line {line} has a byte that is not UTF-8, as older Windows and Mac programs write."
        raise InputError(f"{path} is not a text file in UTF-8.", why, f"{save} {hint}") from error
    if "\0" in text:
        raise InputError(f"{path} is not a text file.", "It contains NUL bytes.", f"{save} {hint}")
    return text


def _unquoted(cell: str) -> str:
    """Without the marks around the whole cell, and with pairs of marks inside it read as one."""
    cell = cell.strip()
    inner = cell[1:-1]
    if len(cell) < 2 or not cell[0] == cell[-1] == '"' or '"' in inner.replace('""', ""):
        return cell
    return inner.replace('""', '"').strip()
