"""table.md: every score with its floors, chance, ceilings, n and uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindanim.report import words

_HEAD = ("Metric", "Better", "Score", "95 % interval", "n", "Chance", "Shuffled", "Score less shuffled")


def table_markdown(data: dict[str, Any]) -> str:
    """The whole of table.md, from the content of metrics.json."""
    parts = [_title(data)]
    if data["subset"]:
        parts.append(f"**Subset: {data['subset']}.**")
    floors, ceilings = words.floors_there(data["scores"]), words.ceilings_there(data["scores"])
    head = [*_HEAD, *(name.capitalize() for name in (*floors, *ceilings)), "Floor"]
    for title, scores in words.grouped(data["scores"]):
        parts += [f"## {title}", grid(head, [_row(score, floors, ceilings) for score in scores])]
    if data["distribution"]:
        parts += ["## The set as a whole", _distribution_grid(data["distribution"])]
    parts += _notes(data)
    if data["motion_test"]:
        parts += ["## Motion shuffle test", _motion_grid(data["motion_test"]), data["motion_test"]["note"]]
    if data["quoted"]:
        ids = list(data["quoted"][0]["scores"])
        rows = [
            [
                f"{row['method']} ({row['year']}), {words.QUOTED.lower()}",
                *(words.quoted_number(row["scores"][name]) for name in ids),
            ]
            for row in data["quoted"]
        ]
        parts += [f"## Published rows. {words.QUOTED}", data["quoted"][0]["warning"]]
        parts.append(grid(["Method", *ids], rows))
    if data["audit"]:
        parts += ["## Audit", "\n".join(f"- {finding['text']}" for finding in data["audit"])]
    return "\n\n".join(parts) + "\n"


def _title(data: dict[str, Any]) -> str:
    return f"# {words.title(data)}\n\n{words.basis(data)}"


def _row(score: dict[str, Any], floors: Sequence[str], ceilings: Sequence[str]) -> list[str]:
    shuffled = score["floors"]["shuffled"]
    chance = "" if shuffled["p"] is None else f", p {words.p_value(shuffled['p'])}"
    return [
        f"{score['name']} `{score['id']}`",
        score["direction"],
        words.number(score["value"]) + ("" if score["se"] is None else f" ± {words.number(score['se'])}"),
        words.interval(score["ci"]),
        str(score["n"]) + (f" ({score['undefined']} undefined)" if score["undefined"] else ""),
        words.number(score["chance"]),
        words.number(shuffled["value"]),
        f"{words.number(shuffled['difference'])} ({words.interval(shuffled['ci'])}){chance}",
        *(_floor(score, name) for name in floors),
        *(words.number(score["ceiling"].get(name)) for name in ceilings),
        _standing(score),
    ]


def _floor(score: dict[str, Any], name: str) -> str:
    floor = score["floors"].get(name)
    if floor is None or floor["value"] is None:
        return "–"
    beaten = floor["above"] or floor["ci"] is None  # without an interval nothing is said
    return words.number(floor["value"]) + ("" if beaten else " (not beaten)")


def _standing(score: dict[str, Any]) -> str:
    standing = words.standing(score)
    return f"**{standing}**" if standing == "not above" else standing


def _notes(data: dict[str, Any]) -> list[str]:
    lines = [
        "Differences are signed so that positive is better than the floor. *Above* means that the interval "
        "of the score less its shuffled floor lies above zero; *gray wins*, that it does and yet a gray "
        "image is reliably better. p is that of circular shifts, not corrected for the number of metrics "
        "(metrics.json has it with Holm's correction too)."
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
                    words.number(found["value"]),
                    words.number(null[len(null) // 2]) if null else "–",
                    words.p_value(found["p_set"]),
                    words.p_value(found["p_median"]),
                    words.number(found["share_below_05"]),
                    words.number(found["reversed"]),
                    words.p_value(found["p_reversed"]),
                ]
            )
    return grid(head, rows)


def _distribution_grid(entries: Sequence[dict[str, Any]]) -> str:
    head = ["Metric", "Better", "Value", "Two halves of the truth", "n", "Reliable"]
    rows = [
        [
            f"{entry['name']} `{entry['id']}`",
            entry["direction"],
            words.number(entry["value"]),
            words.number(entry["halves"]),
            str(entry["n"]),
            "yes" if entry["reliable"] else f"NO: it needs {entry['needed']} clips",
        ]
        for entry in entries
    ]
    return grid(head, rows)


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
