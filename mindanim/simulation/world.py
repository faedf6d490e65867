"""The simulated world: short shots of one coloured object moving over a landscape, with ground truth.

Everything follows from a `Scene`, which contains what a viewer would say about a shot. Attributes are drawn
uniformly and independently, and the start position is unrelated to the motion, so a decoder can recover an
attribute only from the responses. Frames come with the true optical flow and the object's coverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.errors import InputError
from mindanim.simulation.backdrops import BACKGROUNDS, backdrop
from mindanim.simulation.shapes import EXTENT, OBJECTS, shape_table

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "MOTIONS",
    "OBJECTS",
    "SIZES",
    "Rendered",
    "Scene",
    "film",
    "render",
    "sample_scene",
]

Array = NDArray[np.float32]

COLOURS: tuple[str, ...] = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white")
SIZES: tuple[str, ...] = ("small", "large")
DIRECTIONS: tuple[str, ...] = (
    "right",
    "up-right",
    "up",
    "up-left",
    "left",
    "down-left",
    "down",
    "down-right",
)
MOTIONS: tuple[str, ...] = (*DIRECTIONS, "still", "growing", "shrinking", "spinning")

_RGB = {
    "red": (0.88, 0.11, 0.12),
    "orange": (1.00, 0.52, 0.03),
    "yellow": (1.00, 0.90, 0.08),
    "green": (0.10, 0.78, 0.22),
    "blue": (0.12, 0.27, 0.95),
    "purple": (0.56, 0.16, 0.78),
    "pink": (1.00, 0.52, 0.76),
    "white": (0.97, 0.97, 0.97),
}
_HEIGHT = {"small": 0.44, "large": 0.66}
"""Extent of the object in frame heights, at the middle of the clip."""
_TRAVEL = 0.6
"""Path of a moving object over the clip, in frame half-widths."""
_GROWTH = 1.8
"""Scale at the end over scale at the start; the nominal size is reached in mid-clip."""
_SPIN = np.deg2rad(225.0)
"""Clockwise turn over the clip, radians."""
_OUTLINE = 0.022
"""Width of the dark outline in frame heights."""
_PAN_SHARE, _PAN_SPEED = 0.15, 0.04


@dataclass(frozen=True)
class Scene:
    """One shot. Clips with the same ``scene_id`` are takes of the same scene.

    Attributes:
        object, colour, background, size, motion: Indices into the tuples of this module.
        x, y: The object's centre at the start of the clip in frame half-widths, [-1, 1], y down.
        pan: The camera's velocity in frame widths per second.
        tilt, brightness, hue_shift: Mild nuisances: radians, a factor, radians.
    """

    object: int
    colour: int
    background: int
    size: int
    motion: int
    x: float = 0.0
    y: float = 0.0
    pan: tuple[float, float] = (0.0, 0.0)
    tilt: float = 0.0
    brightness: float = 1.0
    hue_shift: float = 0.0
    texture_seed: int = 0
    scene_id: int = 0

    def caption(self) -> str:
        """What a viewer would say about a frame, "a large red ball over a green field"; never the motion."""
        ground = BACKGROUNDS[self.background]
        article = "a" if ground in ("cloudy sky", "green field") else "the"
        return f"a {SIZES[self.size]} {COLOURS[self.colour]} {OBJECTS[self.object]} over {article} {ground}"


@dataclass(frozen=True)
class Rendered:
    """Frames of one clip and their ground truth.

    Attributes:
        frames: ``(frame, height, width, 3) uint8`` RGB.
        flow: True optical flow in pixels per second, x right and y down, ``(frame, height, width, 2)
            float32``.
        mask: Coverage by the object, [0, 1], ``(frame, height, width) float32``.
    """

    frames: NDArray[np.uint8]
    flow: Array
    mask: Array


def sample_scene(rng: np.random.Generator, **fixed: object) -> Scene:
    """Draw a scene. Attributes in ``fixed`` are set to the given values without changing the other draws."""
    drawn: dict[str, object] = {
        "object": int(rng.integers(len(OBJECTS))),
        "colour": int(rng.integers(len(COLOURS))),
        "background": int(rng.integers(len(BACKGROUNDS))),
        "size": int(rng.integers(len(SIZES))),
        "motion": int(rng.integers(len(MOTIONS))),
        "pan": (float(rng.choice((-1, 1)) * _PAN_SPEED * (rng.random() < _PAN_SHARE)), 0.0),
        "tilt": float(rng.uniform(-0.2, 0.2)),
        "brightness": float(rng.uniform(0.9, 1.1)),
        "hue_shift": float(rng.uniform(-0.09, 0.09)),
        "texture_seed": int(rng.integers(2**31)),
        "x": float(rng.uniform(-0.22, 0.22)),
        "y": float(rng.uniform(-0.22, 0.22)),
    }
    return Scene(**(drawn | fixed))  # type: ignore[arg-type]


def film(
    rng: np.random.Generator, clips: int, clip_seconds: float = 2.0, scene_clips: tuple[int, int] = (1, 3)
) -> list[Scene]:
    """One scene per clip, in film order.

    The clips of a scene share everything except ``x`` and ``y``, which are drawn again at each jump cut.

    Args:
        scene_clips: Shortest and longest scene in clips; lengths are uniform.
        clip_seconds: Length of a clip; scales the camera pan so that its path per clip is the same.

    Raises:
        InputError: The range is empty or the clip has no duration.
    """
    shortest, longest = scene_clips
    if not 1 <= shortest <= longest or clip_seconds <= 0:
        raise InputError(
            f"A film cannot have scenes of {shortest} to {longest} clips of {clip_seconds} s.",
            "A scene has at least one clip, the range must ascend and a clip needs a duration.",
            "Give scene_clips=(shortest, longest) with 1 <= shortest <= longest and clip_seconds > 0.",
        )
    shots: list[Scene] = []
    scene_id = 0
    while len(shots) < clips:
        scene = sample_scene(rng, scene_id=scene_id)
        scene = replace(scene, pan=(scene.pan[0] * 2.0 / clip_seconds, scene.pan[1] * 2.0 / clip_seconds))
        for _ in range(int(rng.integers(shortest, longest + 1))):
            shots.append(replace(scene, x=float(rng.uniform(-0.22, 0.22)), y=float(rng.uniform(-0.22, 0.22))))
        scene_id += 1
    return shots[:clips]


def render(
    scene: Scene, times_s: Sequence[float] | NDArray[np.floating], duration_s: float = 2.0, size: int = 64
) -> Rendered:
    """Render a scene. Times beyond the clip extrapolate the motion.

    Args:
        times_s: Seconds from the start of the clip.
        size: Height and width in pixels, at least 32.
        duration_s: Length of the clip.

    Raises:
        InputError: The frames are too small or the clip has no duration.
    """
    if size < 32 or duration_s <= 0:
        raise InputError(
            f"Cannot render {size} px frames of a clip of {duration_s} s.",
            "Objects need frames of at least 32 px, and speeds need a duration.",
            "Use size >= 32 and duration_s > 0.",
        )
    times = np.asarray(times_s, np.float32)
    pose = _pose(scene, times, duration_s)
    hue = _hue_rotation(scene.hue_shift)
    background = _backgrounds(scene, times, size, hue)

    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    dx = axis[None, None, :] - pose.x[:, None, None]
    dy = axis[None, :, None] - pose.y[:, None, None]
    cos, sin = (
        (np.cos(pose.angle) / pose.scale)[:, None, None],
        (np.sin(pose.angle) / pose.scale)[:, None, None],
    )

    # Nearest lookup in a table with four cells per pixel: the stored distance does the smoothing.
    table = shape_table(OBJECTS[scene.object], max(256, 4 * size))
    cells = len(table)
    to_cell = np.float32(cells / (2 * EXTENT))
    column = np.clip((cos * dx + sin * dy) * to_cell + cells / 2, 0, cells - 1).astype(np.int32)
    row = np.clip((cos * dy - sin * dx) * to_cell + cells / 2, 0, cells - 1).astype(np.int32)
    looked_up = table.reshape(-1, 3).take(row * cells + column, axis=0)
    pixels = looked_up[..., 0] * (pose.scale * (size / 2))[:, None, None]  # distance to the outline in pixels

    mask = np.asarray(np.clip(0.5 - pixels, 0, 1), np.float32)
    surface = np.clip(0.5 - pixels - _OUTLINE * size, 0, 1)  # 0 on the outline, 1 within it
    colour = hue @ np.asarray(_RGB[COLOURS[scene.colour]], np.float32)
    factor, white = looked_up[..., 1:2], looked_up[..., 2:3]
    paint = colour * factor * (np.float32(0.16) + np.float32(0.84) * surface[..., None])
    paint += (np.float32(0.97) - paint) * (white * surface[..., None])
    frames = (background + (paint - background) * mask[..., None]) * np.float32(255 * scene.brightness)
    return Rendered(
        frames=np.clip(frames + np.float32(0.5), 0, 255).astype(np.uint8),
        flow=_flow(scene, pose, dx, dy, mask, size),
        mask=mask,
    )


@dataclass(frozen=True)
class _Pose:
    """The object over time, ``(frame,)``; rates per second; ``scale`` is its half-extent in half-widths."""

    x: Array
    y: Array
    angle: Array
    scale: Array
    velocity: tuple[float, float]
    spin: float
    growth: float


def _pose(scene: Scene, times: Array, duration_s: float) -> _Pose:
    motion = MOTIONS[scene.motion]
    vx = vy = spin = growth = 0.0
    if motion in DIRECTIONS:
        heading = DIRECTIONS.index(motion) * np.pi / 4
        vx, vy = _TRAVEL / duration_s * np.cos(heading), -_TRAVEL / duration_s * np.sin(heading)
    elif motion == "spinning":
        spin = _SPIN / duration_s
    elif motion != "still":
        growth = np.log(_GROWTH) / duration_s * (1 if motion == "growing" else -1)
    vx, vy = vx - 2 * scene.pan[0], vy - 2 * scene.pan[1]  # a frame is two half-widths wide
    extent = np.float32(_HEIGHT[SIZES[scene.size]])
    return _Pose(
        x=(scene.x + vx * times).astype(np.float32),
        y=(scene.y + vy * times).astype(np.float32),
        angle=(scene.tilt + spin * times).astype(np.float32),
        scale=(extent * np.exp(growth * (times - duration_s / 2))).astype(np.float32),
        velocity=(vx, vy),
        spin=spin,
        growth=growth,
    )


def _backgrounds(scene: Scene, times: Array, size: int, hue: Array) -> Array:
    """Landscape per frame, ``(frame, row, column, 3)``; with a still camera the frame axis has length 1."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    moments = times if any(scene.pan) else times[:1] * 0
    name = BACKGROUNDS[scene.background]
    return np.stack(
        [
            backdrop(
                name,
                scene.texture_seed,
                (axis + scene.pan[0] * t).astype(np.float32),
                (axis + scene.pan[1] * t).astype(np.float32),
                hue,
            )
            for t in moments
        ]
    )


def _flow(scene: Scene, pose: _Pose, dx: Any, dy: Any, mask: Array, size: int) -> Array:
    """Velocity of what a pixel shows: the object where it covers half or more, otherwise the landscape."""
    half = np.float32(size / 2)
    on_object = mask >= 0.5
    flow = np.empty((*mask.shape, 2), np.float32)
    object_x = pose.velocity[0] + pose.growth * dx - pose.spin * dy
    object_y = pose.velocity[1] + pose.growth * dy + pose.spin * dx
    flow[..., 0] = np.where(on_object, object_x * half, -scene.pan[0] * size)
    flow[..., 1] = np.where(on_object, object_y * half, -scene.pan[1] * size)
    return flow


def _hue_rotation(angle: float) -> Array:
    """Colour matrix that rotates hues by ``angle`` radians about the gray axis (Rodrigues' formula)."""
    cos, sin = np.cos(angle), np.sin(angle)
    skew = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    return np.asarray(cos * np.eye(3) + sin * skew + (1 - cos) / 3, np.float32)
