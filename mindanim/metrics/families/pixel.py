"""Pixel metrics: SSIM, PSNR and hue, frame by frame, mean over the frames of a clip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.families import ssim
from mindanim.metrics.families.metric import ANIMATOR, SIGNED, UNIT, Column, FrameMetric, Setting, metric
from mindanim.vocabulary.arrays import Float, Frames

Plane = NDArray[np.uint8]

IDENTICAL_DB = 100.0
"""PSNR of identical frames, as released; the true value is infinite."""
GRAY_TRUTH, GRAY_RECON = "no_hue:truth", "no_hue:reconstruction"
"""Columns with the share of pixels without a hue, needed to interpret the hue metrics."""
_WANG = "Wang et al. 2004, doi:10.1109/TIP.2003.819861"

_COSINES = np.cos(np.arange(256) * (2 * np.pi / 180))
"""Cosine of a hue difference; OpenCV stores the hue of 8-bit images in steps of 2 degrees."""


@dataclass(frozen=True)
class PixelDescription:
    """What the pixel metrics need of one clip.

    Attributes:
        frames: (frame, height, width, rgb) uint8.
        hue: (frame, height, width) uint8 in steps of 2 degrees.
        colourless: Share of pixels without a hue.
    """

    frames: Frames
    hue: NDArray[np.uint8]
    colourless: float

    @cached_property
    def chroma(self) -> NDArray[np.uint8]:
        """Largest minus smallest of each pixel's three values, in the shape of `hue`; 0 without a hue."""
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

    # The released code passes RGB arrays to OpenCV's BGR conversion. That mirrors and shifts every hue, which
    # changes the cosine and the correlation of hue planes but not the circular measure. Kept, to stay
    # comparable.
    hue, coloured = np.empty(frames.shape[:3], np.uint8), 0
    converted = np.empty(frames.shape[1:], np.uint8)
    for plane, frame in zip(hue, frames, strict=True):
        cv2.cvtColor(frame, cv2.COLOR_BGR2HSV, dst=converted)
        cv2.extractChannel(converted, 0, dst=plane)
        # A saturation of 0 of 255 means equal values: the smallest that OpenCV gives unequal ones is 1.
        coloured += cv2.countNonZero(cv2.extractChannel(converted, 1))
    return PixelDescription(frames, hue, 1 - coloured / hue.size)


Score = Callable[[PixelDescription, PixelDescription, int], float]


def _frame_by_frame(score: Score, **fields: Any) -> FrameMetric:
    """Register a metric by its score of frame number `frame`; a clip scores the mean over defined frames."""

    def mean(truth: PixelDescription, recon: PixelDescription) -> float:
        values = [score(truth, recon, frame) for frame in range(len(truth.frames))]
        defined = [value for value in values if value == value]
        return sum(defined) / len(defined) if defined else float("nan")

    return metric(FrameMetric, group="pixel", needs=("frames",), describe=describe, **fields)(mean)


def _ssim(similarity: Callable[[Frames, Frames], float], **fields: Any) -> FrameMetric:
    return _frame_by_frame(
        lambda truth, recon, frame: similarity(truth.frames[frame], recon.frames[frame]),
        bounds=SIGNED,
        **fields,
    )


_ssim(
    ssim.uniform,
    id="ssim.rgb7",
    name="SSIM",
    min_side=ssim.WINDOW,
    rank=5,
    reference=f"{_WANG}, as released by MinD-Video and Mind-Animator",
    note="7 x 7 uniform window on RGB at the frames' own size. Smooth images score high: a gray image can "
    "win.",
)
_ssim(
    ssim.gaussian,
    id="ssim.gaussian11",
    name="SSIM, Gaussian window",
    min_side=ssim.GAUSSIAN,
    reference=_WANG,
    note="11 x 11 Gaussian window on RGB. For papers that used it.",
)
_ssim(
    ssim.gray_columns,
    id="ssim.graycol",
    name="SSIM, gray columns",
    min_side=ssim.GAUSSIAN,
    reference="Scotti et al. 2023, arXiv:2305.18274 (MindEye), its code",
    note="Treats each column of a gray frame as an image, at the frames' own size. For papers that used it.",
)


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

    A gray pixel of the reconstruction has no hue and counts as 0 (a quarter turn away). A frame of the truth
    without any colour is undefined: NaN. Because of the weights, near-gray pixels, whose hue is noise, hardly
    count.
    """
    import cv2

    weight = truth.chroma[frame].astype(np.float64)
    total = float(weight.sum())
    if total == 0:
        return float("nan")
    turn = cv2.absdiff(truth.hue[frame], recon.hue[frame])
    weight[recon.chroma[frame] == 0] = 0
    return float(np.dot(_COSINES[turn].ravel(), weight.ravel())) / total


def _without_hue(setting: Setting, own: Mapping[str, Float]) -> str:
    shares = [100 * float(np.mean(own[name])) for name in (GRAY_TRUTH, GRAY_RECON)]
    return f"No hue: {shares[0]:.1f} % of the truth's pixels, {shares[1]:.1f} % of the reconstruction's."


_SHARES = (
    Column(GRAY_TRUTH, "share of the truth's pixels that have no hue", lambda truth, recon: truth.colourless),
    Column(
        GRAY_RECON,
        "share of the reconstruction's pixels that have no hue",
        lambda truth, recon: recon.colourless,
    ),
)

_frame_by_frame(
    _psnr,
    id="psnr.db",
    name="PSNR",
    bounds=(0.0, IDENTICAL_DB),
    reference=ANIMATOR,
    note="dB with peak 255; 100 for identical frames. Rewards the mean image.",
)
_frame_by_frame(
    _hue_cosine,
    id="hue.cosine",
    name="Hue, cosine",
    bounds=UNIT,
    reference=ANIMATOR,
    note="Cosine of OpenCV hue planes, published as Hue-pcc. No hue is negative: any two agree.",
    columns=_SHARES,
    remark=_without_hue,
)
_frame_by_frame(
    _hue_pearson,
    id="hue.pearson",
    name="Hue, correlation",
    bounds=SIGNED,
    chance=0.0,
    chance_source="unrelated planes",
    note="Correlation of the same planes: what the name Hue-pcc says.",
    columns=_SHARES,
    remark=_without_hue,
)
_frame_by_frame(
    _hue_circular,
    id="hue.circular",
    name="Hue agreement",
    bounds=SIGNED,
    note="Mean cosine of the hue difference, weighted by the truth's chroma. Gray scores 0.",
    columns=_SHARES,
    remark=_without_hue,
)


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
