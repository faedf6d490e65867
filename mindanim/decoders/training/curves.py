"""Figures of a fit: losses and scores by epoch, or cross-validated errors by penalty."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRAIN, _VALIDATION, _MARK = "0.6", "#2f6db3", "#d9782d"
_SHOWN = ("score", "identification", "difference_r", "true_start_difference_r", "clip_text_r", "tokens_r")


def draw_history(path: Path, title: str, history: pd.DataFrame, best_epoch: int) -> None:
    """Write a PNG of losses and validation scores by epoch; the kept epoch is marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), dpi=130, layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    left.plot(history["epoch"], history["train_loss"], color=_TRAIN, label="training")
    left.plot(history["epoch"], history["val_loss"], color=_VALIDATION, label="validation")
    left.set(xlabel="epoch", ylabel="loss")
    drawn = [name for name in _SHOWN if f"val_{name}" in history]
    if "difference_r" in drawn:
        drawn.remove("score")
    for name in drawn:
        right.plot(history["epoch"], history[f"val_{name}"], label=name.replace("_", " "))
    right.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    right.set(xlabel="epoch", ylabel="validation score")
    for axes in (left, right):
        axes.axvline(best_epoch, color=_MARK, linestyle=":", label=f"kept: epoch {best_epoch}")
        axes.legend(frameon=False, fontsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png")


def draw_penalties(path: Path, title: str, penalties: pd.DataFrame) -> None:
    """Write a PNG of ridge's cross-validated error by penalty, one panel per target; the chosen one is
    marked."""
    from matplotlib.figure import Figure

    targets = list(dict.fromkeys(penalties["target"]))
    figure = Figure(figsize=(4.5 * len(targets), 3.6), dpi=130, layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, len(targets), squeeze=False)[0]
    for axes, target in zip(panels, targets, strict=True):
        _penalty_panel(axes, str(target), penalties[penalties["target"] == target])
    figure.savefig(path, format="png")


def _penalty_panel(axes: Axes, target: str, rows: pd.DataFrame) -> None:
    chosen = rows[rows["chosen"]].iloc[0]
    axes.plot(rows["alpha"], rows["error"], color=_VALIDATION, marker="o", markersize=3)
    axes.axvline(chosen["alpha"], color=_MARK, linestyle=":", label=f"chosen: {chosen['alpha']:g}")
    axes.set(title=target, xscale="log", xlabel="penalty", ylabel="cross-validated squared error")
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
