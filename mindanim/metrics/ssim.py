"""Structural similarity in the three forms that papers use, frame by frame, equal to scikit-image to 1e-6.

Wang et al. 2004, doi:10.1109/TIP.2003.819861. All three count only windows that lie inside the frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]

WINDOW, GAUSSIAN = 7, 11
"""Sides of the uniform and of the Gaussian window, pixels."""

_AREA = WINDOW * WINDOW
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_SIGMA = 1.5
_STRIP = 1 << 16
"""Values of a frame in one strip: 256 KB as int32."""
_GRAY = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in scikit-image's rgb2gray."""


def window_sums(frame: Frame) -> tuple[NDArray[np.uint16], NDArray[np.int32]]:
    """Sums of the values and of their squares over all 7 x 7 windows inside a frame (height, width, rgb)."""
    import cv2

    squares = np.multiply(frame, frame, dtype=np.uint16)
    return _inside(frame, cv2.CV_16U).astype(np.uint16, copy=False), _inside(squares, cv2.CV_32S).astype(
        np.int32, copy=False
    )


def uniform(
    truth: Frame,
    recon: Frame,
    truth_sums: tuple[NDArray[np.uint16], NDArray[np.int32]],
    recon_sums: tuple[NDArray[np.uint16], NDArray[np.int32]],
) -> float:
    """skimage's `structural_similarity(channel_axis=-1, data_range=255)`, from the `window_sums` of both.

    Sums of 8-bit values are exact integers, and so are the variances; only the final ratio is in floating
    point, so that float32 loses nothing that a mean over a frame would show.
    """
    total, rim = 0.0, WINDOW - 1
    for top, end in _strips(truth.shape, rim):
        rows, inside = slice(top, end + rim), slice(top, end)
        strip = (truth[rows], recon[rows])
        sums = [(found[0][inside], found[1][inside]) for found in (truth_sums, recon_sums)]
        total += _uniform_strip(*strip, *sums) * (end - top)
    return total / (len(truth) - rim)


def _strips(shape: tuple[int, ...], rim: int) -> list[tuple[int, int]]:
    """The rows of windows, cut so that what is computed of a strip stays in the processor's cache."""
    rows = max(8, _STRIP // int(np.prod(shape[1:])))
    last = shape[0] - rim
    return [(top, min(top + rows, last)) for top in range(0, last, rows)]


def _uniform_strip(
    truth: Frame,
    recon: Frame,
    truth_sums: tuple[NDArray[np.uint16], NDArray[np.int32]],
    recon_sums: tuple[NDArray[np.uint16], NDArray[np.int32]],
) -> float:
    import cv2

    products = _inside(np.multiply(truth, recon, dtype=np.uint16), cv2.CV_32S)
    first, second = truth_sums[0].astype(np.int32), recon_sums[0].astype(np.int32)
    means = first * second
    first *= first
    second *= second
    first += second  # the sum of both squared sums
    covariance = products * _AREA
    covariance -= means
    variances = truth_sums[1] + recon_sums[1]
    variances *= _AREA
    variances -= first
    c1, c2 = np.float32(_C1 * _AREA**2), np.float32(_C2 * _AREA * (_AREA - 1))
    similarity = 2 * means.astype(np.float32)
    similarity += c1
    factor = 2 * covariance.astype(np.float32)
    factor += c2
    similarity *= factor
    below = first.astype(np.float32)
    below += c1
    factor = variances.astype(np.float32)
    factor += c2
    below *= factor
    similarity /= below
    return float(similarity.mean(dtype=np.float64))


def _inside(values: NDArray[np.unsignedinteger], depth: int) -> NDArray[np.integer]:
    import cv2

    rim = WINDOW // 2
    sums = cv2.boxFilter(values, depth, (WINDOW, WINDOW), normalize=False)
    inside: NDArray[np.integer] = np.asarray(sums)[rim:-rim, rim:-rim]  # type: ignore[assignment]
    return inside


def gaussian(truth: Frame, recon: Frame) -> float:
    """skimage's `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    channel_axis=-1, data_range=255)`: the weights of the original paper, on RGB."""
    taps = _taps()
    return _weighted(truth.astype(np.float64), recon.astype(np.float64), taps, taps, 255.0)


def gray_columns(truth: Frame, recon: Frame) -> float:
    """The form of MindEye and NEURONS, at the frames' own size: gray frames in [0, 1] handed over with
    `channel_axis=-1`, which makes every column an image of its own, one pixel wide."""
    first, second = (frame.astype(np.float64) / 255 @ np.array(_GRAY) for frame in (truth, recon))
    return _weighted(first, second, np.ones(1), _taps(), 1.0)


def _weighted(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    across: NDArray[np.float64],
    down: NDArray[np.float64],
    peak: float,
) -> float:
    total, rim = 0.0, len(down) - 1
    for top, end in _strips(first.shape, rim):
        rows = slice(top, end + rim)
        total += _weighted_strip(first[rows], second[rows], across, down, peak) * (end - top)
    return total / (len(first) - rim)


def _weighted_strip(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    across: NDArray[np.float64],
    down: NDArray[np.float64],
    peak: float,
) -> float:
    import cv2

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        filtered = cv2.sepFilter2D(values, cv2.CV_64F, across, down)
        rims = [len(taps) // 2 for taps in (down, across)]
        inside: NDArray[np.float64] = np.asarray(filtered, np.float64)[
            rims[0] : filtered.shape[0] - rims[0], rims[1] : filtered.shape[1] - rims[1]
        ]
        return inside

    means = smooth(first), smooth(second)
    product = means[0] * means[1]
    powers = means[0] ** 2 + means[1] ** 2
    covariance = smooth(first * second) - product
    variances = smooth(first * first + second * second) - powers
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    ratio = (2 * product + c1) * (2 * covariance + c2) / ((powers + c1) * (variances + c2))
    return float(ratio.mean())


def _taps() -> NDArray[np.float64]:
    offsets = np.arange(GAUSSIAN) - GAUSSIAN // 2
    weights = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    normed: NDArray[np.float64] = weights / weights.sum()
    return normed
