"""Outlines and surface details of the simulated objects, drawn once and looked up afterwards.

A shape has its own coordinates: x right, y down, the larger half-extent of the object is 1. It is stored as a
square table over ``[-EXTENT, EXTENT]`` with three numbers per point: the signed distance to the outline
(negative inside), a factor on the object's colour, and an amount of white on top. A renderer rotates, scales
and shifts by looking the table up at transformed coordinates, so one table serves every pose.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

EXTENT = 1.3
"""Half-width of a table, in object half-extents: room for the outline outside the shape."""

OBJECTS: tuple[str, ...] = ("ball", "box", "star", "ring", "cross", "heart", "moon", "fish", "tree", "car")


@cache
def shape_table(name: str, resolution: int = 256) -> NDArray[np.float32]:
    """Distance, colour factor and white of one object. The array is shared between callers and read-only.

    Returns:
        ``(row, column, 3) float32``: signed distance in half-extents, colour factor (about 0.3-1.25), white
        in [0, 1].

    Raises:
        KeyError: The name is unknown.
    """
    draw = _DRAWERS[name]
    axis = (np.arange(resolution, dtype=np.float32) + 0.5) / resolution * (2 * EXTENT) - EXTENT
    x, y = np.meshgrid(axis, axis)
    distance, factor, white = draw(x, y)
    # Light from the upper left, fixed to the object, so that even a round object shows that it spins.
    light = 1.0 - 0.16 * (x + y)
    table = np.stack([distance, factor * light, white], axis=-1).astype(np.float32)
    table.flags.writeable = False
    return table


def _circle(x: Array, y: Array, cx: float, cy: float, radius: float) -> Array:
    return np.asarray(np.hypot(x - cx, y - cy) - radius)


def _polygon(x: Array, y: Array, corners: list[tuple[float, float]]) -> Array:
    """Signed distance to a closed polygon: nearest edge, sign by the even-odd rule."""
    nearest = np.full(x.shape, np.inf, np.float32)
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        ex, ey = bx - ax, by - ay
        along = np.clip(((x - ax) * ex + (y - ay) * ey) / (ex * ex + ey * ey), 0, 1)
        nearest = np.minimum(nearest, np.hypot(x - ax - along * ex, y - ay - along * ey))
        if ey != 0:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & (x < ax + (y - ay) * ex / ey)
    return np.asarray(np.where(inside, -nearest, nearest))


def _box(x: Array, y: Array, cx: float, cy: float, half_width: float, half_height: float) -> Array:
    left, right, top, bottom = cx - half_width, cx + half_width, cy - half_height, cy + half_height
    return _polygon(x, y, [(left, top), (right, top), (right, bottom), (left, bottom)])


def _inside(distance: Array, softness: float = 0.03) -> Array:
    """1 inside, 0 outside, with a short ramp between: for details painted on the surface."""
    return np.asarray(np.clip(0.5 - distance / (2 * softness), 0, 1))


Drawn = tuple[Array, Array, Array]


def _ball(x: Array, y: Array) -> Drawn:
    stripe = np.abs(0.92 * x - 0.39 * y) - 0.2
    return _circle(x, y, 0, 0, 1), np.ones_like(x), 0.75 * _inside(stripe)


def _crate(x: Array, y: Array) -> Drawn:
    bands = np.minimum(np.abs(x), np.abs(y + 0.3)) - 0.1
    return _box(x, y, 0, 0, 0.82, 0.82) - 0.08, 1 - 0.5 * _inside(bands), np.zeros_like(x)


def _star(x: Array, y: Array) -> Drawn:
    angles = np.arange(10) * np.pi / 5 - np.pi / 2
    radii = np.where(np.arange(10) % 2 == 0, 1.05, 0.46)
    corners = [(float(r * np.cos(a)), float(r * np.sin(a))) for a, r in zip(angles, radii, strict=True)]
    return _polygon(x, y, corners) - 0.03, np.ones_like(x), 0.4 * _inside(_circle(x, y, 0, 0, 0.22), 0.1)


def _ring(x: Array, y: Array) -> Drawn:
    distance = np.abs(_circle(x, y, 0, 0, 0.7)) - 0.3
    bright = np.clip((x - y) * 0.7, 0, 1) ** 2
    return distance, np.ones_like(x), 0.6 * bright


def _cross(x: Array, y: Array) -> Drawn:
    distance = np.minimum(_box(x, y, 0, 0, 0.3, 0.97), _box(x, y, 0, 0, 0.97, 0.3)) - 0.03
    return distance, 1 - 0.35 * _inside(_box(x, y, 0, 0.66, 0.4, 0.36)), np.zeros_like(x)


def _heart(x: Array, y: Array) -> Drawn:
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    px = 16 * np.sin(turn) ** 3
    py = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn))
    corners = [(float(a) / 16, float(b - 2.5) / 15) for a, b in zip(px, py, strict=True)]
    return _polygon(x, y, corners), np.ones_like(x), 0.6 * _inside(_circle(x, y, -0.45, -0.4, 0.16), 0.1)


def _moon(x: Array, y: Array) -> Drawn:
    distance = np.maximum(_circle(x, y, 0.05, 0, 1), -_circle(x, y, 0.58, -0.18, 0.78))
    craters = np.minimum(_circle(x, y, -0.55, 0.0, 0.14), _circle(x, y, -0.1, 0.68, 0.12))
    return distance, 1 - 0.4 * _inside(craters), np.zeros_like(x)


def _fish(x: Array, y: Array) -> Drawn:
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    body = _polygon(x, y, [(float(0.24 + 0.78 * np.cos(a)), float(0.52 * np.sin(a))) for a in turn])
    tail = _polygon(x, y, [(-0.3, 0.0), (-0.98, -0.62), (-0.8, 0.0), (-0.98, 0.62)]) - 0.04
    fin = _polygon(x, y, [(0.4, -0.42), (-0.2, -0.78), (-0.25, -0.3)]) - 0.02
    eye = _circle(x, y, 0.62, -0.12, 0.13)
    pupil = _inside(_circle(x, y, 0.64, -0.12, 0.06))
    return np.minimum(np.minimum(body, tail), fin), 1 - 0.9 * pupil, 0.95 * _inside(eye) * (1 - pupil)


def _tree(x: Array, y: Array) -> Drawn:
    top = _polygon(x, y, [(0, -1.02), (0.55, -0.25), (-0.55, -0.25)])
    crown = np.minimum(top, _polygon(x, y, [(0, -0.62), (0.85, 0.5), (-0.85, 0.5)])) - 0.02
    trunk = _box(x, y, 0, 0.74, 0.17, 0.28)
    return np.minimum(crown, trunk), 1 - 0.55 * _inside(-(crown + 0.02)), np.zeros_like(x)


def _car(x: Array, y: Array) -> Drawn:
    body = _box(x, y, 0, 0.12, 0.95, 0.24) - 0.05
    cabin = _polygon(x, y, [(-0.62, -0.1), (-0.42, -0.6), (0.3, -0.6), (0.62, -0.1)]) - 0.04
    wheels = np.minimum(_circle(x, y, -0.52, 0.42, 0.26), _circle(x, y, 0.52, 0.42, 0.26))
    panes = _polygon(x, y, [(-0.46, -0.12), (-0.32, -0.48), (0.22, -0.48), (0.46, -0.12)])
    window = _inside(np.maximum(panes, 0.06 - np.abs(x + 0.03)))
    return np.minimum(np.minimum(body, cabin), wheels), 1 - 0.75 * _inside(wheels), 0.75 * window


_DRAWERS: dict[str, Callable[[Array, Array], Drawn]] = dict(
    zip(OBJECTS, (_ball, _crate, _star, _ring, _cross, _heart, _moon, _fish, _tree, _car), strict=True)
)
