"""Comparison of several evaluations of the same clips, paired by clip; what is not comparable is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mindanim.artifacts import Artifact
from mindanim.errors import InputError, MindanimError, UsageError, raise_together
from mindanim.metrics.inference.films import (
    estimate,
    film_interval,
    film_units,
    paired,
    paired_effect,
)
from mindanim.metrics.inference.intervals import Bounds, Resampling, make_blocks
from mindanim.metrics.inference.significance import holm, p_of_null
from mindanim.vocabulary.arrays import numbered
from mindanim.vocabulary.limits import METRICS_SCHEMA
from mindanim.vocabulary.subjects import folder_of

_SHARED = {
    "dataset": "dataset",
    "frames": "frames per clip",
    "resolution": "resolution",
    "subset": "part of the test set",
}


@dataclass(frozen=True)
class Evaluated:
    """One evaluation to compare.

    Attributes:
        name: What to call it.
        data: The content of metrics.json.
        per_clip: The content of per_clip.tsv.
        null: (metric, 1 + permutation), the content of pairing_null.npy.
    """

    name: str
    data: dict[str, Any]
    per_clip: pd.DataFrame
    null: NDArray[np.float64]

    @classmethod
    def of(cls, artifact: Artifact) -> Evaluated:
        """A finished evaluation, named by its subject and label; InputError for another schema."""
        data = artifact.json("metrics.json")
        if data["schema_version"] != METRICS_SCHEMA:
            raise InputError(
                f"The metrics in {artifact.path} have schema {data['schema_version']}, not {METRICS_SCHEMA}.",
                why="They were written by another version of mindanim.",
                hint=f"Evaluate again: {artifact.command}",
            )
        return cls(
            called(data), data, artifact.table("per_clip.tsv"), np.asarray(artifact.array("pairing_null.npy"))
        )


def called(data: dict[str, Any]) -> str:
    """A short name of an evaluation: "sub-01 nomotion"."""
    subject = "" if data["subject"] is None else folder_of(data["subject"])
    return " ".join(part for part in (subject, data["label"]) if part) or data["dataset"]


def compare(
    evaluations: Sequence[Evaluated],
    block_clips: int = 0,
    resamples: int = 2000,
    permutations: int = 4999,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare each evaluation with the first, clip by clip.

    Returns:
        One row per metric and further evaluation: `metric`, `direction`, `reference` and `other` (names), `n`
        (clips on which both are defined), `reference_value`, `other_value` (means over these), `difference`
        (signed so that positive means that the other is better), `unit` ("films" if there are enough,
        otherwise "blocks" inside films), `ci_low`, `ci_high` (95 %, over units), `p` (two-sided, over units),
        `p_by` (the test), `p_holm` (over all rows), `effect_size` (mean of unit means over their standard
        deviation), and for these films only, over blocks, `these_ci_low`, `these_ci_high`, `these_p`,
        `these_p_by`. NaN where something cannot be computed.

    Raises:
        InputError: Any difference in dataset, clips, ground truth, frames, resolution, subset,
            metric versions or backbones.
        UsageError: Fewer than two evaluations.
    """
    if len(evaluations) < 2:
        raise UsageError("A comparison needs two evaluations or more.")
    check_comparable(evaluations)
    first = evaluations[0]
    segments = list(first.per_clip["segment"])
    resampling = Resampling(
        make_blocks(segments, block_clips),
        numbered(segments),
        film_units(list(first.per_clip["film"]), segments),
        numbered(segments),
        resamples,
        permutations,
        seed,
    )
    rows = [
        _row(score, first.name, other.name, first.per_clip, other.per_clip, resampling)
        for score in first.data["scores"]
        for other in evaluations[1:]
    ]
    adjusted = holm({str(number): row["p"] for number, row in enumerate(rows)})
    table = pd.DataFrame([row | {"p_holm": adjusted[str(number)]} for number, row in enumerate(rows)])
    computed = ("ci_low", "ci_high", "p", "p_holm", "effect_size", "these_ci_low", "these_ci_high", "these_p")
    return table.astype(dict.fromkeys(computed, float))


def check_comparable(evaluations: Sequence[Evaluated]) -> None:
    """Raise InputError naming every difference that makes these evaluations incomparable."""
    first = evaluations[0]
    problems: list[MindanimError] = []
    for other in evaluations[1:]:
        found = _differences(first.data, other.data, first.per_clip, other.per_clip)
        if found:
            problems.append(
                InputError(
                    f"{first.name} and {other.name} cannot be compared.",
                    why=" ".join(f"They differ in {difference}." for difference in found),
                    hint="Evaluate both with the same options on the same clips.",
                )
            )
    raise_together(problems)


def across_subjects_by_label(evaluations: Sequence[Evaluated]) -> dict[str, pd.DataFrame]:
    """`across_subjects` for every label that at least two subjects have, each of them once."""
    by_label: dict[str, list[Evaluated]] = {}
    for one in evaluations:
        by_label.setdefault(one.data["label"], []).append(one)
    return {
        label: across_subjects(group)
        for label, group in by_label.items()
        if len({one.data["subject"] for one in group}) == len(group) > 1
    }


def across_subjects(evaluations: Sequence[Evaluated]) -> pd.DataFrame:
    """Every metric over several subjects who saw the same clips; one row per metric.

    Columns: `metric`, `direction`, `subjects`, `value` (mean of the subjects' means), `se` (over subjects),
    `ci_low`, `ci_high` (95 %, Student's t over subjects: for other subjects from the same population, on
    these clips), `films_ci_low`, `films_ci_high` (95 %, over films: for other films, these subjects),
    `shuffled` (mean floor), `above` (subjects whose interval is above it), `p` and `p_holm`:
    the mean over subjects against the same circular shifts of the pairing in all of them, for these subjects
    and films. NaN where something cannot be computed. Raises as `check_comparable` does.
    """
    check_comparable(evaluations)
    rows = []
    clips = evaluations[0].per_clip
    films = film_units(list(clips["film"]), list(clips["segment"]))
    for place, score in enumerate(evaluations[0].data["scores"]):
        entries = [one.data["scores"][place] for one in evaluations]
        if any(entry["id"] != score["id"] for entry in entries):
            entries = [_entry_of(one, score["id"]) for one in evaluations]
        values = np.array([_number(entry["value"]) for entry in entries])
        floors = np.array([_number(entry["floors"]["shuffled"]["value"]) for entry in entries])
        error, low, high = subject_interval(values, tuple(score["bounds"]))
        columns = [
            one.per_clip.set_index("clip_id")[score["id"]].reindex(clips["clip_id"]) for one in evaluations
        ]
        over_films = film_interval(
            np.mean(np.array(columns, dtype=np.float64), axis=0), films, tuple(score["bounds"])
        )
        sign = 1 if score["direction"] == "higher" else -1
        nulls = [one.null[_place_of(one, score["id"])] for one in evaluations]
        rows.append(
            {
                "metric": score["id"],
                "direction": score["direction"],
                "subjects": len(evaluations),
                "value": float(values.mean()),
                "se": error,
                "ci_low": low,
                "ci_high": high,
                "films_ci_low": np.nan if over_films is None else over_films.low,
                "films_ci_high": np.nan if over_films is None else over_films.high,
                "shuffled": float(floors.mean()),
                "above": sum(entry["above_floor"] for entry in entries),
                "p": joint_p(sign, nulls),
            }
        )
    adjusted = holm({row["metric"]: None if np.isnan(row["p"]) else row["p"] for row in rows})
    return pd.DataFrame([row | {"p_holm": adjusted[row["metric"]]} for row in rows]).astype({"p_holm": float})


def subject_interval(values: NDArray[np.float64], bounds: Bounds) -> tuple[float, float, float]:
    """Standard error over subjects and the 95 % interval of Student's t, cut where the metric's bounds are.

    Args:
        values: (subject,). NaN for a single subject.
    """
    from scipy.special import stdtrit

    count = len(values)
    if count < 2:
        return float("nan"), float("nan"), float("nan")
    error = float(values.std(ddof=1) / np.sqrt(count))
    mean, half = float(values.mean()), float(stdtrit(count - 1, 0.975)) * error
    low, high = mean - half, mean + half
    return error, max(low, _number(bounds[0], low)), min(high, _number(bounds[1], high))


def joint_p(sign: int, nulls: Sequence[NDArray[np.float64]]) -> float:
    """p of the mean over subjects, (1 + permutation,) of each; NaN where they were not permuted alike."""
    if len({len(null) for null in nulls}) > 1:
        return float("nan")
    mean = np.mean(nulls, axis=0)
    mean = mean[~np.isnan(mean)]
    return p_of_null(sign * mean) if len(mean) > 1 else float("nan")


def _entry_of(one: Evaluated, metric: str) -> dict[str, Any]:
    found: dict[str, Any] = one.data["scores"][_place_of(one, metric)]
    return found


def _place_of(one: Evaluated, metric: str) -> int:
    return [score["id"] for score in one.data["scores"]].index(metric)


def _number(value: float | None, otherwise: float = float("nan")) -> float:
    return otherwise if value is None else value


def _differences(
    first: dict[str, Any], second: dict[str, Any], clips: pd.DataFrame, others: pd.DataFrame
) -> list[str]:
    """What makes two evaluations incomparable, each as "resolution ([64, 64] and [32, 32])"."""
    found = [
        f"{words} ({first[name]} and {second[name]})"
        for name, words in _SHARED.items()
        if first[name] != second[name]
    ]
    truths = [data["truth_sha256"] for data in (first, second) if "truth_sha256" in data]
    if len(set(truths)) > 1:
        found.append(f"the frames of the ground truth ({truths[0][:8]} and {truths[1][:8]})")
    ids, other_ids = set(clips["clip_id"]), set(others["clip_id"])
    if strangers := sorted(ids ^ other_ids):
        found.append(f"{len(strangers)} clips ({', '.join(strangers[:5])}{', ...' * (len(strangers) > 5)})")
    found += [moved for column in ("film", "segment") if (moved := _moved(column, clips, others))]
    scores, other_scores = ({score["id"]: score for score in data["scores"]} for data in (first, second))
    if strangers := sorted(scores.keys() ^ other_scores.keys()):
        found.append(f"metrics ({', '.join(strangers)})")
    for name in scores.keys() & other_scores.keys():
        one, two = scores[name], other_scores[name]
        if one["version"] != two["version"]:
            found.append(f"the version of {name} ({one['version']} and {two['version']})")
        pools = [score.get("pool") for score in (one, two)]
        if pools[0] != pools[1]:
            sizes = [f"{pool['clips']} clips, {pool['sha256'][:8]}" if pool else "none" for pool in pools]
            found.append(f"the pool of {name} ({sizes[0]} and {sizes[1]})")
        hashes = [(score["backbone"] or {}).get("sha256", "") for score in (one, two)]
        if hashes[0] != hashes[1]:
            found.append(f"the backbone of {name} ({hashes[0][:8]} and {hashes[1][:8]})")
    return found


def _moved(column: str, clips: pd.DataFrame, others: pd.DataFrame) -> str:
    """Which common clips share their film or segment with other clips than in the second evaluation.

    Names may differ; what counts is which clips make one unit of the intervals.
    """
    both = clips[["clip_id", column]].merge(
        others[["clip_id", column]], on="clip_id", suffixes=("", "_other")
    )
    members = [both.groupby(both[name])["clip_id"].agg(frozenset) for name in (column, f"{column}_other")]
    mine, theirs = both[column].map(members[0]), both[f"{column}_other"].map(members[1])
    moved = both[mine != theirs]
    if moved.empty:
        return ""
    first = moved.iloc[0]
    return (
        f"the {column}s that {len(moved)} clips belong to ({first['clip_id']}: {first[column]} and "
        f"{first[f'{column}_other']})"
    )


def _row(
    score: dict[str, Any],
    reference: str,
    other: str,
    clips: pd.DataFrame,
    others: pd.DataFrame,
    resampling: Resampling,
) -> dict[str, Any]:
    name = score["id"]
    first = clips[name].to_numpy(dtype=np.float64)
    second = others.set_index("clip_id")[name].reindex(clips["clip_id"]).to_numpy(dtype=np.float64)
    difference = (second - first) * (1 if score["direction"] == "higher" else -1)
    both = ~np.isnan(difference)
    rng = resampling.rng(name, other)
    found = estimate(difference, resampling, rng)
    tested = paired(difference, resampling, rng, two_sided=True)
    stated, these = found.stated, found.these_films
    return {
        "metric": name,
        "direction": score["direction"],
        "reference": reference,
        "other": other,
        "n": stated.n,
        "unit": "blocks" if found.over_films is None else "films",
        "reference_value": float(first[both].mean()) if both.any() else np.nan,
        "other_value": float(second[both].mean()) if both.any() else np.nan,
        "difference": stated.value,
        "ci_low": stated.low,
        "ci_high": stated.high,
        "p": tested.stated.p,
        "p_by": tested.stated.by,
        "effect_size": paired_effect(difference, resampling),
        "these_ci_low": these.low,
        "these_ci_high": these.high,
        "these_p": tested.these_films.p,
        "these_p_by": tested.these_films.by,
    }
