"""A figure of one run's timing: film, clips, volumes, and the volumes that responses are read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mindanim.vocabulary.clips import Clip

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"train": "#4477aa", "test": "#ee8833"}
_ZOOMED = 8
"""Clips in the lower panel."""


@dataclass(frozen=True)
class TimedRun:
    """A run: title, repetition time, number of volumes, clips in order, and lags in seconds.

    The clips' `at_s` are seconds after the first volume.
    """

    title: str
    tr_s: float
    volumes: int
    clips: Sequence[Clip]
    lags_s: Sequence[float]


def draw_timing(path: Path, run: TimedRun) -> None:
    """Write a PNG: the whole run above; its first clips and the volumes they are read from below."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), layout="constrained")
    whole, zoom = figure.subplots(2, 1, height_ratios=[2, 3])
    figure.suptitle(run.title, x=0.01, ha="left", fontsize=11)
    _draw_whole(whole, run)
    _draw_zoom(zoom, run)
    figure.savefig(path, dpi=120, format="png")


def _draw_whole(axes: Axes, run: TimedRun) -> None:
    end_s = run.volumes * run.tr_s
    for begin_s, stop_s, film in _films(run.clips):
        axes.broken_barh([(begin_s, stop_s - begin_s)], (1.6, 0.7), color="#bbbbbb", edgecolor="white")
        if stop_s - begin_s > 0.06 * end_s:
            axes.text((begin_s + stop_s) / 2, 1.95, film, ha="center", va="center", fontsize=8)
    for split, colour in _COLOURS.items():
        spans = [(clip.shown_s, clip.duration_s) for clip in run.clips if clip.split == split]
        if spans:
            axes.broken_barh(spans, (0.8, 0.7), color=colour, label=f"{len(spans)} {split} clips")
    axes.broken_barh([(0, end_s)], (0.0, 0.7), color="#dddddd")
    axes.text(
        end_s / 2, 0.35, f"{run.volumes} volumes, TR {run.tr_s:g} s", ha="center", va="center", fontsize=8
    )
    first, last = run.clips[0], run.clips[-1]
    used = first.shown_s + min(run.lags_s), last.shown_s + max(run.lags_s)
    axes.axvspan(*used, ymax=0.3, color="black", alpha=0.12, lw=0)
    axes.set_yticks([1.95, 1.15, 0.35], ["film", "clips", "run"])
    axes.set_xlim(min(0.0, first.shown_s) - 0.01 * end_s, max(end_s, last.shown_s + last.duration_s) * 1.01)
    axes.set_xlabel("seconds after the first volume; darker: volumes that responses are read from")
    axes.legend(loc="upper right", bbox_to_anchor=(1, 1.25), ncols=2, frameon=False, fontsize=8)
    _bare(axes)


def _draw_zoom(axes: Axes, run: TimedRun) -> None:
    clips = list(run.clips[:1])
    for clip in run.clips[1:_ZOOMED]:
        if clip.shown_s - clips[-1].shown_s - clips[-1].duration_s > max(run.lags_s) + run.tr_s:
            break
        clips.append(clip)
    end_s = max(clip.shown_s + clip.duration_s for clip in clips) + max(run.lags_s)
    end_s = max(end_s, max(clip.shown_s for clip in clips) + max(run.lags_s) + run.tr_s)
    for place, clip in enumerate(clips):
        colour, shade = _COLOURS.get(clip.split, "gray"), 1.0 if place % 2 else 0.75
        axes.broken_barh(
            [(clip.shown_s, clip.duration_s)], (1.6, 0.8), color=colour, alpha=shade, edgecolor="white"
        )
        middle = clip.shown_s + clip.duration_s / 2
        axes.text(
            middle,
            2.0,
            f"{clip.film}\n{clip.clip_id.rpartition('-')[2]}",
            ha="center",
            va="center",
            fontsize=7,
            color="white",
        )
        for lag_s in run.lags_s:
            axes.annotate(
                "",
                (clip.shown_s + lag_s, 0.45),
                (clip.shown_s, 1.58),
                arrowprops={"arrowstyle": "->", "color": colour, "lw": 0.9},
            )
    begin_s = clips[0].shown_s - 1.5 * run.tr_s
    volumes = [volume for volume in range(run.volumes) if begin_s <= volume * run.tr_s <= end_s]
    axes.plot([volume * run.tr_s for volume in volumes], [0.35] * len(volumes), "o", color="black", ms=4)
    for volume in volumes[:: 1 + len(volumes) // 40]:
        axes.text(volume * run.tr_s, 0.05, str(volume), ha="center", va="center", fontsize=7)
    lags = " and ".join(f"{lag_s:g}" for lag_s in run.lags_s)
    axes.set_yticks([2.0, 0.35], ["clip", "volume"])
    axes.set_ylim(-0.2, 2.6)
    axes.set_xlim(begin_s, end_s)
    axes.set_xlabel(
        f"seconds after the first volume; arrows: from a clip's onset to its response, {lags} s later"
    )
    _bare(axes)


def _films(clips: Sequence[Clip]) -> list[tuple[float, float, str]]:
    """Stretches of a film without gaps: begin, end, film."""
    stretches: list[tuple[float, float, str]] = []
    for clip in clips:
        if stretches and stretches[-1][2] == clip.film and clip.shown_s - stretches[-1][1] < 1e-3:
            stretches[-1] = (stretches[-1][0], clip.shown_s + clip.duration_s, clip.film)
        else:
            stretches.append((clip.shown_s, clip.shown_s + clip.duration_s, clip.film))
    return stretches


def _bare(axes: Axes) -> None:
    axes.tick_params(left=False)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
