"""Motion metrics from dense optical flow between consecutive frames, at the frames' own size.

Flow is OpenCV's Farneback with the parameters of the released code (0.5, 3, 15, 3, 5, 1.2, 0); it is in
pixels per frame step, x right and y down. The resolution is part of the identifiers of the end-point and
angular errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Flow = NDArray[np.float32]

MOVING = 0.005
"""A pixel of the truth moves when its flow exceeds this share of the frame height per frame step (0.32 px
at 64)."""
STILL = 0.002
"""Below this share of the frame height a reconstruction's flow is taken for none (0.13 px at 64): between two
equal frames of 64 px Farneback finds up to 0.1 px in all but one pixel of a thousand."""

_FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)


@dataclass(frozen=True)
class MotionDescription:
    """The flow of one clip, (step, height, width, xy) float32, and which pixels move, (step, height, width)
    bool."""

    flow: Flow
    moving: NDArray[np.bool_]


def gray(frames: Frames) -> Frames:
    """(frame, height, width, rgb) -> (frame, height, width) uint8.

    As released: RGB arrays go through OpenCV's BGR conversion, which swaps the weights of red and blue.
    """
    import cv2

    return np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames])


def flow_between(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Flow:
    """Farneback flow from one gray frame to another, (height, width, xy) float32 in px."""
    import cv2

    flow: Flow = cv2.calcOpticalFlowFarneback(first, second, None, *_FARNEBACK)  # type: ignore[call-overload]
    return flow


def describe(frames: Frames) -> MotionDescription:
    """The description of one clip of at least two frames, (frame, height, width, rgb) uint8."""
    planes = gray(frames)
    flow = np.stack([flow_between(planes[step], planes[step + 1]) for step in range(len(planes) - 1)])
    return MotionDescription(flow, moving_pixels(flow))


def moving_pixels(flow: Flow) -> NDArray[np.bool_]:
    """Where the flow is faster than `MOVING`, (step, height, width) bool."""
    moving: NDArray[np.bool_] = np.linalg.norm(flow, axis=-1) > MOVING * flow.shape[-3]
    return moving


def score(truth: MotionDescription, recon: MotionDescription) -> dict[str, float]:
    """All motion metrics of one pair: `epe` (px), `ae` (degrees), `flow.corr`, `flow.direction`.

    The last two look at pixels that move in the truth only; NaN when there are none.
    """
    return {
        "epe": float(end_point_error(truth.flow, recon.flow).mean(dtype=np.float64)),
        "ae": float(angular_error(truth.flow, recon.flow).mean(dtype=np.float64)),
        "flow.corr": flow_correlation(truth, recon),
        "flow.direction": direction_agreement(truth, recon),
    }


def end_point_error(truth: Flow, recon: Flow) -> NDArray[np.float32]:
    """Length of the difference of two flows, per pixel, px. Baker et al. 2011,
    doi:10.1007/s11263-010-0390-2."""
    error: NDArray[np.float32] = np.linalg.norm(truth - recon, axis=-1)
    return error


def angular_error(truth: Flow, recon: Flow) -> NDArray[np.float32]:
    """Angle between two flows per pixel, degrees, as released: 90 wherever either is (nearly) zero."""
    dot = (truth * recon).sum(axis=-1)
    lengths = np.linalg.norm(truth, axis=-1) * np.linalg.norm(recon, axis=-1)
    angle: NDArray[np.float32] = np.degrees(np.arccos(np.clip(dot / (lengths + 1e-8), -1.0, 1.0)))
    return angle


def flow_correlation(truth: MotionDescription, recon: MotionDescription) -> float:
    """Correlation of two flow fields about zero over the pixels that move in the truth, [-1, 1].

    Sum of the scalar products of the flow vectors over the root of the product of their summed squares. The
    mean is not subtracted: no motion is the origin, and a pan in the right direction is right. 0 when the
    reconstruction stands still there, NaN when nothing moves in the truth.
    """
    if not truth.moving.any():
        return float("nan")
    first, second = truth.flow[truth.moving].astype(np.float64), recon.flow[truth.moving].astype(np.float64)
    return float(
        correlation_of_sums((first * second).sum(), (first**2).sum(), (second**2).sum(), *_extent(truth))
    )


def correlation_of_sums(
    dot: NDArray[np.float64],
    truth_power: NDArray[np.float64],
    recon_power: NDArray[np.float64],
    moving: int,
    height: int,
) -> NDArray[np.float64]:
    """`flow_correlation` from sums over the moving pixels; the reconstruction stands still below an rms of
    `STILL`."""
    still = recon_power <= moving * (STILL * height) ** 2
    return np.where(still, 0.0, dot / np.sqrt(truth_power * np.where(still, 1.0, recon_power)))


def direction_agreement(truth: MotionDescription, recon: MotionDescription) -> float:
    """Mean cosine of the angle between two flows over the pixels that move in the truth, [-1, 1].

    A pixel at which the reconstruction stands still counts as 0. NaN when nothing moves in the truth.
    """
    if not truth.moving.any():
        return float("nan")
    first, second = truth.flow[truth.moving].astype(np.float64), recon.flow[truth.moving].astype(np.float64)
    lengths = np.linalg.norm(second, axis=-1)
    still = lengths <= STILL * truth.flow.shape[1]
    cosine = (first * second).sum(axis=-1) / (np.linalg.norm(first, axis=-1) * np.where(still, 1.0, lengths))
    return float(np.where(still, 0.0, cosine).mean())


def _extent(truth: MotionDescription) -> tuple[int, int]:
    return int(truth.moving.sum()), int(truth.flow.shape[1])


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """OpenCV without threads of its own: the clips already run in parallel."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
