"""The Fréchet distance of two sets of videos: how alike they are as sets, clip by clip or not.

It needs many clips: with fewer than features, the covariances are singular and the distance mostly measures
the number of clips.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

IDENTIFIER = "fvd.videomae"
ENOUGH_CLIPS = 2048
"""As many as the distance is usually computed from (Unterthiner et al. 2019, arXiv:1812.01717)."""
_ROWS = 256
"""Clips looked at a time."""
_REFERENCE = "Unterthiner et al. 2019, arXiv:1812.01717, with the video classifier's features"


def frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Squared 2-Wasserstein distance between the Gaussians fitted to two sets of features (clip, feature).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). The trace of the root is that of the symmetric
    C1^(1/2) C2 C1^(1/2), whose eigenvalues are not negative; Dowson and Landau 1982,
    doi:10.1016/0047-259X(82)90077-X.
    """
    means, covariances = zip(*(_moments(features) for features in (first, second)), strict=True)
    values, vectors = np.linalg.eigh(covariances[0])
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ covariances[1] @ root)
    traces = sum(float(np.trace(covariance)) for covariance in covariances)
    distance = float(((means[0] - means[1]) ** 2).sum()) + traces - 2 * np.sqrt(np.maximum(inner, 0)).sum()
    return max(0.0, float(distance))


def _moments(features: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and sample covariance of (clip, feature), a few clips at a time."""
    count, size = features.shape
    parts = [slice(start, start + _ROWS) for start in range(0, count, _ROWS)]
    mean = np.sum([features[part].sum(axis=0, dtype=np.float64) for part in parts], axis=0) / count
    covariance = np.zeros((size, size))
    for part in parts:
        rest = features[part] - mean
        covariance += rest.T @ rest
    return mean, covariance / (count - 1)


def describe_distance(
    truth: NDArray[np.floating], recon: NDArray[np.floating], backbone: dict[str, str] | None
) -> dict[str, Any]:
    """One entry of `distribution` in metrics.json.

    `halves` is the distance between the two halves of the ground truths themselves (every second clip): what
    so few clips of the same kind give.
    """
    clips, features = truth.shape
    needed = max(ENOUGH_CLIPS, 2 * features)
    reliable = clips >= needed
    return {
        "id": IDENTIFIER,
        "version": 1,
        "name": "Frechet video distance",
        "direction": "lower",
        "value": frechet_distance(truth, recon),
        "halves": frechet_distance(truth[::2], truth[1::2]) if clips >= 4 else None,
        "n": clips,
        "features": features,
        "needed": needed,
        "reliable": reliable,
        "backbone": backbone,
        "reference": _REFERENCE,
        "note": "" if reliable else f"Unreliable: {clips} clips, it needs {needed}.",
    }
