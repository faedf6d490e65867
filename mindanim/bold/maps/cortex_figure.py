"""A picture of values by voxel: projections of a volume, the cortex cut open, or bars by region."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.formats.cifti import HEMISPHERES
from mindanim.bold.formats.surfaces import MESH_VERTICES, flat_mesh
from mindanim.bold.voxels import UNKNOWN, Voxels

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

_MOST_BARS = 40
_LEVEL_NAMES = 12
"""Names that fit below the bars without being turned."""
_LEVEL_NAMES = 12
"""Names that fit below the bars without being turned."""
_COLOURS = "viridis"
_EMPTY = "0.9"


def draw_map(
    figure: SubFigure, voxels: Voxels, values: NDArray[np.float64], regions: NDArray[np.str_], label: str
) -> None:
    """Draw ``values (voxel,)`` where the voxels lie, as well as is known; NaN stays grey."""
    placed = np.isfinite(voxels.mm).all(1)
    flat = flat_mesh() if _standard(voxels) else None
    if flat is not None:
        _flat(figure, voxels, values, flat, label)
    elif placed.any() and not voxels.surface.any():
        _projections(figure, voxels.mm[placed], values[placed], label)
    else:
        _bars(figure, values, regions, label)


def _standard(voxels: Voxels) -> bool:
    sizes: dict[str, int] = getattr(voxels.space, "nvertices", {})
    return all(sizes.get(name) == MESH_VERTICES for name in HEMISPHERES)


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    high = float(np.quantile(finite, 0.999)) if len(finite) else 1.0
    return 0.0, max(high, 1e-3)


def _flat(
    figure: SubFigure,
    voxels: Voxels,
    values: NDArray[np.float64],
    mesh: list[NDArray[np.float64]],
    label: str,
) -> None:
    axes = figure.subplots()
    low, high = _limits(values)
    for side, hemisphere in zip(mesh, HEMISPHERES, strict=True):
        axes.scatter(side[:, 0], side[:, 1], s=0.6, color=_EMPTY, linewidths=0)
        here = (voxels.structure == hemisphere) & np.isfinite(values)
        points = side[voxels.vertex[here]]
        x, y = points[:, 0], points[:, 1]
        image = axes.scatter(x, y, c=values[here], s=1.1, vmin=low, vmax=high, cmap=_COLOURS, linewidths=0)
    axes.set(title=f"{label} on the flat cortex, left and right", aspect="equal")
    axes.set_axis_off()
    figure.colorbar(image, ax=axes, shrink=0.8)


def _projections(figure: SubFigure, mm: NDArray[np.float64], values: NDArray[np.float64], label: str) -> None:
    """The largest value along each of three directions, on a grid of the voxels' spacing."""
    panels = figure.subplots(1, 3)
    low, high = _limits(values)
    steps = [np.unique(np.round(mm[:, axis], 3)) for axis in range(3)]
    sizes = [float(np.median(np.diff(step))) if len(step) > 1 else 1.0 for step in steps]
    for axes, (across, up, name) in zip(
        panels, ((1, 2, "sagittal"), (0, 2, "coronal"), (0, 1, "axial")), strict=True
    ):
        column, row = (
            np.rint((mm[:, axis] - mm[:, axis].min()) / sizes[axis]).astype(int) for axis in (across, up)
        )
        picture = np.full((row.max() + 1, column.max() + 1), -np.inf)
        np.maximum.at(picture, (row, column), np.nan_to_num(values, nan=-np.inf))
        extent = tuple(
            edge
            for axis in (across, up)
            for edge in (mm[:, axis].min() - sizes[axis] / 2, mm[:, axis].max() + sizes[axis] / 2)
        )
        axes.set_facecolor(_EMPTY)
        shown = np.where(np.isfinite(picture), picture, np.nan)
        image = axes.imshow(
            shown, origin="lower", extent=extent, vmin=low, vmax=high, cmap=_COLOURS, interpolation="nearest"
        )
        axes.set_title(f"{name}: {'xyz'[across]}, {'xyz'[up]} (mm)", fontsize=10)
        axes.tick_params(labelsize=8)
    figure.suptitle(f"{label}, largest along the line of sight", fontsize=11)
    figure.colorbar(image, ax=panels, shrink=0.8)


def _bars(figure: SubFigure, values: NDArray[np.float64], regions: NDArray[np.str_], label: str) -> None:
    """Median by region, the best ones first."""
    axes = figure.subplots()
    finite = np.isfinite(values)
    names = [name for name in np.unique(regions[finite]).tolist() if name != UNKNOWN]
    if not names:
        axes.text(0.5, 0.5, f"{label} by place: no regions and no places are known", ha="center")
        axes.set_axis_off()
        return
    medians = {name: float(np.median(values[finite & (regions == name)])) for name in names}
    best = sorted(names, key=lambda name: -medians[name])[:_MOST_BARS]
    axes.bar(range(len(best)), [medians[name] for name in best], color="#2f6db3")
    shown = f", the best {len(best)} of {len(names)}" if len(names) > len(best) else ""
    axes.set(title=f"{label} by region, median{shown}", xticks=range(len(best)), ylabel=label.lower())
    slope, side = (60, "right") if len(best) > _LEVEL_NAMES else (0, "center")
    axes.set_xticklabels(best, rotation=slope, ha=side)
    axes.set_xlim(-0.8, max(len(best), _LEVEL_NAMES) - 0.2)  # few bars stay narrow
    axes.tick_params(axis="x", labelsize=8)
    axes.axhline(0, color="k", lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)
