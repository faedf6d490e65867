"""Tables that come with a study: read as text, with errors that name table, row and column."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mindanim.artifacts.tsv import read_tsv
from mindanim.config.suggestion import suggested
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
    table = read_tsv(path, needed, hint)
    if not table.rows:
        raise InputError(f"{path} has no rows.", hint=hint)
    return [
        {name: "" if cell in EMPTY else cell for name, cell in zip(table.columns, cells, strict=True)}
        | {ROW: str(line)}
        for cells, line in zip(table.rows, table.lines, strict=True)
    ]


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
        comma = value.replace(",", ".", 1)
        hint = f"Write {comma}, with a decimal point." if re.fullmatch(r"-?\d+,\d+", value) else ""
        raise InputError(f"{path}, line {row[ROW]}: {column} is '{value}', not {kind}{bound}.", hint=hint)
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
        "without a row": sorted(known - set(counts)),
        "without a caption": [
            row["clip_id"] for row in rows if not row["caption"] and row["clip_id"] in known
        ],
    }
    why = [f"{len(names)} {fault}: {names_and_more(names)}." for fault, names in faults.items() if names]
    if why:
        if [fault for fault, names in faults.items() if names] == ["without a caption"]:
            hint = "Write a sentence into the column caption of each row: what the clip shows."
        else:
            template = suggested("init captions", "--out", "template")
            hint += f"\nTo write a table of all clips to fill in: {template}"
        raise InputError(f"The captions in {path} do not fit the study's clips.", "\n".join(why), hint)
    return {row["clip_id"]: row["caption"] for row in rows}
