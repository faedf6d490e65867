"""The scores as a table for the terminal: 80, 100 or 126 columns wide."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mindanim.report import conclusions, headings, verdicts
from mindanim.report.number_format import interval, number, p_value

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

WIDE, WIDTH, NARROW = 126, 100, 80
_REPEATED = ("Not judged", "Frame order", "Beaten without a brain", "Beaten without a generator")
_STYLES = {"above": "green", "not above": "red"} | dict.fromkeys(verdicts.UNJUDGED, "dim")


_COLUMNS: tuple[tuple[str, int, Callable[[dict[str, Any]], str]], ...] = (
    ("Score", 8, lambda score: number(score["value"])),
    ("95 % interval", 16, lambda score: interval(score["ci"])),
    ("Chance", 7, lambda score: number(score["chance"])),
    ("Shuffled", 8, lambda score: number(score["floors"]["shuffled"]["value"])),
    ("Oracle", 7, lambda score: number(score["ceiling"].get("oracle"))),
)
_LEFT_OUT_IF_NARROW = ("Chance", "Oracle")
_LONGEST_VERDICT = len("no-brain wins")


def fitting(columns: int) -> int:
    """The width of the tables in a terminal of `columns` columns."""
    return next((width for width in (WIDE, WIDTH) if columns >= width), NARROW)


def score_table(metrics: dict[str, Any], width: int = WIDTH) -> Group:
    """Every score with its interval, shuffled floor and verdict, above a summary in a few sentences.

    Args:
        metrics: The content of metrics.json.
        width: Columns: 100, 80 (without chance and ceiling) or 126 (with identifiers).

    Raises:
        InputError: metrics.json has another schema.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    headings.check_version(metrics)
    table = Table(box=SIMPLE_HEAD, width=width, pad_edge=False, show_edge=False, padding=0)
    table.add_column("Metric", ratio=1, no_wrap=True)
    identified = width >= WIDE
    if identified:
        table.add_column("Identifier", width=WIDE - WIDTH, no_wrap=True, style="dim")
    shown = [column for column in _COLUMNS if width >= WIDTH or column[0] not in _LEFT_OUT_IF_NARROW]
    for name, wide, _ in shown:
        table.add_column(name, justify="right", width=wide, no_wrap=True)
    table.add_column(" Floor", width=1 + _LONGEST_VERDICT, no_wrap=True)
    for title, scores in headings.grouped(metrics["scores"]):
        table.add_row(Text(title, style="bold"))
        for score in scores:
            cells = (cell(score) for _, _, cell in shown)
            table.add_row(_name(score), *[score["id"]] * identified, *cells, _standing(score))
    high, wide = metrics["resolution"]
    size = f"{metrics['clips']} clips, {metrics['frames']} frames of {high} x {wide} px"
    subset = [Text(f"Subset: {metrics['subset']}", style="yellow")] if metrics["subset"] else []
    return Group(
        Text(f"{headings.title(metrics)}: {size}", style="bold"),
        *subset,
        table,
        Text(conclusions.headline(metrics["scores"])),
        Text(headings.scope(metrics)),
        *(
            Text(f"{line.title}: {line.text}")
            for line in conclusions.summary(metrics)
            if line.title in _REPEATED
        ),
        *[Text("table.md lists the identifiers of these metrics.", style="dim")] * (not identified),
    )


def comparison_table(compared: pd.DataFrame, metrics: dict[str, Any], width: int = WIDTH) -> Table:
    """Differences from the first result, with intervals, effect sizes and Holm-corrected p values."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    first = compared["reference"].iloc[0] if len(compared) else ""
    tests, unit = headings.tests(compared["p_by"]), headings.units(compared["unit"])
    title = f"Difference from {first}, positive is better; p: {tests} over {unit}"
    table = Table(
        box=SIMPLE_HEAD,
        width=width,
        pad_edge=False,
        show_edge=False,
        padding=0,
        title=title,
        title_justify="left",
    )
    table.add_column("Metric", ratio=1, no_wrap=True)
    table.add_column("Result", max_width=16, no_wrap=True)
    wider = width >= WIDTH
    for name, wide in (
        ("Difference", 10),
        ("95 % interval", 16),
        *[("Effect", 7)] * wider,
        ("p, Holm", 7),
    ):
        table.add_column(name, justify="right", width=wide, no_wrap=True)
    names = {score["id"]: score["name"] for score in metrics["scores"]}
    for row in compared.to_dict("records"):
        known: dict[Any, Any] = {name: None if row[name] != row[name] else row[name] for name in row}
        ends = None if known["ci_low"] is None else (known["ci_low"], known["ci_high"])
        style = "" if ends is None or ends[0] <= 0 <= ends[1] else "green" if ends[0] > 0 else "red"
        table.add_row(
            names[row["metric"]],
            headings.label_of(row["other"]),
            Text(number(known["difference"]), style=style),
            interval(ends),
            *[number(known["effect_size"])] * wider,
            p_value(known["p_holm"]),
        )
    return table


def _name(score: dict[str, Any]) -> Text:
    from rich.text import Text

    return Text(f"  {score['name']}{' ↓' if score['direction'] == 'lower' else ''}")


def _standing(score: dict[str, Any]) -> Text:
    from rich.text import Text

    found = verdicts.standing(score)
    return Text(f" {found}", style=_STYLES.get(found, "yellow"))
