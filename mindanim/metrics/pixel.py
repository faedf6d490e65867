"""Pixel metrics: SSIM, PSNR and hue, frame by frame, mean over the frames of a clip.

A clip is (frame, height, width, rgb) uint8. What a clip contributes to every pair it takes part in (local
means and second moments, hue planes) is computed once, by `describe`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

WINDOW = 7
IDENTICAL_DB = 100.0
"""PSNR of identical frames, as released; the true value is infinite."""

_AREA = WINDOW * WINDOW
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_HUE_STEPS = 180
"""OpenCV stores the hue of 8-bit images in steps of 2 degrees."""


@dataclass(frozen=True)
class PixelDescription:
    """What the pixel metrics need to know of one clip.

    sums, squares: (frame, row, column, rgb) int32; sums over all 7 x 7 windows that lie inside the frame,
    or None for frames smaller than the window. hue: (frame, height, width) uint8 in steps of 2 degrees.
    chroma: the same shape, largest minus smallest of the pixel's three values; 0 where the hue is
    undefined.
    """

    frames: Frames
    sums: NDArray[np.int32] | None
    squares: NDArray[np.int32] | None
    hue: NDArray[np.uint8]
    chroma: NDArray[np.uint8]


def describe(frames: Frames) -> PixelDescription:
    """The description of one clip, (frame, height, width, rgb) uint8."""
    import cv2

    # The released code hands RGB arrays to OpenCV's BGR conversion. That mirrors and shifts every hue,
    # which the cosine and the correlation of hue planes feel and the circular measure does not: kept, to
    # stay comparable.
    hue = np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2HSV)[..., 0] for frame in frames])
    red, green, blue = (frames[..., channel] for channel in range(3))
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    if min(frames.shape[1:3]) < WINDOW:
        return PixelDescription(frames, None, None, hue, chroma)
    wide = frames.astype(np.int32)
    return PixelDescription(frames, _window_sums(frames), _window_sums(wide * wide), hue, chroma)


def score(truth: PixelDescription, recon: PixelDescription) -> dict[str, float]:
    """All pixel metrics of one pair; NaN where a metric is undefined.

    `ssim.rgb7` (left out for frames smaller than the window), `psnr.db`, `hue.cosine`, `hue.pearson`,
    `hue.circular`.
    """
    scores = {"psnr.db": float(psnr(truth.frames, recon.frames).mean())}
    if truth.sums is not None:
        scores["ssim.rgb7"] = float(ssim(truth, recon).mean())
    scores["hue.cosine"] = _mean_defined(_plane_cosine(truth.hue, recon.hue, centred=False))
    scores["hue.pearson"] = _mean_defined(_plane_cosine(truth.hue, recon.hue, centred=True))
    scores["hue.circular"] = _mean_defined(hue_agreement(truth, recon))
    return scores


def ssim(truth: PixelDescription, recon: PixelDescription) -> NDArray[np.float64]:
    """Structural similarity of each frame, (frame,) float64.

    Equal to skimage's `structural_similarity(channel_axis=-1, data_range=255)`: 7 x 7 uniform window, sample
    covariance, windows inside the frame only, mean over channels. Window sums of 8-bit values are exact
    integers, and so are the variances before the division; only the final ratio is in floating point. Wang
    et al. 2004, doi:10.1109/TIP.2003.819861.
    """
    if truth.sums is None or truth.squares is None or recon.sums is None or recon.squares is None:
        raise ValueError(f"SSIM needs frames of at least {WINDOW} x {WINDOW} px")
    product = _window_sums(truth.frames.astype(np.int32) * recon.frames)
    means = truth.sums * recon.sums
    powers = truth.sums * truth.sums + recon.sums * recon.sums
    covariance = _AREA * product - means
    variances = _AREA * (truth.squares + recon.squares) - powers
    c1, c2 = _C1 * _AREA**2, _C2 * _AREA * (_AREA - 1)
    similarity = (2.0 * means + c1) * (2.0 * covariance + c2)
    similarity /= (powers + c1) * (variances + c2)
    result: NDArray[np.float64] = similarity.mean(axis=(1, 2, 3))
    return result


def psnr(truth: Frames, recon: Frames) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each frame with peak 255, (frame,) in dB; 100 for identical frames, as
    released."""
    difference = truth.astype(np.int32) - recon
    error = (difference * difference).mean(axis=(1, 2, 3))
    identical = error == 0
    return np.where(identical, IDENTICAL_DB, 10 * np.log10(255**2 / np.where(identical, 1.0, error)))


def hue_agreement(truth: PixelDescription, recon: PixelDescription) -> NDArray[np.float64]:
    """Mean cosine of the hue difference, each pixel weighted by the truth's chroma; (frame,) in [-1, 1].

    A gray pixel of the reconstruction has no hue and counts as 0 (a quarter turn away). A frame of the
    truth without any colour is undefined: NaN. The weighting is why near-gray pixels, whose hue is noise,
    hardly count.
    """
    cosines = np.cos(np.arange(_HUE_STEPS) * (2 * np.pi / _HUE_STEPS))
    turn = np.abs(truth.hue.astype(np.int16) - recon.hue)
    agreement = np.where(recon.chroma > 0, cosines[turn], 0.0)
    weight = truth.chroma.astype(np.float64)
    total = weight.sum(axis=(1, 2))
    return _ratio((agreement * weight).sum(axis=(1, 2)), total)


def _plane_cosine(truth: NDArray[np.uint8], recon: NDArray[np.uint8], centred: bool) -> NDArray[np.float64]:
    """Cosine (or, centred, correlation) of two hue planes per frame: NaN for an empty truth, 0 for an empty
    reconstruction."""
    first, second = (plane.reshape(len(plane), -1).astype(np.float64) for plane in (truth, recon))
    if centred:
        first, second = (plane - plane.mean(axis=1, keepdims=True) for plane in (first, second))
    lengths = np.linalg.norm(first, axis=1), np.linalg.norm(second, axis=1)
    cosine = _ratio((first * second).sum(axis=1), lengths[0] * lengths[1])
    return np.where((lengths[0] > 0) & (lengths[1] == 0), 0.0, cosine)


def _ratio(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def _mean_defined(values: NDArray[np.float64]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _window_sums(values: NDArray[np.integer]) -> NDArray[np.int32]:
    """Sums over all 7 x 7 windows inside each frame of (frame, height, width, rgb) uint8 or int32 values."""
    import cv2

    rim = WINDOW // 2
    size = (WINDOW, WINDOW)
    sums = [cv2.boxFilter(frame, cv2.CV_32S, size, normalize=False)[rim:-rim, rim:-rim] for frame in values]
    return np.stack(sums).astype(np.int32, copy=False)
