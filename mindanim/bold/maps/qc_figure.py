"""The quality-control figure: what was cleaned, chosen and left out, and when responses are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.maps.cortex_figure import draw_map
from mindanim.bold.response_plan import Plan, PlannedSegment
from mindanim.bold.survey import Selection
from mindanim.vocabulary.arrays import Float

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CARPET_ROWS = 600
_CLIPS_SHOWN = 5
_STARTS_SHOWN = 3
_MUCH_MOTION_MM = 0.5
_GREY, _BLUE, _LIGHT_BLUE, _ORANGE = "0.72", "#2f6db3", "#7fa9d6", "#d9782d"


@dataclass(frozen=True, eq=False)
class Quality:
    """What the figure shows. excluded: voxels by reason; ceiling: ``(voxel,)`` of the chosen ones."""

    title: str
    plan: Plan
    selection: Selection
    ceiling: NDArray[np.float64]
    regions: NDArray[np.str_]
    excluded: Mapping[str, int]
    clip_s: float
    threshold: str


def draw_quality(path: Path, quality: Quality) -> None:
    """Write the figure as PNG: carpet plot, reliability, timing, exclusions, map, motion."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 11.5), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_short(quality.title, 90), fontsize=12)
    parts: Any = figure.subfigures(2, 1, height_ratios=[7, 4])
    top, bottom = parts
    panels = top.subplot_mosaic([["carpet", "reliability"], ["timing", "excluded"]], width_ratios=[3, 2])
    _carpet(panels["carpet"], quality)
    _reliability(panels["reliability"], quality)
    _timing(panels["timing"], quality)
    _excluded(panels["excluded"], quality)
    moved = _displacements(quality.plan)
    places, motion = bottom.subfigures(1, 2, width_ratios=[3, 1]) if moved else (bottom, None)
    reliability = quality.selection.reliability
    draw_map(places, quality.plan.voxels, reliability, quality.regions, "Correlation of repeats")
    if motion is not None:
        _motion(motion.subplots(), moved)
    figure.savefig(path, format="png")


def _displacements(plan: Plan) -> dict[str, Float]:
    """Framewise displacement of the runs for which it is known, mm."""
    runs = [run for segment in plan.segments for run in segment.runs]
    return {run.facts.name: run.displacement for run in runs if run.displacement is not None}


def _motion(axes: Axes, moved: Mapping[str, Float]) -> None:
    """How far the head moved between volumes, run by run: median and 95th percentile."""
    rows = range(len(moved))
    median, far = (np.array([np.quantile(run, share) for run in moved.values()]) for share in (0.5, 0.95))
    axes.hlines(rows, median, far, color=_LIGHT_BLUE)
    axes.plot(median, rows, "o", color=_BLUE, ms=3.5, label="median")
    axes.plot(far, rows, "|", color=_ORANGE, ms=7, label="95 %")
    axes.axvline(_MUCH_MOTION_MM, color="k", lw=0.8, ls=":")
    step = max(1, len(moved) // 24)
    axes.set(title="Head motion", xlabel="framewise\ndisplacement (mm)", xlim=(0, None))
    axes.set(yticks=list(rows)[::step], yticklabels=[_short(name) for name in list(moved)[::step]])
    axes.tick_params(axis="y", labelsize=7)
    axes.invert_yaxis()
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


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
        title=f"Cleaned signal, {_short(run.facts.name, 36)}",
        xlabel=f"{_clock(quality.plan)} (s)",
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
    plan, first = quality.plan, quality.plan.segments[0].runs[0].facts
    tr_s, clips = first.tr_s, plan.segments[0].clips
    onsets = sorted(first.when(clip) for clip in clips)[:_CLIPS_SHOWN]
    begin, end = onsets[0], onsets[-1] + max(*plan.lags_s, 0) + 2 * tr_s
    for number, onset in enumerate(onsets):
        colour = _BLUE if number % 2 == 0 else _LIGHT_BLUE
        axes.barh(1, quality.clip_s, left=onset, height=0.22, color=colour)
        middle, label = onset + quality.clip_s / 2, str(number + 1)
        axes.text(middle, 1, label, ha="center", va="center", color="w", fontsize=8)
        for lag in plan.lags_s:
            arrow = {"arrowstyle": "->", "color": _ORANGE, "lw": 1.2, "alpha": 0.9 if number == 0 else 0.35}
            axes.annotate("", (onset + lag, 0.12), (onset, 0.88), arrowprops=arrow)
    starts: dict[float, list[PlannedSegment]] = {}
    for segment in plan.segments:
        start_s = segment.runs[0].facts.start_s
        if start_s in starts or len(starts) < _STARTS_SHOWN:
            starts.setdefault(start_s, []).append(segment)
    for row, (start_s, segments) in enumerate(starts.items()):
        run, height = segments[0].runs[0], -0.55 * row
        times = start_s + np.arange(run.bold.volumes) * tr_s
        used = np.zeros(run.bold.volumes, dtype=bool)
        used[run.sampling.window] = True
        for volume in np.flatnonzero((times >= begin - tr_s) & (times <= end)):
            face = "k" if used[volume] else "w"
            axes.plot(times[volume], height, "o", mfc=face, mec="k", ms=5.5)
            axes.text(times[volume], height - 0.11, str(volume), ha="center", va="top", fontsize=8)
    names = [_range_of([segment.name for segment in segments]) for segments in starts.values()]
    lags = ", ".join(f"{lag:g}" for lag in plan.lags_s)
    axes.set(
        title=f"Responses are read {lags} s after a clip's onset",
        xlabel=f"{_clock(plan)} (s); volumes are numbered from 0, those used are filled",
        yticks=[1, *(-0.55 * row for row in range(len(names)))],
        yticklabels=["clips", *(f"volumes of\n{name}" for name in names)],
        ylim=(-0.55 * len(names) + 0.15, 1.3),
        xticks=np.arange(begin, end + tr_s / 2, tr_s),
        xlim=(begin - tr_s, end + tr_s / 2),
    )
    axes.spines[["left", "top", "right"]].set_visible(False)


def _clock(plan: Plan) -> str:
    film = all(clip.shown_s == clip.onset_s for segment in plan.segments for clip in segment.clips)
    return "film time" if film else "time of the run"


def _range_of(names: Sequence[str]) -> str:
    shown = [_short(name) for name in names]
    return "\n".join(shown) if len(shown) < 4 else f"{shown[0]}\nto {shown[-1]}"


def _short(name: str, length: int = 24) -> str:
    """A name of at most `length` characters: its beginning and its end, which tells repeats apart."""
    kept = (length - 1) // 2
    return name if len(name) <= length else f"{name[:kept]}…{name[kept + 1 - length :]}"


def _excluded(axes: Axes, quality: Quality) -> None:
    names, counts = list(quality.excluded), list(quality.excluded.values())
    bars = axes.barh(range(len(names)), counts, color=_GREY)
    bars[-1].set_color(_BLUE)
    axes.bar_label(bars, labels=[f"{count:,}" for count in counts], padding=3, fontsize=9)
    axes.set(title="What became of the voxels", yticks=range(len(names)), yticklabels=names, xlabel="voxels")
    axes.invert_yaxis()
    axes.margins(x=0.18)
    axes.spines[["top", "right"]].set_visible(False)
