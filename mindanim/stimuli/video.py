"""Reads film files: exact presentation times, and frames by number.

decord decodes where it installs (x86-64 Linux and Windows), PyAV everywhere else. Both give the same bytes
and the same times, so a result does not depend on which of them ran.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from mindanim import console, runtime
from mindanim.errors import InputError
from mindanim.vocabulary.arrays import Float, Frames

BackendName = Literal["decord", "pyav"]


class Backend(Protocol):
    """Decodes one film.

    Attributes:
        spans: ``(frame, [start, end])``, seconds on the container's clock, in order of presentation.
        size: (height, width), pixels.
    """

    spans: Float
    size: tuple[int, int]

    def read(self, indices: Sequence[int]) -> Frames:
        """Frames ``(frame, height, width, rgb)`` uint8 by number, counted in order of presentation."""


class FilmFile:
    """A film file, at a constant or a variable frame rate.

    Args:
        path: The film.
        backend: Decoder to use; None takes decord where it can read the film, and PyAV elsewhere.

    Attributes:
        times: ``(frame,)``, seconds from the first frame's appearance to each frame's.
        end_s: When the last frame ends, seconds.
        size: (height, width), pixels.

    Raises:
        InputError: The film is missing, truncated or damaged; says how far it can be read.
    """

    def __init__(self, path: Path, backend: BackendName | None = None) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f"The film {path} is missing.")
        self._backend = _open(path, backend)
        self.size = self._backend.size
        spans = self._backend.spans
        self.times: Float = spans[:, 0] - spans[0, 0]
        # Containers often give the last frame a wrong duration when the rate varies.
        step = float(np.median(np.diff(self.times))) if len(self.times) > 1 else spans[0, 1] - spans[0, 0]
        self.end_s = float(self.times[-1] + step)

    def __len__(self) -> int:
        return len(self.times)

    def read(self, indices: Sequence[int]) -> Frames:
        """Frames ``(frame, height, width, rgb)`` uint8 by number; rising numbers are read in one pass."""
        return self._backend.read(indices)


def _open(path: Path, wanted: BackendName | None) -> Backend:
    if wanted == "pyav" or (wanted is None and not _has_decord()):
        return _PyAV(path)
    try:
        film = _Decord(path)
    except _Unsupported as error:
        if wanted is not None:
            raise InputError(f"decord cannot read {path}.", why=str(error)) from error
        instead = _PyAV(path)
        _warn_once(path)
        return instead
    # With an odd height the two interpolate the colours of 4:2:0 films differently, so that one must do.
    return _PyAV(path) if wanted is None and film.size[0] % 2 else film


@cache
def _has_decord() -> bool:
    try:
        import decord  # noqa: F401
    except ImportError:
        return False
    return True


@cache
def _warn_once(path: Path) -> None:
    console.warn(f"decord cannot read {path}; PyAV reads it instead, with the same frames and times.")


class _Unsupported(Exception):  # noqa: N818 (caught in this module, never shown)
    """decord cannot open this film: it is damaged, or of a width whose rows decord pads."""


class _Decord:
    def __init__(self, path: Path) -> None:
        import decord

        self._path = path
        self._errors = (decord.DECORDError, RuntimeError, IndexError)
        decord.logging.set_level(decord.logging.QUIET)
        try:
            self._reader: Any = decord.VideoReader(str(path), num_threads=runtime.threads())
            self.spans: Float = np.asarray(
                self._reader.get_frame_timestamp(range(len(self._reader))), np.float64
            )
            height, width, channels = self._reader[0].shape
        except self._errors as error:
            raise _Unsupported(str(error)) from error
        if (np.diff(self.spans[:, 0]) <= 0).any():  # MPEG-1 and 2 program streams, for example
            raise _Unsupported("It finds no time for some frames.")
        if channels != 3:  # widths of 48 px, for example
            raise _Unsupported(f"It pads rows of {width} px, which gives {channels} channels.")
        self.size = (height, width)
        self._reader.seek(0)

    def read(self, indices: Sequence[int]) -> Frames:
        try:
            frames: Frames = self._reader.get_batch(list(indices)).asnumpy()
        except self._errors as error:
            raise _unreadable(self._path) from error
        return frames


class _PyAV:
    def __init__(self, path: Path) -> None:
        import av

        self._path = path
        try:
            self._rewind()
            self._index()
        except (av.FFmpegError, IndexError, ValueError) as error:
            raise _unreadable(path) from error
        self.size = (self._stream.height, self._stream.width)
        self._at = len(self._pts)  # number of the frame decoded last; the end forces a seek

    def _rewind(self) -> None:
        """Open the film again: some formats without an index cannot seek to their first frame."""
        import av

        self._container = av.open(str(self._path))
        self._stream = self._container.streams.video[0]
        self._stream.codec_context.thread_count = runtime.threads()
        self._stream.thread_type = "AUTO"
        self._decoded: Iterator[Any] = self._container.decode(self._stream)

    def _index(self) -> None:
        """Read the times of all frames from the packets, without decoding them."""
        clock = self._stream.time_base
        if clock is None:
            raise ValueError("the film has no clock")
        packets = [packet for packet in self._container.demux(self._stream) if packet.size]
        found = [
            (packet.pts if packet.pts is not None else packet.dts, packet.duration or 0, packet.is_keyframe)
            for packet in packets
            if not packet.is_discard
        ]
        timed = sorted((pts, duration, key) for pts, duration, key in found if pts is not None)
        # Only MP4's index counts the frames that are stored; that of AVI counts repeated ones too.
        promised = self._stream.frames if "mp4" in self._container.format.name else 0
        if not timed or len(timed) != len(found) or len(packets) < promised:
            raise ValueError("frames or their times are missing")
        self._pts = [pts for pts, _, _ in timed]
        self._number = {pts: number for number, pts in enumerate(self._pts)}
        keys = [number for number, (_, _, key) in enumerate(timed) if key]
        self._keys = np.array(keys or [0])
        ends = [(pts - timed[0][0], pts - timed[0][0] + duration) for pts, duration, _ in timed]
        # decord stores times as float32; so do we, or a clip's edge could fall on either side of a frame.
        self.spans: Float = (np.array(ends) * float(clock)).astype(np.float32).astype(np.float64)

    def read(self, indices: Sequence[int]) -> Frames:
        import av

        frames = np.empty((len(indices), *self.size, 3), np.uint8)
        last, picture = None, np.empty(0, np.uint8)
        try:
            for row, number in enumerate(indices):
                if number != last:
                    last, picture = number, self._frame(range(len(self._pts))[number])
                frames[row] = picture
        except (av.FFmpegError, StopIteration) as error:
            raise _unreadable(self._path) from error
        return frames

    def _frame(self, number: int) -> Frames:
        """Decode up to a frame, from where the decoder is or from the last key frame before it."""
        key = int(self._keys[max(0, int(np.searchsorted(self._keys, number, side="right")) - 1)])
        frame = self._forward(number) if key <= self._at < number else None
        if frame is None:
            self._container.seek(self._pts[key], stream=self._stream)
            self._decoded = self._container.decode(self._stream)
            frame = self._forward(number)
        if frame is None:  # without an index, seeking may lead to a later frame or to one of unknown time
            self._rewind()
            frame = self._forward(number)
        if frame is None or frame.is_corrupt:
            raise StopIteration
        pixels: Frames = frame.to_ndarray(format="rgb24")
        return pixels

    def _forward(self, number: int) -> Any:
        """Decode until a frame comes; None where one of a later or an unknown time comes first."""
        for frame in self._decoded:
            self._at = self._number.get(frame.pts if frame.pts is not None else frame.dts, len(self._pts))
            if self._at >= number:
                break
        else:
            self._at = len(self._pts)
        return frame if self._at == number else None


def _unreadable(path: Path) -> InputError:
    """Say how far the film can be decoded; decord itself reads ahead and cannot tell."""
    import av

    reached = None
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                reached = frame.time
        why = "All its frames can be decoded one after the other, but its index or timing is damaged."
    except (av.FFmpegError, IndexError) as error:
        why = f"{type(error).__name__}: {error}"
    if reached is None:
        return InputError(f"{path} is not a readable film.", why=why, hint="Download or copy it again.")
    return InputError(
        f"{path} is damaged or truncated after {reached:.2f} s.", why=why, hint="Download or copy it again."
    )
