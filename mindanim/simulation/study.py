"""A whole simulated study in the layout of a real one: films, runs, atlas, captions, facts and ground truth.

``examples/decodability.py`` prints what a ridge regression recovers from the default study.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mindanim import console
from mindanim.config.simulate import SimulateConfig
from mindanim.runtime import named_rng, threads, version
from mindanim.simulation import truth
from mindanim.simulation.cortex import standardise, tune
from mindanim.simulation.drive import Drive
from mindanim.simulation.film_plan import Shown
from mindanim.simulation.layouts import LAYOUTS, Layout
from mindanim.simulation.layouts.cifti import write_atlas
from mindanim.simulation.layouts.layout import ATLAS, CAPTIONS
from mindanim.simulation.regions import plant
from mindanim.vocabulary.limits import FACTS_FILE


def write_study(root: Path, config: SimulateConfig, identity: str) -> None:
    """Write the study into the empty folder ``root``; the facts file is written last.

    Args:
        identity: Recorded in the facts, so that a later call can tell whether it asks for the same study.
    """
    sheet = plant(config.vertices)
    layout = LAYOUTS[config.layout](root, config, sheet)
    shown = layout.plan()
    drives = _show(layout, shown, config)
    (root / truth.FOLDER).mkdir()
    with console.progress(config.subjects * sum(item.segment.repeats for item in shown), "Runs") as bar:
        for subject in range(1, config.subjects + 1):
            rng = named_rng(config.seed, "subject", str(subject))
            cortex = tune(sheet, rng, snr=config.snr, signed_change=config.signed_change)
            signals = standardise(
                [layout.signal(cortex, item, drive) for item, drive in zip(shown, drives, strict=True)],
                fit=config.segments,
            )
            for item, signal in zip(shown, signals, strict=True):
                layout.write_runs(subject, cortex, item, signal)
                bar.advance(item.segment.repeats)
            truth.write_subject(root / truth.FOLDER, layout.subject(subject), sheet, cortex, signals)
    truth.write_films(root / truth.FOLDER, shown, config.tr_s)
    truth.write_regions(root / truth.FOLDER, sheet)
    captions = {
        clip_id: scene.caption()
        for item in shown
        for clip_id, scene in zip(item.clip_ids(), item.scenes, strict=True)
    }
    rows = [{"clip_id": clip_id, "caption": caption} for clip_id, caption in captions.items()]
    truth.write_table(root / CAPTIONS, rows)
    if layout.atlas == ATLAS:
        write_atlas(root / ATLAS, sheet)
    layout.finish(shown)
    facts = json.dumps(_facts(layout, config, shown, identity), indent=2)
    (root / FACTS_FILE).write_text(facts + "\n", encoding="utf-8")


def _show(layout: Layout, shown: Sequence[Shown], config: SimulateConfig) -> list[Drive]:
    """Write the films and return the drive of these or, in a null study, of other films."""
    seen = layout.plan("unseen film") if config.null else shown

    def one(item: Shown, viewed: Shown) -> Drive:
        layout.write_film(item)
        return layout.watch(viewed)

    drives: list[Drive] = []
    with ThreadPoolExecutor(threads()) as pool, console.progress(len(shown), "Films") as bar:
        for drive in pool.map(one, shown, seen):
            drives.append(drive)
            bar.advance(1)
    return drives


def _facts(layout: Layout, config: SimulateConfig, shown: Sequence[Shown], identity: str) -> dict[str, Any]:
    return {
        "name": "simulated",
        "layout": config.layout,
        "subjects": [layout.subject(number) for number in range(1, config.subjects + 1)],
        "tr_s": config.tr_s,
        "clip_s": config.clip_s,
        "fps": config.fps,
        **layout.facts(shown),
        "repeats": {"train": config.repeats, "test": config.test_repeats},
        "lags_s": list(config.lags_s),
        "captions": CAPTIONS,
        "atlas": layout.atlas,
        "seed": config.seed,
        "identity": identity,
        "mindanim": version(),
        "options": config.model_dump(mode="json"),
    }
