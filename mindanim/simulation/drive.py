"""Neural drive of a film: layout, motion and meaning over time, before any vertex weights them.

The brain's view of a film is rendered separately from the film, coarsely and always at the same size, so that
responses depend neither on the resolution nor on the frame rate of the film files. Cuts between clips produce
no motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.simulation.world import BACKGROUNDS, COLOURS, OBJECTS, SIZES, Scene, render

Array = NDArray[np.float32]

VIEW = 32
"""Height and width of the brain's view in pixels."""
RATE_HZ = 8.0
"""Samples per second of the neural time courses; a clip holds a whole number of them, at least four."""
GRID = 16
"""Rows and columns of the retinotopic maps."""
OPPONENT = ("luminance", "red-green", "blue-yellow")
HEADINGS = tuple(range(0, 360, 45))
"""Directions of motion in degrees, counter-clockwise from rightward."""
LAYOUT_CHANNELS = (*OPPONENT, "contrast")
MOTION_CHANNELS = (*(f"motion {angle}" for angle in HEADINGS), *(f"change of {name}" for name in OPPONENT))
FLOW_CHANNELS = (
    *(f"object {angle}" for angle in HEADINGS),
    "expansion",
    "contraction",
    "clockwise",
    "panning",
)
MEANING_GROUPS = {"object": OBJECTS, "colour": COLOURS, "background": BACKGROUNDS, "size": SIZES}
MEANING_CHANNELS = tuple(name for names in MEANING_GROUPS.values() for name in names)

_SPEED = 0.3
"""Speed with motion energy 1, in frame half-widths per second: that of a moving object in a clip of 2 s."""
_TURN = 3.0
"""Divisor that brings turning to the scale of growing."""
_ONSET = (1 / 3, 0.3)
"""Layout and meaning: sustained response relative to that to a cut, and the decay time in seconds."""
_ADAPTED = (0.0, 1.0)
"""Motion: likewise."""
_TO_OPPONENT = np.array([[0.30, 0.59, 0.11], [0.7, -0.7, 0.0], [-0.35, -0.35, 0.7]], np.float32)
_HEADING_VECTORS = np.array([(np.cos(np.deg2rad(a)), -np.sin(np.deg2rad(a))) for a in HEADINGS], np.float32)


@dataclass(frozen=True)
class Drive:
    """Neural drive of one film.

    Sample k covers the film time from ``k * step_s`` to ``(k + 1) * step_s`` seconds. Responses adapt within
    a clip: layout and meaning to a sustained level, motion slowly to nothing.

    Attributes:
        layout: Luminance, colour opponency and contrast on a 16 x 16 grid, ``(sample, feature) float32``,
            features in the order channel, row, column.
        motion: Motion energy in eight directions and signed change per second, in the same layout.
        flow: Motion of the object as a whole, wherever it is, ``(sample, feature) float32``.
        meaning: One-hot attributes of the scene, ``(sample, feature) float32``.
    """

    step_s: float
    layout: Array
    motion: Array
    flow: Array
    meaning: Array


def watch(scenes: Sequence[Scene], clip_s: float, *, frozen: bool = False) -> Drive:
    """Neural drive of a film with one clip per scene.

    Args:
        clip_s: Length of a clip, seconds.
        frozen: Show every clip as its still first frame, so that the drive contains no motion.
    """
    steps = max(4, round(RATE_HZ * clip_s))
    step_s = clip_s / steps
    views = [_view(scene, clip_s, steps, frozen) for scene in scenes]
    layout, motion, flow = (np.concatenate(part) for part in zip(*views, strict=True))
    meaning = np.stack([_one_hot(scene) for scene in scenes]).repeat(steps, axis=0)
    onset, adapted = (
        np.tile(adaptation(steps, step_s, *kind), len(scenes))[:, None] for kind in (_ONSET, _ADAPTED)
    )
    return Drive(
        step_s,
        layout=(layout - layout.mean(0)) * onset,
        motion=motion * adapted,
        flow=flow * adapted,
        meaning=(meaning - meaning.mean(0)) * onset,
    )


def spread(drive: Drive, onsets_s: Sequence[float], duration_s: float) -> Drive:
    """Drive of a film of ``duration_s`` seconds with clips that start at ``onsets_s``; rest is zero."""
    steps = len(drive.layout) // len(onsets_s)
    starts = np.rint(np.asarray(onsets_s) / drive.step_s).astype(int)
    rows = (starts[:, None] + np.arange(steps)).ravel()

    def placed(values: Array) -> Array:
        film = np.zeros((round(duration_s / drive.step_s), values.shape[1]), np.float32)
        film[rows] = values
        return film

    parts = (drive.layout, drive.motion, drive.flow, drive.meaning)
    return Drive(drive.step_s, *(placed(part) for part in parts))


def clip_drives(drive: Drive, clips: int) -> list[Drive]:
    """Separate drives of ``clips`` equally long clips."""
    parts = [np.split(part, clips) for part in (drive.layout, drive.motion, drive.flow, drive.meaning)]
    return [Drive(drive.step_s, *clip) for clip in zip(*parts, strict=True)]


def adaptation(steps: int, step_s: float, sustained: float = 0.0, tau_s: float = 1.0) -> Array:
    """Weight of a response at each step of a clip, ``(step,)`` with mean 1: decays to a sustained level."""
    weight = sustained + np.exp(-(np.arange(steps) + 0.5) * step_s / tau_s)
    return np.asarray(weight / weight.mean(), np.float32)


def _view(scene: Scene, clip_s: float, steps: int, frozen: bool) -> tuple[Array, Array, Array]:
    """Layout, motion and flow of one clip, each ``(sample, feature)``."""
    edges = np.zeros(1) if frozen else np.linspace(0.0, clip_s, steps + 1)
    seen = render(scene, edges, clip_s, VIEW)
    opponent = np.moveaxis(seen.frames.astype(np.float32) @ (_TO_OPPONENT.T / 255), -1, 1)
    contrast = 2 * np.hypot(*np.gradient(opponent[:, :1], axis=(2, 3)))
    layout = _pool(np.concatenate([opponent, contrast], axis=1))
    if frozen:
        motion = np.zeros((steps, len(MOTION_CHANNELS) * GRID**2), np.float32)
        return layout.repeat(steps, axis=0), motion, np.zeros((steps, len(FLOW_CHANNELS)), np.float32)
    change = np.diff(opponent, axis=0) * np.float32(steps / clip_s)
    velocity = seen.flow * np.float32(2 / VIEW / _SPEED)
    energy = np.maximum(np.moveaxis(velocity @ _HEADING_VECTORS.T, -1, 1), 0)
    motion = _pool(np.concatenate([_between(energy), change], axis=1))
    return _between(layout), motion, _between(_object_flow(velocity, seen.mask, scene))


def _object_flow(velocity: Array, mask: Array, scene: Scene) -> Array:
    """Flow channels ``(frame, channel)``: mean, divergence and curl within the object; the camera's pan."""
    axis = (np.arange(VIEW, dtype=np.float32) + 0.5) / VIEW * 2 - 1
    place = np.stack(np.meshgrid(axis, axis), axis=-1)
    inside = (mask >= 0.5)[..., None].astype(np.float32)
    area = inside.sum((1, 2)) + np.float32(1e-6)
    mean = (velocity * inside).sum((1, 2)) / area
    offset = (place - ((place * inside).sum((1, 2)) / area)[:, None, None]) * inside
    spread = (offset**2).sum((1, 2, 3)) + np.float32(1e-6)
    expansion = (offset * velocity).sum((1, 2, 3)) / spread
    turning = offset[..., 0] * velocity[..., 1] - offset[..., 1] * velocity[..., 0]
    clockwise = turning.sum((1, 2)) / spread / np.float32(_TURN)
    pan = np.full_like(spread, 2 * np.hypot(*scene.pan) / _SPEED)
    rest = np.stack([expansion, -expansion, clockwise, pan], axis=1)
    flow: Array = np.maximum(np.concatenate([mean @ _HEADING_VECTORS.T, rest], axis=1), 0)
    return flow


def _one_hot(scene: Scene) -> Array:
    groups = MEANING_GROUPS.items()
    return np.concatenate(
        [np.eye(len(names), dtype=np.float32)[getattr(scene, group)] for group, names in groups]
    )


def _pool(maps: Array) -> Array:
    """Average square blocks: ``(frame, channel, VIEW, VIEW)`` to ``(frame, channel * GRID * GRID)``."""
    block = VIEW // GRID
    means: Array = maps.reshape(*maps.shape[:2], GRID, block, GRID, block).mean((3, 5))
    return means.reshape(len(maps), -1)


def _between(samples: Array) -> Array:
    """Averages of neighbours along the first axis."""
    return (samples[1:] + samples[:-1]) * np.float32(0.5)
