"""Values by voxel as files that viewers open: CIFTI for Connectome Workbench, NIfTI for any."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.voxels import Grid, Voxels


def brain_map(
    voxels: Voxels, maps: Mapping[str, NDArray[Any]], elsewhere: float = np.nan
) -> tuple[str, bytes] | None:
    """One file with every map: the ending of its name, and its content. None where the voxels have no place.

    Args:
        maps: Name to values ``(voxel,)``; NaN is allowed and shown as no value.
        elsewhere: Value of a volume's voxels that are not among ``voxels``. Grayordinates make a dscalar,
            parcels a pscalar file, volumes a NIfTI file with one volume per map.
    """
    values = np.stack([np.asarray(values, dtype=np.float32) for values in maps.values()])
    if voxels.space is None:
        return None
    if isinstance(voxels.space, Grid):
        return ".nii.gz", _nifti(voxels.space, voxels.ijk, values, elsewhere)
    ending, intent = {
        "grayordinates": (".dscalar.nii", "ConnDenseScalar"),
        "parcels": (".pscalar.nii", "ConnParcelScalr"),
    }[voxels.kind]
    from nibabel.cifti2.cifti2 import Cifti2Image
    from nibabel.cifti2.cifti2_axes import ScalarAxis

    axes = ScalarAxis(list(maps)), voxels.space  # type: ignore[no-untyped-call]
    image = Cifti2Image(values, header=axes)  # type: ignore[no-untyped-call]
    image.nifti_header.set_intent(intent)
    return ending, image.to_bytes()


def _nifti(grid: Grid, ijk: NDArray[np.int64], values: NDArray[np.float32], elsewhere: float) -> bytes:
    import nibabel as nib

    volume = np.full((*grid.shape, len(values)), elsewhere, dtype=np.float32)
    volume[tuple(ijk.T)] = values.T
    content = volume[..., 0] if len(values) == 1 else volume
    image: Any = nib.Nifti1Image(content, grid.affine)  # type: ignore[no-untyped-call]
    if grid.mni:
        image.set_sform(grid.affine, code="mni")
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), mtime=0)
