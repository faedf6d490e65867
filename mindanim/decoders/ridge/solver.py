"""Ridge regression with the penalty chosen over whole segments, and the resulting linear map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from mindanim.decoders.ridge.targets import Components, Matrix
from mindanim.decoders.validation_split import Mask
from mindanim.errors import InputError


@dataclass(frozen=True)
class LinearFit:
    """``y = (x - x_mean) @ coefficients + y_mean``, coefficients ``(feature, target)``."""

    x_mean: Matrix
    coefficients: Matrix
    y_mean: Matrix

    def predict(self, x: ArrayLike) -> Matrix:
        """``(clip, feature)`` to ``(clip, target)``."""
        return (np.asarray(x, np.float64) - self.x_mean) @ self.coefficients + self.y_mean


@dataclass(frozen=True)
class RidgeFit:
    """A fit to all clips with the penalty chosen by cross-validation.

    Attributes:
        linear: The fit.
        alpha: The penalty, in units of the mean squared norm of a (scaled) response.
        alphas: The candidates.
        errors: ``(alpha,)``, cross-validated mean squared error of each candidate.
        out_of_fold: ``(clip, target)``, each clip predicted by a fit without its segment.
    """

    linear: LinearFit
    alpha: float
    alphas: Matrix
    errors: Matrix
    out_of_fold: Matrix


def relevance(x: Matrix, y: Matrix, power: float) -> Matrix:
    """Scale of each feature ``(feature,)``: the target variance it explains alone, to the power ``power /
    2``.

    What an unrelated feature explains by chance (1 / clips) is subtracted first. As the prior standard
    deviation of a feature's coefficients, this is empirical Bayes with one number per feature: uninformative
    voxels drop out without a mask. All ones if nothing is above chance.

    Args:
        x: Centred features ``(clip, feature)``.
        y: Centred targets ``(clip, target)``.
        power: 0 scales nothing.
    """
    variance = np.maximum(np.einsum("ij,ij->j", x, x), 1e-12) * np.maximum((y**2).sum(), 1e-12)
    excess = np.maximum(((x.T @ y) ** 2).sum(1) / variance - 1 / len(x), 0)
    if power == 0 or not excess.any():
        return np.ones(x.shape[1])
    return np.asarray((excess / excess.mean()) ** (power / 2))


def choose_penalty(
    x: ArrayLike,
    y: ArrayLike,
    segments: Sequence[str] | NDArray[np.str_],
    *,
    alphas: Sequence[float],
    folds: int,
    relevance_power: float = 0.0,
    near: Callable[[Mask], Mask] | None = None,
) -> RidgeFit:
    """Fit ridge regression with the penalty that has the least squared error over held-out segments.

    Everything estimated (means, relevance) is estimated within the fold. Solved in the space of clips: the
    cost is cubic in their number and linear in features and targets.

    Args:
        x: ``(clip, feature)``.
        y: ``(clip, target)``.
        segments: ``(clip,)``; clips of one segment are never on both sides of a fold.
        alphas: Candidate penalties.
        folds: At most this many.
        relevance_power: See `relevance`.
        near: For held-out clips ``(clip,) bool``, the others that are too close in time to fit.

    Raises:
        ValueError: There are fewer than two segments.
        InputError: Fewer than two clips are far enough from those of a fold.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    held_out = assign_folds(segments, folds)
    candidates = np.asarray(alphas, np.float64)
    predicted = np.empty((len(candidates), *y.shape))
    for fold in np.unique(held_out):
        out = held_out == fold
        kept = ~out if near is None else ~(out | near(out))
        if kept.sum() < 2:
            raise InputError(
                f"Cross-validation has no clips left to fit when it holds out {int(out.sum())}.",
                "All others start less than purge_s seconds from one of these.",
                "Set a smaller purge_s, or more ridge_folds.",
            )
        predicted[:, out] = _Solver(x[kept], y[kept], relevance_power).predictions(x[out], candidates)
    errors = ((predicted - y) ** 2).mean((1, 2))
    best = int(errors.argmin())
    alpha = float(candidates[best])
    return RidgeFit(solve(x, y, alpha, relevance_power), alpha, candidates, errors, predicted[best])


def solve(x: ArrayLike, y: ArrayLike, alpha: float, relevance_power: float = 0.0) -> LinearFit:
    """Ridge regression with a given penalty, in the units of `choose_penalty`."""
    solver = _Solver(np.asarray(x, np.float64), np.asarray(y, np.float64), relevance_power)
    return LinearFit(solver.x_mean, solver.coefficients(alpha), solver.y_mean)


def assign_folds(segments: Sequence[str] | NDArray[np.str_], folds: int) -> NDArray[np.int64]:
    """Fold of each clip ``(clip,)``: neighbouring segments together, about equally many in each fold."""
    names, first, inverse = np.unique(np.asarray(segments), return_index=True, return_inverse=True)
    if len(names) < 2:
        raise ValueError("cross-validation over segments needs at least two")
    place = np.argsort(np.argsort(first))
    return np.asarray(place * min(folds, len(names)) // len(names), np.int64)[inverse]


class _Solver:
    """One eigendecomposition of the clips' Gram matrix serves all penalties."""

    def __init__(self, x: Matrix, y: Matrix, power: float) -> None:
        self.x_mean, self.y_mean = x.mean(0), y.mean(0)
        self.scaled, target = x - self.x_mean, y - self.y_mean
        self.scale = relevance(self.scaled, target, power)
        self.scaled *= self.scale
        gram = self.scaled @ self.scaled.T
        self.unit = max(float(np.trace(gram)) / len(x), 1e-12)
        values, self.vectors = np.linalg.eigh(gram)
        self.values = np.maximum(values, 0)
        self.rotated = self.vectors.T @ target

    def predictions(self, x: Matrix, alphas: Matrix) -> Matrix:
        """``(alpha, clip, target)`` for new clips."""
        projected = ((x - self.x_mean) * self.scale) @ self.scaled.T @ self.vectors
        return np.stack([projected @ self._shrunk(alpha) + self.y_mean for alpha in alphas])

    def coefficients(self, alpha: float) -> Matrix:
        """``(feature, target)`` for unscaled features."""
        return np.asarray(self.scale[:, None] * (self.scaled.T @ (self.vectors @ self._shrunk(alpha))))

    def _shrunk(self, alpha: float) -> Matrix:
        return np.asarray(self.rotated / (self.values + alpha * self.unit)[:, None])


class LinearMap(nn.Module):
    """``(x - x_mean) @ coefficients [@ basis] + offset``: a fitted ridge regression, as buffers."""

    def __init__(self, features: int, outputs: int, rank: int | None = None) -> None:
        super().__init__()
        self.register_buffer("x_mean", torch.zeros(features))
        self.register_buffer("coefficients", torch.zeros(features, rank or outputs))
        self.register_buffer("basis", torch.zeros(rank, outputs) if rank else None)
        self.register_buffer("offset", torch.zeros(outputs))
        self.x_mean: Tensor
        self.coefficients: Tensor
        self.basis: Tensor | None
        self.offset: Tensor

    @torch.no_grad()
    def set(self, fit: LinearFit, target: Components) -> None:
        """Copy a fit of the target's component scores."""
        self.x_mean.copy_(torch.from_numpy(fit.x_mean))
        self.coefficients.copy_(torch.from_numpy(fit.coefficients))
        self.offset.copy_(torch.from_numpy(target.restore(fit.y_mean[None])[0]))
        if self.basis is not None and target.basis is not None:
            self.basis.copy_(torch.from_numpy(target.basis))

    def forward(self, x: Tensor) -> Tensor:
        """``(clip, feature)`` to ``(clip, output)``."""
        scores = (x - self.x_mean) @ self.coefficients
        return (scores if self.basis is None else scores @ self.basis) + self.offset
