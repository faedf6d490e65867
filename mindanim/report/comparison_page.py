"""A page, and tables, that compare several evaluations clip by clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim.report import conclusions, headings, verdicts
from mindanim.report.latex import escape, named, standing, table, tabular
from mindanim.report.markdown import grid
from mindanim.report.number_format import interval, number, p_value
from mindanim.vocabulary.visible import visible

if TYPE_CHECKING:
    import pandas as pd

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Summary:
    """The content of the page.

    Attributes:
        runs: Name and metrics.json of each evaluation, all comparable.
        differences: `metrics.comparison.compare` of all with the first.
        across: Label -> `metrics.comparison.across_subjects` of the evaluations with that label.
        provenance: One flat record per evaluation, all with the same fields.
    """

    runs: Sequence[tuple[str, dict[str, Any]]]
    differences: pd.DataFrame
    across: Mapping[str, pd.DataFrame]
    provenance: Sequence[Mapping[str, str]] = ()


def write_summary(path: Path, summary: Summary) -> None:
    """Write a self-contained page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "p": p_value,
    }
    page = environment.get_template("comparison.html").render(
        title=title(summary),
        runs=summary.runs,
        groups=_groups(summary),
        standing=verdicts.standing,
        counts=[(name, *verdicts.counts(data["scores"])) for name, data in summary.runs],
        by_chance=conclusions.by_chance,
        provenance=summary.provenance,
        differences=_records(summary.differences),
        tests=headings.tests(summary.differences["p_by"]),
        units=headings.units(summary.differences["unit"]),
        over_units=headings.over_units(summary.runs[0][1]),
        scope=headings.scope(summary.runs[0][1]),
        names=_names(summary),
        across={label: _records(table) for label, table in summary.across.items()},
        first=summary.runs[0][1],
        ends=_ends,
        coarse=coarse(summary),
    )
    path.write_text(visible(page), encoding="utf-8")


def title(summary: Summary) -> str:
    """The study and the number of results."""
    return f"{headings.study(summary.runs[0][1])}: {len(summary.runs)} results compared"


def markdown(summary: Summary) -> str:
    """All scores, means over subjects and differences, as Markdown tables."""
    names = [name for name, _ in summary.runs]
    parts = [f"# {title(summary)}"]
    if (part := summary.runs[0][1]["subset"]) is not None:
        parts.append(f"**Subset: {part}.**")
    for heading, rows in _groups(summary):
        body = [
            [
                f"{first['name']} `{first['id']}`",
                number(first["chance"]),
                *(_cell(score) for score in scores),
            ]
            for first, scores in rows
        ]
        parts += [f"## {heading}", grid(["Metric", "Chance", *names], body)]
    parts.append(
        "In parentheses: 95 % interval and shuffled floor. *Not above*: the score is not reliably above its "
        "shuffled floor. *Gray wins*: it is, but a gray image is reliably better; likewise for other floors."
    )
    for label, means in summary.across.items():
        head = ["Metric", "Mean", "SE over subjects", "95 %, other subjects", "95 %, other films", "Shuffled"]
        head += ["Above floor", "p", "p (Holm)"]
        body = [
            [
                f"`{row['metric']}`",
                number(row["value"]),
                number(row["se"]),
                interval(_ends(row)),
                interval(_ends(row, "films_")),
                number(row["shuffled"]),
                f"{row['above']} of {row['subjects']}",
                p_value(row["p"]),
                p_value(row["p_holm"]),
            ]
            for row in _records(means)
        ]
        parts += [f"## Over subjects{f', {label}' if label else ''}", grid(head, body)]
    tests = headings.tests(summary.differences["p_by"])
    head = ["Metric", "Result", "Difference", "95 %", "Effect size", "p", "p (Holm)", "n"]
    body = [
        [
            f"`{row['metric']}`",
            row["other"],
            number(row["difference"]),
            interval(_ends(row)),
            number(row["effect_size"]),
            p_value(row["p"]),
            p_value(row["p_holm"]),
            str(row["n"]),
        ]
        for row in _records(summary.differences)
    ]
    parts += [
        f"## Differences from {names[0]}, positive is better",
        grid(head, body),
        f"p: {tests} over {headings.units(summary.differences['unit'])}, two-sided. "
        f"{coarse(summary)}".rstrip(),
        headings.scope(summary.runs[0][1]),
    ]
    return "\n\n".join(parts) + "\n"


def coarse(summary: Summary) -> str:
    """Why p values of differences cannot be small here; empty if they can."""
    first = summary.runs[0][1]
    alone = first["unit"] == "blocks" and first["blocks"] == 1
    return "With one block no p value can be below 1." if alone else ""


def latex(summary: Summary) -> str:
    """All scores as a booktabs table, each with its shuffled floor and verdict."""
    names = [rf"\multicolumn{{3}}{{c}}{{{escape(name)}}}" for name, _ in summary.runs]
    groups = [
        (
            heading,
            [[named(one), escape(number(one["chance"])), *map(_tex_cells, scores)] for one, scores in rows],
        )
        for heading, rows in _groups(summary)
    ]
    first = summary.runs[0][1]
    caption = escape(f"{title(summary)}. {headings.basis(first)}")
    if first["subset"]:
        caption += rf" \textbf{{Subset: {escape(first['subset'])}.}}"
    caption += (
        r" $\downarrow$: lower is better. $\pm$: standard error. In parentheses: the shuffled floor. "
        "In words and colour: whether the score is reliably above it."
    )
    columns = "lr" + r"r@{\ }r@{\ }l" * len(names)
    return table(caption, title(summary), [tabular(columns, ["", "Chance", *names], groups)])


def _tex_cells(score: dict[str, Any]) -> str:
    """Three cells, so that values align: the value, its floor, and the verdict unless it is plain."""
    error = "" if score["se"] is None else rf" $\pm$ {escape(number(score['se']))}"
    floor = escape(number(score["floors"]["shuffled"]["value"]))
    verdict = "" if verdicts.standing(score) in ("above", verdicts.NO_VALUE) else standing(score)
    return f"{escape(number(score['value']))}{error} & ({floor}) & {verdict}"


def _groups(summary: Summary) -> list[tuple[str, list[tuple[dict[str, Any], list[dict[str, Any]]]]]]:
    """Per group of metrics: its title, and for each metric the first run's entry and those of all runs."""
    tables = [{score["id"]: score for score in data["scores"]} for _, data in summary.runs]
    return [
        (heading, [(score, [table[score["id"]] for table in tables]) for score in scores])
        for heading, scores in headings.grouped(summary.runs[0][1]["scores"])
    ]


def _names(summary: Summary) -> dict[str, str]:
    return {score["id"]: score["name"] for score in summary.runs[0][1]["scores"]}


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with None for NaN."""
    return [
        {str(name): None if value != value else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def _cell(score: dict[str, Any]) -> str:
    standing = verdicts.standing(score)
    if standing == verdicts.NO_VALUE:
        return number(None)
    mark = "" if standing == "above" else f", *{standing}*"
    floor = number(score["floors"]["shuffled"]["value"])
    return f"{number(score['value'])} ({interval(score['ci'])}; {floor}){mark}"


def _ends(row: dict[str, Any], which: str = "") -> tuple[float, float] | None:
    low, high = row[f"{which}ci_low"], row[f"{which}ci_high"]
    return None if low is None else (low, high)
