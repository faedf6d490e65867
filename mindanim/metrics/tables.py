"""metrics.json as Markdown and LaTeX: every score with its floor, chance, ceiling, n and uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_HEAD = ("Metric", "Better", "Score", "95 % interval", "n", "Chance", "Shuffled", "Score - shuffled")
_FLOORS = ("mean-image", "gray", "frozen", "nearest-train", "no-brain")
_CEILINGS = ("oracle", "repeat")
QUOTED = "Quoted, definitions differ"
_TITLES = {
    "semantic": "Semantic",
    "pixel": "Pixel",
    "motion": "Motion",
    "feature": "Decoded features (stage 1)",
}


def table_markdown(data: dict[str, Any]) -> str:
    """The whole of table.md, from the content of metrics.json."""
    parts = [_title(data)]
    if data["subset"]:
        parts.append(f"**Subset: {data['subset']}.**")
    floors = [name for name in _FLOORS if any(name in score["floors"] for score in data["scores"])]
    ceilings = _ceilings(data)
    for group, title in _TITLES.items():
        scores = [score for score in data["scores"] if score["group"] == group]
        if scores:
            head = [*_HEAD, *(name.capitalize() for name in floors)]
            head += [*(name.capitalize() for name in ceilings), "Verdict"]
            parts += [f"## {title}", _grid(head, [_row(score, floors, ceilings) for score in scores])]
    if data["distribution"]:
        parts += ["## The set as a whole", _distribution_grid(data["distribution"])]
    parts += _notes(data)
    if data["motion_test"]:
        parts += ["## Motion shuffle test", _motion_grid(data["motion_test"]), data["motion_test"]["note"]]
    if data["quoted"]:
        ids = list(data["quoted"][0]["scores"])
        rows = [
            [
                f"{row['method']} ({row['year']}), {QUOTED.lower()}",
                *(_short(row["scores"][name]) for name in ids),
            ]
            for row in data["quoted"]
        ]
        parts += [f"## Published rows. {QUOTED}", data["quoted"][0]["warning"], _grid(["Method", *ids], rows)]
    if data["audit"]:
        parts += ["## Audit", "\n".join(f"- {finding['text']}" for finding in data["audit"])]
    return "\n\n".join(parts) + "\n"


def _title(data: dict[str, Any]) -> str:
    height, width = data["resolution"]
    label = f", {data['label']}" if data["label"] else ""
    subject = "" if data["subject"] is None else f", subject {data['subject']}"
    return (
        f"# {data['dataset']}{subject}{label}\n\n"
        f"{data['clips']} clips of {data['frames']} frames, {height} x {width} px. "
        f"Intervals over {data['blocks']} blocks: {data['block_rule']}."
    )


def _ceilings(data: dict[str, Any]) -> list[str]:
    return [
        name
        for name in _CEILINGS
        if name == "oracle" or any(score["ceiling"].get(name) is not None for score in data["scores"])
    ]


def verdict(score: dict[str, Any]) -> str:
    """Whether a score clears its shuffled floor; "not judged" where it never looks at the truth."""
    if score["value"] is None:
        return "no value"
    if score["id"].startswith("clip_pcc."):
        return "not judged"
    return "above floor" if score["above_floor"] else "NOT above floor"


def _row(score: dict[str, Any], floors: Sequence[str], ceilings: Sequence[str]) -> list[str]:
    shuffled = score["floors"]["shuffled"]
    stars = "" if shuffled["p"] is None else f", p {shuffled['p']:.2g}"
    return [
        f"{score['name']} `{score['id']}`",
        score["direction"],
        _short(score["value"]) + ("" if score["se"] is None else f" ± {_short(score['se'])}"),
        _range(score["ci"]),
        str(score["n"]) + (f" ({score['undefined']} undefined)" if score["undefined"] else ""),
        _short(score["chance"]),
        _short(shuffled["value"]),
        f"{_short(shuffled['difference'])} {_range(shuffled['ci'])}{stars}",
        *(_floor(score, name) for name in floors),
        *(_short(score["ceiling"].get(name)) for name in ceilings),
        verdict(score),
    ]


def _floor(score: dict[str, Any], name: str) -> str:
    floor = score["floors"].get(name)
    if floor is None or floor["value"] is None:
        return "-"
    return _short(floor["value"]) + ("" if floor["above"] else " (not beaten)")


def _notes(data: dict[str, Any]) -> list[str]:
    lines = [
        "Differences are signed so that positive is better than the floor. `above floor` means that the "
        "interval of score minus shuffled floor excludes zero; p is that of circular shifts, not corrected "
        "for the number of metrics (metrics.json has it with Holm's correction)."
    ]
    lines += [f"Ceiling {entry['ceiling']}: {entry['reason']}" for entry in data["ceilings_missing"]]
    lines += [f"Floor {entry['floor']}: {entry['reason']}" for entry in data["floors_missing"]]
    lines += [f"Not computed: `{entry['id']}`, {entry['reason']}." for entry in data["refused"]]
    return ["\n".join(f"- {line}" for line in lines)]


def _motion_grid(test: dict[str, Any]) -> str:
    head = ["Metric", "Clips", "n", "True order", "Permuted, median", "p (set)", "p (median clip)"]
    head += ["Clips with p <= .05", "Backwards", "p (true over backwards)"]
    rows = []
    for metric in ("epe", "flow.corr"):
        for clips in ("all", "correct"):
            found = test[metric] if clips == "all" else test[metric]["correct"]
            if found is None:
                continue
            null = sorted(found["null"] or [])
            rows.append(
                [
                    f"`{metric}`",
                    clips,
                    str(found["clips"]),
                    _short(found["value"]),
                    _short(null[len(null) // 2]) if null else "-",
                    _short(found["p_set"]),
                    _short(found["p_median"]),
                    _short(found["share_below_05"]),
                    _short(found["reversed"]),
                    _short(found["p_reversed"]),
                ]
            )
    return _grid(head, rows)


def _distribution_grid(entries: Sequence[dict[str, Any]]) -> str:
    head = ["Metric", "Better", "Value", "Two halves of the truth", "n", "Reliable"]
    rows = [
        [
            f"{entry['name']} `{entry['id']}`",
            entry["direction"],
            _short(entry["value"]),
            _short(entry["halves"]),
            str(entry["n"]),
            "yes" if entry["reliable"] else f"NO: it needs {entry['needed']} clips",
        ]
        for entry in entries
    ]
    return _grid(head, rows)


_LATEX = str.maketrans(
    {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\~{}"}
)


def table_latex(data: dict[str, Any]) -> str:
    """The whole of table.tex: a booktabs table to be read into a paper."""
    floors = [name for name in _FLOORS if any(name in score["floors"] for score in data["scores"])]
    ceilings = _ceilings(data)
    head = ["", "Score", r"95\,\% interval", "Chance", "Shuffled", *floors, *ceilings, "Verdict"]
    rows = []
    for group, title in _TITLES.items():
        scores = [score for score in data["scores"] if score["group"] == group]
        if scores:
            rows += [r"\midrule", rf"\multicolumn{{{len(head)}}}{{l}}{{\emph{{{title}}}}} \\"]
            rows += [_latex_row(score, floors, ceilings) for score in scores]
    if data["quoted"]:
        rows += [r"\midrule", rf"\multicolumn{{{len(head)}}}{{l}}{{\emph{{{QUOTED}}}}} \\"]
        rows += [_latex_quoted(row, len(head)) for row in data["quoted"]]
    subset = rf" \textbf{{Subset: {_tex(data['subset'])}.}}" if data["subset"] else ""
    height, width = data["resolution"]
    about = _tex(
        f"{data['dataset']}{'' if data['subject'] is None else ', subject ' + str(data['subject'])}"
        f"{', ' + data['label'] if data['label'] else ''}: {data['clips']} clips of {data['frames']} frames, "
        f"{height} x {width} px. Intervals over {data['blocks']} blocks ({data['block_rule']})."
    )
    lines = [
        "% Needs the packages booktabs and xcolor. Written by mindanim.",
        r"\begin{table}",
        r"\caption{"
        + about
        + subset
        + r" Arrows: lower is better. Scores that do not clear the shuffled floor "
        r"are marked in words and colour.}",
        r"\begin{tabular}{l" + "r" * (len(head) - 2) + "l}",
        r"\toprule",
        " & ".join(head) + r" \\",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(score: dict[str, Any], floors: Sequence[str], ceilings: Sequence[str]) -> str:
    word = verdict(score)
    colour = {"above floor": "green!45!black", "NOT above floor": "red!70!black"}.get(word, "gray")
    arrow = r" $\downarrow$" if score["direction"] == "lower" else ""
    found = (score["floors"].get(name) for name in ("shuffled", *floors))
    cells = [
        _tex(score["name"]) + arrow,
        _short(score["value"]),
        _range(score["ci"]),
        _short(score["chance"]),
        *("-" if floor is None else _short(floor["value"]) for floor in found),
        *(_short(score["ceiling"].get(name)) for name in ceilings),
        rf"\textcolor{{{colour}}}{{{word}}}",
    ]
    return " & ".join(cells) + r" \\"


def _latex_quoted(row: dict[str, Any], columns: int) -> str:
    scores = "; ".join(f"{name} {_short(value)}" for name, value in row["scores"].items())
    words = _tex(f"{row['method']} ({row['year']}): {scores}")
    return rf"\multicolumn{{{columns}}}{{l}}{{{words}}} \\"


def _tex(text: str) -> str:
    return text.translate(_LATEX)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _range(interval: Sequence[float] | None) -> str:
    return "-" if interval is None else f"[{_short(interval[0])}, {_short(interval[1])}]"


def _short(value: float | None) -> str:
    """Three significant digits; "-" for none."""
    if value is None:
        return "-"
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e+" in text else text
