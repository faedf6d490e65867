"""Ground truth of a simulated study: tables that no stage reads, for tests and for validating methods."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindanim.errors import InputError
from mindanim.simulation.cortex import Cortex
from mindanim.simulation.film_plan import Shown
from mindanim.simulation.regions import REGIONS, Sheet
from mindanim.simulation.world import BACKGROUNDS, COLOURS, MOTIONS, OBJECTS, SIZES, Scene
from mindanim.vocabulary.limits import HEMISPHERES

FOLDER = "truth"
_WORDS = {"object": OBJECTS, "colour": COLOURS, "background": BACKGROUNDS, "size": SIZES, "motion": MOTIONS}
_NUMBERS = ("x", "y", "tilt", "brightness", "hue_shift")


def write_films(folder: Path, shown: Sequence[Shown], tr_s: float) -> None:
    """``clips.tsv``: the scene of every clip. ``volumes.tsv``: film and film time of every noiseless row."""
    scenes = {
        clip_id: scene  # a clip shown in several films is one clip
        for item in shown
        for clip_id, scene in zip(item.clip_ids(), item.scenes, strict=True)
    }
    clips = [{"clip_id": clip_id, **_scene_row(scene)} for clip_id, scene in scenes.items()]
    volumes = [
        {"film": item.segment.name, "volume": volume, "film_time_s": f"{at:.6g}"}
        for item in shown
        for volume, at in enumerate(item.volume_times_s(tr_s))
    ]
    write_table(folder / "clips.tsv", clips)
    write_table(folder / "volumes.tsv", volumes)


def write_regions(folder: Path, sheet: Sheet) -> None:
    """``regions.tsv``: structure, vertex, region and role of every column of the runs."""
    write_table(folder / "regions.tsv", _region_rows(sheet))


def write_subject(
    folder: Path, subject: int, sheet: Sheet, cortex: Cortex, signals: Sequence[np.ndarray]
) -> None:
    """``vertices_sub-01.tsv``: the tuning of every vertex. ``noiseless_sub-01.npy (volume, vertex) float32``.

    The noiseless responses of all films are concatenated as in ``volumes.tsv``. Their unit is the standard
    deviation of signal and noise together, so a vertex's variance is its reliability.
    """
    tuning = {
        "field_x": cortex.field[:, 0],
        "field_y": cortex.field[:, 1],
        "field_sd": cortex.field[:, 2],
        "reliability": cortex.strength,
        "latency_s": cortex.latency_s,
    }
    rows = [
        row
        | {"prefers": cortex.prefers[index]}
        | {name: _number(values[index]) for name, values in tuning.items()}
        for index, row in enumerate(_region_rows(sheet))
    ]
    write_table(folder / f"vertices_sub-{subject:02d}.tsv", rows)
    np.save(folder / f"noiseless_sub-{subject:02d}.npy", np.concatenate(signals) * np.sqrt(cortex.strength))


def read_scenes(root: Path) -> dict[str, Scene]:
    """The scene of every clip of a study, by clip_id; rendering it gives the clip, its flow and mask.

    Raises:
        InputError: The folder ``root`` contains no ground truth.
    """
    path = root / FOLDER / "clips.tsv"
    if not path.is_file():
        raise InputError(
            f"{path} is missing.", "Only a simulated study has ground truth.", "mindanim simulate --out DIR"
        )
    with path.open(encoding="utf-8", newline="") as file:
        return {row["clip_id"]: _scene(row) for row in csv.DictReader(file, delimiter="\t")}


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write a TSV with the first row's keys as its header."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _scene_row(scene: Scene) -> dict[str, object]:
    words = {name: words[getattr(scene, name)] for name, words in _WORDS.items()}
    numbers = {name: getattr(scene, name) for name in _NUMBERS}
    rest = {
        "pan_x": scene.pan[0],
        "pan_y": scene.pan[1],
        "texture_seed": scene.texture_seed,
        "scene_id": scene.scene_id,
    }
    return words | numbers | rest


def _scene(row: Mapping[str, str]) -> Scene:
    fields: dict[str, Any] = {name: words.index(row[name]) for name, words in _WORDS.items()}
    fields |= {name: float(row[name]) for name in _NUMBERS}
    return Scene(
        **fields,
        pan=(float(row["pan_x"]), float(row["pan_y"])),
        texture_seed=int(row["texture_seed"]),
        scene_id=int(row["scene_id"]),
    )


def _region_rows(sheet: Sheet) -> list[dict[str, object]]:
    return [
        {
            "structure": HEMISPHERES[side],
            "vertex": vertex,
            "region": label or "n/a",
            "role": REGIONS[region].role,
        }
        for side, vertex, region, label in zip(
            sheet.side, sheet.vertex, sheet.region, sheet.labels(), strict=True
        )
    ]


def _number(value: np.floating) -> str:
    return "n/a" if np.isnan(value) else f"{value:.5g}"
