"""Planted regions: their names, what their vertices respond to, and their place on the cortical mesh.

Names follow the HCP multi-modal parcellation (Glasser et al. 2016, doi:10.1038/nature18933), with the side
before and ``_ROI`` after, as in its label file: ``L_V1_ROI``. What a region responds to is the textbook's
division of labour, exaggerated: layout in early areas, motion in dorsal areas, meaning in lateral and ventral
areas. FFC stands for the fusiform face complex, PHA1 and PHA2 for parahippocampal areas, V8 for ventral
colour cortex.

Vertices are real vertices of the 32k_fs_LR mesh, but the *locations* of the regions are arbitrary: each is a
run of consecutive vertex numbers. A name says what a region does, not where it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

import numpy as np
from nibabel.cifti2.cifti2_axes import BrainModelAxis
from numpy.typing import NDArray

from mindanim.vocabulary.limits import HEMISPHERES, MESH_VERTICES

Role = Literal["layout", "motion", "meaning", "none"]
Sees = Literal["layout", "motion", "flow", "meaning", "nothing"]

SIDES = ("L", "R")


@dataclass(frozen=True)
class Region:
    """One planted area, in both hemispheres.

    Attributes:
        role: What the region is for.
        sees: The part of the films' drive that its vertices weight.
        share: Share of all vertices, both hemispheres together.
        field: Standard deviation of a receptive field at the fovea, frame half-widths; 0 covers the whole
            frame.
        gain: Signal-to-noise ratio relative to the other regions.
        taste: Relative strength of the channels, or groups of channels, that a vertex may prefer.
    """

    name: str
    role: Role
    sees: Sees
    share: float
    field: float = 0.0
    gain: float = 1.0
    taste: tuple[tuple[str, float], ...] = ()

    def label(self, side: str) -> str:
        """Name in the atlas; empty for cortex outside all regions."""
        return f"{side}_{self.name}_ROI" if self.name else ""


_EARLY = (("luminance", 1.0), ("red-green", 1.0), ("blue-yellow", 0.8), ("contrast", 0.5))
_COLOUR = (("luminance", 0.7), ("red-green", 1.2), ("blue-yellow", 1.0), ("contrast", 0.3))
_CHANGE = (("luminance", 1.0), ("red-green", 0.6), ("blue-yellow", 0.6))

REGIONS: tuple[Region, ...] = (
    Region("V1", "layout", "layout", 0.10, 0.05, 1.0, _EARLY),
    Region("V2", "layout", "layout", 0.08, 0.07, 1.0, _EARLY),
    Region("V3", "layout", "layout", 0.06, 0.10, 1.0, _EARLY),
    Region("V4", "layout", "layout", 0.06, 0.16, 1.0, _COLOUR),
    Region("V3A", "motion", "motion", 0.17, 0.06, 1.4, _CHANGE),
    Region("MT", "motion", "motion", 0.20, 0.10, 1.4, _CHANGE),
    Region("MST", "motion", "flow", 0.05, gain=1.4),
    Region("LO1", "meaning", "meaning", 0.03, taste=(("object", 1.0), ("size", 0.8))),
    Region("LO2", "meaning", "meaning", 0.04, taste=(("object", 1.0), ("size", 0.4), ("colour", 0.3))),
    Region("V8", "meaning", "meaning", 0.04, taste=(("colour", 1.0), ("object", 0.3))),
    Region("FFC", "meaning", "meaning", 0.05, taste=(("object", 1.0), ("colour", 0.4))),
    Region("PHA1", "meaning", "meaning", 0.02, taste=(("background", 1.0), ("size", 0.2))),
    Region("PHA2", "meaning", "meaning", 0.02, taste=(("background", 1.0), ("object", 0.4))),
    Region("A1", "none", "nothing", 0.04),
    Region("", "none", "nothing", 0.04),
)
"""All regions; the nameless last one is cortex outside any of them."""


@dataclass(frozen=True)
class Sheet:
    """The simulated vertices in the order of the files' columns.

    Attributes:
        side: ``(vertex,)``, 0 left, 1 right.
        vertex: ``(vertex,)`` number on the hemisphere's mesh.
        region: ``(vertex,)`` index into `REGIONS`.
    """

    side: NDArray[np.intp]
    vertex: NDArray[np.intp]
    region: NDArray[np.intp]

    def axis(self) -> BrainModelAxis:
        """CIFTI brain-model axis of these vertices on the whole mesh, left hemisphere first."""
        return _axis([self.vertex[self.side == side] for side in (0, 1)])

    def labels(self) -> list[str]:
        """Atlas label per vertex; empty outside all regions."""
        return [
            REGIONS[region].label(SIDES[side]) for side, region in zip(self.side, self.region, strict=True)
        ]


def plant(vertices: int) -> Sheet:
    """Distribute about ``vertices`` vertices over the regions, half of each region in either hemisphere.

    Every region gets at least one vertex per side. The same number of vertices always gives the same sheet.
    """
    parts = []
    for side, present in enumerate(cortex_vertices()):
        stretches = np.array_split(present, len(REGIONS))
        for index, (region, stretch) in enumerate(zip(REGIONS, stretches, strict=True)):
            chosen = np.sort(stretch[: max(1, round(region.share * vertices / 2))])
            parts.append((np.full(len(chosen), side), chosen, np.full(len(chosen), index)))
    return Sheet(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def cortex_vertices() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Vertices of the standard 91,282-grayordinate axis: 29,696 left and 29,716 right, no medial wall.

    From ``ones.dscalar.nii`` of demianw/nibabel-nitest-cifti2 (Open Data Commons PDDL), stored as one bit per
    vertex of the mesh.
    """
    with files("mindanim.simulation").joinpath("cortex_32k_fs_LR.npy").open("rb") as file:
        bits = np.load(file, allow_pickle=False)
    left, right = np.unpackbits(bits, axis=1, count=MESH_VERTICES)
    return np.flatnonzero(left), np.flatnonzero(right)


def cortex_axis() -> BrainModelAxis:
    """CIFTI brain-model axis of the whole cortex, 59,412 vertices."""
    return _axis(cortex_vertices())


def _axis(vertices: Iterable[NDArray[np.intp]]) -> BrainModelAxis:
    left, right = (
        BrainModelAxis.from_surface(present, MESH_VERTICES, structure)  # type: ignore[no-untyped-call]
        for present, structure in zip(vertices, HEMISPHERES, strict=True)
    )
    both: BrainModelAxis = left + right
    return both
