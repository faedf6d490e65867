"""What the numbers say in plain words: what is above its floor, what is not, what does better for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mindanim.errors import InputError
from mindanim.vocabulary.limits import METRICS_SCHEMA

GROUPS = {
    "semantic": "What was seen",
    "pixel": "How it looked",
    "motion": "How it moved",
    "feature": "Decoded features",
}
QUOTED = "Quoted, definitions differ"
CEILINGS = {
    "oracle": "the true features of each clip put through the same generator: the most that any decoder "
    "could reach",
    "repeat": "videos from one half of the repeats scored as if those from the other half were the truth: "
    "how far two readings of the same brain agree, not a bound",
}
FLOORS = {
    "shuffled": "the same reconstructions paired with other clips",
    "mean-image": "the mean training image",
    "gray": "a gray image",
    "frozen": "the first reconstructed frame held still",
    "nearest-train": "the training clip whose features are nearest",
    "no-brain": "the video generated from noise instead of responses",
}
NO_VALUE, SELF_ONLY, NO_FLOOR, NO_INTERVAL = UNJUDGED = ("no value", "not judged", "no floor", "no interval")
"""Verdicts on scores that are neither above their floor nor not: undefined, blind to the truth, without
another clip to pair with, or of clips in a single block."""
_FREE = ("gray", "mean-image", "frozen", "no-brain")
_LOOKED_UP = "nearest-train"
_LIFTED = 0.025
"""Share of scores that chance lifts above the floor: the upper half of what intervals of 95 % miss."""


@dataclass(frozen=True)
class Line:
    """One sentence of the summary. tone: good, bad, or plain."""

    tone: str
    title: str
    text: str


def check_version(metrics: dict[str, Any]) -> None:
    """InputError when metrics.json is of a schema that this report does not know."""
    if metrics["schema_version"] != METRICS_SCHEMA:
        raise InputError(
            f"These metrics have schema {metrics['schema_version']}; the report reads {METRICS_SCHEMA}.",
            why="They were written by another version of mindanim.",
            hint="Evaluate again: mindanim evaluate --force",
        )


def title(metrics: dict[str, Any]) -> str:
    """The dataset, the subject and the label."""
    label = f", {metrics['label']}" if metrics["label"] else ""
    subject = "" if metrics["subject"] is None else f", subject {metrics['subject']}"
    return f"{metrics['dataset']}{subject}{label}"


def label_of(result: str) -> str:
    """The label in the name of a result where the subject is known: that of "sub-01 seed2" is "seed2"."""
    subject, _, label = result.partition(" ")
    return (label or "no label") if subject.startswith("sub-") else result


def basis(metrics: dict[str, Any]) -> str:
    """What the scores are means of, and what their intervals rest on."""
    height, width = metrics["resolution"]
    rule = f" ({metrics['block_rule']})" if metrics.get("block_rule") else ""
    return (
        f"{metrics['clips']} clips of {metrics['frames']} frames, {height} × {width} px. "
        f"Intervals rest on {metrics['blocks']} blocks{rule}."
    )


def grouped(scores: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Title and scores of each group that has any."""
    found = [(title, [one for one in scores if one["group"] == group]) for group, title in GROUPS.items()]
    return [(title, members) for title, members in found if members]


def floors_there(scores: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the floors beside `shuffled` that any of the scores has."""
    return [name for name in FLOORS if name != "shuffled" and any(name in one["floors"] for one in scores)]


def ceilings_there(scores: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the ceilings that any of the scores has; always the oracle, whose absence is to be seen."""
    return [
        name
        for name in CEILINGS
        if name == "oracle" or any(one["ceiling"].get(name) is not None for one in scores)
    ]


def counts(scores: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """How many scores are above their shuffled floor, and how many are judged by it."""
    judged = judged_scores(scores)
    return sum(bool(score["above_floor"]) for score in judged), len(judged)


def by_chance(judged: int) -> str:
    """How many of so many scores lie above their floor by chance, on average."""
    return f"{_LIFTED * judged:.1f}"


def headline(scores: Sequence[dict[str, Any]]) -> str:
    """The summary in a sentence or two: how many are above, how many would be by chance, and whether any is
    left when corrected for their number."""
    above, judged = counts(scores)
    if not judged and any(verdict(score) == NO_INTERVAL for score in scores):
        return "No score here can be judged: the clips are one block, and an interval needs two or more."
    if not judged:
        return "No score here has a floor to stand against."
    floor = "what the same videos reach when they are paired with other clips"
    if not above:
        return f"None of the {judged} scores lies reliably above {floor}."
    counted = f"All {judged} scores" if above == judged else f"{above} of {judged} scores"
    lifted = f"chance alone lifts {by_chance(judged)} of {judged} on average"
    corrected = [one["floors"]["shuffled"]["p_holm"] for one in judged_scores(scores)]
    known = [p for p in corrected if p is not None]
    none = " No p value stays below .05 when corrected for their number (Holm)."
    verb = "lies" if above == 1 else "lie"
    return f"{counted} {verb} reliably above {floor}; {lifted}.{none if known and min(known) > 0.05 else ''}"


def summary(metrics: dict[str, Any]) -> list[Line]:
    """What is above its floor and what is not, group by group, and the warnings that go with it."""
    lines = []
    for group, name in GROUPS.items():
        scores = [score for score in judged_scores(metrics["scores"]) if score["group"] == group]
        if scores:
            lines.append(_group_line(name, scores))
    found = (_order_line(metrics), _free_line(metrics["scores"]), _lookup_line(metrics["scores"]))
    lines += [line for line in found if line is not None]
    lines += _unjudged_lines(metrics["scores"])
    if metrics["subset"]:
        text = f"Only a part of the test set was scored ({metrics['subset']}); the whole may score otherwise."
        lines.append(Line("bad", "A subset", text))
    return lines


def judged_scores(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores that compare with the truth and have a floor with an interval; a video's consistency with itself
    says nothing about the brain."""
    return [score for score in scores if verdict(score) not in UNJUDGED]


def looks_at_the_truth(score: dict[str, Any]) -> bool:
    """False for metrics of the reconstruction alone, whose pairing with a clip means nothing."""
    return not str(score["id"]).startswith("clip_pcc.")


def short(floor: str) -> str:
    """A floor or ceiling in a word or two, for a caption: `nearest-train` is "nearest"."""
    return floor.removesuffix("-image").removesuffix("-train").replace(" repeats", " half")


def verdict(score: dict[str, Any]) -> str:
    """Whether a score is above its shuffled floor, in a word or two, or why that cannot be said."""
    shuffled = score["floors"]["shuffled"]
    if score["value"] is None:
        return NO_VALUE
    if not looks_at_the_truth(score):
        return SELF_ONLY
    if shuffled["ci"] is None:
        return NO_FLOOR if shuffled["value"] is None else NO_INTERVAL
    return "above" if score["above_floor"] else "not above"


def standing(score: dict[str, Any]) -> str:
    """The verdict, or which floor without a brain reliably does better: "gray wins"."""
    found = verdict(score)
    if found != "above":
        return found
    winners = [floor for floor in (*_FREE, _LOOKED_UP) if _beats(score["floors"].get(floor))]
    return f"{short(winners[0])} wins" if winners else found


def beside(score: dict[str, Any]) -> list[tuple[str, float, bool]]:
    """Name, value, and whether it is reliably better than the score, of every floor but `shuffled`."""
    found = [(name, score["floors"][name]) for name in FLOORS if name in score["floors"]]
    return [
        (short(name), floor["value"], _beats(floor) and looks_at_the_truth(score))
        for name, floor in found
        if name != "shuffled" and floor["value"] is not None
    ]


def _group_line(name: str, scores: Sequence[dict[str, Any]]) -> Line:
    below = [score["name"] for score in scores if not score["above_floor"]]
    if not below:
        what = "the only score is" if len(scores) == 1 else f"all {len(scores)} scores are"
        return Line("good", name, f"{what} above the floor.")
    if len(below) == len(scores):
        what = "the only score is not" if len(scores) == 1 else f"none of {len(scores)} scores is"
        return Line("bad", name, f"{what} above the floor.")
    above = len(scores) - len(below)
    counted = f"{above} of {len(scores)} scores are above the floor (by chance {by_chance(len(scores))})"
    return Line("plain", name, f"{counted}; not {_listed(below)}.")


def _unjudged_lines(scores: Sequence[dict[str, Any]]) -> list[Line]:
    """What keeps scores that have a value from being judged, and the way out."""
    reasons = {
        NO_FLOOR: "there is no clip of another caption to pair them with",
        NO_INTERVAL: "the clips are one block, and an interval needs two or more. If they are of several "
        "films, a table of clips that says so makes more blocks; --set block_clips=N makes shorter ones",
    }
    lines = []
    for kind, reason in reasons.items():
        if names := [score["name"] for score in scores if verdict(score) == kind]:
            lines.append(Line("bad", "Not judged", f"{_listed(names)}: {reason}."))
    return lines


def _order_line(metrics: dict[str, Any]) -> Line | None:
    test = metrics.get("motion_test") or {}
    found = test.get("flow.corr") or test.get("epe")
    if not found or found.get("p_set") is None:
        return None
    measure = "flow correlation" if test.get("flow.corr") else "end-point error"
    orders = len(found["null"])
    if found["p_set"] <= 0.05:
        text = f"the decoded frame order agrees better with the truth than {orders} shuffled ones"
        return Line("good", "Order of frames", f"{text} ({measure}, p = {p_value(found['p_set'])}).")
    text = "shuffling the frames does no reliable harm: no evidence that motion was decoded"
    return Line("bad", "Order of frames", f"{text} ({measure}, p = {p_value(found['p_set'])}).")


def _free_line(scores: Sequence[dict[str, Any]]) -> Line | None:
    """Floors that need no brain and yet reliably beat the reconstructions."""
    beaten: dict[str, list[str]] = {}
    for floor in _FREE:
        names = [score["name"] for score in judged_scores(scores) if _beats(score["floors"].get(floor))]
        if names:
            beaten.setdefault(_listed(names), []).append(FLOORS[floor])
    if not beaten:
        return None
    said = [
        f"{_joined(winners)} {'score' if len(winners) > 1 else 'scores'} better in {names}"
        for names, winners in beaten.items()
    ]
    return Line("bad", "Beaten without a brain", "; ".join(said) + ".")


def _lookup_line(scores: Sequence[dict[str, Any]]) -> Line | None:
    """Where the nearest training clip, which needs the brain but no generator, is reliably better."""
    names = [score["name"] for score in judged_scores(scores) if _beats(score["floors"].get(_LOOKED_UP))]
    if not names:
        return None
    return Line(
        "bad", "Beaten without a generator", f"{FLOORS[_LOOKED_UP]} scores better in {_listed(names)}."
    )


def _beats(floor: dict[str, Any] | None) -> bool:
    """Whether a floor is reliably better than the score: score minus floor has an interval below zero."""
    return floor is not None and floor["ci"] is not None and floor["ci"][1] < 0


def _listed(names: Sequence[str]) -> str:
    """Names in quotes, for they have commas of their own; the first four of many."""
    shown = [f"“{name}”" for name in dict.fromkeys(names)]
    if len(shown) > 5:
        shown = [*shown[:4], f"{len(shown) - 4} more"]
    return _joined(shown)


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def number(value: float | None) -> str:
    """A score to read in a column: decimals by its size, a real minus sign, a dash for none."""
    if value is None:
        return "–"
    size = abs(value)
    decimals = 3 if size < 1 else 2 if size < 100 else 1 if size < 1000 else 0
    return f"{round(value, decimals) + 0.0:,.{decimals}f}".replace("-", "−")


def quoted_number(value: float | None) -> str:
    """A published number: not rounded, without zeros at its end."""
    return "–" if value is None else f"{value:g}"


def p_value(value: float | None) -> str:
    """A p value to two significant digits."""
    return "–" if value is None else f"{value:.2g}"


def tests(found: Iterable[str | None]) -> str:
    """Which tests gave p values, in the order of their names."""
    return " or ".join(sorted({name for name in found if isinstance(name, str)})) or "no test"


def interval(ends: Sequence[float] | None) -> str:
    """Two numbers with a dash between them."""
    return "–" if ends is None else f"{number(ends[0])} to {number(ends[1])}"
