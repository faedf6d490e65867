"""How the content of metrics.json is titled: the evaluation, its groups of scores, what they rest on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mindanim.errors import InputError
from mindanim.vocabulary.limits import METRICS_SCHEMA

GROUPS = {
    "semantic": "Semantic content",
    "pixel": "Appearance",
    "motion": "Motion",
    "feature": "Decoded features",
}
QUOTED = "Quoted, definitions differ"
_WIDE = 3.0
"""Standard errors to each side from which an interval is called wide: four equally long films and fewer."""


def check_version(metrics: dict[str, Any]) -> None:
    """Refuse a metrics.json whose schema this version cannot read.

    Raises:
        InputError: the schema is another one.
    """
    if metrics["schema_version"] != METRICS_SCHEMA:
        raise InputError(
            f"These metrics have schema {metrics['schema_version']}; the report reads {METRICS_SCHEMA}.",
            why="Another version of mindanim wrote them.",
            hint="Run the evaluation's command again, with --force.",
        )


def title(metrics: dict[str, Any]) -> str:
    """The study, the subject and the label."""
    label = f", {metrics['label']}" if metrics["label"] else ""
    subject = "" if metrics["subject"] is None else f", subject {metrics['subject']}"
    return f"{study(metrics)}{subject}{label}"


def study(metrics: dict[str, Any]) -> str:
    """The study's own name; of metrics that do not record it, the dataset's."""
    return str(metrics.get("study") or metrics["dataset"])


def label_of(result: str) -> str:
    """The label within a result's name, where the subject is known: "seed2" in "sub-01 seed2"."""
    subject, _, label = result.partition(" ")
    return (label or "no label") if subject.startswith("sub-") else result


def basis(metrics: dict[str, Any]) -> str:
    """What the scores are means of, and what their intervals are based on."""
    height, width = metrics["resolution"]
    return f"{metrics['clips']} clips of {metrics['frames']} frames, {height} × {width} px. {scope(metrics)}"


def scope(metrics: dict[str, Any]) -> str:
    """For which films the intervals hold, over what they are, and whether that makes them wide."""
    rule = f" ({metrics['block_rule']})" if metrics.get("block_rule") else ""
    blocks = f"{metrics['blocks']} block{'s' * (metrics['blocks'] != 1)}{rule}"
    if metrics["unit"] == "blocks":
        return (
            f"Intervals hold for these films only. They are over {blocks}. "
            f"{_too_few(metrics['unit_reason'])} cannot show how scores vary between films."
        )
    said = (
        f"Intervals are over {metrics['films']} films and hold for other films of this kind. Those for these "
        f"films only, over {blocks}, are in metrics.json."
    )
    return f"{said} {wide}" if (wide := _wide(metrics)) else said


def _too_few(reason: str) -> str:
    """The reason why films are not the unit, as the subject of a sentence."""
    share = reason.startswith("one film has")
    return f"Films of which {reason}" if share else f"Fewer than three films ({reason})"


def _wide(metrics: dict[str, Any]) -> str:
    """How much wider so few films make the intervals; empty with enough."""
    from scipy.special import stdtrit

    found = [score["over_films"]["df"] for score in metrics["scores"] if score["over_films"]]
    reach = float(stdtrit(max(found), 0.975)) if found else 0.0
    if reach < _WIDE:
        return ""
    return (
        f"With {metrics['films']} films they are wide ({reach:.1f} standard errors to each side, 2.0 with "
        "many films): only large effects can be shown for other films."
    )


def over_units(metrics: dict[str, Any]) -> str:
    """What the intervals are over: "5 films", or "7 blocks of 2 films"."""
    films = f"{metrics['films']} film{'s' * (metrics['films'] != 1)}"
    if metrics["unit"] == "films":
        return films
    return f"{metrics['blocks']} block{'s' * (metrics['blocks'] != 1)} of {films}"


def units(found: Iterable[str]) -> str:
    """Units of several comparisons: "films", "blocks", or both."""
    return " or ".join(sorted(set(found), reverse=True)) or "films"


def grouped(scores: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Title and scores of each group that has any."""
    found = [(title, [one for one in scores if one["group"] == group]) for group, title in GROUPS.items()]
    return [(title, members) for title, members in found if members]


def tests(found: Iterable[str | None]) -> str:
    """The tests that p values come from, in alphabetical order."""
    return " or ".join(sorted({name for name in found if isinstance(name, str)})) or "no test"
