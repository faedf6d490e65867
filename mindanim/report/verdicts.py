"""Whether a score beats its floors: the shuffled one, and those that need no brain or no generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CEILINGS = {
    "oracle": "each clip's true features through the same generator: the best that any decoder could reach",
    "repeat": "videos decoded from one half of the repeats, scored against those from the other half: how "
    "well two measurements of the same brain agree; not an upper bound",
}
FLOORS = {
    "shuffled": "the same reconstructions paired with other clips",
    "mean-image": "the mean training image",
    "gray": "a gray image",
    "frozen": "the first reconstructed frame held still",
    "nearest-train": "the training clip with the nearest features",
    "no-brain": "the video generated from noise instead of responses",
}
NO_VALUE, SELF_ONLY, NO_FLOOR, NO_INTERVAL = UNJUDGED = ("no value", "not judged", "no floor", "no interval")
"""Verdicts on scores that are neither above their floor nor not above it: undefined; independent of the true
clip; without another clip to pair with; with all clips in one block."""
NEEDS_NO_BRAIN = ("gray", "mean-image", "frozen", "no-brain")
NEEDS_NO_GENERATOR = "nearest-train"


def floors_there(scores: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the floors other than `shuffled` that any of the scores has."""
    return [name for name in FLOORS if name != "shuffled" and any(name in one["floors"] for one in scores)]


def ceilings_there(scores: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the ceilings that any of the scores has, and always the oracle, so that its absence shows."""
    return [
        name
        for name in CEILINGS
        if name == "oracle" or any(one["ceiling"].get(name) is not None for one in scores)
    ]


def counts(scores: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """How many scores are above their shuffled floor, and how many are judged against it."""
    judged = judged_scores(scores)
    return sum(bool(score["above_floor"]) for score in judged), len(judged)


def judged_scores(scores: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Scores that compare with the true clip and have a floor with an interval."""
    return [score for score in scores if verdict(score) not in UNJUDGED]


def compares_with_truth(score: dict[str, Any]) -> bool:
    """False for metrics of the reconstruction alone, which pairing with another clip does not change."""
    return not str(score["id"]).startswith("clip_pcc.")


def short(floor: str) -> str:
    """A floor or ceiling in a word or two, for a caption: `nearest-train` is "nearest"."""
    return floor.removesuffix("-image").removesuffix("-train").replace(" repeats", " half")


def verdict(score: dict[str, Any]) -> str:
    """Whether a score is above its shuffled floor, in a word or two, or why it is not judged."""
    shuffled = score["floors"]["shuffled"]
    if score["value"] is None:
        return NO_VALUE
    if not compares_with_truth(score):
        return SELF_ONLY
    if shuffled["ci"] is None:
        return NO_FLOOR if shuffled["value"] is None else NO_INTERVAL
    return "above" if score["above_floor"] else "not above"


def standing(score: dict[str, Any]) -> str:
    """The verdict, or the floor other than `shuffled` that is reliably better: "gray wins"."""
    found = verdict(score)
    if found != "above":
        return found
    winners = [name for name in (*NEEDS_NO_BRAIN, NEEDS_NO_GENERATOR) if wins(score["floors"].get(name))]
    return f"{short(winners[0])} wins" if winners else found


def other_floors(score: dict[str, Any]) -> list[tuple[str, float, bool]]:
    """Name, value, and whether it is reliably better than the score, of every floor except `shuffled`."""
    found = [(name, score["floors"][name]) for name in FLOORS if name in score["floors"]]
    return [
        (short(name), floor["value"], wins(floor) and compares_with_truth(score))
        for name, floor in found
        if name != "shuffled" and floor["value"] is not None
    ]


def wins(floor: dict[str, Any] | None) -> bool:
    """Whether a floor is reliably better than the score: the interval of score minus floor is below zero."""
    return floor is not None and floor["ci"] is not None and floor["ci"][1] < 0
