"""Results on stdout: tables for people, JSON for programs."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mindanim.config.resolve import Resolution
from mindanim.vocabulary.visible import visible, visible_json

_WIDTH = 180
"""Of a table that is not printed on a terminal, in characters."""


def print_json(data: Any) -> None:
    """Plain data as indented JSON."""
    print(visible_json(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """An aligned table; in a pipe or file, lines have at most `_WIDTH` characters."""
    cells = [[visible(cell, lines=False) for cell in row] for row in rows]
    if not sys.stdout.isatty() and (lines := _aligned(columns, cells, title)):
        print("\n".join(lines))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    console = Console(width=_WIDTH, file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> list[str]:
    """The lines that rich would print, a thousand rows in a fraction of its time; none if cells must wrap."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    whole = sum(widths) + 3 * (len(widths) - 1)
    if whole + 2 > _WIDTH or cell_len(title) > whole:
        return []

    def line(row: Sequence[str]) -> str:
        parts = (cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True))
        return f" {'   '.join(parts)}".rstrip()

    return [*([title] if title else []), "", line(columns), " " + "\u2500" * whole, *map(line, rows), ""]


def print_rich(tables: Sequence[Any], width: int) -> None:
    """Rich tables of the given width: coloured on a terminal, plain elsewhere."""
    from rich.console import Console

    console = Console(width=width, highlight=False)
    for table in tables:
        console.print(table)


def print_options(resolution: Resolution[Any], as_json: bool) -> None:
    """Every option with its value, unit, origin and help."""
    rows = resolution.explain()
    if as_json:
        print_json({"stage": resolution.stage, "recipe": resolution.recipe.name, "options": rows})
        return
    cells = [(row["option"], _value(row["value"]), row["unit"], row["origin"], row["help"]) for row in rows]
    print_table(("option", "value", "unit", "origin", "meaning"), cells, f"mindanim {resolution.stage}")


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ",".join(f"{key}={item}" for key, item in value.items()) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value in (None, "") else str(value)


def print_pairs(pairs: Mapping[str, str], indent: str = "") -> None:
    """Aligned "name  value" lines."""
    width = max(map(len, pairs), default=0)
    for name, value in pairs.items():
        print(visible(f"{indent}{name:{width}}  {value}", lines=False))


def print_tree(branches: Sequence[tuple[str, Sequence[Any]]], indent: str = "  ") -> None:
    """Labels, each with its own branches below it, indented."""
    for label, below in branches:
        print(visible(f"{indent}{label}", lines=False))
        print_tree(below, indent + "  ")
