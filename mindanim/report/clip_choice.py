"""Which clips a page shows, and under which headings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mindanim.report.film_strips import Shown

if TYPE_CHECKING:
    import pandas as pd

_HIGHLIGHTS = 3
"""Clips under each of these headings:"""
_PLACES = ("Best", "Median", "Worst")


def goodness(metrics: dict[str, Any], per_clip: pd.DataFrame) -> np.ndarray:
    """What clips are ranked by: the metric in `ranked_by`, negated where lower is better; NaN without one."""
    for score in metrics["scores"]:
        if score["id"] == metrics["ranked_by"]:
            sign = 1 if score["direction"] == "higher" else -1
            return np.asarray(sign * per_clip[score["id"]].to_numpy(dtype=np.float64))
    return np.full(len(per_clip), np.nan)


def chosen_clips(
    metrics: dict[str, Any], per_clip: pd.DataFrame, count: int, seed: int
) -> list[tuple[int, str]]:
    """Choose the best, median and worst clips of the whole test set, and others at random.

    Args:
        metrics: The content of metrics.json.
        per_clip: One row per clip.
        count: Number of clips at most.
        seed: Of the random choice; a larger count adds to the clips of a smaller one.

    Returns:
        Row and place (Best, Median, Worst or "") of each chosen clip.
    """
    order = np.argsort(-np.nan_to_num(goodness(metrics, per_clip), nan=-np.inf), kind="stable")
    total = len(order)
    few = min(_HIGHLIGHTS, count // 3, total // 3)
    start = (total - few) // 2
    placed: dict[int, str] = {}
    if few and metrics["ranked_by"]:
        rows_of = {
            "Best": order[:few],
            "Worst": order[total - few :],
            "Median": order[start : start + few],
        }
        for place, rows in rows_of.items():
            placed |= {int(row): place for row in rows if int(row) not in placed}
    rest = [int(row) for row in order if int(row) not in placed]
    room = max(0, min(count - len(placed), len(rest)))
    drawn = sorted(np.random.default_rng(seed).permutation(rest)[:room].tolist())
    return [*placed.items(), *((row, "") for row in drawn)]


def sections(clips: Sequence[Shown], total: int) -> list[tuple[str, list[Shown]]]:
    """Heading and clips of each section, best first. total: number of clips that were scored."""
    ranked = sorted(clips, key=lambda clip: _rank(clip.view.score), reverse=True)
    found = [(place, [clip for clip in ranked if clip.view.place == place]) for place in _PLACES]
    rest = [clip for clip in ranked if not clip.view.place]
    which = "The other clips" if len(rest) < len(ranked) else "Clips"
    scored = any(_rank(clip.view.score) > -math.inf for clip in rest)
    how = ["drawn at random"] * (len(clips) < total) + ["best first"] * scored
    found.append((", ".join([f"{which} ({len(rest)})", *how]), rest))
    return [(heading, members) for heading, members in found if members]


def _rank(score: float) -> float:
    return -math.inf if math.isnan(score) else score
