"""From scores per clip to what is published of a metric: mean, uncertainty, floors, ceiling, tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.registry import Metric
from mindanim.metrics.scored import Scored, Shuffled
from mindanim.metrics.statistics import Resampling, block_interval, holm, shift_p, sign_flip_p


def summarise(
    metrics: Sequence[Metric],
    scored: Scored,
    resampling: Resampling,
    backbones: Mapping[str, dict[str, str]],
    notes: Mapping[str, str],
) -> list[dict[str, Any]]:
    """One entry of `scores` in metrics.json for each metric; see docs/reference/metrics.md.

    backbones: configuration field -> name and sha256. notes: metric -> something to add to its note.
    """
    entries = [_entry(metric, scored, resampling, backbones, notes.get(metric.id, "")) for metric in metrics]
    for floor in {name for entry in entries for name in entry["floors"]}:
        having = {entry["id"]: entry["floors"][floor] for entry in entries if floor in entry["floors"]}
        for identifier, adjusted in holm({name: found["p"] for name, found in having.items()}).items():
            having[identifier]["p_holm"] = adjusted
    return entries


def _entry(
    metric: Metric,
    scored: Scored,
    resampling: Resampling,
    backbones: Mapping[str, dict[str, str]],
    note: str,
) -> dict[str, Any]:
    own = scored.own[metric.id]
    rng = resampling.rng(metric.id)
    interval = block_interval(own, resampling.blocks, resampling.bootstraps, rng)
    floors = {"shuffled": _shuffled_floor(metric, own, scored.shuffled[metric.id], resampling)}
    for name, scores in scored.floors.items():
        if metric.id in scores:
            floors[name] = _floor(metric, name, own, scores[metric.id], resampling)
    ceiling = (scored.ceiling or {}).get(metric.id)
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
        "chance": metric.chance,
        "chance_source": metric.chance_source,
        "floors": floors,
        "ceiling": {"oracle": None if ceiling is None else _mean(ceiling)},
        "above_floor": floors["shuffled"]["above"],
        "backbone": backbones.get(metric.backbone or ""),
        "reference": metric.reference,
        "note": " ".join(part for part in (metric.note, note) if part),
    }


def _shuffled_floor(
    metric: Metric, own: NDArray[np.float64], shuffled: Shuffled, resampling: Resampling
) -> dict[str, Any]:
    """Floor entry of the shuffled pairing; p by circular shifts within segments."""
    sign = metric.sign
    rng = resampling.rng(metric.id, "shuffled")
    p = shift_p(sign * own, sign * shuffled.shifted, resampling.runs, resampling.permutations, rng)
    return _compared(own, shuffled.floor, sign * shuffled.differences(own), sign, p, resampling, rng)


def _floor(
    metric: Metric,
    name: str,
    own: NDArray[np.float64],
    floor: NDArray[np.float64],
    resampling: Resampling,
) -> dict[str, Any]:
    """Floor entry of videos that replace the reconstructions; p by block sign flips."""
    rng = resampling.rng(metric.id, name)
    differences = metric.sign * (own - floor)
    p = sign_flip_p(differences, resampling.blocks, resampling.permutations, rng)
    return _compared(own, floor, differences, metric.sign, p, resampling, rng)


def _compared(
    own: NDArray[np.float64],
    floor: NDArray[np.float64],
    contributions: NDArray[np.float64],
    sign: float,
    p: float | None,
    resampling: Resampling,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Mean of a floor and of score minus floor (positive is better), on clips that have both."""
    both = ~np.isnan(own) & ~np.isnan(floor)
    if not both.any():
        return {"value": None, "difference": None, "ci": None, "p": None, "p_holm": None, "above": False}
    difference = sign * float((own[both] - floor[both]).mean())
    interval = block_interval(
        np.where(both, contributions, np.nan), resampling.blocks, resampling.bootstraps, rng
    )
    half = None if interval.high is None else interval.high - interval.value
    return {
        "value": _mean(floor),
        "difference": difference,
        "ci": None if half is None else [difference - half, difference + half],
        "p": p,
        "p_holm": None,
        "above": half is not None and difference - half > 1e-9,
    }


def _mean(values: NDArray[np.float64]) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
