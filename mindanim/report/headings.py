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
    """The dataset, the subject and the label."""
    label = f", {metrics['label']}" if metrics["label"] else ""
    subject = "" if metrics["subject"] is None else f", subject {metrics['subject']}"
    return f"{metrics['dataset']}{subject}{label}"


def label_of(result: str) -> str:
    """The label within a result's name, where the subject is known: "seed2" in "sub-01 seed2"."""
    subject, _, label = result.partition(" ")
    return (label or "no label") if subject.startswith("sub-") else result


def basis(metrics: dict[str, Any]) -> str:
    """What the scores are means of, and what their intervals are based on."""
    height, width = metrics["resolution"]
    rule = f" ({metrics['block_rule']})" if metrics.get("block_rule") else ""
    return (
        f"{metrics['clips']} clips of {metrics['frames']} frames, {height} × {width} px. "
        f"Intervals are based on {metrics['blocks']} blocks{rule}."
    )


def grouped(scores: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Title and scores of each group that has any."""
    found = [(title, [one for one in scores if one["group"] == group]) for group, title in GROUPS.items()]
    return [(title, members) for title, members in found if members]


def tests(found: Iterable[str | None]) -> str:
    """The tests that p values come from, in alphabetical order."""
    return " or ".join(sorted({name for name in found if isinstance(name, str)})) or "no test"
