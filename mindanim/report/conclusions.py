"""What the scores amount to, in sentences: the headline of a report and the lines below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mindanim.report.headings import GROUPS
from mindanim.report.number_format import p_value
from mindanim.report.verdicts import (
    FLOORS,
    NEEDS_NO_BRAIN,
    NEEDS_NO_GENERATOR,
    NO_FLOOR,
    NO_INTERVAL,
    counts,
    judged_scores,
    standing,
    verdict,
    wins,
)

_EXPECTED_SHARE = 0.025
"""Share of scores expected above their floor by chance: the upper half of what 95 % intervals miss."""


@dataclass(frozen=True)
class Line:
    """One sentence of the summary. tone: good, bad, or plain."""

    tone: str
    title: str
    text: str


def by_chance(judged: int) -> str:
    """How many of `judged` scores are expected above their floor by chance."""
    return f"{_EXPECTED_SHARE * judged:.1f}"


def headline(scores: Sequence[dict[str, Any]]) -> str:
    """How many scores are above their floor, how many would be by chance, and whether any survives Holm."""
    above, judged = counts(scores)
    if not judged and any(verdict(score) == NO_INTERVAL for score in scores):
        return "No score can be judged: all clips are in one block, and an interval needs at least two."
    if not judged:
        return "No score has a floor to compare it with."
    floor = "the shuffled floor, the score of the same videos paired with other clips"
    if not above:
        here = _in_these(scores, above)
        return f"None of the {judged} scores is reliably above {floor}. {here}".rstrip()
    counted = f"All {judged} scores" if above == judged else f"{above} of {judged} scores"
    corrected = [one["floors"]["shuffled"]["p_holm"] for one in judged_scores(scores)]
    known = [p for p in corrected if p is not None]
    none = " No p value stays below .05 after Holm's correction for their number."
    verb = "is" if above == 1 else "are"
    expected = f"Expected by chance: {by_chance(judged)} of {judged}."
    corrected_away = none if known and min(known) > 0.05 else ""
    beaten = _beaten(scores)
    found = f"{counted} {verb} reliably above {floor}. {beaten}{' ' * bool(beaten)}"
    return f"{found}{_in_these(scores, above)}{expected}{corrected_away}"


def _beaten(scores: Sequence[dict[str, Any]]) -> str:
    """In how many scores above the shuffled floor another floor is better, as the tables mark them."""
    above = [standing(score) for score in judged_scores(scores) if score["above_floor"]]
    marks = Counter(mark for mark in above if mark != "above")
    if not marks:
        return ""
    listed = ", ".join(f"{mark} {count}" for mark, count in marks.items())
    if len(above) == 1:
        return f"Another floor is still better in it ({next(iter(marks))})."
    return f"In {marks.total()} of these {len(above)} another floor is still better ({listed})."


def _in_these(scores: Sequence[dict[str, Any]], above: int) -> str:
    """How many scores are above the floor in these films, where that is not the number for other films."""
    shuffled = [score["floors"]["shuffled"] for score in judged_scores(scores)]
    if all(one["over_films"] is None for one in shuffled):
        return ""
    here = sum(one["these_films"]["above"] for one in shuffled)
    return "" if here == above else f"For these films only: {here} of {len(shuffled)}. "


def summary(metrics: dict[str, Any]) -> list[Line]:
    """Which scores are above their floor and which are not, group by group, and what to beware of."""
    lines = []
    for group, name in GROUPS.items():
        scores = [score for score in judged_scores(metrics["scores"]) if score["group"] == group]
        if scores:
            lines.append(_group_line(name, scores))
    found = (_order_line(metrics), _no_brain_line(metrics["scores"]), _no_generator_line(metrics["scores"]))
    lines += [line for line in found if line is not None]
    lines += _unjudged_lines(metrics["scores"])
    if metrics["subset"]:
        text = f"only part of the test set was scored ({metrics['subset']}); all of it may score differently."
        lines.append(Line("bad", "Subset", text))
    return lines


def _group_line(name: str, scores: Sequence[dict[str, Any]]) -> Line:
    below = [score["name"] for score in scores if not score["above_floor"]]
    if not below:
        what = "the only score is" if len(scores) == 1 else f"all {len(scores)} scores are"
        beaten = _beaten(scores)
        return Line(
            "plain" if beaten else "good", name, f"{what} above the shuffled floor. {beaten}".rstrip()
        )
    if len(below) == len(scores):
        what = "the only score is not" if len(scores) == 1 else f"none of {len(scores)} scores is"
        return Line("bad", name, f"{what} above the shuffled floor.")
    above = len(scores) - len(below)
    counted = f"{above} of {len(scores)} scores {'is' if above == 1 else 'are'} above the shuffled floor"
    expected = f"expected by chance: {by_chance(len(scores))}"
    beaten = _beaten(scores)
    return Line(
        "plain", name, f"{counted} ({expected}). {beaten}{' ' * bool(beaten)}Not above: {_listed(below)}."
    )


def _unjudged_lines(scores: Sequence[dict[str, Any]]) -> list[Line]:
    """Why scores that have a value are not judged, and what to do about it."""
    reasons = {
        NO_FLOOR: "no clip has a different caption to pair them with",
        NO_INTERVAL: "all clips are in one block, and an interval needs at least two. If they come from "
        "several films, give a table of clips that says so; or use shorter blocks: --set block_clips=N",
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
    unit = "films" if found["reversed_over_films"] else "blocks of these films"
    against = f"p = {p_value(found['p_reversed'])} against playing backwards, over {unit}"
    said = f"({measure}, p = {p_value(found['p_set'])} for these films, {against})."
    if found["p_set"] <= 0.05:
        text = f"the decoded order matches the truth better than {len(found['null'])} shuffled orders"
        return Line("good", "Frame order", f"{text} {said}")
    text = "shuffling the frames does not reliably lower the score: no evidence that motion was decoded"
    return Line("bad", "Frame order", f"{text} {said}")


def _no_brain_line(scores: Sequence[dict[str, Any]]) -> Line | None:
    """Floors that need no brain and yet reliably beat the reconstructions."""
    beaten: dict[str, list[str]] = {}
    for floor in NEEDS_NO_BRAIN:
        names = [score["name"] for score in judged_scores(scores) if wins(score["floors"].get(floor))]
        if names:
            beaten.setdefault(_listed(names), []).append(FLOORS[floor])
    if not beaten:
        return None
    said = [
        f"{_joined(winners)} {'score' if len(winners) > 1 else 'scores'} better in {names}"
        for names, winners in beaten.items()
    ]
    return Line("bad", "Beaten without a brain", "; ".join(said) + ".")


def _no_generator_line(scores: Sequence[dict[str, Any]]) -> Line | None:
    """Where the nearest training clip, which needs the brain but no generator, is reliably better."""
    lost = [score for score in judged_scores(scores) if wins(score["floors"].get(NEEDS_NO_GENERATOR))]
    if not lost:
        return None
    names = _listed([score["name"] for score in lost])
    return Line(
        "bad", "Beaten without a generator", f"{FLOORS[NEEDS_NO_GENERATOR]} scores better in {names}."
    )


def _listed(names: Sequence[str]) -> str:
    """Names in quotes, as they contain commas; the first four of more than five."""
    shown = [f"“{name}”" for name in dict.fromkeys(names)]
    if len(shown) > 5:
        shown = [*shown[:4], f"{len(shown) - 4} more"]
    return _joined(shown)


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
