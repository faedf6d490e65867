"""Two figures of an evaluation: scores over their floor, and the motion shuffle test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ABOVE, _NOT = "#1b6e53", "#a8472f"


def draw_differences(path: Path, data: dict[str, Any]) -> None:
    """Score minus shuffled floor of every metric with its interval, in units of the interval's half width.

    Args:
        data: The content of metrics.json.
    """
    from matplotlib.figure import Figure

    shown = [score for score in data["scores"] if score["floors"]["shuffled"]["ci"] is not None][::-1]
    figure = Figure(figsize=(7, 1 + 0.26 * max(1, len(shown))), layout="constrained")
    axes = figure.subplots()
    for row, score in enumerate(shown):
        floor = score["floors"]["shuffled"]
        half = (floor["ci"][1] - floor["ci"][0]) / 2
        place = floor["difference"] / half if half > 0 else 0.0
        colour = _ABOVE if floor["above"] else _NOT
        axes.errorbar(place, row, xerr=1.0 if half > 0 else 0.0, fmt="o", color=colour, markersize=4)
    axes.axvline(0, color="0.4", linewidth=1)
    axes.set_yticks(range(len(shown)), [score["id"] for score in shown], fontsize=8)
    axes.set_xlabel("score minus shuffled floor (right is better), in half widths of its 95 % interval")
    axes.set_xscale("symlog", linthresh=3)
    _title(figure, data)
    figure.savefig(path, dpi=120)


def draw_motion_test(path: Path, data: dict[str, Any]) -> None:
    """Histograms of the permuted means, the true order and the reversed one, for both metrics.

    Args:
        data: The content of metrics.json, with a motion test.
    """
    from matplotlib.figure import Figure

    test = data["motion_test"]
    shown = [name for name in ("epe", "flow.corr") if test[name]["null"]]
    figure = Figure(figsize=(4.2 * max(1, len(shown)), 2.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, max(1, len(shown)), squeeze=False)[0], shown, strict=False):
        found = test[name]
        axes.hist(found["null"], bins=30, color="0.75")
        axes.axvline(found["value"], color=_ABOVE, label=f"true order, p = {found['p_set']:.3g}")
        axes.axvline(found["reversed"], color=_NOT, linestyle="--", label="backwards")
        axes.set_xlabel(f"{name}, mean over {found['clips']} clips")
        axes.set_ylabel("frame orders")
        axes.legend(fontsize=7)
    _title(figure, data)
    figure.savefig(path, dpi=120)


def _title(figure: Figure, data: dict[str, Any]) -> None:
    """Title the figure if only a subset was scored."""
    if data["subset"]:
        figure.suptitle(f"Subset: {data['subset']}", fontsize=8)
