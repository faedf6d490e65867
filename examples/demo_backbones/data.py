"""The training clips of the backbones, rendered once from seeds that no study uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.simulation import world

TRAINING_SEED = 1_000_000
"""First seed of the training scenes. Studies use seeds below it."""
HELD_OUT_SEED = 2_000_000
"""First seed of the scenes on which the networks are measured."""

FRAMES = 8
CLIP_S = 2.0
SIZE = 64
PATCH = 8
ATTRIBUTES = ("object", "colour", "background", "size", "motion")


@dataclass(frozen=True)
class Pool:
    """Clips with their ground truth.

    Attributes:
        frames: (clip, frame, height, width, rgb) uint8.
        coverage: (clip, frame, row, column) float16, the fraction of each 8 px patch that the object covers.
        flow: (clip, frame, row, column, 2) float16, mean true flow of each patch, px/s.
        attributes: (clip, 5) int64, in the order of `ATTRIBUTES`.
        captions: One per clip.
    """

    frames: NDArray[np.uint8]
    coverage: NDArray[np.float16]
    flow: NDArray[np.float16]
    attributes: NDArray[np.int64]
    captions: list[str]

    def attribute(self, name: str) -> NDArray[np.int64]:
        """One attribute of every clip, (clip,)."""
        return self.attributes[:, ATTRIBUTES.index(name)]


def scenes(clips: int, seed: int) -> list[world.Scene]:
    """Independent scenes; scene ``i`` depends on ``seed + i`` alone."""
    return [world.sample_scene(np.random.default_rng(seed + i)) for i in range(clips)]


def patches(values: NDArray[Any]) -> NDArray[np.float16]:
    """Mean over 8 px patches of (frame, height, width, ...)."""
    frames, height, width = values.shape[:3]
    cells = values.reshape(frames, height // PATCH, PATCH, width // PATCH, PATCH, *values.shape[3:])
    means: NDArray[np.float16] = cells.mean(axis=(2, 4)).astype(np.float16)
    return means


def make_pool(clips: int, seed: int, folder: Path | None = None) -> Pool:
    """Render `clips` clips; with a `folder` they are stored there and read by the next call."""
    shots = scenes(clips, seed)
    attributes = np.array([[getattr(shot, name) for name in ATTRIBUTES] for shot in shots], np.int64)
    captions = [shot.caption() for shot in shots]
    rows = SIZE // PATCH
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "frames": (np.uint8, (clips, FRAMES, SIZE, SIZE, 3)),
        "coverage": (np.float16, (clips, FRAMES, rows, rows)),
        "flow": (np.float16, (clips, FRAMES, rows, rows, 2)),
    }
    if folder is not None and all((folder / f"{name}.npy").exists() for name in shapes):
        kept = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in shapes}
        if len(kept["frames"]) == clips:
            return Pool(**kept, attributes=attributes, captions=captions)
    arrays = {name: np.empty(shape, dtype) for name, (dtype, shape) in shapes.items()}
    times = np.arange(FRAMES) * CLIP_S / FRAMES
    for index, shot in enumerate(shots):
        rendered = world.render(shot, times, CLIP_S, SIZE)
        arrays["frames"][index] = rendered.frames
        arrays["coverage"][index] = patches(rendered.mask)
        arrays["flow"][index] = patches(rendered.flow)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            partial = folder / f"{name}.partial.npy"
            np.save(partial, array)
            os.replace(partial, folder / f"{name}.npy")
    return Pool(**arrays, attributes=attributes, captions=captions)
