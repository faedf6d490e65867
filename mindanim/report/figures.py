"""Drawings of the report as inline SVG. Colours are CSS classes, so that they follow light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup, escape

from mindanim.report.model import Curve
from mindanim.report.words import number

_BAR = (240, 26)
_PLOT = (420, 190)
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 12, 30
_OTHER_FLOORS = ("mean-image", "gray", "frozen", "nearest-train", "no-brain")


def score_bar(score: dict[str, Any]) -> Markup:
    """One score on a line of its own, with interval, chance, floors and ceiling; right is better on every bar."""
    width, height = _BAR
    middle, marks = height / 2, _marks(score)
    low, high = _span([value for _, _, values in marks for value in values], score)

    def x(value: float) -> float:
        place = (value - low) / (high - low)
        return 8 + (width - 16) * (1 - place if score["direction"] == "lower" else place)

    parts = [f'<line class="axis" x1="8" x2="{width - 8}" y1="{middle}" y2="{middle}"/>']
    for kind, name, values in marks:
        label = f"{name}: {' to '.join(number(value) for value in values)}"
        at = sorted(round(x(value), 1) for value in values)
        outline = _outline(kind, at, middle)
        parts.append(f'<path class="{kind}" d="{outline}"><title>{escape(label)}</title></path>')
    words = "; ".join(f"{name} {' to '.join(number(v) for v in values)}" for _, name, values in marks)
    return _svg("bar", width, height, f"{score['name']}: {words}", parts)


def histogram(null: Sequence[float], value: float, lower_is_better: bool, name: str) -> Markup:
    """The scores of permuted frame orders, and that of the true one."""
    width, height = _PLOT
    counts, edges = np.histogram(null, bins=min(40, max(8, round(math.sqrt(len(null))))))
    low, high = min(edges[0], value), max(edges[-1], value)
    pad = 0.06 * (high - low) or 1.0
    low, high = low - pad, high + pad

    def x(at: float) -> float:
        return _LEFT + (width - _LEFT - _RIGHT) * (at - low) / (high - low)

    base, room = height - _BOTTOM, height - _BOTTOM - _TOP - 14
    parts = []
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        tall = room * count / counts.max()
        w = max(x(right) - x(left) - 1, 1)
        parts.append(
            f'<rect class="null" x="{x(left):.1f}" y="{base - tall:.1f}" width="{w:.1f}" height="{tall:.1f}"/>'
        )
    parts += _x_axis(low, high, x, width, base)
    at = x(value)
    anchor = "end" if at > width / 2 else "start"
    shift = -5 if anchor == "end" else 5
    parts.append(f'<line class="true" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{base}"/>')
    parts.append(
        f'<text class="label" x="{at + shift:.1f}" y="{_TOP + 9}" text-anchor="{anchor}">true order '
        f"{number(value)}</text>"
    )
    better = "←" if lower_is_better else "→"
    parts.append(
        f'<text class="tick" x="{_LEFT}" y="{_TOP + 9}">{better} better</text>'
        if anchor == "end"
        else f'<text class="tick" x="{width - _RIGHT}" y="{_TOP + 9}" text-anchor="end">{better} better</text>'
    )
    middle = number(float(np.median(null)))
    words = f"{name}: {len(null)} permuted orders, median {middle}; true order {number(value)}"
    return _svg("plot", width, height, words, parts)


def training_curve(curve: Curve) -> Markup | None:
    """Training and validation loss over epochs; None when there are fewer than two epochs to draw."""
    history = curve.history
    drawn = [
        name for name in ("train_loss", "val_loss") if name in history and history[name].notna().sum() > 1
    ]
    if not drawn:
        return None
    width, height = _PLOT
    epochs = history["epoch"].to_numpy(float)
    values = history[drawn].to_numpy(float)
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.05 * (high - low) or 1.0
    low, high = low - pad, high + pad
    base = height - _BOTTOM

    def x(epoch: float) -> float:
        return float(
            _LEFT + (width - _LEFT - _RIGHT) * (epoch - epochs[0]) / max(epochs[-1] - epochs[0], 1e-9)
        )

    def y(value: float) -> float:
        return base - (base - _TOP) * (value - low) / (high - low)

    parts = _x_axis(epochs[0], epochs[-1], x, width, base, whole=True)
    for tick in _ticks(low, high, 4):
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        )
        parts.append(
            f'<text class="tick" x="{_LEFT - 6}" y="{y(tick) + 3.5:.1f}" text-anchor="end">{number(tick)}</text>'
        )
    if curve.best_epoch is not None:
        at = x(curve.best_epoch)
        anchor, shift = ("end", -4) if at > width / 2 else ("start", 4)
        parts.append(f'<line class="kept" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{base}"/>')
        parts.append(
            f'<text class="tick" x="{at + shift:.1f}" y="{_TOP + 8}" text-anchor="{anchor}">kept: epoch '
            f"{curve.best_epoch}</text>"
        )
    for name in drawn:
        line = " ".join(
            f"{x(epoch):.1f},{y(value):.1f}"
            for epoch, value in zip(epochs, history[name].to_numpy(float), strict=True)
            if math.isfinite(value)
        )
        parts.append(f'<polyline class="{name}" points="{line}"/>')
    ends = ", ".join(f"{name.replace('_', ' ')} {number(float(history[name].iloc[-1]))}" for name in drawn)
    words = f"{curve.name} decoder over {int(epochs[-1])} epochs; at the end {ends}"
    return _svg("plot", width, height, words, parts)


def _marks(score: dict[str, Any]) -> list[tuple[str, str, list[float]]]:
    """(shape, name, values) of everything on a bar, the score itself last and on top."""
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
    if score["ceiling"].get("oracle") is not None:
        marks.append(("ceiling", "oracle", [score["ceiling"]["oracle"]]))
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
        "value": f"M{left - 5} {y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    }[kind]


def mark(kind: str) -> Markup:
    """One mark alone, for the legend."""
    at = [2.0, 20.0] if kind == "interval" else [11.0]
    path = f'<path class="{kind}" d="{_outline(kind, at, 13)}"/>'
    return Markup(f'<svg class="mark" viewBox="0 0 22 26" aria-hidden="true">{path}</svg>')


def _span(values: Sequence[float], score: dict[str, Any]) -> tuple[float, float]:
    """The range of a bar: all its marks and a little room, within the metric's bounds."""
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


def _x_axis(low: float, high: float, x: Any, width: int, base: float, whole: bool = False) -> list[str]:
    parts = [f'<line class="axis" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{base}" y2="{base}"/>']
    for tick in _ticks(low, high, 6) if high > low else [low]:
        if whole and tick != int(tick):
            continue
        text = f"{tick:.0f}" if whole else number(tick)
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{base + 15}" text-anchor="middle">{text}</text>'
        )
    return parts


def _svg(kind: str, width: int, height: int, words: str, parts: Sequence[str]) -> Markup:
    body = "".join(parts)
    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(words)}">{body}</svg>'
    )
