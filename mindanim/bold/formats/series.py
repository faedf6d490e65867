"""An opened run, whatever its format: signal by voxel and volume, read block by block."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.voxels import Voxels, reordered, shared
from mindanim.errors import InputError


@dataclass(frozen=True, eq=False)
class Series:
    """One run.

    Attributes:
        tr_s: Seconds between volumes as the file says, None where its format says nothing.
        columns: ``(voxel,)`` Where in the data the voxels are.
        data: Returns the data ``(volume, column)``. It may map the file again at every call, so that memory
            does not grow over the runs of a study.
        slope, intercept: From the data to the file's unit.
    """

    path: Path
    tr_s: float | None
    volumes: int
    voxels: Voxels
    columns: NDArray[np.intp]
    data: Callable[[], NDArray[Any]]
    slope: float = 1.0
    intercept: float = 0.0

    def mapped(self) -> Series:
        """The same run with its data mapped once, for several reads; let it go after a block of voxels."""
        data = self.data()
        return replace(self, data=lambda: data)

    def signal(self, voxels: NDArray[np.intp] | slice, volumes: slice = slice(None)) -> NDArray[np.float64]:
        """Signal ``(voxel, volume)`` float64 in the file's unit; ``voxels`` index :attr:`voxels`."""
        columns, data = self.columns[voxels], self.data()
        if len(columns) and columns[-1] - columns[0] == len(columns) - 1 and np.all(np.diff(columns) == 1):
            block = data[volumes, columns[0] : columns[-1] + 1]  # a view: no copy in the file's number format
        else:
            block = data[volumes, columns]
        signal = np.array(block.T, dtype=np.float64, order="C")
        if self.slope != 1.0 or self.intercept != 0.0:
            signal *= self.slope
            signal += self.intercept
        return signal


def broken(path: Path, format: str, why: str) -> InputError:
    """The error for a file that is not what it should be."""
    return InputError(
        f"{path} is not a readable {format}.", f"{why[0].upper()}{why[1:]}.", "Download the run again."
    )


def common_voxels(runs: Sequence[Series]) -> tuple[Voxels, int]:
    """The voxels that all runs have, and how many others some run has.

    Masks may differ between runs (fMRIPrep makes one per run), so volumes on one grid are reduced to what all
    masks hold. Other kinds of runs must agree, else InputError.
    """
    common, strangers = runs[0].voxels, []
    kinds: list[Voxels] = [common]
    for run in runs:
        if any(run.voxels.same_as(known) for known in kinds):
            continue
        both = shared(common, run.voxels)
        if both is None and reordered(run.voxels, common) is not None:
            continue
        if both is None:
            strangers.append(run)
        else:
            kinds.append(run.voxels)
            common = common.take(both)
    if strangers:
        sizes = ", ".join(f"{run.path.name} ({len(run.voxels)})" for run in strangers[:6])
        raise InputError(
            f"{len(strangers)} runs have other {common.noun} than {runs[0].path.name} "
            f"({len(runs[0].voxels)}): {sizes}.",
            "Responses of one voxel must come from one place in all runs.",
            "Process all runs to the same mesh and brain models, or to the same volume and resolution.",
        )
    if not len(common):
        raise InputError(
            "No voxel is in the masks of all runs.", f"There are {len(kinds)} masks.", "Check the masks."
        )
    union = np.unique(np.concatenate([voxels.ijk for voxels in kinds]), axis=0)
    return common, len(union) - len(common) if len(kinds) > 1 else 0


def on_voxels(run: Series, voxels: Voxels) -> Series:
    """The run over ``voxels``, which are among its own, in their order."""
    if run.voxels.same_as(voxels):
        return run
    which = shared(run.voxels, voxels)
    if which is None:
        which = reordered(run.voxels, voxels)
    return run if which is None else replace(run, voxels=voxels, columns=run.columns[which])
