"""Structural similarity in the three forms that papers use, frame by frame, equal to scikit-image to 1e-6.

Wang et al. 2004, doi:10.1109/TIP.2003.819861. All three count only windows fully inside the frame.

Frames are processed in strips of rows whose intermediate values stay in the processor's cache, in
buffers that are kept from strip to strip: fresh memory for each step costs several times the arithmetic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

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
_SHAPES = 4
"""Shapes of strips whose buffers are kept: a whole strip and the last one, of two forms or two sizes."""
_GRAY = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in scikit-image's rgb2gray."""


class _Buffers(threading.local):
    """Work buffers, one set per thread."""

    def __init__(self) -> None:
        self.kept: dict[tuple[Any, ...], list[NDArray[Any]]] = {}

    def of(
        self, form: Callable[..., list[NDArray[Any]]], shape: tuple[int, ...], *rims: int
    ) -> list[NDArray[Any]]:
        """The buffers that `form(shape, *rims)` makes, made once."""
        key = (form, shape, *rims)
        if key not in self.kept:
            while len(self.kept) >= _SHAPES:
                del self.kept[next(iter(self.kept))]
            self.kept[key] = form(shape, *rims)
        return self.kept[key]


_BUFFERS = _Buffers()


def uniform(truth: Frame, recon: Frame) -> float:
    """skimage's `structural_similarity(channel_axis=-1, data_range=255)` of two frames (height, width, rgb).

    Sums of 8-bit values are exact integers, and so are the variances; only the final ratio is in floating
    point, so that float32 loses nothing that a mean over a frame would show.
    """
    rim = WINDOW - 1
    total = 0.0
    for top, end in _strips(truth.shape, rim):
        rows = slice(top, end + rim)
        total += _uniform_strip(truth[rows], recon[rows])
    height, width, colours = truth.shape
    return total / int((height - rim) * (width - rim) * colours)


def _strips(shape: tuple[int, ...], rim: int) -> list[tuple[int, int]]:
    """The rows of windows, cut so that what is computed of a strip stays in the processor's cache."""
    rows = max(8, _STRIP // int(np.prod(shape[1:])))
    last = shape[0] - rim
    return [(top, min(top + rows, last)) for top in range(0, last, rows)]


def _uniform_buffers(shape: tuple[int, ...]) -> list[NDArray[Any]]:
    inside = (shape[0] - WINDOW + 1, shape[1] - WINDOW + 1, *shape[2:])
    return [
        np.empty(shape, np.uint8),
        *(np.empty(shape, np.uint16) for _ in range(3)),
        *(np.empty(shape, np.int32) for _ in range(2)),
        *(np.empty(inside, np.int32) for _ in range(3)),
        *(np.empty(inside, np.float32) for _ in range(4)),
    ]


def _uniform_strip(truth: Frame, recon: Frame) -> float:
    """The sum of the similarities of all windows inside a strip.

    With window sums A, B of the values, P of their products, D of their squared differences and n = 49:
    2 mean mean' = 2AB, 2 covariance = 2(nP - AB), and what the denominators have beyond these numerators is
    (A - B)^2 and nD - (A - B)^2. So the squares of either frame are not needed, and all sums are integers.
    """
    import cv2

    difference, values, first, second, products, squares, *wide = _BUFFERS.of(_uniform_buffers, truth.shape)
    a, b, ab, means, covariances, mean_rest, covariance_rest = wide
    np.multiply(truth, recon, out=values, dtype=np.uint16)
    p = _window_sums(values, products)
    cv2.absdiff(truth, recon, dst=difference)
    np.multiply(difference, difference, out=values, dtype=np.uint16)
    d = _window_sums(values, squares)
    np.copyto(a, _window_sums(truth, first))
    np.copyto(b, _window_sums(recon, second))

    np.multiply(a, b, out=ab)
    ab += ab
    a -= b
    a *= a
    p *= 2 * _AREA
    p -= ab
    d *= _AREA
    d -= a
    np.copyto(means, ab, casting="same_kind")
    np.copyto(covariances, p, casting="same_kind")
    np.copyto(mean_rest, a, casting="same_kind")
    np.copyto(covariance_rest, d, casting="same_kind")
    means += np.float32(_C1 * _AREA**2)
    # skimage takes sample covariances: n (n - 1) instead of n^2.
    covariances += np.float32(_C2 * _AREA * (_AREA - 1))
    mean_rest += means
    covariance_rest += covariances
    means *= covariances
    mean_rest *= covariance_rest
    means /= mean_rest
    return float(sum(cv2.sumElems(means)))


def _window_sums(values: NDArray[np.unsignedinteger], buffer: NDArray[np.integer]) -> NDArray[np.integer]:
    """Sums over all windows inside the strip, written into a buffer of the strip's shape."""
    import cv2

    depth = cv2.CV_16U if buffer.dtype == np.uint16 else cv2.CV_32S
    cv2.boxFilter(values, depth, (WINDOW, WINDOW), dst=buffer, normalize=False)
    rim = WINDOW // 2
    return buffer[rim:-rim, rim:-rim]


def gaussian(truth: Frame, recon: Frame) -> float:
    """skimage's `structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    channel_axis=-1, data_range=255)`: the weights of the original paper, on RGB."""
    taps = _taps()
    return _weighted(truth, recon, taps, taps, 255.0)


def gray_columns(truth: Frame, recon: Frame) -> float:
    """The form of MindEye and NEURONS, at the frames' own size: gray frames in [0, 1] handed over with
    `channel_axis=-1`, which makes every column an image of its own, one pixel wide."""
    first, second = (frame.astype(np.float64) / 255 @ np.array(_GRAY) for frame in (truth, recon))
    return _weighted(first, second, np.ones(1), _taps(), 1.0)


def _weighted(
    first: NDArray[Any],
    second: NDArray[Any],
    across: NDArray[np.float64],
    down: NDArray[np.float64],
    peak: float,
) -> float:
    """Mean similarity in windows with separable weights, in float64."""
    rims = len(down) - 1, len(across) - 1
    total = 0.0
    for top, end in _strips(first.shape, rims[0]):
        rows = slice(top, end + rims[0])
        total += _weighted_strip(first[rows], second[rows], across, down, peak)
    height, width, *colours = first.shape
    return total / int((height - rims[0]) * (width - rims[1]) * np.prod(colours))


def _weighted_buffers(shape: tuple[int, ...], rim_down: int, rim_across: int) -> list[NDArray[Any]]:
    inside = (shape[0] - rim_down, shape[1] - rim_across, *shape[2:])
    return [
        *(np.empty(shape, np.float64) for _ in range(7)),
        *(np.empty(inside, np.float64) for _ in range(2)),
    ]


def _weighted_strip(
    first: NDArray[Any],
    second: NDArray[Any],
    across: NDArray[np.float64],
    down: NDArray[np.float64],
    peak: float,
) -> float:
    """The sum of the similarities of all windows inside a strip, from the same terms as `_uniform_strip`."""
    import cv2

    rims = len(down) // 2, len(across) // 2
    one, other, values, *smoothed, product, square = _BUFFERS.of(
        _weighted_buffers, first.shape, 2 * rims[0], 2 * rims[1]
    )

    def smooth(plane: NDArray[np.float64], into: NDArray[np.float64]) -> NDArray[np.float64]:
        cv2.sepFilter2D(plane, cv2.CV_64F, across, down, dst=into)
        return into[rims[0] : len(into) - rims[0], rims[1] : into.shape[1] - rims[1]]

    np.copyto(one, first)
    np.copyto(other, second)
    a, b = smooth(one, smoothed[0]), smooth(other, smoothed[1])
    np.multiply(one, other, out=values)
    p = smooth(values, smoothed[2])
    np.subtract(one, other, out=values)
    values *= values
    d = smooth(values, smoothed[3])

    np.multiply(a, b, out=product)
    product *= 2
    a -= b
    a *= a
    p *= 2
    p -= product
    d -= a
    product += (0.01 * peak) ** 2
    p += (0.03 * peak) ** 2
    a += product
    d += p
    product *= p
    np.multiply(a, d, out=square)
    product /= square
    return float(sum(cv2.sumElems(product)))


@cache
def _taps() -> NDArray[np.float64]:
    offsets = np.arange(GAUSSIAN) - GAUSSIAN // 2
    weights = np.exp(-0.5 * (offsets / _SIGMA) ** 2)
    normed: NDArray[np.float64] = weights / weights.sum()
    return normed
