"""A whole evaluation: from what is scored to the content of metrics.json and per_clip.tsv."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mindanim.config.evaluate import EvaluateConfig
from mindanim.metrics.families.catalogue import catalogue
from mindanim.metrics.families.metric import FrameMetric, Metric, Setting
from mindanim.metrics.floors import gray_clip, plan_shuffles
from mindanim.metrics.frame_order import METRICS, motion_test, score_test_set
from mindanim.metrics.inference.entries import summarise
from mindanim.metrics.inference.films import film_units, why_not_films
from mindanim.metrics.inference.intervals import Resampling, block_rule, make_blocks
from mindanim.metrics.inputs.decoded_features import DecodedFeatures
from mindanim.metrics.inputs.test_set import Contender, TestSet
from mindanim.metrics.pair_scorer import PairScorer
from mindanim.metrics.with_floors import HALVES, ORACLE, REPEAT, Scored, score_with_floors
from mindanim.vocabulary.arrays import Float, Frames, numbered
from mindanim.vocabulary.clips import Clips
from mindanim.vocabulary.limits import METRICS_SCHEMA, SIGNIFICANT
from mindanim.vocabulary.scratch import IN_TEMPORARY, Scratch

MEAN_IMAGE = "mean-image"


@dataclass(frozen=True)
class Material:
    """What is scored.

    Attributes:
        test: The test set with its ground truths.
        clips: The reconstructions, in the same order.
        features: What they were decoded from; None if unknown.
        networks: Loaded networks by name.
        backbones: Network -> name and sha256.
        mean_frames: The training mean, (frame, height, width, rgb) uint8, or why there is none.
        contenders: Other videos by name, or why they are missing; see `score_with_floors`.
    """

    test: TestSet
    clips: Clips
    features: DecodedFeatures | None
    networks: Mapping[str, Any]
    backbones: Mapping[str, dict[str, str]]
    mean_frames: Frames | str
    contenders: Mapping[str, Contender | str]


@dataclass(frozen=True)
class Assessment:
    """The outcome.

    Attributes:
        data: The content of metrics.json, without dataset and subject.
        per_clip: One row per clip: clip_id, segment, film, a column per metric, one `<floor>:<metric>` per
            floor.
        units: Of its columns.
        null: (metric, 1 + permutation), see `summarise`.
        notes: What to know when reading the p values.
    """

    data: dict[str, Any]
    per_clip: pd.DataFrame
    units: dict[str, str]
    null: Float
    notes: list[str]


def assess(
    config: EvaluateConfig, material: Material, batch: int, threads: int, scratch: Scratch = IN_TEMPORARY
) -> Assessment:
    """Score the reconstructions, their floors and their ceilings, with uncertainty and tests.

    Args:
        config: Options.
        material: What to score.
        batch: Clips shown to a network at a time.
        threads: For metrics that look at frames.
        scratch: Where to put what grows with the number of clips.
    """
    test = material.test
    segments = list(test.clips["segment"])
    names = {network: backbone["name"] for network, backbone in material.backbones.items()}
    setting = Setting(len(segments), test.shape, material.networks, names, material.features, config.released)
    metrics, refused = catalogue(setting, config.groups, config.metrics)
    shuffles = plan_shuffles(segments, test.captions, config.shuffles, test.films)
    scorer = PairScorer(test.truth, material.networks, metrics, batch, threads, scratch)
    single = {"gray": gray_clip(test.shape)}
    if not isinstance(material.mean_frames, str):
        single = {MEAN_IMAGE: material.mean_frames, **single}
    there = {name: one for name, one in material.contenders.items() if isinstance(one, Contender)}
    scored = score_with_floors(scorer, material.clips, material.features, shuffles, single, there)
    blocks = make_blocks(segments, config.block_clips)
    films = film_units(test.films, segments)
    resampling = Resampling(
        blocks,
        numbered(segments),
        films,
        shuffles.runs,
        config.bootstraps,
        config.permutations,
        config.seed,
    )
    motion: dict[str, Any] = {}
    if config.motion_test and test.shape[0] > 1:
        permutations, seed = config.motion_permutations, config.seed
        orders = score_test_set(
            test.truth, material.clips, test.clip_ids, permutations, seed, threads, scratch
        )
        motion = motion_test(orders, scored.recognised, resampling)
    notes = {metric.id: metric.remark(setting, scored.own) for metric in metrics}
    entries, null = summarise(metrics, scored, resampling, material.backbones, notes)
    frames, height, width, _ = test.shape
    ranked = sorted((metric for metric in metrics if metric.rank), key=lambda metric: metric.rank)
    data = {
        "schema_version": METRICS_SCHEMA,
        "clips": len(segments),
        "segments": len(set(segments)),
        "films": int(films.max()) + 1,
        "unit": "blocks" if why_not_films(films) else "films",
        "unit_reason": why_not_films(films),
        "blocks": int(blocks.max()) + 1,
        "block_rule": block_rule(segments, blocks),
        "frames": frames,
        "resolution": [height, width],
        "subset": test.subset,
        "truth_sha256": _hash_of_truth(test),
        "shuffles": shuffles.shifted.shape[1],
        "ranked_by": ranked[0].id if ranked else None,
        "scores": entries,
        "motion_test": motion or None,
        "distribution": _distribution(scorer, scored, material) if config.fvd else [],
        "refused": [{"id": name, "reason": reason} for name, reason in refused.items()],
        **_missing(material),
    }
    table, units = _per_clip(test, metrics, scored, motion)
    return Assessment(data, table, units, null, coarse_tests(null, data))


def _hash_of_truth(test: TestSet) -> str:
    """SHA-256 over the ground truths in the order of their names: scores against others are not comparable,
    even of the same films read from compressed files."""
    digest = hashlib.sha256()
    for row in sorted(range(len(test.clip_ids)), key=test.clip_ids.__getitem__):
        digest.update(np.ascontiguousarray(test.truth[row]).data)
    return digest.hexdigest()


def coarse_tests(null: Float, data: dict[str, Any]) -> list[str]:
    """Which tests cannot reach 5 % with so few shifts, permutations or blocks."""
    said = []
    tests = sum(score["floors"]["shuffled"]["p"] is not None for score in data["scores"])
    if (pairings := null.shape[1]) > 1 and pairings * SIGNIFICANT < 1:
        said.append(
            f"p against the shuffled floor cannot be below {1 / pairings:.2g}: the clips allow {pairings} "
            "pairings only. More shifts (--set shuffles=N) or more film segments make it finer."
        )
    elif 1 < pairings < tests / SIGNIFICANT:
        reach = f"can hardly be below {tests / pairings:.2g}" if tests < pairings else "is 1"
        said.append(
            f"Corrected for {tests} metrics (Holm), the smallest p against the shuffled floor {reach}: "
            f"{pairings} pairings were scored. More permutations (--set permutations=N), more shifts (--set "
            "shuffles=N) or more film segments make it finer."
        )
    if data["unit"] == "blocks" and data["blocks"] == 1:
        said.append("p against the other floors cannot be below .5: the clips make one block only.")
    return said


def _distribution(scorer: PairScorer, scored: Scored, material: Material) -> list[dict[str, Any]]:
    """Scores of the set as a whole; see `frechet`."""
    from mindanim.metrics.families.frechet import describe_distance

    true, made = (answers.get("video_features") for answers in (scorer.answers, scored.answers))
    if true is None or made is None:
        return []
    return [describe_distance(true, made, material.backbones.get("video_classifier"))]


def _missing(material: Material) -> dict[str, Any]:
    """Floors and ceilings that are missing, each with the reason."""
    reasons = {MEAN_IMAGE: material.mean_frames, **material.contenders}
    ceilings = {ORACLE: [reasons.pop(ORACLE, None)], REPEAT: [reasons.pop(name, None) for name in HALVES]}
    return {
        "floors_missing": [
            {"floor": name, "reason": reason} for name, reason in reasons.items() if isinstance(reason, str)
        ],
        "ceilings_missing": [
            {"ceiling": name, "reason": " ".join(lacking)}
            for name, found in ceilings.items()
            if (lacking := [reason for reason in found if isinstance(reason, str)])
        ],
    }


def _per_clip(
    test: TestSet, metrics: list[Metric], scored: Scored, motion: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The table of scores per clip, and what its columns are."""
    columns: dict[str, Any] = {"clip_id": test.clip_ids, "segment": list(test.clips["segment"])}
    columns["film"] = test.films
    units: dict[str, str] = {}
    named = {metric.id: f"{metric.name} ({metric.direction} is better)" for metric in metrics}

    def add(scores: Mapping[str, Float], floor: str = "") -> None:
        for name in named:
            if name in scores:
                column = f"{floor}:{name}" if floor else name
                columns[column], units[column] = scores[name], named[name] + (f", {floor}" if floor else "")

    add(scored.own)
    add({name: found.floor for name, found in scored.shuffled.items()}, "shuffled")
    for floor, scores in {**scored.floors, **scored.ceilings}.items():
        add(scores, floor)
    for metric in metrics:
        for column in metric.columns if isinstance(metric, FrameMetric) else ():
            columns[column.id], units[column.id] = scored.own[column.id], column.unit
    for name in METRICS if motion else ():
        columns[f"order_p:{name}"] = motion[name]["per_clip"]
        units[f"order_p:{name}"] = "p value of the motion shuffle test on this clip"
    if scored.recognised is not None:
        columns["recognised"] = scored.recognised.astype(int)
        units["recognised"] = "1 when the reconstruction's best class is among the truth's three best"
    return pd.DataFrame(columns), units
