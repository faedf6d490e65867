"""Several evaluations of the same clips side by side, paired by clip; what cannot be compared is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mindanim.artifacts import Artifact
from mindanim.errors import InputError, MindanimError, UsageError, raise_together
from mindanim.metrics.statistics import (
    Resampling,
    block_interval,
    effect_size,
    holm,
    make_blocks,
    sign_flip_p,
)

_SHARED = {
    "dataset": "dataset",
    "frames": "frames per clip",
    "resolution": "resolution",
    "subset": "part of the test set",
}


def compare(
    evaluations: Sequence[Artifact],
    block_clips: int = 0,
    resamples: int = 2000,
    permutations: int = 4999,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare each evaluation with the first, clip by clip.

    Returns one row per metric and further evaluation: `metric`, `direction`, `reference` and `other` (folder
    names), `n` (clips on which both are defined), `reference_value`, `other_value` (means over these),
    `difference` (signed so that positive means that the other is better), `ci_low`, `ci_high` (95 % over
    blocks), `p` (two-sided, sign flips of blocks), `p_holm` (over all rows) and `effect_size` (mean of block
    means over their standard deviation). NaN where something cannot be computed.

    Raises InputError naming every difference in dataset, clips, frames, resolution, subset, metric versions
    or backbones; UsageError for fewer than two evaluations.
    """
    if len(evaluations) < 2:
        raise UsageError("A comparison needs two evaluations or more.")
    data = [evaluation.json("metrics.json") for evaluation in evaluations]
    tables = [evaluation.table("per_clip.tsv") for evaluation in evaluations]
    names = [evaluation.path.name for evaluation in evaluations]
    if len(set(names)) < len(names):
        names = [f"{evaluation.path.parent.name}/{evaluation.path.name}" for evaluation in evaluations]
    problems: list[MindanimError] = []
    for other in range(1, len(data)):
        found = _differences(data[0], data[other], tables[0], tables[other])
        if found:
            problems.append(
                InputError(
                    f"{evaluations[0].path} and {evaluations[other].path} cannot be compared.",
                    why=" ".join(f"They differ in {difference}." for difference in found),
                    mend="Evaluate both with the same options on the same clips.",
                )
            )
    raise_together(problems)
    blocks = make_blocks(list(tables[0]["segment"]), block_clips)
    resampling = Resampling(blocks, blocks, resamples, permutations, seed)
    rows = [
        _row(score, names[0], names[other], tables[0], tables[other], resampling)
        for score in data[0]["scores"]
        for other in range(1, len(data))
    ]
    adjusted = holm({str(number): row["p"] for number, row in enumerate(rows)})
    table = pd.DataFrame([row | {"p_holm": adjusted[str(number)]} for number, row in enumerate(rows)])
    return table.astype({name: float for name in ("ci_low", "ci_high", "p", "p_holm", "effect_size")})


def _differences(
    first: dict[str, Any], second: dict[str, Any], clips: pd.DataFrame, others: pd.DataFrame
) -> list[str]:
    """What forbids a comparison, each as "resolution ([64, 64] and [32, 32])"."""
    found = [
        f"{words} ({first[name]} and {second[name]})"
        for name, words in _SHARED.items()
        if first[name] != second[name]
    ]
    ids, other_ids = set(clips["clip_id"]), set(others["clip_id"])
    if strangers := sorted(ids ^ other_ids):
        found.append(f"{len(strangers)} clips ({', '.join(strangers[:5])}{', ...' * (len(strangers) > 5)})")
    scores, other_scores = ({score["id"]: score for score in data["scores"]} for data in (first, second))
    if strangers := sorted(scores.keys() ^ other_scores.keys()):
        found.append(f"metrics ({', '.join(strangers)})")
    for name in scores.keys() & other_scores.keys():
        one, two = scores[name], other_scores[name]
        if one["version"] != two["version"]:
            found.append(f"the version of {name} ({one['version']} and {two['version']})")
        hashes = [(score["backbone"] or {}).get("sha256", "") for score in (one, two)]
        if hashes[0] != hashes[1]:
            found.append(f"the backbone of {name} ({hashes[0][:8]} and {hashes[1][:8]})")
    return found


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
    interval = block_interval(difference, resampling.blocks, resampling.bootstraps, rng)
    return {
        "metric": name,
        "direction": score["direction"],
        "reference": reference,
        "other": other,
        "n": interval.n,
        "reference_value": float(first[both].mean()) if both.any() else np.nan,
        "other_value": float(second[both].mean()) if both.any() else np.nan,
        "difference": interval.value,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "p": sign_flip_p(difference, resampling.blocks, resampling.permutations, rng, two_sided=True),
        "effect_size": effect_size(difference, resampling.blocks),
    }
