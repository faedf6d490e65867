"""Small clips with known content, for the metric tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.families.catalogue import catalogue
from mindanim.metrics.families.metric import FrameMetric, Setting

Frames = NDArray[np.uint8]


def texture(rng: np.random.Generator, size: int = 64, margin: int = 40) -> NDArray[np.float64]:
    """A smooth random RGB image, (size + 2 margin, size + 2 margin, rgb) in [0, 1]."""
    from scipy.ndimage import gaussian_filter

    image = gaussian_filter(rng.standard_normal((size + 2 * margin, size + 2 * margin, 3)), (4, 4, 0))
    image -= image.min()
    return image / image.max()


def panned(
    image: NDArray[np.float64], step: tuple[int, int], frames: int = 6, size: int = 64, margin: int = 40
) -> Frames:
    """A film of `image` moving by `step` (x, y) px per frame; (frame, size, size, rgb)."""
    views = []
    for index in range(frames):
        x, y = margin - index * step[0], margin - index * step[1]
        views.append(image[y : y + size, x : x + size])
    return np.round(np.stack(views) * 255).astype(np.uint8)


def noise(rng: np.random.Generator, *shape: int) -> Frames:
    """Independent uniform bytes."""
    return rng.integers(0, 256, shape, dtype=np.uint8)


def scores_of(truth: Frames, recon: Frames, *groups: str) -> dict[str, float]:
    """All scores and further columns of one pair that need no network; errors without their resolution."""
    found: dict[str, float] = {}
    for metric in catalogue(Setting(1, truth.shape), groups)[0]:
        if isinstance(metric, FrameMetric):
            described = metric.describe(truth), metric.describe(recon)
            found |= {
                one.id.partition(".farneback")[0]: one.score(*described) for one in (metric, *metric.columns)
            }
    return found
