"""From scores per clip to what is published of a metric: mean, uncertainty, floors, ceiling, tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.families.metric import Metric
from mindanim.metrics.inference.intervals import Resampling, block_interval
from mindanim.metrics.inference.significance import (
    SHIFTS,
    Significance,
    holm,
    p_of_null,
    paired_test,
    shift_null,
)
from mindanim.metrics.with_floors import CEILINGS, Scored, Shuffled


def summarise(
    metrics: Sequence[Metric],
    scored: Scored,
    resampling: Resampling,
    backbones: Mapping[str, dict[str, str]],
    notes: Mapping[str, str],
) -> tuple[list[dict[str, Any]], NDArray[np.float64]]:
    """The scores as published, and what chance pairings would have given.

    Args:
        metrics: What was scored.
        scored: The scores of all clips.
        resampling: Blocks, runs and seeds.
        backbones: Network -> name and sha256.
        notes: Metric -> what to add to its note.

    Returns:
        One entry of `scores` in metrics.json per metric (see docs/reference/metrics.md), and (metric, 1 +
        permutation): the mean in the true pairing, then in each permuted one, NaN where there are none. The
        shifts are the same for all metrics and subjects.
    """
    nulls = [
        shift_null(
            scored.own[metric.id],
            scored.shuffled[metric.id].shifted,
            resampling.runs,
            resampling.permutations,
            resampling.rng("pairing"),
        )
        for metric in metrics
    ]
    entries = [
        _entry(metric, scored, resampling, backbones, notes.get(metric.id, ""), null)
        for metric, null in zip(metrics, nulls, strict=True)
    ]
    for floor in {name for entry in entries for name in entry["floors"]}:
        having = {entry["id"]: entry["floors"][floor] for entry in entries if floor in entry["floors"]}
        for identifier, adjusted in holm({name: found["p"] for name, found in having.items()}).items():
            having[identifier]["p_holm"] = adjusted
    longest = max((len(null) for null in nulls if null is not None), default=1)
    table = np.full((len(metrics), longest), np.nan)
    for row, null in zip(table, nulls, strict=True):
        if null is not None:
            row[: len(null)] = null
    return entries, table


def _entry(
    metric: Metric,
    scored: Scored,
    resampling: Resampling,
    backbones: Mapping[str, dict[str, str]],
    note: str,
    null: NDArray[np.float64] | None,
) -> dict[str, Any]:
    own = scored.own[metric.id]
    rng = resampling.rng(metric.id)
    interval = block_interval(
        own, resampling.blocks, resampling.bootstraps, rng, resampling.segments, metric.bounds
    )
    floors = {"shuffled": _shuffled_floor(metric, own, scored.shuffled[metric.id], resampling, null)}
    for name, scores in scored.floors.items():
        if metric.id in scores:
            floors[name] = _floor(metric, name, own, scores[metric.id], resampling)
    return {
        "id": metric.id,
        "version": metric.version,
        "name": metric.name,
        "group": metric.group,
        "direction": metric.direction,
        "bounds": list(metric.bounds),
        "value": _number(interval.value),
        "se": interval.se,
        "ci": None if interval.low is None else [interval.low, interval.high],
        "n": interval.n,
        "blocks": interval.blocks,
        "undefined": len(own) - interval.n,
        "resolution": list(metric.resolution),
        "frames": metric.frames,
        "pool": metric.pool and {"clips": metric.pool.clips, "sha256": metric.pool.sha256},
        "chance": metric.chance,
        "chance_source": metric.chance_source,
        "floors": floors,
        "ceiling": {
            name: _mean(found[metric.id]) if metric.id in (found := scored.ceilings.get(name, {})) else None
            for name in CEILINGS
        },
        "above_floor": floors["shuffled"]["above"],
        "backbone": backbones.get(metric.backbone or ""),
        "reference": metric.reference,
        "note": " ".join(part for part in (metric.note, note) if part),
    }


def _shuffled_floor(
    metric: Metric,
    own: NDArray[np.float64],
    shuffled: Shuffled,
    resampling: Resampling,
    null: NDArray[np.float64] | None,
) -> dict[str, Any]:
    """Floor entry of the shuffled pairing; p by circular shifts within segments."""
    sign = metric.sign
    rng = resampling.rng(metric.id, "shuffled")
    tested = Significance(None, None) if null is None else Significance(p_of_null(sign * null), SHIFTS)
    return _compared(own, shuffled.floor, sign * shuffled.differences(own), sign, tested, resampling, rng)


def _floor(
    metric: Metric,
    name: str,
    own: NDArray[np.float64],
    floor: NDArray[np.float64],
    resampling: Resampling,
) -> dict[str, Any]:
    """Floor entry of videos that replace the reconstructions; p over blocks."""
    rng = resampling.rng(metric.id, name)
    differences = metric.sign * (own - floor)
    tested = paired_test(
        differences, resampling.blocks, resampling.permutations, rng, segments=resampling.segments
    )
    return _compared(own, floor, differences, metric.sign, tested, resampling, rng)


def _compared(
    own: NDArray[np.float64],
    floor: NDArray[np.float64],
    contributions: NDArray[np.float64],
    sign: float,
    tested: Significance,
    resampling: Resampling,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Mean of a floor and of score minus floor (positive is better), on clips that have both."""
    both = ~np.isnan(own) & ~np.isnan(floor)
    if not both.any():
        empty = ("value", "difference", "ci", "p", "p_by", "p_holm")
        return dict.fromkeys(empty) | {"above": False}
    difference = sign * float((own[both] - floor[both]).mean())
    interval = block_interval(
        np.where(both, contributions, np.nan),
        resampling.blocks,
        resampling.bootstraps,
        rng,
        resampling.segments,
    )
    ends = None
    if interval.low is not None and interval.high is not None:
        # The contributions give the distance of the ends from the middle, which is the difference itself.
        ends = [difference + end - interval.value for end in (interval.low, interval.high)]
    return {
        "value": _mean(floor),
        "difference": difference,
        "ci": ends,
        "p": tested.p,
        "p_by": tested.by,
        "p_holm": None,
        "above": ends is not None and ends[0] > 1e-9,
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
