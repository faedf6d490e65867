"""The files of each clip during generation, and the arrays they are collected into at the end.

Each clip has its own files until all are there, so that independent processes, on one machine or on several
with a shared disk, never write to the same file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mindanim.artifacts import Artifact, Draft
from mindanim.artifacts.files import atomic_path
from mindanim.generation.clip_files import write_clip
from mindanim.generation.features import Features

# Feature -> the array it is collected in, its type and description.
_ARRAYS: dict[str, tuple[str, str, dict[str, str]]] = {
    "latents": (
        "decoded_latents.npy",
        "float16",
        {
            "axes": "clip frame channel height width",
            "unit": "scaled latents: where the sampler started from",
        },
    ),
    "tokens": ("decoded_tokens.npy", "float16", {"axes": "clip token feature"}),
    "clip": ("decoded_clip.npy", "float32", {"axes": "clip feature"}),
}


@dataclass(frozen=True)
class ClipStore:
    """The clips in the folder of ``draft``."""

    draft: Draft

    def has(self, clip_id: str) -> bool:
        """Whether a clip is complete, whichever process made it: its frames are written last."""
        return (self.draft.path / f"clips/{clip_id}.npy").exists() and self.has_features(clip_id)

    def has_features(self, clip_id: str) -> bool:
        """Whether the features of the clip are there."""
        return self._features(clip_id).exists()

    def put_features(self, clip_id: str, given: Features, place: int) -> None:
        """Write the features at index `place` of `given`, in the types they are stored in."""
        self._write_features(
            clip_id,
            {
                name: getattr(given, name)[place].numpy().astype(dtype)
                for name, (_, dtype, _) in _ARRAYS.items()
            },
        )

    def features(self, clip_ids: Sequence[str]) -> Features:
        """The stored features of some clips."""
        stacked = {
            name: torch.from_numpy(np.stack([self._read(clip_id, name) for clip_id in clip_ids])).float()
            for name in _ARRAYS
        }
        return Features(**stacked)

    def adopt(self, videos: Artifact) -> None:
        """Take over all clips of finished videos, as they are.

        Raises:
            InputError: A file has changed since the videos were finished.
        """
        arrays = {name: videos.array(file) for name, (file, _, _) in _ARRAYS.items()}
        names = list(videos.table("clips.tsv")["clip_id"])
        for row, clip_id in enumerate(names):
            if self.has(clip_id):
                continue
            self._write_features(clip_id, {name: array[row] for name, array in arrays.items()})
            for file in (f"view/{clip_id}.mp4", f"clips/{clip_id}.npy"):
                with self.draft.write(file) as path:
                    _link(videos.file(file).resolve(), path)
        for precision in str(videos.facts["precision"]).split(", "):
            self.draft.computes_in(precision)

    def discard_all_but(self, clip_ids: Sequence[str]) -> None:
        """Remove what a stopped run left of other clips."""
        for file in (*self.draft.path.glob("view/*.mp4"), *self.draft.path.glob("clips/*.npy")):
            if file.stem not in clip_ids:
                file.unlink()

    def put(self, clip_id: str, frames: NDArray[np.uint8], fps: Fraction) -> None:
        """Write a clip's film and its frames ``(frame, height, width, rgb)``."""
        write_clip(self.draft.write, clip_id, frames, fps)

    def collect(self, clip_ids: Sequence[str]) -> None:
        """Write the features of all clips, in this order, each kind as one array."""
        for name, (file, dtype, described) in _ARRAYS.items():
            shape = self._read(clip_ids[0], name).shape
            with self.draft.write(file, **described) as path:
                array = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), (len(clip_ids), *shape))
                for row, clip_id in enumerate(clip_ids):
                    array[row] = self._read(clip_id, name)
                array.flush()

    def _write_features(self, clip_id: str, arrays: dict[str, Any]) -> None:
        with atomic_path(self._features(clip_id)) as path, path.open("wb") as file:
            np.savez(file, **arrays)

    def _features(self, clip_id: str) -> Path:
        return self.draft.scratch(f"features/{clip_id}.npz")

    def _read(self, clip_id: str, name: str) -> NDArray[Any]:
        with np.load(self._features(clip_id), allow_pickle=False) as stored:
            values: NDArray[Any] = stored[name]
        return values


def _link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
