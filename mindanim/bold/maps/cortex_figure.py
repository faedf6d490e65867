"""A picture of values by voxel: projections of a volume, the flattened cortex, or bars by region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.formats.surfaces import flat_mesh
from mindanim.bold.voxels import UNKNOWN, Voxels
from mindanim.vocabulary.arrays import Float
from mindanim.vocabulary.limits import HEMISPHERES, MESH_VERTICES

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

_MOST_BARS = 40
_LEVEL_NAMES = 12
"""Names that fit below the bars without being turned."""


@dataclass(frozen=True)
class _Scale:
    """Colours from ``low`` to ``high``; empty: the gray of what has no value."""

    low: float
    high: float
    colours: str
    empty: str

    @classmethod
    def of(cls, values: Float, signed: bool) -> _Scale:
        """From 0 to nearly the largest value; if signed, symmetric about 0 and diverging."""
        finite = values[np.isfinite(values)]
        shown = np.abs(finite) if signed else finite
        high = max(float(np.quantile(shown, 0.999)) if len(shown) else 1.0, 1e-3)
        return cls(-high, high, "RdBu_r", "0.75") if signed else cls(0.0, high, "viridis", "0.9")


def draw_map(
    figure: SubFigure,
    voxels: Voxels,
    values: Float,
    regions: NDArray[np.str_],
    label: str,
    signed: bool = False,
) -> None:
    """Draw values by voxel: on the flat cortex, as projections of a volume, or as bars by region.

    Args:
        figure: Where to draw.
        voxels: The places of the values.
        values: ``(voxel,)``; NaN stays gray.
        regions: ``(voxel,)``, names of regions for the bars.
        label: What the values are, with their unit.
        signed: Whether values below 0 mean something. If not, the colours start at 0, so that all values
            below it look alike.
    """
    placed = np.isfinite(voxels.mm).all(1)
    flat = flat_mesh() if _standard(voxels) else None
    scale = _Scale.of(values, signed)
    if flat is not None:
        _flat(figure, voxels, values, flat, label, scale)
    elif placed.any() and not voxels.surface.any():
        _projections(figure, voxels.mm[placed], values[placed], label, signed)
    else:
        _bars(figure, values, regions, label, signed)


def _standard(voxels: Voxels) -> bool:
    sizes: dict[str, int] = getattr(voxels.space, "nvertices", {})
    return all(sizes.get(name) == MESH_VERTICES for name in HEMISPHERES)


def _flat(
    figure: SubFigure,
    voxels: Voxels,
    values: Float,
    mesh: list[Float],
    label: str,
    scale: _Scale,
) -> None:
    axes = figure.subplots()
    for side, hemisphere in zip(mesh, HEMISPHERES, strict=True):
        axes.scatter(side[:, 0], side[:, 1], s=0.6, color=scale.empty, linewidths=0)
        here = (voxels.structure == hemisphere) & np.isfinite(values)
        points = side[voxels.vertex[here]]
        x, y = points[:, 0], points[:, 1]
        image = axes.scatter(
            x,
            y,
            c=values[here],
            s=1.1,
            vmin=scale.low,
            vmax=scale.high,
            cmap=scale.colours,
            linewidths=0,
        )
    axes.set(title=f"{label} on the flat cortex, left and right", aspect="equal")
    axes.set_axis_off()
    figure.colorbar(image, ax=axes, shrink=0.8)


def _projections(figure: SubFigure, mm: Float, values: Float, label: str, signed: bool) -> None:
    """The largest value (if signed, by magnitude) along three axes, on a grid of the voxels' spacing."""
    panels = figure.subplots(1, 3)
    scale = _Scale.of(values, signed)
    size = np.nan_to_num(np.abs(values) if signed else values, nan=-np.inf)
    behind_to_front = np.argsort(size, kind="stable")
    steps = [np.unique(np.round(mm[:, axis], 3)) for axis in range(3)]
    sizes = [float(np.median(np.diff(step))) if len(step) > 1 else 1.0 for step in steps]
    for axes, (across, up, name) in zip(
        panels, ((1, 2, "sagittal"), (0, 2, "coronal"), (0, 1, "axial")), strict=True
    ):
        column, row = (
            np.rint((mm[:, axis] - mm[:, axis].min()) / sizes[axis]).astype(int) for axis in (across, up)
        )
        picture = np.full((row.max() + 1, column.max() + 1), np.nan)
        picture[row[behind_to_front], column[behind_to_front]] = values[behind_to_front]
        extent = tuple(
            edge
            for axis in (across, up)
            for edge in (mm[:, axis].min() - sizes[axis] / 2, mm[:, axis].max() + sizes[axis] / 2)
        )
        axes.set_facecolor(scale.empty)
        image = axes.imshow(
            picture,
            origin="lower",
            extent=extent,
            vmin=scale.low,
            vmax=scale.high,
            cmap=scale.colours,
            interpolation="nearest",
        )
        axes.set_title(f"{name}: {'xyz'[across]}, {'xyz'[up]} (mm)", fontsize=10)
        axes.tick_params(labelsize=8)
    figure.suptitle(f"{label}, largest{' magnitude' if signed else ''} along the line of sight", fontsize=11)
    figure.colorbar(image, ax=panels, shrink=0.8)


def _bars(figure: SubFigure, values: Float, regions: NDArray[np.str_], label: str, signed: bool) -> None:
    """Median by region in descending order; of too many, the largest (if signed, by magnitude)."""
    axes = figure.subplots()
    finite = np.isfinite(values)
    names = [name for name in np.unique(regions[finite]).tolist() if name != UNKNOWN]
    if not names:
        axes.text(0.5, 0.5, f"{label} by place: no regions and no places are known", ha="center")
        axes.set_axis_off()
        return
    medians = {name: float(np.median(values[finite & (regions == name)])) for name in names}
    size = (lambda name: abs(medians[name])) if signed else medians.__getitem__
    best = sorted(sorted(names, key=size, reverse=True)[:_MOST_BARS], key=medians.__getitem__, reverse=True)
    axes.bar(range(len(best)), [medians[name] for name in best], color="#2f6db3")
    shown = (
        f", the {'largest' if signed else 'best'} {len(best)} of {len(names)}"
        if len(names) > len(best)
        else ""
    )
    axes.set(title=f"{label} by region, median{shown}", xticks=range(len(best)), ylabel=label.lower())
    slope, side = (60, "right") if len(best) > _LEVEL_NAMES else (0, "center")
    axes.set_xticklabels(best, rotation=slope, ha=side)
    axes.set_xlim(-0.8, max(len(best), _LEVEL_NAMES) - 0.2)  # few bars stay narrow
    axes.tick_params(axis="x", labelsize=8)
    axes.axhline(0, color="k", lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)
