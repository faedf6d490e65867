"""The quality-control figure: what was cleaned, chosen and left out, and when responses are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.plan import Plan, PlannedSegment
from mindanim.bold.survey import Selection

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CARPET_ROWS = 600
_CLIPS_SHOWN = 5
_GREY, _BLUE, _LIGHT_BLUE, _ORANGE = "0.72", "#2f6db3", "#7fa9d6", "#d9782d"


@dataclass(frozen=True, eq=False)
class Quality:
    """What the figure shows. excluded: voxels by reason; ceiling: ``(voxel,)`` of the chosen ones."""

    title: str
    plan: Plan
    selection: Selection
    ceiling: NDArray[np.float64]
    excluded: Mapping[str, int]
    clip_s: float
    threshold: str


def draw_quality(path: Path, quality: Quality) -> None:
    """Write the figure as PNG: carpet plot, reliability, timing, exclusions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(quality.title, fontsize=12)
    panels = figure.subplot_mosaic([["carpet", "reliability"], ["timing", "excluded"]], width_ratios=[3, 2])
    _carpet(panels["carpet"], quality)
    _reliability(panels["reliability"], quality)
    _timing(panels["timing"], quality)
    _excluded(panels["excluded"], quality)
    figure.savefig(path, format="png")


def _carpet(axes: Axes, quality: Quality) -> None:
    segment = quality.plan.segments[0]
    run = segment.runs[0]
    chosen = quality.selection.columns
    order = np.argsort(-np.nan_to_num(quality.selection.reliability[chosen]), kind="stable")
    rows = order[np.linspace(0, len(order) - 1, min(_CARPET_ROWS, len(order))).astype(int)]
    cleaned = run.cleaned(chosen[rows])
    scaled = cleaned.residual / np.where(cleaned.deviation > 0, cleaned.deviation, 1.0)[:, None]
    first = run.facts.start_s + run.sampling.window.start * run.facts.tr_s
    extent = (first, first + scaled.shape[1] * run.facts.tr_s, len(rows), 0)
    image = axes.imshow(
        scaled, aspect="auto", cmap="gray", vmin=-2, vmax=2, extent=extent, interpolation="nearest"
    )
    axes.figure.colorbar(image, ax=axes, label="deviations", shrink=0.8)
    axes.set(
        title=f"Cleaned signal, {run.facts.name}",
        xlabel="film time (s)",
        ylabel=f"{len(rows)} of {len(chosen)} chosen voxels,\nmost reliable on top",
    )


def _reliability(axes: Axes, quality: Quality) -> None:
    values = quality.selection.reliability
    finite = np.isfinite(values)
    axes.set(
        title="Correlation of repeats (training)", xlabel="mean correlation over segments", ylabel="voxels"
    )
    if not finite.any():
        axes.text(0.5, 0.5, "one repeat only: undefined", ha="center", transform=axes.transAxes)
        return
    chosen = np.zeros(len(values), dtype=bool)
    chosen[quality.selection.columns] = True
    low, high = np.quantile(values[finite], [0, 1])
    bins = np.linspace(low, high, 60).tolist()
    axes.hist(values[finite], bins, color=_GREY, label=f"all defined ({int(finite.sum())})")
    axes.hist(values[finite & chosen], bins, color=_BLUE, label=f"chosen ({int(chosen.sum())})")
    axes.axvline(0, color="k", lw=0.8)
    axes.set_yscale("log")
    axes.set_ylim(0.6, 60 * axes.get_ylim()[1])  # the legend goes above the bars
    if np.isfinite(quality.ceiling).any():
        note = f"median noise ceiling of chosen (test) {np.nanmedian(quality.ceiling):.2f}"
        axes.plot([], [], " ", label=note)
    axes.plot([], [], " ", label=quality.threshold)
    axes.legend(fontsize=8, loc="upper right", frameon=False)


def _timing(axes: Axes, quality: Quality) -> None:
    """The first clips on top; below, for every start a run may have, its volumes and which are read."""
    plan, tr_s = quality.plan, quality.plan.segments[0].runs[0].facts.tr_s
    clips = plan.segments[0].clips[:_CLIPS_SHOWN]
    end = clips[-1].onset_s + max(*plan.lags_s, 0) + 2 * tr_s
    for number, clip in enumerate(clips):
        colour = _BLUE if number % 2 == 0 else _LIGHT_BLUE
        axes.barh(1, quality.clip_s, left=clip.onset_s, height=0.22, color=colour)
        middle, label = clip.onset_s + quality.clip_s / 2, str(number + 1)
        axes.text(middle, 1, label, ha="center", va="center", color="w", fontsize=8)
        for lag in plan.lags_s:
            arrow = {"arrowstyle": "->", "color": _ORANGE, "lw": 1.2, "alpha": 0.9 if number == 0 else 0.35}
            axes.annotate("", (clip.onset_s + lag, 0.12), (clip.onset_s, 0.88), arrowprops=arrow)
    starts: dict[float, list[PlannedSegment]] = {}
    for segment in plan.segments:
        starts.setdefault(segment.runs[0].facts.start_s, []).append(segment)
    for row, (start_s, segments) in enumerate(starts.items()):
        run, height = segments[0].runs[0], -0.55 * row
        times = start_s + np.arange(run.bold.volumes) * tr_s
        used = np.zeros(run.bold.volumes, dtype=bool)
        used[run.sampling.window] = True
        for volume in np.flatnonzero(times <= end):
            face = "k" if used[volume] else "w"
            axes.plot(times[volume], height, "o", mfc=face, mec="k", ms=5.5)
            axes.text(times[volume], height - 0.11, str(volume), ha="center", va="top", fontsize=8)
    names = [_range_of([segment.name for segment in segments]) for segments in starts.values()]
    lags = ", ".join(f"{lag:g}" for lag in plan.lags_s)
    axes.set(
        title=f"Responses are read {lags} s after a clip's onset",
        xlabel="film time (s); volumes are numbered from 0, those used are filled",
        yticks=[1, *(-0.55 * row for row in range(len(names)))],
        yticklabels=["clips", *(f"volumes of\n{name}" for name in names)],
        ylim=(-0.55 * len(names) + 0.15, 1.3),
        xticks=np.arange(0, end + tr_s / 2, tr_s),
        xlim=(min(-1.0, *(start - 1 for start in starts)), end + tr_s / 2),
    )
    axes.spines[["left", "top", "right"]].set_visible(False)


def _range_of(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 4 else f"{names[0]}, ..., {names[-1]}"


def _excluded(axes: Axes, quality: Quality) -> None:
    names, counts = list(quality.excluded), list(quality.excluded.values())
    bars = axes.barh(range(len(names)), counts, color=_GREY)
    bars[-1].set_color(_BLUE)
    axes.bar_label(bars, labels=[f"{count:,}" for count in counts], padding=3, fontsize=9)
    axes.set(
        title="Voxels by what became of them", yticks=range(len(names)), yticklabels=names, xlabel="voxels"
    )
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.spines[["top", "right"]].set_visible(False)
