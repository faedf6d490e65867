"""Tiny simulated studies in every layout, for the tests of the readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mindanim.config.simulate import SimulateConfig
from mindanim.simulation.study import write_study
from mindanim.studies import Study, open_study

SIZES: dict[str, dict[str, Any]] = {
    "cc2017": {
        "segments": 2,
        "clips": 5,
        "repeats": 2,
        "test_segments": 2,
        "test_clips": 4,
        "test_repeats": 3,
    },
    "hcp": {"clips": 12, "test_clips": 6},
    "algonauts2021": {"clips": 8, "test_clips": 3},
    "bids": {"segments": 2, "clips": 5, "repeats": 2, "test_segments": 1, "test_clips": 4, "test_repeats": 3},
}


def simulate(root: Path, layout: str, **options: Any) -> Path:
    """Write a study of two subjects."""
    root.mkdir(parents=True, exist_ok=True)
    small = {"subjects": 2, "vertices": 60, "fps": 8, "frame_px": 32, "scene_clips": (1, 1)}
    write_study(root, SimulateConfig(layout=layout, **(small | SIZES[layout] | options)), "identity")
    return root


def opened(root: Path, allow_partial: bool = False, **options: str) -> Study:
    """The study as ``--dataset simulated`` reads it."""
    return open_study("simulated", root, allow_partial, options)
