"""A film as a player shows it: which frame is on screen when, and the frames, decoded in one pass forward.

Frames go by their presentation times. Nothing here seeks: after a seek, decoders may drop frames that refer
to earlier ones, and a reader that counts is wrong from there on.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindanim import console, runtime
from mindanim.errors import InputError
from mindanim.vocabulary.arrays import Float, Frames
from mindanim.vocabulary.pictures import TransparentError, picture, upright

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Containers that hold their own pictures: not playlists, which would open other files.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,nut,ivf,mxf,dv,rm,gif,apng,"
    "h264,hevc,m4v,mpegvideo"
)
_NO_TIMES, _TIMES_MAY_JUMP = 0x80, 0x200  # AVFMT_NOTIMESTAMPS, AVFMT_TS_DISCONT
_JUMP_S = 10.0
"""A longer pause between two frames of a broadcast format is a jump of its clock (ffmpeg's own threshold)."""
_TOGETHER_S = 0.1
"""Sound that starts less than this before the picture starts with it: AAC alone puts up to 93 ms before."""
_HDR = {16: "PQ", 18: "HLG"}

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

        if not path.exists():
            raise InputError(f"The film {path} is missing.")
        if not path.is_file():
            raise InputError(f"The film {path} is not a regular file.", hint="Give the path of a film.")
        self.path = path
        try:
            self._container, self.stream = open_film(path)
            self._clock, self._pts, self._last_s = self._index()
        except (av.FFmpegError, ValueError) as error:
            raise InputError(
                f"{path} is not a readable film.",
                why=_reason(error),
                hint=f"If players show it, re-encode it: {self._ffmpeg()}",
            ) from error
        self._at: int
        self._frame: VideoFrame
        self._rewind()
        if self._at:  # what precedes the first frame that can be decoded is never shown
            self._pts = self._pts[self._at :]
            self._rewind()
        first_s = self._pts[0] * self._clock
        late_s = first_s - min([first_s, *_sound_starts(self._container)])
        if late_s > _TOGETHER_S:
            _warn_once(
                f"{path}: the picture starts {late_s:.2f} s after the sound. Times count from the sound, "
                "as in a player. Until the picture starts, its first frame is used."
            )
        else:
            late_s = 0.0
        self.times: Float = (np.array(self._pts, np.float64) - self._pts[0]) * self._clock + late_s
        step_s = float(np.median(np.diff(self.times))) if len(self) > 1 else 0.0
        # A last frame may be held. Otherwise its stated duration is rounded, or the encoder's guess.
        self.end_s = float(self.times[-1] + (self._last_s if self._last_s > 1.5 * step_s else step_s))
        height, width, _ = self._picture(None).shape
        self.size = (height, width)
        self.plain = self.size == (self._frame.height, self._frame.width) and upright(self._frame)
        for note in _notes(self._container, self.stream, self._frame):
            _warn_once(f"{path} {note}")

    def __len__(self) -> int:
        return len(self._pts)

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
                self._at, self._frame = next(self._decoded)
            if number != last:
                last, pixels = number, self._picture(self.size)
            yield pixels

    def _index(self) -> tuple[float, list[int], float]:
        """Seconds per tick, the frames' times in ticks, and how long the last one lasts; decodes nothing."""
        flags, clock = self._container.format.flags, self.stream.time_base
        if flags & _NO_TIMES or clock is None:
            hint = f"Re-encode it, with its true frame rate instead of 30: {self._ffmpeg('-r 30 ')}"
            raise self._timeless("It is a bare stream.", hint)
        stored, untimed, timed, last = 0, 0, [], None
        for packet in self._container.demux(self.stream):
            if not packet.size:
                continue
            stored += 1
            if packet.is_discard:  # before the start of an edit list
                continue
            if packet.dts is not None:
                if last is not None and packet.dts < last:
                    raise self._timeless("Its clock jumps back, as where films were joined.")
                last = packet.dts
            if packet.pts is None:
                untimed += 1
            else:
                timed.append((packet.pts, packet.duration or 0))
        reached_s = (max(timed)[0] - min(timed)[0]) * float(clock) if timed else 0.0
        self._check_stored(stored, len(timed) + untimed, reached_s)
        if untimed:
            raise self._timeless(f"{untimed} of its {untimed + len(timed)} frames have no time.")
        if not timed:
            raise ValueError("It has no frames.")
        timed.sort()
        pts = [time for time, _ in timed]
        steps = np.diff(pts) * float(clock)
        if (steps == 0).any():
            raise self._timeless(f"Two frames are shown at once after {steps[: steps.argmin()].sum():.2f} s.")
        if flags & _TIMES_MAY_JUMP and len(steps) and steps.max() > _JUMP_S:
            raise self._timeless(
                f"Its clock jumps by {steps.max():.0f} s after {steps[: steps.argmax()].sum():.2f} s, as "
                "where films were joined."
            )
        return float(clock), pts, timed[-1][1] * float(clock)

    def _check_stored(self, stored: int, shown: int, reached_s: float) -> None:
        """Compare the frames found with those promised; only MP4's count is of stored frames."""
        promised = self.stream.frames if "mp4" in self._container.format.name else 0
        if stored >= promised:
            return
        container, stream = open_film(self.path, ignore_editlist="1")
        with container:
            if sum(packet.size > 0 for packet in container.demux(stream)) < promised:
                raise InputError(
                    f"{self.path} is damaged or truncated after {reached_s:.2f} s.",
                    why=f"{stored} of its {promised} frames are found.",
                    hint=f"Restore it from its source. What is left of it: {self._ffmpeg()}",
                )
        _warn_once(f"{self.path}: its edit list shows {shown} of {promised} frames, and so does mindanim.")

    def _rewind(self) -> None:
        self._container.close()
        self._container, self.stream = open_film(self.path)
        self._decoded = self._decode()
        self._at, self._frame = next(self._decoded)

    def _decode(self) -> Iterator[tuple[int, VideoFrame]]:
        """Number and frame from the beginning on; frames may be missing at the beginning only."""
        import av

        number_of = {pts: number for number, pts in enumerate(self._pts)}
        # AVI gives frames times in the order of decoding. They are decoded in order of presentation.
        in_order = self._container.format.name == "avi"
        expected, delay = -1, None
        try:
            for packet in self._container.demux(self.stream):
                try:
                    decoded = packet.decode()
                except av.InvalidDataError:
                    if expected >= 0:
                        raise
                    continue  # a film cut at any place begins with frames that refer to what is lost
                for frame in decoded:
                    number: int | None = max(0, expected)
                    if in_order and frame.dts is not None:
                        delay = frame.dts - self._pts[max(0, expected)] if delay is None else delay
                        number = number_of.get(frame.dts - delay)
                    elif not in_order and frame.pts is not None:
                        number = number_of.get(frame.pts)
                    if number is None or frame.is_corrupt or expected not in (-1, number):
                        raise ValueError("The frame after it cannot be decoded.")
                    expected = number + 1
                    yield number, frame
            if expected < len(self._pts):
                raise ValueError("The frame after it is missing.")
        except (av.FFmpegError, ValueError) as error:
            reached = (self._pts[max(0, expected - 1)] - self._pts[0]) * self._clock
            raise InputError(
                f"{self.path} is damaged or truncated after {reached:.2f} s."
                if expected >= 0
                else f"{self.path} is not a readable film: no frame of it can be decoded.",
                why=_reason(error),
                hint=f"Restore it from its source. What is left of it: {self._ffmpeg()}",
            ) from error

    def _picture(self, size: tuple[int, int] | None) -> Frames:
        try:
            return picture(self._frame, self.stream, size)
        except ValueError as error:
            hint = f"Re-encode it: {self._ffmpeg()}"
            if isinstance(error, TransparentError):
                behind = f"-filter_complex {shlex.quote(_GRAY_BEHIND)} "
                hint = f"Re-encode it over the colour behind it, here gray: {self._ffmpeg(after=behind)}"
            raise InputError(
                f"{self.path} has a frame that cannot be shown.", why=str(error), hint=hint
            ) from error

    def _timeless(self, why: str, hint: str = "") -> InputError:
        return InputError(
            f"{self.path} does not say when its frames are shown.",
            why=why,
            hint=hint or f"Re-encode it: {self._ffmpeg()}",
        )

    def _ffmpeg(self, before: str = "", after: str = "") -> str:
        source = shlex.quote(str(self.path))
        target = shlex.quote(str(self.path.with_name(f"{self.path.stem}-recoded.mp4")))
        return f"ffmpeg {before}-i {source} {after}-c:v libx264 -crf 12 {target}"


def open_film(path: Path, **options: str) -> tuple[InputContainer, VideoStream]:
    """The container and the picture stream that a player would choose.

    Raises:
        ValueError: It has no pictures, or only a cover.
    """
    import av
    from av.stream import Disposition

    safe = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    container = av.open(str(path.absolute()), metadata_errors="replace", options=safe | options)
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        container.close()
        raise ValueError("There is no moving picture in it.")
    best = container.streams.best("video")
    stream = next((one for one in streams if one is best), streams[0])
    stream.codec_context.thread_count = runtime.threads()
    stream.thread_type = "AUTO"
    return container, stream


def _sound_starts(container: InputContainer) -> list[float]:
    return [
        float(stream.start_time * stream.time_base)
        for stream in container.streams.audio
        if stream.start_time is not None and stream.time_base is not None
    ]


def _notes(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> Iterator[str]:
    """What a player would do differently from player to player."""
    from av.stream import Disposition

    films = [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]
    if len(films) > 1:
        yield (
            f"has {len(films)} picture streams; the one with index {stream.index}, {stream.width} x "
            f"{stream.height} px, is read."
        )
    if frame.interlaced_frame:
        yield "is interlaced: each frame shows two moments. To separate them, re-encode with -vf bwdif"
    if frame.color_trc in _HDR:
        yield f"is HDR ({_HDR[frame.color_trc]}): its colours are read without tone mapping, and look pale."


def _reason(error: Exception) -> str:
    """What ffmpeg says, without its number."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text if text.endswith(".") else f"{text}."


@cache
def _warn_once(text: str) -> None:
    console.warn(text)
