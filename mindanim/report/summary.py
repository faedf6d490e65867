"""Several evaluations on one page: subjects, labels, and their differences clip by clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim.report import words
from mindanim.report.latex import escape, named, standing, table, tabular
from mindanim.report.markdown import grid

if TYPE_CHECKING:
    import pandas as pd

_PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True)
class Summary:
    """What stands on the page.

    runs: name and content of metrics.json of each, all comparable. differences: `metrics.compare.compare` of
    all with the first. across: label -> `metrics.compare.across_subjects` of the runs that have it.
    provenance: one flat record per evaluation, all with the same fields.
    """

    runs: Sequence[tuple[str, dict[str, Any]]]
    differences: pd.DataFrame
    across: Mapping[str, pd.DataFrame]
    provenance: Sequence[Mapping[str, str]] = ()


def write_summary(path: Path, summary: Summary) -> None:
    """Write a self-contained page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"number": words.number, "interval": words.interval, "p": words.p_value}
    page = environment.get_template("summary.html").render(
        title=title(summary),
        runs=summary.runs,
        groups=_groups(summary),
        standing=words.standing,
        counts=[(name, *words.counts(data["scores"])) for name, data in summary.runs],
        by_chance=words.by_chance,
        provenance=summary.provenance,
        differences=_records(summary.differences),
        tests=words.tests(summary.differences["p_by"]),
        names=_names(summary),
        across={label: _records(table) for label, table in summary.across.items()},
        first=summary.runs[0][1],
        ends=_ends,
        coarse=coarse(summary),
    )
    path.write_text(page, encoding="utf-8")


def title(summary: Summary) -> str:
    """The dataset and how many results are compared."""
    return f"{summary.runs[0][1]['dataset']}: {len(summary.runs)} results compared"


def markdown(summary: Summary) -> str:
    """The scores of all runs, the means over subjects and the differences, as Markdown tables."""
    names = [name for name, _ in summary.runs]
    parts = [f"# {title(summary)}"]
    if (part := summary.runs[0][1]["subset"]) is not None:
        parts.append(f"**Subset: {part}.**")
    for heading, rows in _groups(summary):
        body = [
            [
                f"{first['name']} `{first['id']}`",
                words.number(first["chance"]),
                *(_cell(score) for score in scores),
            ]
            for first, scores in rows
        ]
        parts += [f"## {heading}", grid(["Metric", "Chance", *names], body)]
    parts.append(
        "In parentheses: 95 % interval, and the shuffled floor. "
        "*Not above*: the score does not clear its shuffled floor. *Gray wins*: it does, and yet a gray "
        "image is reliably better; so with the other floors."
    )
    for label, means in summary.across.items():
        head = ["Metric", "Mean", "SE over subjects", "95 % (t)", "Shuffled", "Above floor", "p", "p (Holm)"]
        body = [
            [
                f"`{row['metric']}`",
                words.number(row["value"]),
                words.number(row["se"]),
                words.interval(_ends(row)),
                words.number(row["shuffled"]),
                f"{row['above']} of {row['subjects']}",
                words.p_value(row["p"]),
                words.p_value(row["p_holm"]),
            ]
            for row in _records(means)
        ]
        parts += [f"## Over subjects{f', {label}' if label else ''}", grid(head, body)]
    head = ["Metric", "Result", "Difference", "95 %", "Effect size", "p", "p (Holm)", "n"]
    body = [
        [
            f"`{row['metric']}`",
            row["other"],
            words.number(row["difference"]),
            words.interval(_ends(row)),
            words.number(row["effect_size"]),
            words.p_value(row["p"]),
            words.p_value(row["p_holm"]),
            str(row["n"]),
        ]
        for row in _records(summary.differences)
    ]
    parts += [
        f"## Differences from {names[0]}, positive is better",
        grid(head, body),
        f"p: {words.tests(summary.differences['p_by'])} over blocks, two-sided. {coarse(summary)}".rstrip(),
    ]
    return "\n\n".join(parts) + "\n"


def coarse(summary: Summary) -> str:
    """What keeps the p values of the differences from being small; empty where nothing does."""
    return "With one block no p value can be below 1." if summary.runs[0][1]["blocks"] == 1 else ""


def latex(summary: Summary) -> str:
    """The scores of all runs as a booktabs table; each with its floor, and whether it clears it."""
    names = [rf"\multicolumn{{3}}{{c}}{{{escape(name)}}}" for name, _ in summary.runs]
    groups = [
        (
            heading,
            [
                [named(one), escape(words.number(one["chance"])), *map(_tex_cells, scores)]
                for one, scores in rows
            ],
        )
        for heading, rows in _groups(summary)
    ]
    first = summary.runs[0][1]
    caption = escape(f"{title(summary)}. {words.basis(first)}")
    if first["subset"]:
        caption += rf" \textbf{{Subset: {escape(first['subset'])}.}}"
    caption += (
        r" $\downarrow$: lower is better. $\pm$: standard error. In parentheses: the shuffled floor. "
        "In words and colour: whether a score clears it."
    )
    columns = "lr" + r"r@{\ }r@{\ }l" * len(names)
    return table(caption, title(summary), [tabular(columns, ["", "Chance", *names], groups)])


def _tex_cells(score: dict[str, Any]) -> str:
    """Three cells, so that values stand below each other: the value, its floor, and what there is to say."""
    error = "" if score["se"] is None else rf" $\pm$ {escape(words.number(score['se']))}"
    floor = escape(words.number(score["floors"]["shuffled"]["value"]))
    said = "" if words.standing(score) in ("above", words.NO_VALUE) else standing(score)
    return f"{escape(words.number(score['value']))}{error} & ({floor}) & {said}"


def _groups(summary: Summary) -> list[tuple[str, list[tuple[dict[str, Any], list[dict[str, Any]]]]]]:
    """Per group of metrics: its title, and for each metric the first run's entry and those of all runs."""
    tables = [{score["id"]: score for score in data["scores"]} for _, data in summary.runs]
    return [
        (heading, [(score, [table[score["id"]] for table in tables]) for score in scores])
        for heading, scores in words.grouped(summary.runs[0][1]["scores"])
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
    standing = words.standing(score)
    if standing == words.NO_VALUE:
        return words.number(None)
    mark = "" if standing == "above" else f", *{standing}*"
    floor = words.number(score["floors"]["shuffled"]["value"])
    return f"{words.number(score['value'])} ({words.interval(score['ci'])}; {floor}){mark}"


def _ends(row: dict[str, Any]) -> tuple[float, float] | None:
    return None if row["ci_low"] is None else (row["ci_low"], row["ci_high"])
