"""Writing CIFTI-2 files: runs on the cortical surface, and the planted regions as a label file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nibabel.cifti2.cifti2 import Cifti2Header, Cifti2Image
from nibabel.cifti2.cifti2_axes import Axis, LabelAxis, SeriesAxis
from numpy.typing import NDArray

from mindanim.simulation.regions import REGIONS, SIDES, Sheet, cortex_axis
from mindanim.vocabulary.limits import HEMISPHERES

Array = NDArray[np.float32]

_COLOURS = {
    "layout": (0.2, 0.5, 0.9),
    "motion": (0.9, 0.3, 0.2),
    "meaning": (0.2, 0.7, 0.3),
    "none": (0.6, 0.6, 0.6),
}


def write_series(path: Path, data: Array, sheet: Sheet, tr_s: float) -> None:
    """A run ``(volume, vertex)`` as a dense series."""
    path.parent.mkdir(parents=True, exist_ok=True)
    axes = SeriesAxis(0.0, tr_s, len(data)), sheet.axis()  # type: ignore[no-untyped-call]
    _write(path, data, axes, "ConnDenseSeries")


def write_atlas(path: Path, sheet: Sheet) -> None:
    """The planted regions as a label file over the whole cortex; 0 is outside all of them."""
    named = [(region.label(side), region.role) for side in SIDES for region in REGIONS if region.name]
    table = {0: ("???", (1.0, 1.0, 1.0, 0.0))}
    table |= {key: (label, (*_COLOURS[role], 1.0)) for key, (label, role) in enumerate(named, start=1)}
    keys = {label: key for key, (label, _) in table.items()}
    axis = cortex_axis()
    planted = zip(sheet.side, sheet.vertex, sheet.labels(), strict=True)
    key_at = {(HEMISPHERES[side], vertex): keys.get(label, 0) for side, vertex, label in planted}
    data = [[key_at.get(place, 0) for place in zip(axis.name, axis.vertex, strict=True)]]
    labels = LabelAxis(["planted regions"], [table])  # type: ignore[no-untyped-call]
    _write(path, np.array(data, np.float32), (labels, axis), "ConnDenseLabel")


def _write(path: Path, data: Array, axes: tuple[Axis, Axis], intent: str) -> None:
    image = Cifti2Image(data, Cifti2Header.from_axes(axes))  # type: ignore[no-untyped-call]
    image.nifti_header.set_intent(intent)
    image.to_filename(path)
