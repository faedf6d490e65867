"""Response plans of runs in memory, each with clips of one volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mindanim.bold.clean import drift_basis
from mindanim.bold.formats.series import Series
from mindanim.bold.response_plan import Plan, PlannedRun, PlannedSegment
from mindanim.bold.timing import Timing, sampling
from mindanim.bold.voxels import Voxels
from mindanim.vocabulary.runs import Run


def planned(
    segments: Mapping[str, Sequence[np.ndarray]],
    *,
    tr_s: float = 2.0,
    order: int = 4,
    onsets_s: Mapping[str, Sequence[Sequence[float]]] | None = None,
) -> Plan:
    """Training segments of these runs ``(voxel, volume)``.

    onsets_s: segment -> per run, when each clip was shown in it; by default one clip per volume, in order.
    """
    made = []
    for name, runs in segments.items():
        count, volumes = runs[0].shape
        voxels = Voxels.unplaced("columns", count)
        parts = []
        for repeat, run in enumerate(runs, start=1):
            shown = (onsets_s or {}).get(name)
            onsets = [tr_s * at for at in range(volumes)] if shown is None else shown[repeat - 1]
            timing = Timing.of(onsets, [0.0])
            facts = Run(1, name, "train", name, repeat, Path("memory"), 0.0, tr_s, volumes)
            series = Series(Path("memory"), tr_s, volumes, voxels, np.arange(count), lambda run=run: run.T)
            read = sampling(timing, 0.0, tr_s, volumes, "cubic")
            basis = drift_basis("polynomial", read.volumes, tr_s, order=order)
            parts.append(PlannedRun(facts, series, read, timing.index, basis))
        made.append(PlannedSegment(name, "train", (), tuple(parts)))
    return Plan(voxels, (0.0,), tuple(made))


def autoregressive(rng: np.random.Generator, ar: float, voxels: int, volumes: int) -> np.ndarray:
    """``(voxel, volume)`` stationary first-order noise of unit variance."""
    from scipy.signal import lfilter

    fresh = rng.standard_normal((voxels, volumes + 60))
    return np.asarray(lfilter([np.sqrt(1 - ar**2)], [1, -ar], fresh, axis=1)[:, 60:])
