"""A whole simulated study in the layout of CC2017: films, runs, atlas, captions, facts, and the truth behind
them.

What a ridge regression recovers from the default study is printed by ``examples/decodability.py``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.cifti2.cifti2 import Cifti2Header, Cifti2Image
from nibabel.cifti2.cifti2_axes import Axis, LabelAxis, SeriesAxis
from numpy.typing import NDArray

from mindanim import console
from mindanim.config.simulate import SimulateConfig
from mindanim.runtime import named_rng, threads, version
from mindanim.simulation import truth
from mindanim.simulation.cortex import Cortex, noiseless, record, standardise, tune
from mindanim.simulation.drive import Drive, watch
from mindanim.simulation.films import Shown, plan_films, write_film
from mindanim.simulation.regions import REGIONS, SIDES, STRUCTURES, Sheet, cortex_axis, plant

Array = NDArray[np.float32]

FACTS_FILE = "mindanim-study.json"
_TRUNK = Path("CC2017_Purdue")
_ATLAS, _CAPTIONS = "atlas.dlabel.nii", "captions.tsv"
_COLOURS = {
    "layout": (0.2, 0.5, 0.9),
    "motion": (0.9, 0.3, 0.2),
    "meaning": (0.2, 0.7, 0.3),
    "none": (0.6, 0.6, 0.6),
}


def write_study(root: Path, config: SimulateConfig, identity: str) -> None:
    """Write the study into the folder ``root``, which holds nothing yet; the facts file is written last.

    identity: recorded in the facts, so that a later call can tell whether it asks for the same study.
    """
    shown = plan_films(config)
    sheet = plant(config.vertices)
    drives = _show(root, shown, config)
    (root / truth.FOLDER).mkdir()
    with console.progress(config.subjects * sum(item.segment.repeats for item in shown), "Runs") as bar:
        for subject in range(1, config.subjects + 1):
            rng = named_rng(config.seed, "subject", str(subject))
            cortex = tune(sheet, rng, snr=config.snr, signed_change=config.signed_change)
            signals = standardise(
                [
                    noiseless(cortex, drive, item.volume_times_s(config.tr_s))
                    for item, drive in zip(shown, drives, strict=True)
                ],
                fit=config.segments,
            )
            for item, signal in zip(shown, signals, strict=True):
                _scan(root, config, subject, sheet, cortex, item, signal)
                bar.advance(item.segment.repeats)
            truth.write_subject(root / truth.FOLDER, subject, sheet, cortex, signals)
    truth.write_films(root / truth.FOLDER, shown, config.tr_s)
    truth.write_regions(root / truth.FOLDER, sheet)
    captions = [
        {"clip_id": clip_id, "caption": scene.caption()}
        for item in shown
        for clip_id, scene in zip(item.clip_ids(), item.scenes, strict=True)
    ]
    truth.write_table(root / _CAPTIONS, captions)
    _write_atlas(root / _ATLAS, sheet)
    facts = json.dumps(_facts(config, shown, identity), indent=2)
    (root / FACTS_FILE).write_text(facts + "\n", encoding="utf-8")


def _show(root: Path, shown: Sequence[Shown], config: SimulateConfig) -> list[Drive]:
    """Write the films, and return what they, or in a null study other films, offer to the brain."""
    folder = root / _TRUNK / "Stimuli" / "video_fmri_dataset" / "stimuli"
    folder.mkdir(parents=True)
    seen = plan_films(config, "unseen film") if config.null else shown

    def one(item: Shown, viewed: Shown) -> Drive:
        path = folder / f"{item.segment.name}.mp4"
        write_film(path, item.scenes, clip_s=config.clip_s, fps=config.fps, frame_px=config.frame_px)
        return watch(viewed.scenes, config.clip_s, frozen=config.no_motion)

    drives: list[Drive] = []
    with ThreadPoolExecutor(threads()) as pool, console.progress(len(shown), "Films") as bar:
        for drive in pool.map(one, shown, seen):
            drives.append(drive)
            bar.advance(1)
    return drives


def _scan(
    root: Path, config: SimulateConfig, subject: int, sheet: Sheet, cortex: Cortex, item: Shown, signal: Array
) -> None:
    """Write the runs of one subject watching one film."""
    name = item.segment.name
    base = root / _TRUNK / f"Subject{subject:02d}" / "video_fmri_dataset" / f"subject{subject}"
    folder = base / "fmri" / name / "cifti"
    folder.mkdir(parents=True)
    axes = SeriesAxis(0.0, config.tr_s, len(signal)), sheet.axis()  # type: ignore[no-untyped-call]
    for repeat in range(1, item.segment.repeats + 1):
        rng = named_rng(config.seed, "noise", str(subject), name, str(repeat))
        path = folder / f"{name}_{repeat}_Atlas.dtseries.nii"
        _write_cifti(path, record(signal, cortex, rng, config.tr_s), axes, "ConnDenseSeries")


def _write_atlas(path: Path, sheet: Sheet) -> None:
    """The planted regions as a label file over the whole cortex; 0 is outside all of them."""
    named = [(region.label(side), region.role) for side in SIDES for region in REGIONS if region.name]
    table = {0: ("???", (1.0, 1.0, 1.0, 0.0))}
    table |= {key: (label, (*_COLOURS[role], 1.0)) for key, (label, role) in enumerate(named, start=1)}
    keys = {label: key for key, (label, _) in table.items()}
    axis = cortex_axis()
    planted = zip(sheet.side, sheet.vertex, sheet.labels(), strict=True)
    key_at = {(STRUCTURES[side], vertex): keys.get(label, 0) for side, vertex, label in planted}
    data = [[key_at.get(place, 0) for place in zip(axis.name, axis.vertex, strict=True)]]
    labels = LabelAxis(["planted regions"], [table])  # type: ignore[no-untyped-call]
    _write_cifti(path, np.array(data, np.float32), (labels, axis), "ConnDenseLabel")


def _write_cifti(path: Path, data: Array, axes: tuple[Axis, Axis], intent: str) -> None:
    image = Cifti2Image(data, Cifti2Header.from_axes(axes))  # type: ignore[no-untyped-call]
    image.nifti_header.set_intent(intent)
    image.to_filename(path)


def _facts(config: SimulateConfig, shown: Sequence[Shown], identity: str) -> dict[str, Any]:
    clips: dict[str, dict[str, int]] = {"train": {}, "test": {}}
    for item in shown:
        clips[item.segment.split][item.segment.name] = item.segment.clips
    return {
        "name": "simulated",
        "layout": "cc2017",
        "subjects": list(range(1, config.subjects + 1)),
        "tr_s": config.tr_s,
        "clip_s": config.clip_s,
        "fps": config.fps,
        "segments": clips["train"],
        "test": clips["test"],
        "repeats": {"train": config.repeats, "test": config.test_repeats},
        "lags_s": list(config.lags_s),
        "captions": _CAPTIONS,
        "atlas": _ATLAS,
        "seed": config.seed,
        "identity": identity,
        "mindanim": version(),
        "options": config.model_dump(mode="json"),
    }
