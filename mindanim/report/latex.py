"""table.tex: the scores as a booktabs table for a paper."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mindanim.report import headings, verdicts
from mindanim.report.number_format import interval, number, quoted_number

_SIGNS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "“": "``",
    "”": "''",
    **{sign: f"\\{sign}" for sign in "&%_#${}"},
}
_TABLE = str.maketrans(_SIGNS)
_COLOURS = {"above": "green!40!black", "not above": "red!70!black"} | dict.fromkeys(verdicts.UNJUDGED, "gray")
_WINS = "orange!60!black"
_HEADS = {"mean-image": "Mean image", "nearest-train": "Nearest"}


def table_latex(data: dict[str, Any]) -> str:
    """The content of table.tex, from that of metrics.json."""
    floors, ceilings = verdicts.floors_there(data["scores"]), verdicts.ceilings_there(data["scores"])
    head = ["", "Score", r"95\,\% interval", "$n$", "Chance", "Shuffled"]
    head += [_HEADS.get(name, name.capitalize()) for name in (*floors, *ceilings)]
    rows = [
        (title, [_row(score, floors, ceilings) for score in scores])
        for title, scores in headings.grouped(data["scores"])
    ]
    subset = rf" \textbf{{Subset: {escape(data['subset'])}.}}" if data["subset"] else ""
    caption = (
        escape(f"{headings.title(data)}: {headings.basis(data)}")
        + subset
        + r" $\downarrow$: lower is better. "
        "$n$: clips for which the score is defined. "
        "Last column: whether the score is reliably above its shuffled floor, or which other floor is "
        "reliably better."
    )
    parts = [tabular("l" + "r" * (len(head) - 1) + "l", [*head, "Floor"], rows)]
    if data["quoted"]:
        parts += [
            r"\par\medskip",
            rf"\emph{{{headings.QUOTED}.}} {escape(data['quoted'][0]['warning'])}\par\medskip",
        ]
        names = list(data["quoted"][0]["scores"])
        quoted = [
            [
                escape(f"{row['method']} ({row['year']}), quoted"),
                *(escape(quoted_number(row["scores"][name])) for name in names),
            ]
            for row in data["quoted"]
        ]
        parts.append(tabular("l" + "r" * len(names), ["", *map(escape, names)], [("", quoted)]))
    return table(caption, headings.title(data), parts)


def table(caption: str, name: str, parts: Sequence[str]) -> str:
    """A floating table.

    Args:
        caption: In LaTeX.
        name: Plain text to make the label from.
        parts: `tabular`s and the text between them, in LaTeX.
    """
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    lines = [
        r"% Needs \usepackage{booktabs,graphicx,xcolor}. Scaled down if wider than the text:",
        r"% use table* or a landscape page for a larger one. Written by mindanim.",
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        rf"\caption{{{caption}}}",
        rf"\label{{tab:{label}}}\smallskip",
        *parts,
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def tabular(columns: str, head: Sequence[str], groups: Sequence[tuple[str, Sequence[Sequence[str]]]]) -> str:
    """A `tabular` of LaTeX cells, each group under its title, scaled down to the width of the text."""
    span = len(re.sub(r"@\{[^}]*\}", "", columns))
    lines = [
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line(head),
    ]
    for title, rows in groups:
        lines.append(r"\midrule")
        if title:
            lines.append(rf"\multicolumn{{{span}}}{{l}}{{\emph{{{escape(title)}}}}} \\")
        lines += map(_line, rows)
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}"])


def standing(score: dict[str, Any]) -> str:
    """The verdict on a score, in colour."""
    found = verdicts.standing(score)
    return rf"\textcolor{{{_COLOURS.get(found, _WINS)}}}{{{escape(found)}}}"


def named(score: dict[str, Any]) -> str:
    """The name of a score, an arrow where lower is better, and the identifier of the metric."""
    arrow = r" $\downarrow$" if score["direction"] == "lower" else ""
    return rf"{escape(score['name'])}{arrow} \texttt{{\scriptsize {escape(score['id'])}}}"


def escape(text: str) -> str:
    """Plain text with the special characters of LaTeX escaped."""
    return text.translate(_TABLE)


def _row(score: dict[str, Any], floors: Sequence[str], ceilings: Sequence[str]) -> list[str]:
    found = (score["floors"].get(name) for name in ("shuffled", *floors))
    return [
        named(score),
        _value(score["value"]),
        escape(interval(score["ci"])),
        str(score["n"]),
        _value(score["chance"]),
        *(_value(floor["value"] if floor else None) for floor in found),
        *(_value(score["ceiling"].get(name)) for name in ceilings),
        standing(score),
    ]


def _value(value: float | None) -> str:
    return escape(number(value))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
