"""Removing drifts and confounds from time series, all voxels at once: a projection, computed in float64.

Signals are ``(voxel, volume)``, the order in which CIFTI stores them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dgemm

from mindanim.errors import ConfigError
from mindanim.vocabulary.arrays import Float

Drift = Literal["polynomial", "cosine", "none"]

_DEPENDENT = 1e-7
"""Share of a regressor left by the others up to which it counts as one of their combinations."""
_FEW_VOLUMES = 8
_FLAT = 1e-9
"""Range over magnitude up to which a time series counts as constant."""


@dataclass(frozen=True, eq=False)
class Cleaned:
    """Detrended signal ``(voxel, volume)`` of a run; its deviation and flaws, each ``(voxel,)``.

    A voxel with a flaw has the residual 0.
    """

    residual: Float
    deviation: Float
    non_finite: NDArray[np.bool_]
    constant: NDArray[np.bool_]


def clean(signal: Float, basis: Float) -> Cleaned:
    """Remove the drifts of an orthonormal ``basis`` that holds the constant; ``signal (voxel, volume)`` is
    overwritten, since another array of its size would push the first one out of the processor's cache.

    Flaws are those of :func:`flaws`, found with fewer passes over the data.
    """
    constant = np.zeros(len(signal), dtype=bool)
    doubtful = np.flatnonzero(_may_be_constant(signal))
    if len(doubtful):
        constant[doubtful] = flaws(signal[doubtful])[1]
    with np.errstate(invalid="ignore", over="ignore"):
        residual = remove_drift(signal, basis, overwrite=True)
        scale = deviation(residual)
    non_finite = ~np.isfinite(scale)  # one value that is not finite makes the whole residual so
    flawed = non_finite | constant
    if flawed.any():
        residual[flawed] = scale[flawed] = 0.0
    return Cleaned(residual, scale, non_finite, constant)


def _may_be_constant(signal: Float) -> NDArray[np.bool_]:
    """Which time series ``(voxel,)`` do not differ among a few volumes: all others are not constant."""
    few = signal[:, :: max(1, signal.shape[1] // _FEW_VOLUMES)]
    low, high = few.min(1), few.max(1)
    with np.errstate(invalid="ignore"):
        differ: NDArray[np.bool_] = high - low > _FLAT * np.maximum(np.abs(low), np.abs(high))
    return ~differ


def drift_basis(model: Drift, volumes: int, tr_s: float, *, order: int = 4, period_s: float = 128.0) -> Float:
    """Orthonormal basis ``(regressor, volume)`` of the drifts to remove; the constant is always among them.

    ``polynomial``: all polynomials up to degree ``order`` (Legendre, orthonormalised). ``cosine``: the
    discrete cosines with periods of ``period_s`` seconds and more, as in SPM and nilearn. ``none``: the
    constant alone.

    Raises:
        ConfigError: The basis would leave no degree of freedom.
    """
    if model == "polynomial":
        count = order + 1
        columns = np.polynomial.legendre.legvander(np.linspace(-1, 1, volumes), order)
    else:
        count = 1 + (int(np.floor(2 * volumes * tr_s / period_s)) if model == "cosine" else 0)
        columns = np.cos(np.pi * np.outer(np.arange(volumes) + 0.5, np.arange(count)) / volumes)
    if count >= volumes - 1:
        raise ConfigError(
            f"A {model} drift model with {count} regressors cannot be fitted to {volumes} volumes.",
            "It would explain the signal away.",
            "Lower detrend_order, or lengthen high_pass_s.",
        )
    basis: Float = np.ascontiguousarray(np.linalg.qr(columns)[0].T)
    return basis


def extend_basis(basis: Float, regressors: Float) -> Float:
    """Orthonormal basis of ``basis`` and further regressors ``(regressor, volume)`` together.

    They are removed jointly, not one after the other, so that neither brings back what the other took
    (Lindquist et al. 2019). Regressors that the others explain add nothing.

    Raises:
        ConfigError: No degree of freedom would be left.
    """
    rest = remove_drift(regressors, basis)
    norms = np.linalg.norm(rest, axis=1)
    kept = norms > _DEPENDENT * np.linalg.norm(regressors, axis=1)
    _, values, vectors = np.linalg.svd(rest[kept] / norms[kept, None], full_matrices=False)
    extended: Float = np.concatenate([basis, vectors[values > _DEPENDENT]])
    if len(extended) >= basis.shape[1] - 1:
        raise ConfigError(
            f"Drifts and confounds are {len(extended)} regressors for {basis.shape[1]} volumes.",
            "They would explain the signal away.",
            "Remove fewer confounds, or lower detrend_order.",
        )
    return np.ascontiguousarray(extended)


def remove_drift(signal: Float, basis: Float, *, overwrite: bool = False) -> Float:
    """The residual ``(voxel, volume)`` of a least-squares fit of the basis; may take the signal's place."""
    residual: Float = dgemm(
        -1.0, basis.T, (signal @ basis.T).T, beta=1.0, c=signal.T, overwrite_c=overwrite
    ).T  # BLAS subtracts while it multiplies: the fit itself is never written
    return residual


def deviation(residual: Float) -> Float:
    """Standard deviation ``(voxel,)`` over volumes of zero-mean signals (divisor n)."""
    root: Float = np.sqrt(inner(residual, residual) / residual.shape[1])
    return root


def inner(one: Float, other: Float, out: Float | None = None) -> Float:
    """Inner product ``(voxel,)`` of the time series ``(voxel, volume)`` of either, by one BLAS call each."""
    return np.asarray(np.vecdot(one, other, out=out))


def flaws(signal: Float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which time series ``(voxel,)`` are not finite throughout, and which of the others are constant."""
    low, high = signal.min(1), signal.max(1)
    non_finite = ~(np.isfinite(low) & np.isfinite(high))
    low[non_finite] = high[non_finite] = 0.0
    return non_finite, ~non_finite & (high - low <= _FLAT * np.maximum(np.abs(low), np.abs(high)))


def divide(residual: Float, scale: Float) -> Float:
    """Each time series over its ``scale (voxel,)``; zero where the scale is zero."""
    return residual * np.divide(1.0, scale, out=np.zeros_like(scale), where=scale > 0)[:, None]
