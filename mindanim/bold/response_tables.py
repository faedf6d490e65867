"""The two tables of the response arrays: their rows (clips) and their columns (voxels)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.response_plan import Plan, PlannedSegment
from mindanim.bold.survey import Selection, Survey
from mindanim.bold.voxels import NO_INDEX
from mindanim.vocabulary.clips import Clip

if TYPE_CHECKING:
    import pandas as pd


def clips_table(plan: Plan, clips: Sequence[Clip]) -> pd.DataFrame:
    """One row per clip in the order of the arrays, training first."""
    import pandas as pd

    by_id = {clip.clip_id: clip for clip in clips}
    rows = [
        {
            "clip_id": clip.clip_id,
            "split": clip.split,
            "segment": clip.segment,
            "film": clip.film,
            "index": clip.index,
            "onset_s": clip.onset_s,
            "duration_s": clip.duration_s,
            "lags_s": ",".join(f"{lag:g}" for lag in plan.lags_s),
            "volumes": volumes,
            "repeats": len(segment.runs),
        }
        for segment in plan.segments
        for clip, volumes in zip(
            (by_id[one.clip_id] for one in segment.clips), _volumes(segment), strict=True
        )
    ]
    return pd.DataFrame(rows)


def _volumes(segment: PlannedSegment) -> list[str]:
    """Per clip the volumes read, e.g. ``1,2.5``; fractions are between two volumes."""
    run = segment.runs[0]
    positions = np.round(run.sampling.positions + run.sampling.window.start, 6)[run.index]
    return [",".join(f"{position:g}" for position in clip) for clip in positions]


def voxels_table(plan: Plan, found: Survey, selection: Selection, regions: NDArray[np.str_]) -> pd.DataFrame:
    """One row per voxel in the order of the runs."""
    import pandas as pd

    column = pd.array([pd.NA] * len(plan.voxels), dtype="Int64")
    column[selection.columns] = np.arange(len(selection.columns))
    voxels = plan.voxels
    columns = {
        "vertex": _indices(voxels.vertex),
        **{name: _indices(voxels.ijk[:, axis]) for axis, name in enumerate("ijk")},
        **{name: np.round(voxels.mm[:, axis], 4) for axis, name in enumerate(("x_mm", "y_mm", "z_mm"))},
    }
    return pd.DataFrame(
        {
            "structure": voxels.structure,
            **columns,
            "region": regions,
            "reliability": selection.reliability,
            "statistic": selection.statistic,
            "p": selection.p,
            "noise_ceiling": found.ceiling,
            "selected": chosen_mask(plan, selection).astype(int),
            "column": column,
        }
    )


def _indices(values: NDArray[np.int64]) -> pd.arrays.IntegerArray:
    import pandas as pd

    return pd.arrays.IntegerArray(values.copy(), values == NO_INDEX)


def chosen_mask(plan: Plan, selection: Selection) -> NDArray[np.bool_]:
    """Which voxels ``(voxel,)`` were chosen."""
    mask = np.zeros(len(plan.voxels), dtype=bool)
    mask[selection.columns] = True
    return mask
