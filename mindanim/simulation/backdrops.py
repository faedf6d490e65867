"""Backgrounds of the simulated world: smooth landscapes that can be evaluated at any camera position.

Every component is a function of frame coordinates (x and y in frame widths, 0..1 inside the frame), so a
panning camera evaluates another part of the landscape instead of resampling an image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

BACKGROUNDS: tuple[str, ...] = ("cloudy sky", "green field", "sea", "desert", "snow", "night")

_MARGIN = 0.5
"""How far beyond the frame, in frame widths, the texture reaches: the most that a pan may travel."""

_PALETTE: dict[str, tuple[tuple[float, float, float], ...]] = {
    # upper sky, sky at the horizon, ground far, ground near
    "cloudy sky": ((0.40, 0.60, 0.86), (0.70, 0.82, 0.93), (0.78, 0.86, 0.94), (0.86, 0.91, 0.96)),
    "green field": ((0.68, 0.82, 0.93), (0.84, 0.90, 0.92), (0.45, 0.60, 0.33), (0.27, 0.45, 0.20)),
    "sea": ((0.78, 0.82, 0.88), (0.92, 0.88, 0.84), (0.20, 0.47, 0.58), (0.08, 0.29, 0.42)),
    "desert": ((0.93, 0.80, 0.62), (0.96, 0.90, 0.76), (0.87, 0.72, 0.50), (0.74, 0.56, 0.36)),
    "snow": ((0.62, 0.66, 0.74), (0.76, 0.79, 0.85), (0.90, 0.93, 0.97), (0.80, 0.86, 0.94)),
    "night": ((0.04, 0.05, 0.13), (0.15, 0.13, 0.28), (0.06, 0.08, 0.11), (0.03, 0.04, 0.06)),
}
_HORIZON = {"cloudy sky": 1.15, "green field": 0.42, "sea": 0.38, "desert": 0.48, "snow": 0.45, "night": 0.74}
_CONTRAST = {"cloudy sky": 0.3, "green field": 0.16, "sea": 0.14, "desert": 0.12, "snow": 0.08, "night": 0.03}


def backdrop(name: str, texture_seed: int, x: Array, y: Array, hue: Array) -> Array:
    """Colours of a landscape.

    Args:
        x: ``(column,)`` camera coordinates in frame widths: 0..1 where the camera starts, at most 0.5 beyond.
        y: ``(row,)``, likewise.
        hue: ``(3, 3)`` colour matrix applied to the palette.

    Returns:
        ``(row, column, 3) float32``, about [0, 1] but not clipped.
    """
    rng = np.random.default_rng([texture_seed, BACKGROUNDS.index(name)])
    palette = np.asarray(_PALETTE[name], np.float32) @ hue.T
    jitter = rng.normal(0, 0.025, palette.shape).astype(np.float32)
    top, skyline, far, near = palette + jitter
    skyline_y = _HORIZON[name] + rng.uniform(-0.05, 0.05)
    relief = {"desert": 0.16, "snow": 0.12, "night": 0.1}.get(name, 0.0)
    hills = skyline_y + relief * _noise(rng, x, np.zeros(1, np.float32), (3, 6), (1.0, 0.4))[0]

    height = y[:, None] / np.float32(skyline_y)
    sky = top + (skyline - top) * np.clip(height, 0, 1)[..., None]
    depth = np.clip((y[:, None] - hills) / np.float32(1.15 - skyline_y), 0, 1)
    ground = far + (near - far) * depth[..., None]

    # Waves and furrows are stretched sideways; the other textures are isotropic.
    stretch = {"sea": 3.0, "green field": 1.6, "desert": 1.8}.get(name, 1.0)
    texture = _noise(rng, x / np.float32(stretch), y, (3, 6, 12), (1.0, 0.6, 0.45))
    contrast = np.float32(_CONTRAST[name])
    if name == "cloudy sky":
        cloud = np.clip(texture * 1.1 + 0.25, 0, 1)[..., None]
        sky = sky + (np.float32(0.97) - sky) * cloud * np.float32(0.8)
    ground = ground * (1 + contrast * texture * (0.5 + depth))[..., None]
    # The edge of the ground is as soft as the lens: a pixel and a half at 64 px.
    is_ground = np.clip((y[:, None] - hills) * np.float32(40) + np.float32(0.5), 0, 1)[..., None]
    return np.asarray(sky + (ground - sky) * is_ground, np.float32)


def _noise(
    rng: np.random.Generator, x: Array, y: Array, cells: tuple[int, ...], weights: tuple[float, ...]
) -> Array:
    """Band-limited noise ``(row, column)``, about unit variance: cubic B-splines over random grids."""
    total = np.zeros((len(y), len(x)), np.float32)
    for count, weight in zip(cells, weights, strict=True):
        knots = np.arange(-np.ceil(_MARGIN * count) - 1, np.ceil((1 + _MARGIN) * count) + 2, dtype=np.float32)
        grid = rng.standard_normal((len(knots), len(knots)), np.float32)
        total += np.float32(weight) * (_spline(y * count, knots) @ grid @ _spline(x * count, knots).T)
    return total


def _spline(position: Array, knots: Array) -> Array:
    """Cubic B-spline weights ``(position, knot)``."""
    away = np.abs(position[:, None] - knots)
    near = 2 / 3 - away**2 + away**3 / 2
    tail = np.clip(2 - away, 0, None) ** 3 / 6
    return np.asarray(np.where(away < 1, near, tail), np.float32)
