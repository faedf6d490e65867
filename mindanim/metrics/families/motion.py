"""Motion metrics from dense optical flow between consecutive frames, at the frames' own size.

Flow is OpenCV's Farneback with the parameters of the released code (0.5, 3, 15, 3, 5, 1.2, 0); it is in
pixels per frame step, x right and y down. The resolution is part of the identifiers of the end-point and
angular errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mindanim.metrics.families.metric import (
    ANIMATOR,
    SIGNED,
    FrameMetric,
    Loading,
    metric,
    network,
    once_per_pair,
)
from mindanim.vocabulary.arrays import Float, Frames, to_tensor

if TYPE_CHECKING:
    from mindanim.backbones.protocols import FlowNetwork

Flow = NDArray[np.float32]
Lengths = NDArray[np.float32]
Bounds = tuple[float, float | None]

RAFT_SIDE = 128
"""RAFT correlates features at an eighth of the size over four levels: smaller frames leave nothing."""
RELEASED_FLOW = "512"

MOVING = 0.005
"""A pixel of the truth moves if its flow exceeds this share of the frame height per frame step (0.32 px at
64)."""
STILL = 0.002
"""A reconstruction's flow below this share of the frame height counts as none (0.13 px at 64): between two
equal frames of 64 px Farneback finds up to 0.1 px in all but one pixel in a thousand."""

_FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)


@dataclass(frozen=True)
class MotionDescription:
    """The flow of one clip.

    Attributes:
        flow: (step, height, width, xy) float32, px.
        speed: Its length, (step, height, width) float32.
        moving: Where it exceeds `MOVING`, (step, height, width) bool.
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
    # x and y are separate in memory: everything below reads one of them at a time.
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


@once_per_pair
def _products(truth: MotionDescription, recon: MotionDescription) -> tuple[Lengths, Lengths]:
    """Scalar products of the flows, and the products of their lengths; (step, height, width) each."""
    return _dot(truth.flow, recon.flow), truth.speed * recon.speed


def _flow_metric(**fields: Any) -> Callable[[Callable[..., float]], FrameMetric]:
    return metric(FrameMetric, group="motion", needs=("frames",), min_frames=2, describe=describe, **fields)


def _error(family: str, unit: Bounds, **fields: Any) -> Callable[[Callable[..., float]], FrameMetric]:
    """An error that has the resolution in its identifier."""
    return _flow_metric(
        id=f"{family}.farneback<size>",
        bounds=unit,
        direction="lower",
        reference=ANIMATOR,
        details=lambda setting: {"id": f"{family}.farneback{setting.size}"},
        **fields,
    )


@_error(
    "epe",
    (0.0, None),
    name="End-point error",
    note="px per frame step at the frames' own size. Rewards no motion at all: see the frozen floor.",
)
def end_point_error(truth: MotionDescription, recon: MotionDescription) -> float:
    """Mean length of the difference of the flows, px; Baker et al. 2011, doi:10.1007/s11263-010-0390-2."""
    total = 0.0
    for one, other in zip(truth.flow, recon.flow, strict=True):
        across, down = one[..., 0] - other[..., 0], one[..., 1] - other[..., 1]
        across *= across
        down *= down
        across += down
        total += float(np.sqrt(across, out=across).sum(dtype=np.float64))
    return total / truth.flow[..., 0].size


@_error(
    "ae",
    (0.0, 180.0),
    name="Angular error",
    chance=90.0,
    chance_source="unrelated directions",
    note="Degrees over all pixels; 90 wherever either flow is zero, so the truth itself is not at 0.",
)
def angular_error(truth: MotionDescription, recon: MotionDescription) -> float:
    """Mean angle between the flows, degrees, as released: 90 wherever either is (nearly) zero."""
    dot, product = _products(truth, recon)
    angle = np.arccos(np.clip(dot / (product + np.float32(1e-8)), -1.0, 1.0))
    return float(np.degrees(angle.mean(dtype=np.float64)))


@network(name="raft", missing="no RAFT checkpoint was given; --set raft=FILE")
def _raft(file: str | Path, on: Loading) -> Any:
    from mindanim.backbones import load_raft

    return load_raft(Path(file), on.device)


def _describe_by_raft(frames: Frames, raft: FlowNetwork) -> Flow:
    """The flow of one clip by RAFT, (step, xy, height, width) float32 in px."""
    flow: Flow = raft.flow(to_tensor(frames.copy())).cpu().numpy()
    return flow


@metric(
    FrameMetric,
    id="epe.raft",
    name="End-point error, RAFT",
    group="motion",
    bounds=(0.0, None),
    direction="lower",
    needs=("raft",),
    min_frames=2,
    min_side=RAFT_SIDE,
    describe=_describe_by_raft,
    reference="Teed and Deng 2020, arXiv:2003.12039",
    note="px per frame step, flow by RAFT. Rewards no motion at all: see the frozen floor.",
)
def raft_end_point_error(truth: Flow, recon: Flow) -> float:
    return float(np.linalg.norm(truth - recon, axis=1).mean(dtype=np.float64))


@_flow_metric(
    id=f"epe.farneback{RELEASED_FLOW}",
    name=f"End-point error at {RELEASED_FLOW} px",
    bounds=(0.0, None),
    direction="lower",
    offered=lambda setting: setting.size != RELEASED_FLOW,
    check=lambda setting: (
        f"it is defined on frames of {RELEASED_FLOW} px; epe.farneback{setting.size} is the same on these"
    ),
    note="Named by papers; on frames of another size it is refused.",
)
def released_end_point_error(truth: MotionDescription, recon: MotionDescription) -> float:
    return end_point_error.score(truth, recon)


def _direction(**fields: Any) -> Callable[[Callable[..., float]], FrameMetric]:
    """A measure of the direction of what moves in the truth."""
    return _flow_metric(bounds=SIGNED, chance=0.0, chance_source="unrelated directions", **fields)


@_direction(
    id="flow.corr",
    name="Flow correlation",
    note="Correlation about zero of the flow vectors over pixels that move in the truth. Standing still "
    "scores 0.",
)
def flow_correlation(truth: MotionDescription, recon: MotionDescription) -> float:
    """`correlation_of_sums` over pixels that move in the truth; NaN if there are none."""
    moving = int(truth.moving.sum())
    if not moving:
        return float("nan")
    summed, truth_power, recon_power = (
        np.asarray(np.sum(values, where=truth.moving, dtype=np.float64))
        for values in (_products(truth, recon)[0], truth.speed * truth.speed, recon.speed * recon.speed)
    )
    return float(correlation_of_sums(summed, truth_power, recon_power, moving, truth.flow.shape[1]))


@_direction(
    id="flow.direction",
    name="Flow direction",
    note="Mean cosine of the angle between the flows over pixels that move in the truth. Standing still "
    "scores 0.",
)
def flow_direction(truth: MotionDescription, recon: MotionDescription) -> float:
    """Mean cosine of the angle over pixels that move in the truth, NaN if there are none; 0 for pixels at
    which the reconstruction stands still."""
    moving = int(truth.moving.sum())
    if not moving:
        return float("nan")
    dot, product = _products(truth, recon)
    both = truth.moving & (recon.speed > STILL * truth.flow.shape[1])
    cosine = np.divide(dot, product, out=np.zeros_like(dot), where=both)
    return float(cosine.sum(dtype=np.float64) / moving)


def _dot(first: Flow, second: Flow) -> NDArray[np.float32]:
    """Scalar products of (..., xy) vectors; numpy sums an axis of two slowly."""
    return first[..., 0] * second[..., 0] + first[..., 1] * second[..., 1]


def correlation_of_sums(
    dot: Float,
    truth_power: Float,
    recon_power: Float,
    moving: int,
    height: int,
) -> Float:
    """Correlation of two flow fields about zero, from sums over the pixels that move in the truth.

    The mean is not subtracted: no motion is the origin, and a pan in the right direction is right.

    Args:
        dot: Sum of the scalar products of the two flows.
        truth_power: Sum of the squared lengths of the truth's flow.
        recon_power: Sum of the squared lengths of the reconstruction's flow.
        moving: Number of moving pixels over all steps.
        height: Height of the frames, px.

    Returns:
        [-1, 1]; 0 if the reconstruction stands still there (an rms below `STILL`).
    """
    still = recon_power <= moving * (STILL * height) ** 2
    return np.where(still, 0.0, dot / np.sqrt(truth_power * np.where(still, 1.0, recon_power)))


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """OpenCV on a single thread: clips already run in parallel."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
