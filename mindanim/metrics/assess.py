"""A whole evaluation, from the material to the content of metrics.json and per_clip.tsv."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mindanim.config.evaluation import EvaluateConfig
from mindanim.metrics.definitions import RETRIEVED
from mindanim.metrics.features import FeatureScorer
from mindanim.metrics.floors import Clips, Shuffles, gray_clip, plan_shuffles
from mindanim.metrics.frame_order import METRICS, OrderScores, motion_test, order_p, score_test_set
from mindanim.metrics.judge import Judge
from mindanim.metrics.material import TestSet
from mindanim.metrics.registry import Metric, Refusal, Setting, catalogue
from mindanim.metrics.scored import Contender, Scored, score_clips
from mindanim.metrics.semantic import Networks
from mindanim.metrics.statistics import Resampling, block_rule, make_blocks
from mindanim.metrics.summary import summarise

SCHEMA_VERSION = 1
CEILING, NO_BRAIN, MEAN_IMAGE = "oracle", "no-brain", "mean-image"

_RANKED_BY = ("50way.image", "2way.image", "clipvideo.", "feature.clip_text.2way", "ssim.rgb7")


@dataclass(frozen=True)
class Material:
    """What is scored.

    clips: the reconstructions of the test set's clips; features: what they were decoded from. networks: to
    look through; backbones: their names and hashes. mean_frames: the training mean, (frame, height, width,
    rgb) uint8. contenders: `oracle` and `no-brain` videos. Where one of the last three is a text, it is the
    reason why it is missing.
    """

    test: TestSet
    clips: Clips
    features: FeatureScorer
    networks: Networks
    clip_name: str
    backbones: Mapping[str, dict[str, str]]
    mean_frames: NDArray[np.uint8] | str
    contenders: Mapping[str, Contender | str]


@dataclass(frozen=True)
class Assessment:
    """The outcome.

    data: the content of metrics.json, but for whose it is. per_clip: one row per clip with clip_id, segment,
    a column per metric and one `<floor>:<metric>` per floor. units: of its columns. ranked_by: the metric by
    which clips are ranked in the report, higher better; None when there is none.
    """

    data: dict[str, Any]
    per_clip: pd.DataFrame
    units: dict[str, str]
    ranked_by: Metric | None


def assess(config: EvaluateConfig, material: Material, batch: int, threads: int) -> Assessment:
    """Score the reconstructions and everything beside them, and say how sure one can be.

    batch: clips shown to a network at a time.
    """
    test = material.test
    metrics, refused = _catalogue(config, material)
    segments = list(test.clips["segment"])
    shuffles = plan_shuffles(segments, test.captions, config.shuffles)
    judge = Judge(test.truth, material.networks, metrics, batch, threads)
    scored = _scored(judge, material, shuffles)
    orders = None
    if config.motion_test and test.shape[0] > 1:
        permutations, seed = config.motion_permutations, config.seed
        orders = score_test_set(test.truth, material.clips, test.clip_ids, permutations, seed, threads)
    blocks = make_blocks(segments, config.block_clips)
    resampling = Resampling(blocks, shuffles.runs, config.bootstraps, config.permutations, config.seed)
    rank = f"Median rank {material.features.median_rank():g} of {len(segments)}."
    notes = {f"retrieval.top{top}": rank for top in RETRIEVED}
    frames, height, width, _ = test.shape
    data = {
        "schema_version": SCHEMA_VERSION,
        "clips": len(segments),
        "segments": len(set(segments)),
        "blocks": int(blocks.max()) + 1,
        "block_rule": block_rule(segments, blocks),
        "frames": frames,
        "resolution": [height, width],
        "subset": test.subset,
        "scores": summarise(metrics, scored, resampling, material.backbones, notes),
        "motion_test": None if orders is None else motion_test(orders, scored.recognised, blocks, resampling),
        **_missing(material, refused),
    }
    table = _per_clip(test, metrics, scored, orders)
    first = [metric for start in _RANKED_BY for metric in metrics if metric.id.startswith(start)]
    return Assessment(data, table, _units(table, metrics), first[0] if first else None)


def _catalogue(config: EvaluateConfig, material: Material) -> tuple[list[Metric], list[Refusal]]:
    """The metrics of the chosen groups, and those of them that cannot be computed here."""
    frames, height, width, _ = material.test.shape
    image, video = material.networks.image_classifier, material.networks.video_classifier
    setting = Setting(
        clips=len(material.test.clips),
        frames=frames,
        height=height,
        width=width,
        image_classes=len(image.labels) if image else 0,
        video_classes=len(video.labels) if video else 0,
        video_frames=video.frames if video else 0,
        clip_name=material.clip_name,
        distractors=int(material.features.distractors.sum(axis=1).min()),
        decoded=frozenset({"clip", "latents"}),
    )
    return catalogue(setting, config.groups)


def _scored(judge: Judge, material: Material, shuffles: Shuffles) -> Scored:
    single = {"gray": gray_clip(material.test.shape)}
    if not isinstance(material.mean_frames, str):
        single = {MEAN_IMAGE: material.mean_frames, **single}
    there = {name: one for name, one in material.contenders.items() if isinstance(one, Contender)}
    ceiling = there.pop(CEILING, None)
    return score_clips(judge, material.clips, material.features, shuffles, single, there, ceiling)


def _missing(material: Material, refused: list[Refusal]) -> dict[str, Any]:
    """What is not computed, each with the reason."""
    reasons = {MEAN_IMAGE: material.mean_frames, **material.contenders}
    ceiling = reasons.pop(CEILING, None)
    return {
        "refused": [{"id": refusal.id, "reason": refusal.reason} for refusal in refused],
        "floors_missing": [
            {"floor": name, "reason": reason} for name, reason in reasons.items() if isinstance(reason, str)
        ],
        "ceiling_missing": ceiling if isinstance(ceiling, str) else None,
    }


def _per_clip(
    test: TestSet, metrics: list[Metric], scored: Scored, orders: list[OrderScores] | None
) -> pd.DataFrame:
    columns: dict[str, Any] = {"clip_id": test.clip_ids, "segment": list(test.clips["segment"])}
    for metric in metrics:
        columns[metric.id] = scored.own[metric.id]
    for metric in metrics:
        columns[f"shuffled:{metric.id}"] = scored.shuffled[metric.id].floor
    beside = {**scored.floors, CEILING: scored.ceiling or {}}
    for name, scores in beside.items():
        columns |= {f"{name}:{metric.id}": scores[metric.id] for metric in metrics if metric.id in scores}
    if orders is not None:
        for name in METRICS:
            columns[f"order_p:{name}"] = [order_p(clip[name], name) for clip in orders]
    if scored.recognised is not None:
        columns["recognised"] = scored.recognised.astype(int)
    return pd.DataFrame(columns)


def _units(table: pd.DataFrame, metrics: list[Metric]) -> dict[str, str]:
    names = {metric.id: f"{metric.name} ({metric.direction} is better)" for metric in metrics}
    units = {"recognised": "1 when the reconstruction's best class is among the truth's three best"}
    for column in table.columns:
        floor, _, identifier = column.rpartition(":")
        if floor == "order_p":
            units[column] = "p value of the motion shuffle test on this clip"
        elif identifier in names:
            units[column] = names[identifier] + (f", {floor}" if floor else "")
    return {column: text for column, text in units.items() if column in table}
