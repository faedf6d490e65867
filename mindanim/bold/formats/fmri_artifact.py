"""The voxels of a finished fmri artifact, read from its own files: the raw study is not needed."""

from __future__ import annotations

from typing import Any

import numpy as np

from mindanim.artifacts import Artifact
from mindanim.bold.formats.cifti import places_of
from mindanim.bold.voxels import NO_INDEX, UNKNOWN, Grid, Voxels
from mindanim.vocabulary.arrays import Float


def read_voxels(artifact: Artifact) -> Voxels:
    """The voxels of an fmri artifact, in the order of its ``voxels.tsv``.

    Their places come from the artifact's ``mask`` map, which holds the runs' brain models, parcels or grid.
    """
    import nibabel as nib

    table = artifact.table("voxels.tsv")
    ijk = table[["i", "j", "k"]].fillna(NO_INDEX).to_numpy(np.int64)
    mask = next((name for name in artifact.outputs if name.startswith("mask.")), None)
    if mask is None:
        region = np.where(table.region.isna(), UNKNOWN, table.region.astype(str))
        names = region if (region != UNKNOWN).any() else None
        return Voxels.unplaced("columns", len(table), names=names, ijk=ijk)
    path = artifact.file(mask)
    image: Any = nib.load(path)
    if mask.endswith(".nii.gz"):
        return Voxels.in_volume(ijk, Grid.of(image))
    return places_of(path, image.header.get_axis(1)).voxels


def on_all_voxels(artifact: Artifact, values: Float) -> Float:
    """Spread values of the responses' columns over all voxels.

    Args:
        artifact: An fmri artifact.
        values: ``(column,)``, one for each column of its responses.

    Returns:
        ``(voxel,)`` in the order of ``voxels.tsv``; NaN where a voxel was not selected.
    """
    column = artifact.table("voxels.tsv").column
    spread = np.full(len(column), np.nan)
    selected = column.notna().to_numpy()
    spread[selected] = np.asarray(values)[column[selected].to_numpy(np.int64)]
    return spread
