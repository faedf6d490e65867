"""table.md: every score with its floors, chance, ceilings, n and uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindanim.report import headings, verdicts
from mindanim.report.number_format import interval, number, p_value, quoted_number

_HEAD = ("Metric", "Better", "Score", "95 % interval", "n", "Chance", "Shuffled", "Score minus shuffled")


def table_markdown(data: dict[str, Any]) -> str:
    """The content of table.md, from that of metrics.json."""
    parts = [_title(data)]
    if data["subset"]:
        parts.append(f"**Subset: {data['subset']}.**")
    floors, ceilings = verdicts.floors_there(data["scores"]), verdicts.ceilings_there(data["scores"])
    head = [*_HEAD, *(name.capitalize() for name in (*floors, *ceilings)), "Floor"]
    for title, scores in headings.grouped(data["scores"]):
        parts += [f"## {title}", grid(head, [_row(score, floors, ceilings) for score in scores])]
    if data["distribution"]:
        parts += ["## The whole set", _distribution_grid(data["distribution"])]
    parts += _notes(data)
    if data["motion_test"]:
        parts += ["## Motion shuffle test", _motion_grid(data["motion_test"]), data["motion_test"]["note"]]
    if data["quoted"]:
        ids = list(data["quoted"][0]["scores"])
        rows = [
            [
                f"{row['method']} ({row['year']}), {headings.QUOTED.lower()}",
                *(quoted_number(row["scores"][name]) for name in ids),
            ]
            for row in data["quoted"]
        ]
        parts += [f"## Published results. {headings.QUOTED}", data["quoted"][0]["warning"]]
        parts.append(grid(["Method", *ids], rows))
    if data["audit"]:
        parts += ["## Audit", "\n".join(f"- {finding['text']}" for finding in data["audit"])]
    return "\n\n".join(parts) + "\n"


def _title(data: dict[str, Any]) -> str:
    return f"# {headings.title(data)}\n\n{headings.basis(data)}"


def _row(score: dict[str, Any], floors: Sequence[str], ceilings: Sequence[str]) -> list[str]:
    shuffled = score["floors"]["shuffled"]
    chance = "" if shuffled["p"] is None else f", p {p_value(shuffled['p'])}"
    return [
        f"{score['name']} `{score['id']}`",
        score["direction"],
        number(score["value"]) + ("" if score["se"] is None else f" ± {number(score['se'])}"),
        interval(score["ci"]),
        str(score["n"]) + (f" ({score['undefined']} undefined)" if score["undefined"] else ""),
        number(score["chance"]),
        number(shuffled["value"]),
        f"{number(shuffled['difference'])} ({interval(shuffled['ci'])}){chance}",
        *(_floor(score, name) for name in floors),
        *(number(score["ceiling"].get(name)) for name in ceilings),
        _standing(score),
    ]


def _floor(score: dict[str, Any], name: str) -> str:
    floor = score["floors"].get(name)
    if floor is None or floor["value"] is None:
        return "–"
    beaten = floor["above"] or floor["ci"] is None  # without an interval there is no verdict
    return number(floor["value"]) + ("" if beaten else " (not beaten)")


def _standing(score: dict[str, Any]) -> str:
    standing = verdicts.standing(score)
    return f"**{standing}**" if standing == "not above" else standing


def _notes(data: dict[str, Any]) -> list[str]:
    lines = [
        "Differences are signed so that positive means better than the floor. *Above*: the interval of the "
        "score minus its shuffled floor is above zero. *Gray wins*: so it is, but a gray image is reliably "
        "better. p: circular shifts within these films, slow trends removed, uncorrected; metrics.json also "
        "has p after Holm's correction."
    ]
    lines += [f"Ceiling {entry['ceiling']}: {entry['reason']}" for entry in data["ceilings_missing"]]
    lines += [f"Floor {entry['floor']}: {entry['reason']}" for entry in data["floors_missing"]]
    lines += [f"Not computed: `{entry['id']}`, {entry['reason']}." for entry in data["refused"]]
    return ["\n".join(f"- {line}" for line in lines)]


def _motion_grid(test: dict[str, Any]) -> str:
    head = ["Metric", "Clips", "n", "True order", "Permuted, median", "p (set)", "p (median clip)"]
    head += ["Clips with p <= .05", "Backwards", "p (true against backwards)"]
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
                    number(found["value"]),
                    number(null[len(null) // 2]) if null else "–",
                    p_value(found["p_set"]),
                    p_value(found["p_median"]),
                    number(found["share_below_05"]),
                    number(found["reversed"]),
                    p_value(found["p_reversed"]),
                ]
            )
    return grid(head, rows)


def _distribution_grid(entries: Sequence[dict[str, Any]]) -> str:
    head = ["Metric", "Better", "Value", "Between halves of the truth", "n", "Reliable"]
    rows = [
        [
            f"{entry['name']} `{entry['id']}`",
            entry["direction"],
            number(entry["value"]),
            number(entry["halves"]),
            str(entry["n"]),
            "yes" if entry["reliable"] else f"NO: needs {entry['needed']} clips",
        ]
        for entry in entries
    ]
    return grid(head, rows)


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
