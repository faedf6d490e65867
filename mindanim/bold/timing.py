"""Responses to clips: the run's signal at film time ``onset + lag``, for every clip and lag.

A run is sampled at the distinct film times its clips need, once; clips then pick their samples. So lags that
are multiples of the TR cost an index, others an interpolation, and no volume is cleaned twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mindanim.vocabulary.arrays import Float

Interpolation = Literal["cubic", "linear"]

_ON_GRID = 1e-6
"""Distance from a volume, in TR, up to which a time counts as that volume's."""
_SPLINE_SPARE = 2
"""Volumes added on either side of what a spline reads, since it is less accurate at its ends."""


@dataclass(frozen=True, eq=False)
class Timing:
    """The film times a set of clips needs.

    Attributes:
        times_s: ``(time,)`` distinct film times, ascending, seconds.
        index: ``(clip, lag)`` position in ``times_s``.
    """

    times_s: Float
    index: NDArray[np.intp]

    @classmethod
    def of(cls, onsets_s: Sequence[float], lags_s: Sequence[float]) -> Timing:
        """Timing of clips with these onsets (film time) at these lags from the onset, in seconds."""
        wanted = np.add.outer(np.asarray(onsets_s, float), np.asarray(lags_s, float))
        times, index = np.unique(np.round(wanted, 9), return_inverse=True)
        return cls(times, index.reshape(wanted.shape))


@dataclass(frozen=True, eq=False)
class Sampling:
    """How to read film times from a run.

    Attributes:
        window: The volumes involved.
        positions: ``(time,)`` film times in volumes, counted from the window's first volume.
        clamped: Number of times beyond the run that were moved to its first or last volume.
    """

    window: slice
    positions: Float
    interpolation: Interpolation
    clamped: int

    @property
    def volumes(self) -> int:
        return int(self.window.stop - self.window.start)

    @property
    def on_grid(self) -> bool:
        """Whether every time is that of a volume, so that nothing is interpolated."""
        return np.array_equal(self.positions, np.rint(self.positions))

    @property
    def whole(self) -> bool:
        """Whether the times are those of all volumes of the window, in order."""
        return np.array_equal(self.positions, np.arange(self.volumes))

    def __call__(self, signal: Float) -> Float:
        """Sample ``(voxel, volume)`` signals of the window at the film times: ``(voxel, time)``."""
        if self.whole:
            return signal
        if self.on_grid:
            return signal[:, self.positions.astype(np.intp)]
        if self.interpolation == "linear" or self.volumes < 4:
            left = np.clip(np.floor(self.positions).astype(np.intp), 0, max(self.volumes - 2, 0))
            share = self.positions - left
            return signal[:, left] * (1 - share) + signal[:, np.minimum(left + 1, self.volumes - 1)] * share
        from scipy.interpolate import CubicSpline

        return np.asarray(CubicSpline(np.arange(self.volumes), signal, axis=1)(self.positions))


def positions(times_s: Float, start_s: float, tr_s: float) -> Float:
    """Film times in volumes of a run whose volume 0 was acquired at film time ``start_s``."""
    exact = (times_s - start_s) / tr_s
    nearest = np.rint(exact)
    return np.where(np.abs(exact - nearest) <= _ON_GRID, nearest, exact)


def outside(timing: Timing, start_s: float, tr_s: float, volumes: int) -> NDArray[np.bool_]:
    """Which clips ``(clip,)`` need a film time before the run's first or after its last volume at any lag."""
    where = positions(timing.times_s, start_s, tr_s)
    beyond = (where < 0) | (where > volumes - 1)
    return np.asarray(beyond[timing.index].any(1))


def sampling(
    timing: Timing, start_s: float, tr_s: float, volumes: int, interpolation: Interpolation
) -> Sampling:
    """Plan the reading of a run; times beyond it are clamped to its first or last volume and counted."""
    where = positions(timing.times_s, start_s, tr_s)
    inside = np.clip(where, 0, volumes - 1)
    spare = 0 if interpolation == "linear" or np.array_equal(inside, np.rint(inside)) else _SPLINE_SPARE
    first = max(int(np.floor(inside.min())) - spare, 0)
    stop = min(int(np.ceil(inside.max())) + spare + 1, volumes)
    return Sampling(slice(first, stop), inside - first, interpolation, int((where != inside).sum()))
