"""Reading film files: exact frame times and frames by number, with decord behind one small class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim import runtime
from mindanim.errors import InputError

_RGB = 3


class FilmFile:
    """A film file, constant or variable in frame rate.

    times: (frame,) seconds at which each frame appears, from the first frame's appearance.
    end_s: when the last frame ends. size: (height, width), pixels.

    Raises InputError naming the file, and how far it can be read, when it is missing, cut short or damaged.
    """

    def __init__(self, path: Path) -> None:
        import decord

        self.path = path
        if not path.is_file():
            raise InputError(f"The film {path} is missing.")
        decord.logging.set_level(decord.logging.QUIET)
        try:
            self._reader: Any = decord.VideoReader(str(path), num_threads=runtime.threads())
            spans = np.asarray(self._reader.get_frame_timestamp(range(len(self._reader))), np.float64)
            *size, channels = self._reader[0].shape
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            raise _unreadable(path) from error
        self.size: tuple[int, int] = (size[0], size[1])
        height, width = self.size
        if channels != _RGB:
            raise InputError(
                f"{path} has frames of {width} x {height} px, which decord cannot hand out.",
                why=f"It pads the rows of some widths (48 and 72 px are such) into {channels} channels.",
                hint="Encode the film anew at another width, for instance a multiple of 32.",
            )
        self._reader.seek(0)
        self.times: NDArray[np.float64] = spans[:, 0] - spans[0, 0]
        # The container's length of the last frame is often wrong where the rate varies.
        step = float(np.median(np.diff(self.times))) if len(self.times) > 1 else spans[0, 1] - spans[0, 0]
        self.end_s = float(self.times[-1] + step)

    def __len__(self) -> int:
        return len(self.times)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Frames (frame, height, width, rgb) uint8 by number; rising numbers are read in one pass."""
        import decord

        try:
            frames: NDArray[np.uint8] = self._reader.get_batch(list(indices)).asnumpy()
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            raise _unreadable(self.path) from error
        return frames


def _unreadable(path: Path) -> InputError:
    """Say how far the film can be decoded; decord itself reads ahead and cannot tell."""
    import av

    reached = None
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                reached = frame.time
        why = "It can be decoded by other means, but its index or timing is damaged."
    except (av.FFmpegError, IndexError) as error:
        why = f"{type(error).__name__}: {error}"
    if reached is None:
        return InputError(f"{path} is not a readable film.", why=why, hint="Download or copy it again.")
    return InputError(
        f"{path} is damaged or cut short after {reached:.2f} s.", why=why, hint="Download or copy it again."
    )
