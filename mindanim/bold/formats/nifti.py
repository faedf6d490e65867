"""Reading NIfTI runs within a mask: memory-mapped where uncompressed, else unpacked into unlinked files."""

from __future__ import annotations

import gzip
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.formats.compressed import Unpacked
from mindanim.bold.formats.series import Series, broken
from mindanim.bold.voxels import Grid, Voxels
from mindanim.errors import InputError
from mindanim.vocabulary.nifti_header import check_image, whole_data
from mindanim.vocabulary.reading import reading

_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_FORMAT = "NIfTI run"
_BLOCK_BYTES = 1 << 20


class NiftiReader:
    """Opens NIfTI runs; masks are read once."""

    def __init__(self) -> None:
        self._masks: dict[Path, tuple[Grid, Voxels, NDArray[np.intp]]] = {}
        self._unpacked = Unpacked()

    def open(self, path: Path, mask: Path | None) -> Series:
        """Open a 4-D run. InputError where it is none, is truncated, or does not fit its mask."""
        if mask is None:
            raise InputError(
                f"The run {path} has no mask.",
                "A volume is mostly air, and the brain is not guessed.",
                "Give a mask in the run's space (fMRIPrep writes ..._desc-brain_mask.nii.gz).",
            )
        image = _load(path, _FORMAT)
        if len(image.shape) != 4:
            raise broken(path, _FORMAT, f"it has the shape {image.shape}, not (i, j, k, volume)")
        grid = _grid(path, image)
        on_mask, voxels, columns = self._mask(mask)
        if not grid.same_as(on_mask):
            raise InputError(
                f"The mask {mask} is on a different grid from {path}.",
                f"The mask has {_words(on_mask)}, the run {_words(grid)}.",
                "Use the mask of the run's own space and resolution.",
            )
        if grid.mni and not on_mask.mni:
            voxels = Voxels.in_volume(voxels.ijk, grid)
        volumes, slope, intercept = int(image.shape[3]), 1.0, 0.0
        if path.suffix == ".gz":

            def data() -> NDArray[np.float32]:
                file = self._unpacked((path, mask), partial(_unpack, path, columns, volumes))
                return np.memmap(file, np.float32, "r", shape=(volumes, len(columns)))

            return Series(
                path,
                _repetition_time(path, image),
                volumes,
                voxels,
                np.arange(len(columns)),
                data,
            )
        proxy = image.dataobj
        slope, intercept = float(proxy.slope), float(proxy.inter)
        shape, dtype, offset = (int(np.prod(grid.shape)), volumes), proxy.dtype, proxy.offset
        return Series(
            path,
            _repetition_time(path, image),
            volumes,
            voxels,
            columns,
            lambda: np.memmap(path, dtype, "r", offset, shape, order="F").T,
            slope,
            intercept,
        )

    def _mask(self, path: Path) -> tuple[Grid, Voxels, NDArray[np.intp]]:
        if path not in self._masks:
            if not path.is_file():
                raise InputError(f"The mask {path} is missing.", hint="Get it, or name another one.")
            image = _load(path, "NIfTI mask")
            with reading(path, "NIfTI mask"):
                values = whole_data(path, image)
            values = values[..., 0] if values.ndim == 4 and values.shape[3] == 1 else values
            if values.ndim != 3:
                raise broken(path, "NIfTI mask", f"it has the shape {values.shape}, not (i, j, k)")
            if not np.isin(values, (0, 1)).all():
                raise InputError(
                    f"{path} is not a mask.",
                    f"Its values go from {np.nanmin(values):g} to {np.nanmax(values):g}, not 0 or 1.",
                    "Threshold it first: how much tissue counts as brain is your decision.",
                )
            if not values.any():
                raise InputError(f"The mask {path} is empty.", "No voxel of it is 1.", "Use another mask.")
            grid = _grid(path, image)
            columns = np.flatnonzero(values.ravel(order="F"))
            ijk = np.stack(np.unravel_index(columns, grid.shape, order="F"), axis=1).astype(np.int64)
            self._masks[path] = grid, Voxels.in_volume(ijk, grid), columns
        return self._masks[path]


def _unpack(path: Path, columns: NDArray[np.intp], volumes: int, target: IO[bytes]) -> None:
    """Write the voxels within the mask, volume by volume, as float32 in the file's unit."""
    image = _load(path, _FORMAT)
    data, count = image.dataobj, math.prod(image.shape[:3])
    with reading(path, _FORMAT), gzip.open(path) as packed:
        packed.read(int(data.offset))
        for _ in range(volumes):
            values = np.frombuffer(packed.read(count * data.dtype.itemsize), data.dtype, count)[columns]
            if (data.slope, data.inter) != (1, 0):
                values = values * np.float64(data.slope) + np.float64(data.inter)
            target.write(values.astype(np.float32).tobytes())
        while packed.read(_BLOCK_BYTES):  # the checksum is at the end
            pass


def _load(path: Path, format: str) -> Any:
    import nibabel as nib

    with reading(path, format):
        image: Any = nib.load(path)
        image.header.get_xyzt_units()
    if not isinstance(image, nib.Nifti1Image):
        raise broken(path, format, f"it is a {type(image).__name__}")
    check_image(path, image)
    return image


def _grid(path: Path, image: Any) -> Grid:
    grid = Grid.of(image)
    return replace(grid, mni=grid.mni or "space-MNI" in path.name)


def _words(grid: Grid) -> str:
    origin = ", ".join(f"{value:g}" for value in grid.affine[:3, 3])
    size = " x ".join(f"{value:.3g}" for value in np.linalg.norm(grid.affine[:3, :3], axis=0))
    return f"{' x '.join(map(str, grid.shape))} voxels of {size} mm from ({origin})"


def _repetition_time(path: Path, image: Any) -> float | None:
    """Seconds between volumes; None where the header does not say or gives no unit for it."""
    step, unit = float(image.header["pixdim"][4]), image.header.get_xyzt_units()[1]
    if not math.isfinite(step):
        raise broken(path, _FORMAT, f"its repetition time (pixdim[4]) is {step:g}")
    return step * _SECONDS[unit] if unit in _SECONDS and step > 0 else None
