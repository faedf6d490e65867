"""From scores per clip to what is published of a metric: mean, uncertainty, floors, ceiling, tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.families.metric import Metric
from mindanim.metrics.inference.films import Tested, estimate, paired
from mindanim.metrics.inference.intervals import Interval, Resampling
from mindanim.metrics.inference.significance import SHIFTS, Significance, holm, p_of_null, shift_null
from mindanim.metrics.with_floors import CEILINGS, Scored


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
        resampling: Films, blocks, runs and seeds.
        backbones: Network -> name and sha256.
        notes: Metric -> what to add to its note.

    Returns:
        One entry of `scores` in metrics.json per metric (see docs/reference/metrics.md), and (metric, 1 +
        permutation): the mean in the true pairing, then in each permuted one, slow trends removed, NaN where
        there are none. The shifts are the same for all metrics and subjects.
    """
    nulls = [_null(metric, scored, resampling, trends=False) for metric in metrics]
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


def _null(metric: Metric, scored: Scored, resampling: Resampling, trends: bool) -> NDArray[np.float64] | None:
    """Means in the true and in the shifted pairings; `trends` leaves slow trends in."""
    shuffled = scored.shuffled[metric.id]
    return shift_null(
        scored.own[metric.id],
        shuffled.shifted,
        resampling.runs,
        resampling.permutations,
        resampling.rng("pairing"),
        None if trends else shuffled.shifted_sources,
    )


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
    estimated = estimate(own, resampling, rng, metric.bounds)
    stated, over, these = estimated.stated, estimated.over_films, estimated.these_films
    floors = {"shuffled": _shuffled_floor(metric, scored, resampling, null)}
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
        "value": _number(stated.value),
        "se": stated.se,
        "ci": _ends(stated),
        "n": stated.n,
        "unit": "blocks" if over is None else "films",
        "over_films": over and {"films": over.units, **_spread(over)},
        "these_films": {"blocks": these.units, **_spread(these)},
        "undefined": len(own) - stated.n,
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
    metric: Metric, scored: Scored, resampling: Resampling, null: NDArray[np.float64] | None
) -> dict[str, Any]:
    """Floor entry of the shuffled pairing; p by circular shifts within films."""
    sign, own, shuffled = metric.sign, scored.own[metric.id], scored.shuffled[metric.id]
    differences = sign * shuffled.differences(own)
    tested = paired(differences, resampling, resampling.rng(metric.id, "shuffled", "films"))
    with_trends = None if null is None else _null(metric, scored, resampling, trends=True)
    shifts = Significance(None, None) if null is None else Significance(p_of_null(sign * null), SHIFTS)
    rng = resampling.rng(metric.id, "shuffled")
    found = _compared(
        own, shuffled.floor, differences, sign, Tested(tested.over_films, shifts), resampling, rng
    )
    # An additive effect of the film cancels in shifts within films: what they answer, they answer here.
    return found | {
        "p": shifts.p,
        "p_by": shifts.by,
        "p_with_trends": None if with_trends is None else p_of_null(sign * with_trends),
    }


def _floor(
    metric: Metric,
    name: str,
    own: NDArray[np.float64],
    floor: NDArray[np.float64],
    resampling: Resampling,
) -> dict[str, Any]:
    """Floor entry of videos that replace the reconstructions; p over films or blocks."""
    rng = resampling.rng(metric.id, name)
    differences = metric.sign * (own - floor)
    tested = paired(differences, resampling, rng)
    return _compared(own, floor, differences, metric.sign, tested, resampling, rng)


def _compared(
    own: NDArray[np.float64],
    floor: NDArray[np.float64],
    contributions: NDArray[np.float64],
    sign: float,
    tested: Tested,
    resampling: Resampling,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Mean of a floor and of score minus floor (positive is better), on clips that have both."""
    both = ~np.isnan(own) & ~np.isnan(floor)
    if not both.any():
        empty = ("value", "difference", "ci", "p", "p_by", "p_holm", "over_films", "these_films")
        return dict.fromkeys(empty) | {"above": False}
    difference = sign * float((own[both] - floor[both]).mean())
    found = estimate(np.where(both, contributions, np.nan), resampling, rng)

    def verdict(interval: Interval, test: Significance) -> dict[str, Any]:
        ends = _ends(interval)
        if ends is not None:
            # The contributions give the distance of the ends from the middle, which is the difference itself.
            ends = [difference + end - interval.value for end in ends]
        above = ends is not None and ends[0] > 1e-9
        return {"ci": ends, "p": test.p, "p_by": test.by, "above": above}

    over = None
    if found.over_films is not None and tested.over_films is not None:
        over = verdict(found.over_films, tested.over_films)
    these = verdict(found.these_films, tested.these_films)
    stated = these if over is None else over
    return {
        "value": _mean(floor),
        "difference": difference,
        **stated,
        "p_holm": None,
        "over_films": over,
        "these_films": these,
    }


def _spread(interval: Interval) -> dict[str, Any]:
    return {"se": interval.se, "ci": _ends(interval), "df": interval.df}


def _ends(interval: Interval) -> list[float] | None:
    return None if interval.ends is None else list(interval.ends)


def _mean(values: NDArray[np.float64]) -> float | None:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
