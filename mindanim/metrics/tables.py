"""metrics.json as a text table: every score with its floor, chance, ceiling, n and uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_HEAD = ("Metric", "Better", "Score", "95 % interval", "n", "Chance", "Shuffled", "Score - shuffled")
_FLOORS = ("mean-image", "gray", "frozen", "no-brain")
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
    for group, title in _TITLES.items():
        scores = [score for score in data["scores"] if score["group"] == group]
        if scores:
            head = [*_HEAD, *(name.capitalize() for name in floors), "Oracle", "Above floor"]
            parts += [f"## {title}", _grid(head, [_row(score, floors) for score in scores])]
    parts += _notes(data)
    if data["motion_test"]:
        parts += ["## Motion shuffle test", _motion_grid(data["motion_test"]), data["motion_test"]["note"]]
    if data["quoted"]:
        ids = list(data["quoted"][0]["scores"])
        rows = [
            [f"{row['method']} ({row['year']})", *(_short(row["scores"][name]) for name in ids)]
            for row in data["quoted"]
        ]
        parts += ["## Published rows", data["quoted"][0]["warning"], _grid(["Method", *ids], rows)]
    if data["audit"]:
        parts += ["## Audit", "\n".join(f"- {finding['text']}" for finding in data["audit"])]
    return "\n\n".join(parts) + "\n"


def _title(data: dict[str, Any]) -> str:
    height, width = data["resolution"]
    label = f", {data['label']}" if data["label"] else ""
    return (
        f"# {data['dataset']}, subject {data['subject']}{label}\n\n"
        f"{data['clips']} clips of {data['frames']} frames, {height} x {width} px. "
        f"Intervals over {data['blocks']} blocks: {data['block_rule']}."
    )


def _row(score: dict[str, Any], floors: Sequence[str]) -> list[str]:
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
        _short(score["ceiling"]["oracle"]),
        "yes" if score["above_floor"] else "no",
    ]


def _floor(score: dict[str, Any], name: str) -> str:
    floor = score["floors"].get(name)
    if floor is None or floor["value"] is None:
        return "-"
    return _short(floor["value"]) + ("" if floor["above"] else " (not beaten)")


def _notes(data: dict[str, Any]) -> list[str]:
    lines = [
        "Differences are signed so that positive is better than the floor. `Above floor` means that the "
        "interval of score minus shuffled floor excludes zero; p is that of circular shifts, not corrected "
        "for the number of metrics (metrics.json has it with Holm's correction)."
    ]
    if data["ceiling_missing"]:
        lines.append(f"Oracle: {data['ceiling_missing']}")
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
