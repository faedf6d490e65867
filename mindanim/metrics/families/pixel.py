"""Pixel metrics: SSIM, PSNR and hue, frame by frame, mean over the frames of a clip.

A clip is (frame, height, width, rgb) uint8. What a clip contributes to every pair it takes part in (hue
planes) is computed once, by `describe`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.families import ssim
from mindanim.metrics.families.ssim import WINDOW
from mindanim.vocabulary.arrays import Frames

Plane = NDArray[np.uint8]

IDENTICAL_DB = 100.0
"""PSNR of identical frames, as released; the true value is infinite."""
GRAY_TRUTH, GRAY_RECON = "no_hue:truth", "no_hue:reconstruction"
"""Shares of pixels without a hue; not metrics, but what the hue metrics must be read with."""

_COSINES = np.cos(np.arange(256) * (2 * np.pi / 180))
"""Cosine of a hue difference; OpenCV stores the hue of 8-bit images in steps of 2 degrees."""


@dataclass(frozen=True)
class PixelDescription:
    """What the pixel metrics need to know of one clip.

    hue: (frame, height, width) uint8 in steps of 2 degrees. colourless: share of the pixels that have no hue.
    """

    frames: Frames
    hue: NDArray[np.uint8]
    colourless: float

    @cached_property
    def chroma(self) -> NDArray[np.uint8]:
        """Largest minus smallest of each pixel's three values, the shape of `hue`; 0 where that is
        undefined."""
        import cv2

        chroma = np.empty_like(self.hue)
        for plane, frame in zip(chroma, self.frames, strict=True):
            red, green, blue = cv2.split(frame)
            largest, smallest = cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)
            cv2.subtract(largest, smallest, dst=plane)
        return chroma


def describe(frames: Frames) -> PixelDescription:
    """The description of one clip, (frame, height, width, rgb) uint8."""
    import cv2

    # The released code hands RGB arrays to OpenCV's BGR conversion. That mirrors and shifts every hue,
    # which the cosine and the correlation of hue planes feel and the circular measure does not: kept, to
    # stay comparable.
    hue, coloured = np.empty(frames.shape[:3], np.uint8), 0
    converted = np.empty(frames.shape[1:], np.uint8)
    for plane, frame in zip(hue, frames, strict=True):
        cv2.cvtColor(frame, cv2.COLOR_BGR2HSV, dst=converted)
        cv2.extractChannel(converted, 0, dst=plane)
        # A saturation of 0 of 255 means equal values: the smallest that OpenCV gives unequal ones is 1.
        coloured += cv2.countNonZero(cv2.extractChannel(converted, 1))
    return PixelDescription(frames, hue, 1 - coloured / hue.size)


def score(
    truth: PixelDescription, recon: PixelDescription, ids: Collection[str] | None = None
) -> dict[str, float]:
    """Pixel metrics of one pair; NaN where one is undefined.

    ids: which ones, of those in `METRICS`, `GRAY_TRUTH` and `GRAY_RECON`; None for all that the frames are
    large enough for.
    """
    side = min(truth.frames.shape[1:3])
    wanted = [name for name in METRICS if side >= SMALLEST.get(name, 1)] if ids is None else ids
    scores = {
        name: _mean_defined([METRICS[name](truth, recon, frame) for frame in range(len(truth.frames))])
        for name in wanted
        if name in METRICS
    }
    for name, clip in ((GRAY_TRUTH, truth), (GRAY_RECON, recon)):
        if ids is None or name in ids:
            scores[name] = clip.colourless
    return scores


def _ssim(truth: PixelDescription, recon: PixelDescription, frame: int) -> float:
    return ssim.uniform(truth.frames[frame], recon.frames[frame])


def _ssim_gaussian(truth: PixelDescription, recon: PixelDescription, frame: int) -> float:
    return ssim.gaussian(truth.frames[frame], recon.frames[frame])


def _ssim_gray_columns(truth: PixelDescription, recon: PixelDescription, frame: int) -> float:
    return ssim.gray_columns(truth.frames[frame], recon.frames[frame])


def _psnr(truth: PixelDescription, recon: PixelDescription, frame: int) -> float:
    """dB with peak 255; 100 for identical frames, as released."""
    import cv2

    one, other = truth.frames[frame], recon.frames[frame]
    error = cv2.norm(one, other, cv2.NORM_L2SQR) / one.size
    return float(10 * np.log10(255**2 / error)) if error > 0 else IDENTICAL_DB


def _hue_cosine(truth: PixelDescription, recon: PixelDescription, frame: int) -> float:
    return _plane_cosine(truth.hue[frame], recon.hue[frame], centred=False)


def _hue_pearson(truth: PixelDescription, recon: PixelDescription, frame: int) -> float:
    return _plane_cosine(truth.hue[frame], recon.hue[frame], centred=True)


def _hue_circular(truth: PixelDescription, recon: PixelDescription, frame: int) -> float:
    """Mean cosine of the hue difference, each pixel weighted by the truth's chroma; [-1, 1].

    A gray pixel of the reconstruction has no hue and counts as 0 (a quarter turn away). A frame of the
    truth without any colour is undefined: NaN. The weighting is why near-gray pixels, whose hue is noise,
    hardly count.
    """
    import cv2

    weight = truth.chroma[frame].astype(np.float64)
    total = float(weight.sum())
    if total == 0:
        return float("nan")
    turn = cv2.absdiff(truth.hue[frame], recon.hue[frame])
    weight[recon.chroma[frame] == 0] = 0
    return float(np.dot(_COSINES[turn].ravel(), weight.ravel())) / total


METRICS: dict[str, Callable[[PixelDescription, PixelDescription, int], float]] = {
    "ssim.rgb7": _ssim,
    "ssim.gaussian11": _ssim_gaussian,
    "ssim.graycol": _ssim_gray_columns,
    "psnr.db": _psnr,
    "hue.cosine": _hue_cosine,
    "hue.pearson": _hue_pearson,
    "hue.circular": _hue_circular,
}
SMALLEST = {"ssim.rgb7": WINDOW, "ssim.gaussian11": ssim.GAUSSIAN, "ssim.graycol": ssim.GAUSSIAN}
"""Side, in pixels, below which a metric's window does not fit."""


def _plane_cosine(truth: Plane, recon: Plane, centred: bool) -> float:
    """Cosine (or, centred, correlation) of two hue planes: NaN for an empty truth, 0 for an empty
    reconstruction.

    OpenCV sums squares of bytes exactly; the scalar product follows from that of the difference.
    """
    import cv2

    powers = [cv2.norm(plane, cv2.NORM_L2SQR) for plane in (truth, recon)]
    product = (powers[0] + powers[1] - cv2.norm(truth, recon, cv2.NORM_L2SQR)) / 2
    if centred:
        sums = [float(plane.sum(dtype=np.int64)) for plane in (truth, recon)]
        product -= sums[0] * sums[1] / truth.size
        powers = [power - total * total / truth.size for power, total in zip(powers, sums, strict=True)]
    if powers[0] <= 0:
        return float("nan")
    return float(product / np.sqrt(powers[0] * powers[1])) if powers[1] > 0 else 0.0


def _mean_defined(values: list[float]) -> float:
    defined = [value for value in values if value == value]
    return sum(defined) / len(defined) if defined else float("nan")
