"""A film as a player shows it: which frame is on screen when, and the frames, decoded in one pass forward.

Frames go by their presentation times. Nothing here seeks: after a seek, decoders may drop frames that refer
to earlier ones, and a reader that counts is wrong from there on.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindanim.errors import InputError
from mindanim.films.pictures import TransparentError, picture, upright
from mindanim.films.streams import (
    LostError,
    decode,
    has_hidden_alpha,
    notes,
    open_film,
    reason,
    recoding,
    sound_starts,
)
from mindanim.films.times import read_times, warn_once
from mindanim.vocabulary.arrays import Float, Frames

if TYPE_CHECKING:
    from av import VideoFrame

_TOGETHER_S = 0.1
"""Sound that starts less than this before the picture starts with it: AAC alone puts up to 93 ms before."""
_ALPHA = {"vp8": "vpx", "vp9": "vpx-vp9"}
"""Decoders of ffmpeg that keep the transparency of WebM, by the codec's name, after "lib"."""
_GRAY_BEHIND = (
    "[0:v]format=rgba,split[a][b];[a]drawbox=color=gray:t=fill:replace=1[c];[c][b]overlay,format=yuv420p"
)


class Playback:
    """A film file, at a constant or a variable frame rate.

    Args:
        path: The film; its best picture stream is read, never a cover.

    Attributes:
        times: ``(frame,)``, seconds from the start of the film to each frame's appearance. As in a player, a
            film starts with its sound or its picture, whichever is first.
        end_s: When the last frame ends, seconds.
        size: (height, width) as shown, px: upright, with square pixels.
        plain: Whether pictures are shown as they are stored, neither turned nor stretched.
        stream: The picture stream, as PyAV describes it.

    Raises:
        InputError: The film is missing, damaged, or does not say when its frames are shown. The hint says how
            to re-encode it.
    """

    def __init__(self, path: Path) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        if not path.exists():
            raise InputError(f"The film {path} is missing.")
        if not path.is_file():
            raise InputError(f"The film {path} is not a regular file.", hint="Give the path of a film.")
        self.path, self._reformatter = path, VideoReformatter()
        try:
            self._container, self.stream = open_film(path)
            found = read_times(path, self._container, self.stream)
        except (av.FFmpegError, ValueError, OverflowError) as error:
            raise InputError(
                f"{path} is not a readable film.",
                why=reason(error),
                hint=f"If players show it, re-encode it: {recoding(self.path)}",
            ) from error
        self._at: int
        self._frame: VideoFrame
        self._ticks, self._tick_s = found.ticks, found.tick_s
        self._rewind()
        if self._at:  # what precedes the first frame that can be decoded is never shown
            self._ticks = self._ticks[self._at :]
            self._rewind()
        first_s = self._ticks[0] * self._tick_s
        late_s = first_s - min([first_s, *sound_starts(self._container)])
        if late_s > _TOGETHER_S:
            warn_once(
                f"{path}: the picture starts {late_s:.2f} s after the sound. Times count from the sound, "
                "as in a player. Until the picture starts, its first frame is used."
            )
        else:
            late_s = 0.0
        self.times: Float = (np.array(self._ticks, np.float64) - self._ticks[0]) * self._tick_s + late_s
        step_s = float(np.median(np.diff(self.times))) if len(self) > 1 else 0.0
        # A last frame may be held. Otherwise its stated duration is rounded, or the encoder's guess.
        self.end_s = float(self.times[-1] + (found.last_s if found.last_s > 1.5 * step_s else step_s))
        height, width, _ = self._picture(None).shape
        self.size = (height, width)
        self.plain = self.size == (self._frame.height, self._frame.width) and upright(self._frame)
        for note in notes(self._container, self.stream, self._frame):
            warn_once(f"{path} {note}")

    def __len__(self) -> int:
        return len(self._ticks)

    def frames(self, numbers: Iterable[int]) -> Iterator[Frames]:
        """Frames (height, width, rgb) uint8 by number, counted in order of presentation.

        Args:
            numbers: Rising or equal; a number below the one decoded last begins another pass.

        Raises:
            InputError: A frame on the way cannot be decoded, or is transparent or of other proportions.
        """
        last, pixels = -1, np.empty(0, np.uint8)
        for number in numbers:
            if number < self._at:
                self._rewind()
            while self._at < number:
                self._advance()
            if number != last:
                last, pixels = number, self._picture(self.size)
            yield pixels

    def _rewind(self) -> None:
        self._container.close()
        self._container, self.stream = open_film(self.path)
        self._decoded = decode(self._container, self.stream, self._ticks)
        self._advance()

    def _advance(self) -> None:
        try:
            self._at, self._frame = next(self._decoded)
        except LostError as lost:
            reached_s = (self._ticks[max(0, lost.number - 1)] - self._ticks[0]) * self._tick_s
            raise InputError(
                f"{self.path} is damaged or truncated after {reached_s:.2f} s."
                if lost.number >= 0
                else f"{self.path} is not a readable film: no frame of it can be decoded.",
                why=str(lost),
                hint=f"Restore it from its source. What is left of it: {recoding(self.path)}",
            ) from lost

    def _picture(self, size: tuple[int, int] | None) -> Frames:
        try:
            if has_hidden_alpha(self.stream):
                raise TransparentError("It is transparent: its colour is that of what lies behind.")
            return picture(self._frame, self.stream, self._reformatter, size)
        except ValueError as error:
            hint = f"Re-encode it: {recoding(self.path)}"
            if isinstance(error, TransparentError):
                decoder = f"-c:v lib{_ALPHA[name]} " if (name := self.stream.codec.name) in _ALPHA else ""
                over = f"-filter_complex {shlex.quote(_GRAY_BEHIND)} "
                line = recoding(self.path, decoder, over)
                hint = f"Re-encode it over the colour behind it, here gray: {line}"
            raise InputError(
                f"{self.path} has a frame that cannot be shown.", why=str(error), hint=hint
            ) from error
