"""Figures of the page as inline SVG. Colours are CSS classes, so that they follow light and dark mode."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from mindanim.report.number_format import number
from mindanim.report.page_content import Curve

_BAR = (240, 26)
_PLOT = (420, 204)
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 12, 44
_LOSSES = ("train_loss", "val_loss")
_OTHER_FLOORS = ("mean-image", "gray", "frozen", "nearest-train", "no-brain")


def score_bar(score: dict[str, Any]) -> Markup:
    """One score with its interval, chance, floors and ceiling on a line; right is better on every bar."""
    width, height = _BAR
    middle, marks = height / 2, _marks(score)
    low, high = _span([value for _, _, values in marks for value in values], score)

    def x(value: float) -> float:
        place = min(1.0, max(0.0, (value - low) / (high - low)))  # an interval may exceed the metric's bounds
        return 8 + (width - 16) * (1 - place if score["direction"] == "lower" else place)

    parts = [_line("axis", 8, middle, width - 8, middle)]
    for kind, name, values in marks:
        label = f"{name}: {' to '.join(number(value) for value in values)}"
        at = sorted(round(x(value), 1) for value in values)
        outline = _outline(kind, at, middle)
        parts.append(f'<path class="{kind}" d="{outline}"><title>{escape(label)}</title></path>')
    words = "; ".join(f"{name} {' to '.join(number(v) for v in values)}" for _, name, values in marks)
    return _svg("bar", width, height, f"{score['name']}: {words}", parts)


def histogram(null: Sequence[float], value: float, lower_is_better: bool, name: str, unit: str) -> Markup:
    """Histogram of the scores of permuted frame orders, with that of the true order. unit: of the scores."""
    width, height = _PLOT
    counts, edges = np.histogram(null, bins=min(40, max(8, round(math.sqrt(len(null))))))
    low, high = _with_room(min(edges[0], value), max(edges[-1], value))

    def x(at: float) -> float:
        return _LEFT + (width - _LEFT - _RIGHT) * (at - low) / (high - low)

    base, room = height - _BOTTOM, height - _BOTTOM - _TOP - 14
    parts = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        tall, wide = room * count / counts.max(), max(x(right) - x(left) - 0.6, 0.6)
        place = f'x="{x(left):.1f}" y="{base - tall:.1f}" width="{wide:.1f}" height="{tall:.1f}"'
        parts.append(f'<rect class="null" {place}/>')
    parts += _x_axis(low, high, x)
    parts.append(_x_label(unit))
    parts += _vertical("true", "label", x(value), f"true order {number(value)}")
    free = (_LEFT, "start") if x(value) > width / 2 else (width - _RIGHT, "end")
    parts.append(_text("tick", free[0], _TOP + 9, "← better" if lower_is_better else "→ better", free[1]))
    middle = number(float(np.median(null)))
    words = f"{name}: {len(null)} permuted orders, median {middle}; true order {number(value)}"
    return _svg("plot", width, height, words, parts)


def training_curve(curve: Curve) -> Markup | None:
    """Training and validation loss by epoch; None with fewer than two epochs."""
    history = curve.history
    drawn = [name for name in _LOSSES if name in history and history[name].notna().sum() > 1]
    if not drawn:
        return None
    width, height = _PLOT
    epochs = history["epoch"].to_numpy(float)
    values = history[drawn].to_numpy(float)
    low, high = _with_room(float(np.nanmin(values)), float(np.nanmax(values)))
    base = height - _BOTTOM

    def x(epoch: float) -> float:
        return float(_LEFT + (width - _LEFT - _RIGHT) * (epoch - epochs[0]) / (epochs[-1] - epochs[0]))

    def y(value: float) -> float:
        return base - (base - _TOP) * (value - low) / (high - low)

    parts = []
    for tick in _ticks(low, high, 4):
        parts.append(_line("grid", _LEFT, y(tick), width - _RIGHT, y(tick)))
        parts.append(_text("tick", _LEFT - 6, y(tick) + 3.5, _round(tick), "end"))
    parts += _x_axis(epochs[0], epochs[-1], x, whole=True)
    parts.append(_x_label("epoch"))
    if curve.best_epoch is not None:
        parts += _vertical("kept", "tick", x(curve.best_epoch), f"kept: epoch {curve.best_epoch}")
    for name, column in zip(drawn, values.T, strict=True):
        there = [(x(epoch), y(value)) for epoch, value in zip(epochs, column, strict=True) if value == value]
        points = " ".join(f"{across:.1f},{down:.1f}" for across, down in there)
        parts.append(f'<polyline class="{name}" points="{points}"/>')
    ends = ", ".join(f"{name.replace('_', ' ')} {number(float(history[name].iloc[-1]))}" for name in drawn)
    words = f"{curve.name} decoder over {int(epochs[-1])} epochs; at the end {ends}"
    return _svg("plot", width, height, words, parts)


def _marks(score: dict[str, Any]) -> list[tuple[str, str, list[float]]]:
    """(shape, name, values) of everything on a bar; the score comes last, on top."""
    marks: list[tuple[str, str, list[float]]] = []
    if score["ci"] is not None:
        marks.append(("interval", "95 % interval", list(score["ci"])))
    if score["chance"] is not None:
        marks.append(("chance", "chance", [score["chance"]]))
    floors = score["floors"]
    for name in _OTHER_FLOORS:
        if name in floors and floors[name]["value"] is not None:
            marks.append(("floor", name, [floors[name]["value"]]))
    if floors["shuffled"]["value"] is not None:
        marks.append(("shuffled", "shuffled", [floors["shuffled"]["value"]]))
    for name, value in score["ceiling"].items():
        if value is not None:
            marks.append(("ceiling" if name == "oracle" else "repeat", name, [value]))
    if score["value"] is not None:
        marks.append(("value", "score", [score["value"]]))
    return marks


def _outline(kind: str, at: Sequence[float], y: float) -> str:
    """The path of a mark whose point of interest is `at`, on the line at height `y`."""
    left, right = at[0], at[-1]
    return {
        "interval": f"M{left} {y - 4}H{right}V{y + 4}H{left}Z",
        "chance": f"M{left} {y - 11}V{y + 11}",
        "floor": f"M{left} {y + 1}V{y + 9}",
        "shuffled": f"M{left} {y}l-5 9h10Z",
        "ceiling": f"M{left} {y}l5 -9h-10Z",
        "repeat": f"M{left} {y}l5 -9h-10Z",
        "value": f"M{left - 5} {y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    }[kind]


def mark(kind: str) -> Markup:
    """A single mark, for the legend."""
    at = [2.0, 20.0] if kind == "interval" else [11.0]
    path = f'<path class="{kind}" d="{_outline(kind, at, 13)}"/>'
    return Markup(f'<svg class="mark" viewBox="0 0 22 26" aria-hidden="true">{path}</svg>')


def _span(values: Sequence[float], score: dict[str, Any]) -> tuple[float, float]:
    """The range of a bar: all its marks and a margin, within the metric's bounds."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.08 * (high - low) or 0.5
    least, most = score.get("bounds") or (None, None)
    low, high = low - room, high + room
    return (low if least is None else max(low, least), high if most is None else min(high, most))


def _ticks(low: float, high: float, count: int) -> list[float]:
    """About `count` round numbers between two values."""
    step = 10 ** math.floor(math.log10((high - low) / count))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count)
    first = math.ceil(low / step)
    return [round(n * step, 12) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _with_room(low: float, high: float) -> tuple[float, float]:
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room


def _x_axis(low: float, high: float, x: Callable[[float], float], whole: bool = False) -> list[str]:
    """The x axis with its tick labels; `whole` keeps integers only."""
    width, height = _PLOT
    base = height - _BOTTOM
    ticks = [tick for tick in _ticks(low, high, 6) if not whole or tick == int(tick)]
    numbers = [_text("tick", x(tick), base + 15, _round(tick), "middle") for tick in ticks]
    return [_line("axis", _LEFT, base, width - _RIGHT, base), *numbers]


def _x_label(words: str) -> str:
    """The label of the x axis."""
    width, height = _PLOT
    return _text("tick", (_LEFT + width - _RIGHT) / 2, height - 2, words, "middle")


def _vertical(line: str, label: str, at: float, words: str) -> list[str]:
    """A vertical line through a plot, labelled on the side with more room."""
    width, height = _PLOT
    side = ("end", at - 5) if at > width / 2 else ("start", at + 5)
    return [_line(line, at, _TOP, at, height - _BOTTOM), _text(label, side[1], _TOP + 9, words, side[0])]


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(kind: str, x: float, y: float, words: str, anchor: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _round(tick: float) -> str:
    return f"{tick:g}".replace("-", "−")


def _svg(kind: str, width: int, height: int, words: str, parts: Sequence[str]) -> Markup:
    head = f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">'
    return Markup(head + "".join(parts) + "</svg>")
