"""Declared runs held against files: what counts as too short."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mindanim.studies.checks.declared_vs_disk import Declared, compare_runs
from mindanim.studies.readers.cc2017 import FACTS
from mindanim.vocabulary.runs import Run


@pytest.mark.parametrize(("volumes", "state"), [(5, "wrong"), (6, "found")])
def test_a_run_has_to_last_until_its_clips_begin(tmp_path: Path, volumes: int, state: str) -> None:
    """The last clip begins at 10 s, and volumes are 2 s apart. Its response may lie beyond the run: then the
    clip is dropped, but a run in which clips were never shown is another than its events say."""
    np.save(tmp_path / "run.npy", np.random.default_rng(0).standard_normal((volumes, 5)))
    shown = {"seg1-1": 0.0, "seg1-2": 10.0}
    run = Run(
        1, "seg1", "train", "seg1", 1, tmp_path / "run.npy", 0.0, 2.0, 0, axes="volume voxel", shown_s=shown
    )
    (entry,) = compare_runs(replace(FACTS, lags_s=(2.0, 6.0)), 1, Declared([run])).entries
    assert entry.state == state, entry.why
    if state == "wrong":
        assert "ends at 10 s (TR 2 s, 5 volumes), but 1 of 2 clips begin after that" in entry.why
