"""The scores as a table for the terminal, no wider than 100 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindanim.report import words

if TYPE_CHECKING:
    from rich.console import Group

WIDTH = 100
_STYLES = {"above": "green", "not above": "red"}


def score_table(metrics: dict[str, Any]) -> Group:
    """Every score with its interval, chance, shuffled floor and ceiling, and the summary in one sentence.

    metrics: the content of metrics.json. Raises InputError for another version of its schema.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    words.check_version(metrics)
    table = Table(box=SIMPLE_HEAD, width=WIDTH, pad_edge=False, show_edge=False)
    table.add_column("Metric", ratio=1, no_wrap=True)
    for name, width in (("Score", 8), ("95 % interval", 16), ("Chance", 7), ("Shuffled", 8), ("Oracle", 7)):
        table.add_column(name, justify="right", width=width, no_wrap=True)
    table.add_column("Floor", width=10, no_wrap=True)
    for group, title in words.GROUPS.items():
        scores = [score for score in metrics["scores"] if score["group"] == group]
        if scores:
            table.add_row(Text(title, style="bold"))
        for score in scores:
            table.add_row(*_row(score))
    height, width = metrics["resolution"]
    size = f"{metrics['clips']} clips, {metrics['frames']} frames of {height} x {width} px"
    subset = [Text(f"Subset: {metrics['subset']}", style="yellow")] if metrics["subset"] else []
    return Group(
        Text(f"{words.title(metrics)}: {size}", style="bold"),
        *subset,
        table,
        Text(words.headline(metrics["scores"])),
    )


def _row(score: dict[str, Any]) -> tuple[Any, ...]:
    from rich.text import Text

    arrow = "↓" if score["direction"] == "lower" else ""
    verdict = words.verdict(score)
    return (
        Text(f"  {score['name']}{' ' + arrow if arrow else ''}"),
        words.number(score["value"]),
        words.interval(score["ci"]),
        words.number(score["chance"]),
        words.number(score["floors"]["shuffled"]["value"]),
        words.number(score["ceiling"].get("oracle")),
        Text(verdict, style=_STYLES.get(verdict, "dim")),
    )
