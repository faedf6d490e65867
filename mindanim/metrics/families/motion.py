"""Motion metrics from dense optical flow between consecutive frames, at the frames' own size.

Flow is OpenCV's Farneback with the parameters of the released code (0.5, 3, 15, 3, 5, 1.2, 0); it is in
pixels per frame step, x right and y down. The resolution is part of the identifiers of the end-point and
angular errors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.vocabulary.arrays import Frames

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
    """The flow of one clip.

    flow: (step, height, width, xy) float32. speed: its length, (step, height, width) float32. moving: where
    it is faster than `MOVING`, the same shape, bool.
    """

    flow: Flow
    speed: NDArray[np.float32]
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
    count, height, width = planes.shape
    # x and y lie apart in memory: everything below reads one of them at a time.
    apart = np.empty((count - 1, 2, height, width), np.float32)
    for step in range(count - 1):
        same = step > 0 and all(
            np.array_equal(planes[step], planes[other]) for other in (step - 1, step + 1)
        )  # a clip that stands still needs its flow once
        flow_here = (
            apart[step - 1] if same else flow_between(planes[step], planes[step + 1]).transpose(2, 0, 1)
        )
        apart[step] = flow_here
    flow = apart.transpose(0, 2, 3, 1)
    speed = length(flow)
    return MotionDescription(flow, speed, speed > MOVING * flow.shape[1])


def length(vectors: Flow) -> NDArray[np.float32]:
    """Lengths of (..., xy) vectors."""
    return np.sqrt(_dot(vectors, vectors))


def score(
    truth: MotionDescription, recon: MotionDescription, ids: Collection[str] | None = None
) -> dict[str, float]:
    """Motion metrics of one pair, all or some: `epe` (px), `ae` (degrees), `flow.corr`, `flow.direction`.

    epe: length of the difference of the flows; Baker et al. 2011, doi:10.1007/s11263-010-0390-2. ae: angle
    between them, as released: 90 wherever either is (nearly) zero. flow.corr: see `correlation_of_sums`.
    flow.direction: mean cosine of the angle; a pixel at which the reconstruction stands still counts as 0.
    The last two look at pixels that move in the truth only; NaN when there are none.
    """
    wanted = {"epe", "ae", "flow.corr", "flow.direction"} if ids is None else set(ids)
    scores = dict.fromkeys(wanted, float("nan"))
    if "epe" in wanted:
        scores["epe"] = _end_point_error(truth.flow, recon.flow)
    if not wanted & {"ae", "flow.corr", "flow.direction"}:
        return scores
    dot = _dot(truth.flow, recon.flow)
    product = truth.speed * recon.speed
    if "ae" in wanted:
        angle = np.arccos(np.clip(dot / (product + np.float32(1e-8)), -1.0, 1.0))
        scores["ae"] = float(np.degrees(angle.mean(dtype=np.float64)))
    moving = int(truth.moving.sum())
    if moving and wanted & {"flow.corr", "flow.direction"}:
        summed, truth_power, recon_power = (
            np.asarray(np.sum(values, where=truth.moving, dtype=np.float64))
            for values in (dot, truth.speed * truth.speed, recon.speed * recon.speed)
        )
        height = truth.flow.shape[1]
        correlation = correlation_of_sums(summed, truth_power, recon_power, moving, height)
        scores["flow.corr"] = float(correlation)
        both = truth.moving & (recon.speed > STILL * height)
        cosine = np.divide(dot, product, out=np.zeros_like(dot), where=both)
        scores["flow.direction"] = float(cosine.sum(dtype=np.float64) / moving)
    return scores


def _end_point_error(first: Flow, second: Flow) -> float:
    """Mean length of the difference of two flows."""
    total = 0.0
    for one, other in zip(first, second, strict=True):
        across, down = one[..., 0] - other[..., 0], one[..., 1] - other[..., 1]
        across *= across
        down *= down
        across += down
        total += float(np.sqrt(across, out=across).sum(dtype=np.float64))
    return total / first[..., 0].size


def _dot(first: Flow, second: Flow) -> NDArray[np.float32]:
    """Scalar products of (..., xy) vectors; numpy sums an axis of two slowly."""
    return first[..., 0] * second[..., 0] + first[..., 1] * second[..., 1]


def correlation_of_sums(
    dot: NDArray[np.float64],
    truth_power: NDArray[np.float64],
    recon_power: NDArray[np.float64],
    moving: int,
    height: int,
) -> NDArray[np.float64]:
    """Correlation of two flow fields about zero, [-1, 1], from sums over the pixels that move in the truth.

    dot: of the scalar products of the two flows; truth_power, recon_power: of their squared lengths; moving:
    number of such pixels over all steps; height: of the frames. The mean is not subtracted: no motion is the
    origin, and a pan in the right direction is right. 0 when the reconstruction stands still there (an rms
    below `STILL`).
    """
    still = recon_power <= moving * (STILL * height) ** 2
    return np.where(still, 0.0, dot / np.sqrt(truth_power * np.where(still, 1.0, recon_power)))


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
