"""Which frames of a film represent a clip, and how they are resized to the model's frame size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mindanim.errors import InputError

if TYPE_CHECKING:
    from mindanim.stimuli.video import FilmFile

Spacing = Literal["even", "released"]
Fit = Literal["crop", "squash"]

# Containers round frame times to their clock, mostly to milliseconds.
_CLOCK_S = 1e-3


@dataclass(frozen=True)
class Sampling:
    """How a clip of a film becomes `frames` square frames of `size` px.

    Attributes:
        spacing: ``even`` takes what is on screen at onset + k * duration / frames (4 Hz for 8 frames of 2 s),
            whatever the film's frame rate. ``released`` takes every s-th film frame of the clip, s = frames
            in the clip / frames, rounded up, or down where rounding up would leave the clip (numbers 0, 8,
            ..., 56 of 60; METHOD of the paper).
        fit: ``crop`` keeps proportions and cuts the longer side; ``squash`` stretches the whole picture.
        centre: Share of both sides that is kept around the centre before anything else (1 keeps all).
    """

    frames: int
    size: int
    spacing: Spacing = "even"
    fit: Fit = "crop"
    centre: float = 1.0

    def indices(self, film: FilmFile, clip_id: str, onset_s: float, duration_s: float) -> list[int]:
        """Numbers of the film's frames that represent the clip, never falling.

        With ``even`` spacing, a frame that stays on screen is taken again: what was seen is a still.

        Raises:
            InputError: The film ends before the clip's last frame, or, with ``released`` spacing, has fewer
                frames in the clip than are wanted; names clip, film and time.
        """
        instants = onset_s + np.arange(self.frames) * duration_s / self.frames
        if instants[-1] >= film.end_s:
            raise InputError(
                f"{film.path} ends at {film.end_s:.2f} s.",
                why=f"Clip {clip_id} needs it up to {instants[-1]:.2f} s.",
                hint="Compare it with the film that was shown, or correct the clip's times in the study.",
            )
        first, stop = np.searchsorted(film.times, np.array([onset_s, onset_s + duration_s]) - _CLOCK_S)
        if self.spacing == "even":
            # Where the picture starts after the sound, its first frame stands for what precedes it.
            chosen = np.maximum(np.searchsorted(film.times, instants + _CLOCK_S, side="right") - 1, 0)
        else:
            if stop - first < self.frames:
                raise InputError(
                    f"{film.path} has {stop - first} frames from {onset_s:g} s on, in clip {clip_id}.",
                    why=f"Spacing `released` takes {self.frames} different frames per clip.",
                    hint="Take what is on screen at even times: --set spacing=even",
                )
            stride = -(-(stop - first) // self.frames)
            if (self.frames - 1) * stride >= stop - first:
                stride = (stop - first) // self.frames
            chosen = first + stride * np.arange(self.frames)
        return [int(index) for index in chosen]

    def fps(self, film: FilmFile, indices: list[int], duration_s: float) -> float:
        """Frames per second at which a clip with these frames is to be played."""
        if self.spacing == "even":
            return self.frames / duration_s
        first, last = film.times[[indices[0], indices[-1]]]
        return float((self.frames - 1) / (last - first))

    def resize(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(frame, height, width, rgb) uint8 -> (frame, size, size, rgb) uint8, antialiased bicubic."""
        import torch

        from mindanim.backbones.pixels import resize

        height, width = frames.shape[1:3]
        kept = [max(1, round(side * self.centre)) for side in (height, width)]
        if self.fit == "crop":
            kept = [min(kept), min(kept)]
        top, left = ((side - keep) // 2 for side, keep in zip((height, width), kept, strict=True))
        frames = frames[:, top : top + kept[0], left : left + kept[1]]
        if kept == [self.size, self.size]:
            return np.ascontiguousarray(frames)
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        resized = resize(pixels, (self.size, self.size), "bicubic").permute(0, 2, 3, 1)
        return np.ascontiguousarray(resized.numpy())


def middle(frames: int) -> int:
    """Number of the frame that represents the whole clip: 3 of 8, which is frame 24 of 60 in the paper."""
    return (frames - 1) // 2
