"""Reads film files: exact presentation times, and frames by number, in one pass or from a few places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mindanim.films.playback import Playback
from mindanim.stimuli.seeking import seeker
from mindanim.vocabulary.arrays import Float, Frames


class FilmFile:
    """A film file, at a constant or a variable frame rate.

    Args:
        path: The film.

    Attributes:
        times: ``(frame,)``, seconds from the film's start to each frame's appearance; see `Playback`.
        end_s: When the last frame ends, seconds.
        size: (height, width) as shown, px.

    Raises:
        InputError: See `Playback`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._playback = Playback(path)
        self.times: Float = self._playback.times
        self.end_s, self.size = self._playback.end_s, self._playback.size

    def __len__(self) -> int:
        return len(self.times)

    def frames(self, numbers: Sequence[int]) -> Iterator[Frames]:
        """Frames (height, width, rgb) uint8 by number, which must not fall, one after the other.

        decord reads a few places of a long film, by seeking, if it is proved to give the same frames.

        Raises:
            InputError: See `Playback.frames`.
        """
        return (seeker(self._playback, numbers) or self._playback).frames(numbers)

    def read(self, numbers: Sequence[int]) -> Frames:
        """Frames ``(frame, height, width, rgb)`` uint8 by number, in any order; one pass."""
        rising, places = np.unique(np.asarray(numbers, np.int64), return_inverse=True)
        frames = np.empty((len(rising), *self.size, 3), np.uint8)
        for row, frame in enumerate(self.frames(rising.tolist())):
            frames[row] = frame
        return frames if len(rising) == len(numbers) and (np.diff(places) > 0).all() else frames[places]
