"""Where responses come from: the columns of a run on a cortical mesh, in a volume, or by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nibabel.cifti2.cifti2_axes import BrainModelAxis, ParcelsAxis

Kind = Literal["grayordinates", "volume", "parcels", "columns"]
NOUNS: dict[Kind, str] = {
    "grayordinates": "grayordinates",
    "volume": "voxels",
    "parcels": "parcels",
    "columns": "columns",
}
"""What the voxels of each kind are called in messages."""
UNKNOWN = "n/a"
NO_INDEX = -1
_AFFINE_TOLERANCE_MM = 1e-3
_MNI_CODE = 4  # of NIfTI's sform and qform


@dataclass(frozen=True, eq=False)
class Grid:
    """A volume's grid. affine ``(4, 4)``: from voxel indices to mm; mni: whether those are MNI's."""

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    mni: bool = False

    @classmethod
    def of(cls, image: Any) -> Grid:
        """The grid of a NIfTI image."""
        codes = {int(image.header["sform_code"]), int(image.header["qform_code"])}
        i, j, k = (int(size) for size in image.shape[:3])
        return cls((i, j, k), np.asarray(image.affine, float), _MNI_CODE in codes)

    def same_as(self, other: Grid) -> bool:
        """Whether both have equally many voxels at the same places."""
        return self.shape == other.shape and np.allclose(self.affine, other.affine, atol=_AFFINE_TOLERANCE_MM)

    def mm(self, ijk: NDArray[np.int64]) -> NDArray[np.float64]:
        """Coordinates ``(voxel, 3)`` in mm of voxel indices ``(voxel, 3)``."""
        return np.asarray(ijk @ self.affine[:3, :3].T + self.affine[:3, 3])


@dataclass(frozen=True, eq=False)
class Voxels:
    """The places that a run's signal comes from, in the file's order. All are called voxels hereafter.

    Attributes:
        structure: ``(voxel,)`` CIFTI structure, ``n/a`` where the file names none.
        vertex: ``(voxel,)`` Index on that structure's mesh, -1 off the surface.
        ijk: ``(voxel, 3)`` Index in the volume, -1 outside volumes.
        mm: ``(voxel, 3)`` Its coordinates, else NaN.
        names: ``(voxel,)`` Names the file itself gives (parcels, regions of interest), or None.
        space: What is needed to write maps: brain models or parcels of these voxels alone, the grid of the
            volume, or None where no file format could show them.
    """

    kind: Kind
    structure: NDArray[np.str_]
    vertex: NDArray[np.int64]
    ijk: NDArray[np.int64]
    mm: NDArray[np.float64]
    names: NDArray[np.str_] | None = None
    space: BrainModelAxis | ParcelsAxis | Grid | None = None

    @classmethod
    def unplaced(
        cls,
        kind: Kind,
        count: int,
        *,
        names: NDArray[np.str_] | None = None,
        ijk: NDArray[np.int64] | None = None,
        space: ParcelsAxis | None = None,
    ) -> Voxels:
        """Voxels without a mesh or a known coordinate."""
        nowhere = np.full((count, 3), NO_INDEX, dtype=np.int64)
        return cls(
            kind,
            np.full(count, UNKNOWN),
            np.full(count, NO_INDEX, dtype=np.int64),
            nowhere if ijk is None else ijk,
            np.full((count, 3), np.nan),
            names,
            space,
        )

    @classmethod
    def in_volume(cls, ijk: NDArray[np.int64], grid: Grid) -> Voxels:
        """The voxels ``(voxel, 3)`` of a grid."""
        count = len(ijk)
        vertex = np.full(count, NO_INDEX, dtype=np.int64)
        return cls("volume", np.full(count, UNKNOWN), vertex, ijk, grid.mm(ijk), None, grid)

    def __len__(self) -> int:
        return len(self.structure)

    @property
    def noun(self) -> str:
        """What to call them in a message."""
        return NOUNS[self.kind]

    @property
    def surface(self) -> NDArray[np.bool_]:
        """Which are on a cortical mesh ``(voxel,)``."""
        return np.not_equal(self.vertex, NO_INDEX)

    def same_as(self, other: Voxels) -> bool:
        """Whether both are the same places in the same order."""
        return self is other or (
            self.kind == other.kind
            and np.array_equal(self.structure, other.structure)
            and np.array_equal(self.vertex, other.vertex)
            and np.array_equal(self.ijk, other.ijk)
            and _same_names(self.names, other.names)
            and not (isinstance(self.space, Grid) and not self.space.same_as(_grid(other.space)))
        )

    def take(self, which: NDArray[np.intp]) -> Voxels:
        """Those of the voxels alone."""
        space: Any = self.space
        return Voxels(
            self.kind,
            self.structure[which],
            self.vertex[which],
            self.ijk[which],
            self.mm[which],
            None if self.names is None else self.names[which],
            space if space is None or isinstance(space, Grid) else space[which],
        )


def _grid(space: object) -> Grid:
    return space if isinstance(space, Grid) else Grid((0, 0, 0), np.eye(4))


def _same_names(one: NDArray[np.str_] | None, other: NDArray[np.str_] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def shared(one: Voxels, other: Voxels) -> NDArray[np.intp] | None:
    """Indices into ``one`` of the voxels that ``other`` has too, where both are on one grid; else None."""
    if not (isinstance(one.space, Grid) and isinstance(other.space, Grid) and one.space.same_as(other.space)):
        return None
    flat = [np.ravel_multi_index(tuple(voxels.ijk.T), one.space.shape) for voxels in (one, other)]
    return np.flatnonzero(np.isin(*flat))


def reordered(one: Voxels, other: Voxels) -> NDArray[np.intp] | None:
    """Indices into ``one`` in the order of ``other``, where both are the same places of CIFTI files in other
    orders (the right hemisphere first); else None."""
    if one.kind != other.kind or len(one) != len(other) or isinstance(one.space, Grid):
        return None
    if _frame(one.space) != _frame(other.space):
        return None
    orders = [
        np.lexsort((*voxels.ijk.T, voxels.vertex, voxels.structure, _names(voxels)))
        for voxels in (one, other)
    ]
    if not one.take(orders[0]).same_as(other.take(orders[1])):
        return None
    indices = np.empty(len(one), dtype=np.intp)
    indices[orders[1]] = orders[0]
    return indices


def _names(voxels: Voxels) -> NDArray[np.str_]:
    return np.zeros(len(voxels), dtype=np.str_) if voxels.names is None else voxels.names


def _frame(space: object) -> tuple[object, ...]:
    """What vertex and voxel indices of a CIFTI axis refer to: sizes of the meshes, and the volume."""
    affine: Any = getattr(space, "affine", None)
    meshes = sorted((getattr(space, "nvertices", None) or {}).items())
    shape = getattr(space, "volume_shape", None)
    return tuple(meshes), shape, None if affine is None else tuple(np.round(affine, 3).ravel().tolist())
