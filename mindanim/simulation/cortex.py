"""Forward model: from the drive of a film to the BOLD runs of one subject.

A vertex weights the features of its region's drive by its receptive field or preferences. The sum is
convolved with a haemodynamic response that has the vertex's latency, and sampled at the volumes' times. Noise
with the components found in real runs (autocorrelated, white, shared between vertices, drift) is added until
the vertex has its target reliability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gamma
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.simulation.drive import (
    FLOW_CHANNELS,
    GRID,
    HEADINGS,
    LAYOUT_CHANNELS,
    MEANING_CHANNELS,
    MEANING_GROUPS,
    MOTION_CHANNELS,
    OPPONENT,
    Drive,
)
from mindanim.simulation.regions import REGIONS, Region, Sheet

Array = NDArray[np.float32]

_BASELINE, _BASELINE_SD = 10_000.0, 1_200.0
"""Mean intensity of a vertex, as grand-mean scaled runs have it, and its standard deviation over vertices."""
_FLUCTUATION = 0.015
"""Standard deviation of signal and noise together, as a part of the baseline; drifts come on top."""
_RELIABILITY = (1.8, 6.0)
"""Beta distribution of the signal's share in a responsive vertex's variance in one run, at gain and snr 1."""
_DEAD = 0.15
"""Part of the vertices in every region that do not respond at all."""
_ECCENTRICITY_SD, _FIELD_GROWTH = 0.45, 0.2
"""Spread of receptive fields in frame half-widths; growth of their size per half-width of eccentricity."""
_DIRECTION_WIDTH = 2.0
"""Concentration (von Mises) of direction tuning."""
_LATENCY_SD_S = 0.4
_NOISE = {"autocorrelated": 0.45, "white": 0.35, "shared": 0.20}
"""Parts of the noise variance."""
_AR_TAU_S = 2.9
"""Decay of the noise's autocorrelation: .5 between volumes 2 s apart."""
_SHARED = 4
_DRIFT_S, _DRIFT_SD = 128.0, 1.0
"""Shortest period of the drifts in seconds; their standard deviation relative to signal plus noise."""


@dataclass(frozen=True)
class Cortex:
    """One subject's tuning, in the order of the sheet's vertices.

    Attributes:
        weights: By part of the drive, the vertices that see it and their ``(feature, vertex)`` weights.
        strength: ``(vertex,)`` share of the signal in the variance of one run without drift, [0, 1); 0 does
            not respond.
        latency_s: ``(vertex,)`` shift of the haemodynamic response.
        baseline: ``(vertex,)`` mean intensity.
        loadings: ``(component, vertex)`` loadings on the shared noise, unit variance in sum.
        prefers: Preference of each vertex, in words.
        field: ``(vertex, 3)`` receptive-field centre x, y (y down) and standard deviation in frame
            half-widths, otherwise NaN.
    """

    weights: dict[str, tuple[NDArray[np.intp], Array]]
    strength: Array
    latency_s: Array
    baseline: Array
    loadings: Array
    field: Array
    prefers: tuple[str, ...]


def tune(sheet: Sheet, rng: np.random.Generator, *, snr: float = 1.0, signed_change: float = 0.8) -> Cortex:
    """Draw a subject.

    Args:
        snr: Multiplies every vertex's signal-to-noise ratio.
        signed_change: Share of the retinotopic motion vertices that respond to brightening against darkening
            (or redder against greener ...) instead of a direction of motion.
    """
    count = len(sheet.vertex)
    strength, field = np.zeros(count, np.float32), np.full((count, 3), np.nan, np.float32)
    prefers = np.full(count, "nothing", dtype=object)
    parts: dict[str, list[tuple[NDArray[np.intp], Array]]] = {}
    for index, region in enumerate(REGIONS):
        rows = np.flatnonzero(sheet.region == index)
        if region.sees == "nothing":
            continue
        odds = rng.beta(*_RELIABILITY, len(rows))
        odds = region.gain * snr * odds / (1 - odds)
        strength[rows] = np.where(rng.random(len(rows)) < _DEAD, 0, odds / (1 + odds))
        mix, names = _mixture(region, len(rows), rng, signed_change)
        prefers[rows] = [names[channel] for channel in np.abs(mix).argmax(1)]
        if region.field:
            field[rows] = _receptive_fields(region, sheet.side[rows], rng)
            mix = (mix[:, :, None] * _windows(field[rows])[:, None]).reshape(len(rows), -1)
        parts.setdefault(region.sees, []).append((rows, mix.astype(np.float32)))
    prefers[strength == 0] = "nothing"
    loadings = rng.standard_normal((_SHARED, count)).astype(np.float32)
    return Cortex(
        weights={
            sees: (np.concatenate([rows for rows, _ in part]), np.concatenate([mix for _, mix in part]).T)
            for sees, part in parts.items()
        },
        strength=strength,
        latency_s=rng.normal(0, _LATENCY_SD_S, count).astype(np.float32),
        baseline=rng.normal(_BASELINE, _BASELINE_SD, count).astype(np.float32),
        loadings=loadings / np.linalg.norm(loadings, axis=0),
        field=field,
        prefers=tuple(prefers),
    )


def _mixture(
    region: Region, count: int, rng: np.random.Generator, signed_change: float
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Weights of the channels, ``(vertex, channel)``, and the channels' names."""
    taste = dict(region.taste)
    if region.sees == "layout":
        scale = np.array([taste[name] for name in LAYOUT_CHANNELS])
        return rng.standard_normal((count, len(scale))) * scale, LAYOUT_CHANNELS
    if region.sees == "flow":
        return rng.standard_normal((count, len(FLOW_CHANNELS))), FLOW_CHANNELS
    if region.sees == "meaning":
        scale = np.concatenate(
            [np.full(len(names), taste.get(group, 0.0)) for group, names in MEANING_GROUPS.items()]
        )
        return rng.standard_normal((count, len(MEANING_CHANNELS))) * scale, MEANING_CHANNELS
    away = rng.uniform(0, 2 * np.pi, (count, 1)) - np.deg2rad(HEADINGS)
    direction = np.exp(_DIRECTION_WIDTH * (np.cos(away) - 1))
    change = rng.standard_normal((count, len(OPPONENT))) * [taste[name] for name in OPPONENT]
    signed = rng.random((count, 1)) < signed_change
    return np.concatenate([direction * ~signed, change * signed], axis=1), MOTION_CHANNELS


def _receptive_fields(region: Region, side: NDArray[np.intp], rng: np.random.Generator) -> Array:
    """Centres and sizes ``(vertex, 3)``: mostly in the opposite visual half-field, densest at the fovea."""
    opposite = np.where(side == 0, 1.0, -1.0)
    x = opposite * (np.abs(rng.normal(0, _ECCENTRICITY_SD, len(side))) - 0.08)
    y = rng.normal(0, _ECCENTRICITY_SD, len(side))
    x, y = np.clip(x, -1, 1), np.clip(y, -1, 1)
    sd = region.field * (1 + _FIELD_GROWTH * np.hypot(x, y))
    return np.stack([x, y, sd], axis=1).astype(np.float32)


def _windows(field: Array) -> Array:
    """Gaussian windows ``(vertex, row * column)`` of unit sum over the grid of the visual field."""
    axis = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID * 2 - 1
    x, y, sd = field.T[:, :, None]
    rows, columns = (np.exp(-((axis - centre) ** 2) / (2 * sd**2)) for centre in (y, x))
    windows = (rows[:, :, None] * columns[:, None, :]).reshape(len(field), -1)
    return np.asarray(windows / windows.sum(1, keepdims=True), np.float32)


def double_gamma(times_s: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Canonical haemodynamic response per second, unit area; 0 before time 0.

    Gamma densities of shape 6 and 16 s, the second subtracted with weight 1/6: a peak at 5 s, an undershoot
    at 15 s (Friston et al. 1998, doi:10.1006/nimg.1997.0306, as implemented in SPM).
    """
    t = np.maximum(np.asarray(times_s, np.float64), 0)
    return np.asarray((t**5 / gamma(6) - t**15 / gamma(16) / 6) * np.exp(-t) * 6 / 5)


def noiseless(cortex: Cortex, drive: Drive, times_s: NDArray[np.floating[Any]]) -> Array:
    """Signal without noise at the film times ``times_s``, ``(volume, vertex)`` in arbitrary units.

    A latency shifts the response to first order, by its derivative in time.
    """
    lags = np.asarray(times_s)[:, None] - (np.arange(len(drive.layout)) + 0.5) * drive.step_s
    response = (double_gamma(lags) * drive.step_s).astype(np.float32)
    nudge = 0.05
    slope = (double_gamma(lags + nudge) - double_gamma(lags - nudge)) / (2 * nudge)
    slope = (slope * drive.step_s).astype(np.float32)
    signal = np.zeros((len(lags), len(cortex.strength)), np.float32)
    for sees, (rows, weights) in cortex.weights.items():
        features = getattr(drive, sees)
        shifted = ((slope @ features) @ weights) * cortex.latency_s[rows]
        signal[:, rows] = (response @ features) @ weights - shifted
    return signal


def standardise(signals: Sequence[Array], fit: int) -> list[Array]:
    """Centre every film's signal ``(volume, vertex)`` and scale vertices to unit variance.

    A vertex without signal (because nothing moved, for example) stays at 0.

    Args:
        fit: Number of films, from the first, that the scale is computed from.
    """
    centred = [signal - signal.mean(0) for signal in signals]
    sd = np.concatenate(centred[:fit]).std(0)
    scale = np.divide(1, sd, out=np.zeros_like(sd), where=sd > 1e-6)
    return [signal * scale for signal in centred]


def record(signal: Array, cortex: Cortex, rng: np.random.Generator, tr_s: float) -> Array:
    """One BOLD run ``(volume, vertex) float32`` in scanner units, from a standardised signal."""
    from scipy.signal import lfilter

    volumes, vertices = signal.shape
    rho, burn_in = np.exp(-tr_s / _AR_TAU_S), int(np.ceil(5 * _AR_TAU_S / tr_s))

    def autocorrelated(columns: int) -> Array:
        white = rng.standard_normal((volumes + burn_in, columns), np.float32)
        return np.asarray(lfilter([np.sqrt(1 - rho**2)], [1, -rho], white, axis=0)[burn_in:], np.float32)

    noise = np.sqrt(_NOISE["autocorrelated"]) * autocorrelated(vertices)
    noise += np.sqrt(_NOISE["white"]) * rng.standard_normal((volumes, vertices), np.float32)
    noise += np.sqrt(_NOISE["shared"]) * (autocorrelated(_SHARED) @ cortex.loadings)
    total = np.sqrt(cortex.strength) * signal + np.sqrt(1 - cortex.strength) * noise
    waves = int(2 * volumes * tr_s / _DRIFT_S)
    cosines = np.cos(np.pi * np.outer(np.arange(volumes) + 0.5, np.arange(1, waves + 1)) / volumes)
    if waves:
        size = _DRIFT_SD * np.sqrt(2 / waves)
        total += (cosines @ rng.normal(0, size, (waves, vertices))).astype(np.float32)
    return np.asarray(cortex.baseline * (1 + np.float32(_FLUCTUATION) * total), np.float32)


def estimate(signal: Array, cortex: Cortex, rng: np.random.Generator) -> Array:
    """Responses to single clips ``(clip, vertex) float32``, as a GLM would estimate them.

    Their noise has no temporal order.
    """
    noise = np.sqrt(1 - _NOISE["shared"]) * rng.standard_normal(signal.shape, np.float32)
    shared = rng.standard_normal((len(signal), _SHARED), np.float32) @ cortex.loadings
    noise = noise + np.sqrt(_NOISE["shared"]) * shared
    return np.asarray(np.sqrt(cortex.strength) * signal + np.sqrt(1 - cortex.strength) * noise, np.float32)
