"""A whole evaluation, from the material to the content of metrics.json and per_clip.tsv."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mindanim.config.evaluate import EvaluateConfig
from mindanim.metrics.families.feature import FeatureScorer
from mindanim.metrics.families.feature_definitions import RETRIEVED
from mindanim.metrics.families.metric import Metric, PoolSize, Refusal, Setting
from mindanim.metrics.families.pixel import GRAY_RECON, GRAY_TRUTH
from mindanim.metrics.families.registry import catalogue
from mindanim.metrics.families.semantic import Networks
from mindanim.metrics.floors import Shuffles, gray_clip, plan_shuffles
from mindanim.metrics.frame_order import METRICS, OrderScores, motion_test, order_p, score_test_set
from mindanim.metrics.inference.entries import summarise
from mindanim.metrics.inference.intervals import Resampling, block_rule, make_blocks, numbered
from mindanim.metrics.inputs.scratch import IN_TEMPORARY, Scratch
from mindanim.metrics.inputs.test_set import TestSet
from mindanim.metrics.pair_scorer import Judge
from mindanim.metrics.with_floors import Contender, Scored, score_clips
from mindanim.vocabulary.clips import Clips

SCHEMA_VERSION = 3
SIGNIFICANT = 0.05
CEILING, MEAN_IMAGE, REPEAT = "oracle", "mean-image", "repeat"
HALVES = ("odd repeats", "even repeats")

_RANKED_BY = ("50way.image", "2way.image", "clipvideo.", "feature.clip_text.2way", "ssim.rgb7")


@dataclass(frozen=True)
class Material:
    """What is scored.

    clips: the reconstructions of the test set's clips; features: what they were decoded from, None where
    that is not known. networks: to look through; backbones: their names and hashes. mean_frames: the training
    mean, (frame, height, width, rgb) uint8. contenders: other videos by name; `oracle` and `odd repeats`,
    `even repeats` make ceilings, all others are floors. Where one of the last two is a text, it is the reason
    why it is missing.
    """

    test: TestSet
    clips: Clips
    features: FeatureScorer | None
    networks: Networks
    clip_name: str
    backbones: Mapping[str, dict[str, str]]
    mean_frames: NDArray[np.uint8] | str
    contenders: Mapping[str, Contender | str]


@dataclass(frozen=True)
class Assessment:
    """The outcome.

    data: the content of metrics.json, but for whose it is. per_clip: one row per clip with clip_id, segment,
    a column per metric and one `<floor>:<metric>` per floor. units: of its columns. null: (metric, 1 +
    permutation), see `summarise`. notes: what a reader of the p values must know.
    """

    data: dict[str, Any]
    per_clip: pd.DataFrame
    units: dict[str, str]
    null: NDArray[np.float64]
    notes: list[str]


def assess(
    config: EvaluateConfig, material: Material, batch: int, threads: int, scratch: Scratch = IN_TEMPORARY
) -> Assessment:
    """Score the reconstructions and everything beside them, and say how sure one can be.

    batch: clips shown to a network at a time. scratch: room for what grows with the number of clips.
    """
    test = material.test
    metrics, refused = _catalogue(config, material)
    segments = list(test.clips["segment"])
    shuffles = plan_shuffles(segments, test.captions, config.shuffles)
    judge = Judge(test.truth, material.networks, metrics, batch, threads, scratch)
    scored = _scored(judge, material, shuffles)
    orders = None
    if config.motion_test and test.shape[0] > 1:
        permutations, seed = config.motion_permutations, config.seed
        orders = score_test_set(
            test.truth, material.clips, test.clip_ids, permutations, seed, threads, scratch
        )
    blocks = make_blocks(segments, config.block_clips)
    resampling = Resampling(
        blocks, numbered(segments), shuffles.runs, config.bootstraps, config.permutations, config.seed
    )
    entries, null = summarise(metrics, scored, resampling, material.backbones, _notes(material, scored))
    frames, height, width, _ = test.shape
    first = [metric for start in _RANKED_BY for metric in metrics if metric.id.startswith(start)]
    data = {
        "schema_version": SCHEMA_VERSION,
        "clips": len(segments),
        "segments": len(set(segments)),
        "blocks": int(blocks.max()) + 1,
        "block_rule": block_rule(segments, blocks),
        "frames": frames,
        "resolution": [height, width],
        "subset": test.subset,
        "truth_sha256": _hash_of_truth(test),
        "shuffles": shuffles.shifted.shape[1],
        "ranked_by": first[0].id if first else None,
        "scores": entries,
        "motion_test": None if orders is None else motion_test(orders, scored.recognised, resampling),
        "distribution": _distribution(config, judge, scored, material),
        **_missing(material, refused),
    }
    table = _per_clip(test, metrics, scored, orders)
    return Assessment(data, table, _units(table, metrics), null, _coarse(null, data["blocks"]))


def _hash_of_truth(test: TestSet) -> str:
    """SHA-256 over the ground truths in the order of their names: scores against others are not comparable,
    even of the same films read from compressed files."""
    digest = hashlib.sha256()
    for row in sorted(range(len(test.clip_ids)), key=test.clip_ids.__getitem__):
        digest.update(np.ascontiguousarray(test.truth[row]).data)
    return digest.hexdigest()


def _coarse(null: NDArray[np.float64], blocks: int) -> list[str]:
    """Which tests cannot find anything at 5 %, for want of shifts, permutations or blocks."""
    said = []
    if (pairings := null.shape[1]) > 1 and pairings * SIGNIFICANT < 1:
        said.append(
            f"p against the shuffled floor cannot be below {1 / pairings:.2g}: the clips allow {pairings} "
            "pairings only. More shifts (--set shuffles=N) or more film segments make it finer."
        )
    elif 1 < pairings < len(null) / SIGNIFICANT:
        said.append(
            f"Corrected for {len(null)} metrics (Holm), the smallest p against the shuffled floor can hardly "
            f"be below {len(null) / pairings:.2g}: {pairings} pairings were scored. More permutations (--set "
            "permutations=N), more shifts (--set shuffles=N) or more film segments make it finer."
        )
    if blocks == 1:
        said.append("p against the other floors cannot be below .5: the clips make one block only.")
    return said


def _notes(material: Material, scored: Scored) -> dict[str, str]:
    """What is to be said of single metrics beside their definitions."""
    notes: dict[str, str] = {}
    if (video := material.networks.video_classifier) and video.frames != video.trained_frames:
        text = f"The classifier was trained on {video.trained_frames} frames and reads {video.frames}."
        notes |= {name: text for name in scored.own if ".video" in name}
    if material.features is not None:
        rank = _rank(material.features.median_rank(), len(material.test.clips)) + "."
        notes |= {f"retrieval.top{top}": rank for top in RETRIEVED}
        if (pool := material.features.pool) is not None:
            text = (
                f"{_rank(material.features.median_rank(large=True), pool.clips)}; left out for looking like "
                f"another clip of the pool: {pool.duplicates} ({pool.by_hash} by perceptual hash, "
                f"{pool.by_clip} by CLIP)."
            )
            notes |= {f"retrieval.top{top}.large": text for top in RETRIEVED}
    if GRAY_TRUTH in scored.own:
        shares = [100 * float(np.mean(scored.own[name])) for name in (GRAY_TRUTH, GRAY_RECON)]
        text = f"No hue: {shares[0]:.1f} % of the truth's pixels, {shares[1]:.1f} % of the reconstruction's."
        notes |= {f"hue.{kind}": text for kind in ("cosine", "pearson", "circular")}
    return notes


def _rank(median: float, clips: int) -> str:
    return f"Median rank {median:g} of {clips} (chance {(clips + 1) / 2:g})"


def _distribution(
    config: EvaluateConfig, judge: Judge, scored: Scored, material: Material
) -> list[dict[str, Any]]:
    """Scores of the whole set that no single clip has; see `fvd`."""
    if not config.fvd:
        return []
    from mindanim.metrics.families.frechet import describe_distance

    true, made = judge.answers.video_features, scored.answers.video_features
    if true is None or made is None:
        return []
    return [describe_distance(true, made, material.backbones.get("video_classifier"))]


def _catalogue(config: EvaluateConfig, material: Material) -> tuple[list[Metric], list[Refusal]]:
    """The metrics of the chosen groups, and those of them that cannot be computed here."""
    frames, height, width, _ = material.test.shape
    image, video = material.networks.image_classifier, material.networks.video_classifier
    features = material.features
    setting = Setting(
        clips=len(material.test.clips),
        frames=frames,
        height=height,
        width=width,
        image_classes=len(image.labels) if image else 0,
        video_classes=len(video.labels) if video else 0,
        video_frames=video.frames if video else 0,
        clip_name=material.clip_name,
        vifi=material.networks.vifi is not None,
        raft=material.networks.raft is not None,
        released=config.released,
        distractors=features.distractors if features else 0,
        decoded=frozenset({"clip", "latents"} if features else ()),
        pool=PoolSize(pool.clips, pool.sha256) if features and (pool := features.pool) else None,
    )
    return catalogue(setting, config.groups)


def _scored(judge: Judge, material: Material, shuffles: Shuffles) -> Scored:
    single = {"gray": gray_clip(material.test.shape)}
    if not isinstance(material.mean_frames, str):
        single = {MEAN_IMAGE: material.mean_frames, **single}
    there = {name: one for name, one in material.contenders.items() if isinstance(one, Contender)}
    ceiling = there.pop(CEILING, None)
    parts = [there.pop(name) for name in HALVES if name in there]
    halves = (parts[0].clips, parts[1].clips) if len(parts) == 2 else None
    return score_clips(judge, material.clips, material.features, shuffles, single, there, ceiling, halves)


def _missing(material: Material, refused: list[Refusal]) -> dict[str, Any]:
    """What is not computed, each with the reason."""
    reasons = {MEAN_IMAGE: material.mean_frames, **material.contenders}
    ceilings = {CEILING: [reasons.pop(CEILING, None)], REPEAT: [reasons.pop(name, None) for name in HALVES]}
    return {
        "refused": [{"id": refusal.id, "reason": refusal.reason} for refusal in refused],
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
    test: TestSet, metrics: list[Metric], scored: Scored, orders: list[OrderScores] | None
) -> pd.DataFrame:
    columns: dict[str, Any] = {"clip_id": test.clip_ids, "segment": list(test.clips["segment"])}
    for metric in metrics:
        columns[metric.id] = scored.own[metric.id]
    for metric in metrics:
        columns[f"shuffled:{metric.id}"] = scored.shuffled[metric.id].floor
    beside = {**scored.floors, **scored.ceilings}
    for name, scores in beside.items():
        columns |= {f"{name}:{metric.id}": scores[metric.id] for metric in metrics if metric.id in scores}
    columns |= {name: scored.own[name] for name in (GRAY_TRUTH, GRAY_RECON) if name in scored.own}
    if orders is not None:
        for name in METRICS:
            columns[f"order_p:{name}"] = [order_p(clip[name], name) for clip in orders]
    if scored.recognised is not None:
        columns["recognised"] = scored.recognised.astype(int)
    return pd.DataFrame(columns)


def _units(table: pd.DataFrame, metrics: list[Metric]) -> dict[str, str]:
    names = {metric.id: f"{metric.name} ({metric.direction} is better)" for metric in metrics}
    units = {
        GRAY_TRUTH: "share of the truth's pixels that have no hue",
        GRAY_RECON: "share of the reconstruction's pixels that have no hue",
    }
    units |= {"recognised": "1 when the reconstruction's best class is among the truth's three best"}
    for column in table.columns:
        floor, _, identifier = column.rpartition(":")
        if floor == "order_p":
            units[column] = "p value of the motion shuffle test on this clip"
        elif identifier in names:
            units[column] = names[identifier] + (f", {floor}" if floor else "")
    return {column: text for column, text in units.items() if column in table}
