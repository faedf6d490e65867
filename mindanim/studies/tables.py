"""Tables that come with a study: read as text, with errors that name table, row and column."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mindanim.errors import InputError
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.numerals import real
from mindanim.vocabulary.words import names_and_more

EMPTY = ("", "n/a")
"""Content of a cell without a value."""
ROW = "#"
"""Key under which a row carries its line number, for messages."""


def read_table(path: Path, needed: Sequence[str], hint: str) -> list[dict[str, str]]:
    """Rows of a TSV by column name, without surrounding spaces; ``n/a`` and missing cells are read as empty.

    Each row carries its line number under ``#``.

    Raises:
        InputError: The file is missing, not text, has no row, lacks or repeats a column, or has a row with
            more cells than columns.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing.", hint=hint)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file.", str(error), hint) from error
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t"))
    except csv.Error as error:
        raise InputError(f"{path} is not a table.", str(error), hint) from error
    if not lines:
        raise InputError(f"{path} is empty.", hint=hint)
    columns = [name.strip() for name in lines[0]]
    if missing := [name for name in needed if name not in columns]:
        likely = (
            " Is it separated by commas instead of tabs?" if len(columns) == 1 and "," in columns[0] else ""
        )
        there = ", ".join(columns)
        raise InputError(
            f"{path} has no column {', '.join(missing)}.", f"Its columns are: {there}.{likely}", hint
        )
    if twice := [name for name, count in Counter(columns).items() if count > 1]:
        raise InputError(f"{path} has two columns {', '.join(twice)}.", hint=hint)
    rows = []
    for place, cells in enumerate(lines[1:], start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            raise InputError(f"{path}, line {place}, has more cells than the table has columns.", hint=hint)
        cells = [*cells, *[""] * (len(columns) - len(cells))]
        values = ["" if cell.strip() in EMPTY else cell.strip() for cell in cells]
        rows.append(dict(zip(columns, values, strict=True)) | {ROW: str(place)})
    if not rows:
        raise InputError(f"{path} has no rows.", hint=hint)
    return rows


def text(path: Path, row: Mapping[str, str], column: str) -> str:
    """A cell that must not be empty."""
    value = row.get(column, "")
    if not value:
        raise InputError(f"{path}, line {row[ROW]}: {column} is empty.", "Every row needs it.")
    return value


def number(
    path: Path,
    row: Mapping[str, str],
    column: str,
    *,
    least: float = 0.0,
    whole: bool = False,
    default: float | None = None,
) -> float:
    """A cell as a finite number of at least ``least``; ``default`` where the cell is empty or not there."""
    if not row.get(column) and default is not None:
        return default
    value = text(path, row, column)
    found = real(value)
    if found is None or not least <= found < float("inf") or whole and found != int(found):
        kind = "a whole number" if whole else "a number"
        bound = f" of {least:g} or more" if least > float("-inf") else ""
        raise InputError(f"{path}, line {row[ROW]}: {column} is '{value}', not {kind}{bound}.")
    return found


def read_captions(path: Path, clips: Sequence[Clip]) -> dict[str, str]:
    """Caption by clip_id from a TSV with the columns clip_id and caption.

    Raises:
        InputError: The table is missing, lacks a column, names a clip twice or an unknown clip, or leaves a
            clip of the study without a caption.
    """
    hint = "Give one row per clip with the columns clip_id and caption, separated by a tab."
    rows = read_table(path, ("clip_id", "caption"), hint)
    counts = Counter(row["clip_id"] for row in rows)
    known = {clip.clip_id for clip in clips}
    faults = {
        "named twice": [clip_id for clip_id, count in counts.items() if count > 1],
        "not a clip of the study": [clip_id for clip_id in counts if clip_id not in known],
        "without a caption": sorted(known - {row["clip_id"] for row in rows if row["caption"]}),
    }
    why = "; ".join(f"{fault}: {names_and_more(names)}" for fault, names in faults.items() if names)
    if why:
        raise InputError(f"The captions in {path} do not fit the study's clips.", why, hint)
    return {row["clip_id"]: row["caption"] for row in rows}
