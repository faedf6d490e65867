"""The scores as a table for the terminal, no wider than 100 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mindanim.report import words

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group
    from rich.table import Table

WIDTH = 100
_TOLD = ("Order of frames", "Beaten without a brain", "Beaten without a generator")
_STYLES = {"above": "green", "not above": "red", "no value": "dim", "not judged": "dim"}


def score_table(metrics: dict[str, Any]) -> Group:
    """Every score with its interval, chance, shuffled floor and ceiling, and the summary in one sentence.

    metrics: the content of metrics.json. Raises InputError for another version of its schema.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    words.check_version(metrics)
    table = Table(box=SIMPLE_HEAD, width=WIDTH, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("Metric", ratio=1, no_wrap=True)
    for name, width in (("Score", 8), ("95 % interval", 16), ("Chance", 7), ("Shuffled", 8), ("Oracle", 7)):
        table.add_column(name, justify="right", width=width, no_wrap=True)
    table.add_column("Floor", width=12, no_wrap=True)
    for title, scores in words.grouped(metrics["scores"]):
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
        *(Text(f"{line.title}: {line.text}") for line in words.summary(metrics) if line.title in _TOLD),
    )


def comparison_table(compared: pd.DataFrame, metrics: dict[str, Any]) -> Table:
    """Every difference from the first result with its interval, effect size and corrected p value."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    first = compared["reference"].iloc[0] if len(compared) else ""
    table = Table(
        box=SIMPLE_HEAD, width=WIDTH, pad_edge=False, title=f"Against {first}, positive is better",
        title_justify="left",
    )  # fmt: skip
    table.add_column("Metric", ratio=1, no_wrap=True)
    table.add_column("Result", width=16, no_wrap=True)
    for name, width in (("Difference", 10), ("95 % interval", 17), ("Effect", 7), ("p, Holm", 8)):
        table.add_column(name, justify="right", width=width, no_wrap=True)
    names = {score["id"]: score["name"] for score in metrics["scores"]}
    for row in compared.to_dict("records"):
        known: dict[Any, Any] = {name: None if row[name] != row[name] else row[name] for name in row}
        ends = None if known["ci_low"] is None else (known["ci_low"], known["ci_high"])
        style = "" if ends is None or ends[0] <= 0 <= ends[1] else "green" if ends[0] > 0 else "red"
        table.add_row(
            names[row["metric"]],
            row["other"],
            Text(words.number(known["difference"]), style=style),
            words.interval(ends),
            words.number(known["effect_size"]),
            words.p_value(known["p_holm"]),
        )
    return table


def _row(score: dict[str, Any]) -> tuple[Any, ...]:
    from rich.text import Text

    arrow = "↓" if score["direction"] == "lower" else ""
    verdict = words.standing(score)
    return (
        Text(f"  {score['name']}{' ' + arrow if arrow else ''}"),
        words.number(score["value"]),
        words.interval(score["ci"]),
        words.number(score["chance"]),
        words.number(score["floors"]["shuffled"]["value"]),
        words.number(score["ceiling"].get("oracle")),
        Text(verdict, style=_STYLES.get(verdict, "yellow")),
    )
