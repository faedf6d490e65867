"""A result to report on: made up, with the shape of a real one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from mindanim.report import ClipView, Curve

FRAMES, SIDE = 8, 64


def square(seed: int, side: int = SIDE, frames: int = FRAMES) -> np.ndarray:
    """A coloured square that moves over a shaded ground."""
    rng = np.random.default_rng(seed)
    ground, colour = rng.integers(40, 160, 3), rng.integers(60, 255, 3)
    shade = np.linspace(0.7, 1.2, side)[None, :, None, None]
    clip = np.broadcast_to(ground * shade, (frames, side, side, 3)).copy()
    size, step = side // 3, rng.integers(-side // 20, side // 20 + 1, 2)
    for t in range(frames):
        y, x = np.clip(side // 3 + t * step, 0, side - size)
        clip[t, y : y + size, x : x + size] = colour
    return clip.clip(0, 255).astype(np.uint8)


def views(count: int = 14, side: int = SIDE) -> list[ClipView]:
    rng = np.random.default_rng(1)
    clips = []
    for n in range(count):
        truth = square(n, side)
        wrong = np.clip(truth + rng.normal(0, 25, truth.shape), 0, 255).astype(np.uint8)
        others = {"oracle": square(n + 500, side), "frozen": wrong[:1], "no-brain": square(n + 900, side)}
        caption = f"a large red box over <the> sea & sky {n}"
        clips.append(
            ClipView(f"test1-{n + 1:04}", caption, float(rng.normal(0.3, 0.2)), truth, wrong, others)
        )
    order = sorted(range(count), key=lambda n: -clips[n].score)
    middle = (count - 3) // 2
    places = (
        {"Best": order[:3], "Median": order[middle : middle + 3], "Worst": order[-3:]} if count > 9 else {}
    )
    for place, rows in places.items():
        for row in rows:
            clips[row] = replace(clips[row], place=place)
    return clips


def floor(value: float | None, difference: float | None, p: float = 0.01) -> dict[str, Any]:
    ends = None if difference is None else [difference - 0.02, difference + 0.02]
    above = difference is not None and difference > 0.02
    found = {"value": value, "difference": difference, "ci": ends, "p": p, "p_holm": p, "above": above}
    these = {"ci": ends, "p": p, "p_by": "sign flips", "above": above}
    return found | {"p_by": "sign flips", "over_films": None, "these_films": these}


def score(
    identifier: str,
    name: str,
    group: str,
    value: float | None,
    shuffled: float | None,
    *,
    direction: str = "higher",
    bounds: tuple[float | None, float | None] = (-1.0, 1.0),
    chance: float | None = None,
    oracle: float | None = None,
    **floors: float,
) -> dict[str, Any]:
    sign = -1 if direction == "lower" else 1
    known = value is not None
    found = {
        "shuffled": floor(shuffled, sign * (value - shuffled) if known and shuffled is not None else None)
    }
    found |= {n.replace("_", "-"): floor(f, sign * (value - f) if known else None) for n, f in floors.items()}
    return {
        "id": identifier,
        "version": 1,
        "name": name,
        "group": group,
        "direction": direction,
        "bounds": list(bounds),
        "value": value,
        "se": 0.01 if known else None,
        "ci": [value - 0.02, value + 0.02] if known else None,
        "n": 120 if known else 0,
        "unit": "blocks",
        "over_films": None,
        "undefined": 0 if known else 120,
        "chance": chance,
        "chance_source": "made up",
        "floors": found,
        "ceiling": {"oracle": oracle, "repeat": None},
        "resolution": [SIDE, SIDE],
        "frames": FRAMES,
        "above_floor": found["shuffled"]["above"],
        "backbone": None,
        "reference": "made up",
        "note": "A note on what this number rewards.",
    }


def metrics(**changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(2)

    def order(value: float, spread: float, p: float) -> dict[str, Any]:
        null = sorted(rng.normal(0, spread, 999).tolist())
        found = {"clips": 120, "value": value, "null": null, "p_set": p, "p_median": 0.21}
        found |= {"share_below_05": 0.2, "reversed": -value, "p_reversed": p}
        return found | {"p_reversed_by": "sign flips", "reversed_over_films": None}

    epe = {"direction": "lower", "bounds": (0.0, None)}
    data = {
        "schema_version": 4,
        "source": None,
        "ranked_by": "50way.image",
        "distribution": [],
        "dataset": "simulated",
        "subject": 1,
        "label": "",
        "clips": 120,
        "films": 2,
        "unit": "blocks",
        "unit_reason": "2 films",
        "blocks": 12,
        "block_rule": "stretches of 10 clips",
        "frames": FRAMES,
        "resolution": [SIDE, SIDE],
        "subset": None,
        "scores": [
            score(
                "2way.image", "2-way image class", "semantic", 0.89, 0.74, chance=0.75, oracle=0.98, gray=0.7
            ),
            score(
                "50way.image",
                "50-way image class",
                "semantic",
                0.31,
                0.058,
                chance=0.0577,
                oracle=0.8,
                gray=0.06,
            ),
            score("50way.video", "50-way video class", "semantic", 0.061, 0.058, chance=0.0577, oracle=0.4),
            score(
                "ssim.rgb7",
                "SSIM",
                "pixel",
                0.41,
                0.34,
                oracle=0.83,
                gray=0.47,
                mean_image=0.45,
                frozen=0.405,
            ),
            score(
                "psnr.db",
                "PSNR",
                "pixel",
                14.2,
                12.6,
                bounds=(0, 100),
                oracle=24.1,
                gray=13.1,
                mean_image=13.9,
            ),
            score("clip_pcc.adjacent", "CLIP consistency", "motion", 0.93, 0.93, frozen=1.0),
            score("epe.farneback64", "End-point error", "motion", 2.31, 2.36, oracle=1.4, frozen=2.02, **epe),
            score("flow.corr", "Flow correlation", "motion", 0.11, 0.01, chance=0.0, oracle=0.62, frozen=0.0),
            score("feature.clip_text.r", "Decoded CLIP text, r", "feature", 0.52, 0.02, chance=0.0),
            score("retrieval.top1", "Retrieval, top 1", "feature", None, None, chance=0.008),
        ],
        "floors_missing": [{"floor": "nearest-train", "reason": "training frames are not kept."}],
        "ceilings_missing": [],
        "refused": [{"id": "feature.clip_text.50way", "reason": "50-way needs 49 clips of another caption"}],
        "motion_test": {
            "flow.corr": order(0.11, 0.02, 0.001) | {"correct": order(0.13, 0.03, 0.002)},
            "epe": order(-0.01, 0.02, 0.31) | {"correct": None},
            "note": "p counts the true order among the permuted ones.",
        },
        "quoted": [
            {
                "method": "Mind-Animator",
                "year": 2025,
                "scores": {"ssim.rgb7": 0.321, "psnr.db": None},
                "warning": "w",
            }
        ],
        "audit": [{"code": "near-duplicates", "text": "3 test clips look like training clips.", "data": {}}],
    }
    return data | changes


def per_clip(count: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    names = [entry["id"] for entry in metrics()["scores"]]
    ids = [f"test{1 + n // 60}-{n % 60 + 1:04}" for n in range(count)]
    columns = {"clip_id": ids, "segment": [name[:5] for name in ids]}
    table = pd.DataFrame(columns | {name: rng.normal(0.3, 0.1, count) for name in names})
    table.loc[3, "ssim.rgb7"] = np.nan
    return table.assign(**{"gray:ssim.rgb7": 0.4})


def curves() -> list[Curve]:
    epochs = np.arange(1, 61)
    history = pd.DataFrame(
        {
            "epoch": epochs,
            "train_loss": np.exp(-epochs / 15) + 0.1,
            "val_loss": np.exp(-epochs / 15) + 0.2 + epochs / 400,
        }
    )
    linear = pd.DataFrame({"epoch": [1], "val_loss": [0.3]})
    return [
        Curve("semantic", history, 28),
        Curve("structure", history * [1, 30, 40]),
        Curve("motion", linear),
    ]


def report_arguments(**changes: Any) -> dict[str, Any]:
    sentences = [
        "Responses were z-scored with training statistics.",
        "Videos were generated by a diffusion model.",
    ]
    identity = "0123456789abcdef" * 4
    artifact = {
        "kind": "fmri",
        "identity": identity,
        "version": "0.1.0",
        "seed": None,
        "finished": "2026-11-22",
    }
    arguments = {
        "metrics": metrics(),
        "per_clip": per_clip(),
        "clips": views(),
        "curves": curves(),
        "provenance": [artifact, artifact | {"kind": "videos", "seed": 0, "label": "oracle"}],
        "methods": sentences,
        "software": ["All were made with Python 3.11 on x86_64; torch 2.0."],
        "findings": [{"code": "x", "text": "Run test2_9 is 10 s late <dropped>.", "data": {}}],
        "fps": 4.0,
        "score_name": "flow.corr",
    }
    return arguments | changes
