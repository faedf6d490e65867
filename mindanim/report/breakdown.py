"""Scores by film segment and by the words of the captions: where reconstructions are good and where not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

_PREFERRED = ("50way.image", "ssim.rgb7", "flow.corr", "feature.clip_text.2way")
_FEWEST, _MOST_WORDS = 4, 16
_EMPTY_WORDS = frozenset(
    ("a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "into", "is", "its", "next", "of", "off")
    + (
        "on",
        "or",
        "out",
        "over",
        "some",
        "that",
        "the",
        "their",
        "then",
        "there",
        "this",
        "to",
        "two",
        "under",
    )
    + ("up", "with", "while", "who")
)


@dataclass(frozen=True)
class Mean:
    """The mean score of some clips and the mean of their shuffled floors, None where undefined."""

    score: float | None
    floor: float | None


@dataclass(frozen=True)
class Breakdown:
    """One table whose rows are groups of clips.

    Attributes:
        about: What the groups are.
        names: Names of the scores.
        rows: Group, number of clips, means.
        overall: Means over all clips.
    """

    about: str
    names: list[str]
    rows: list[tuple[str, int, list[Mean]]]
    overall: list[Mean]


def breakdowns(
    data: dict[str, Any], per_clip: pd.DataFrame, captions: Sequence[str] | None
) -> list[Breakdown]:
    """Means of one score of each group, by film segment and by the words of the captions.

    A word is shown if at least four captions contain it and at least four do not, the most frequent first.
    Groups overlap and are small: exploratory, not a test.

    Args:
        data: The content of metrics.json.
        per_clip: One row per clip.
        captions: One per row of `per_clip`.
    """
    scores = [score for score in data["scores"] if score["id"] in _PREFERRED]
    if not scores:
        return []
    ids, names = [score["id"] for score in scores], [score["name"] for score in scores]

    def means(rows: Any) -> list[Mean]:
        found = per_clip[rows].mean(numeric_only=True)
        return [Mean(_known(found[name]), _known(found.get(f"shuffled:{name}", np.nan))) for name in ids]

    everything = means(np.ones(len(per_clip), bool))
    tables = []
    segments = list(dict.fromkeys(per_clip["segment"]))
    if 1 < len(segments) < len(per_clip):
        rows = [(str(one), per_clip["segment"] == one) for one in segments]
        tables.append(
            Breakdown("Film segment", names, [(n, int(k.sum()), means(k)) for n, k in rows], everything)
        )
    kept = _words(captions or [])
    if kept:
        said = [(word, np.array([word in one for one in _sets(captions or [])])) for word in kept]
        words = [(word, int(rows.sum()), means(rows)) for word, rows in said]
        tables.append(Breakdown("Word of the caption", names, words, everything))
    return tables


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _sets(captions: Sequence[str]) -> list[set[str]]:
    return [set(re.findall(r"[^\W\d_]+", caption.lower())) for caption in captions]


def _words(captions: Sequence[str]) -> list[str]:
    counts: dict[str, int] = {}
    for found in _sets(captions):
        for word in found - _EMPTY_WORDS:
            counts[word] = counts.get(word, 0) + 1
    kept = [word for word, count in counts.items() if _FEWEST <= count <= len(captions) - _FEWEST]
    return sorted(sorted(kept), key=lambda word: -counts[word])[:_MOST_WORDS]
