"""The picture stream of a film file, and its frames decoded in order."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mindanim import runtime

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Containers that hold their own pictures: not playlists, which would open other files.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,nut,ivf,mxf,dv,rm,gif,apng,"
    "h264,hevc,m4v,mpegvideo"
)
FRAMES_OFF = 4
"""How many frames the times of a program stream may be off where the file gives none."""
_HDR = {16: "PQ", 18: "HLG"}


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
    if stream.codec_context is None:
        raise ValueError("Its pictures are coded in a way that is not known.")
    stream.codec_context.thread_count = runtime.threads()
    stream.thread_type = "AUTO"
    return container, stream


class LostError(Exception):
    """A frame cannot be decoded. number: Its number, -1 if it is the first."""

    def __init__(self, number: int, why: str) -> None:
        super().__init__(why)
        self.number = number


def decode(
    container: InputContainer, stream: VideoStream, pts: list[int]
) -> Iterator[tuple[int, VideoFrame]]:
    """Number and frame from the beginning on; frames may be missing at the beginning only.

    Args:
        pts: Times of the frames, in ticks, in order.

    Raises:
        LostError: A later frame is missing or damaged.
    """
    import av

    number_of = {time: number for number, time in enumerate(pts)}
    # Frames are decoded in order of presentation. AVI gives them times in the order of decoding, and program
    # streams times that are a few frames off.
    kind = container.format.name
    off = FRAMES_OFF * (pts[-1] - pts[0]) / max(1, len(pts) - 1)
    expected, delay = -1, None
    try:
        for packet in container.demux(stream):
            try:
                decoded = packet.decode()
            except av.InvalidDataError:
                if expected >= 0:
                    raise
                continue  # a film cut at any place begins with frames that refer to what is lost
            for frame in decoded:
                number: int | None = max(0, expected)
                if kind == "avi" and frame.dts is not None:
                    delay = frame.dts - pts[max(0, expected)] if delay is None else delay
                    number = number_of.get(frame.dts - delay)
                elif kind == "mpeg" and frame.pts is not None:
                    if expected < 0:
                        number = int(np.abs(np.array(pts) - frame.pts).argmin())
                    elif abs(frame.pts - pts[min(expected, len(pts) - 1)]) > off:
                        number = None
                elif kind != "avi" and frame.pts is not None:
                    number = number_of.get(frame.pts)
                if number is None or frame.is_corrupt or expected not in (-1, number):
                    raise LostError(expected, "The frame after it cannot be decoded.")
                expected = number + 1
                yield number, frame
    except av.FFmpegError as error:
        raise LostError(expected, reason(error)) from error
    if expected < len(pts):
        raise LostError(expected, "The frame after it is missing.")


def sound_starts(container: InputContainer) -> list[float]:
    """When each sound of a film starts, s on the container's clock."""
    return [
        float(stream.start_time * stream.time_base)
        for stream in container.streams.audio
        if stream.start_time is not None and stream.time_base is not None
    ]


def notes(container: InputContainer, stream: VideoStream, frame: VideoFrame) -> Iterator[str]:
    """What one player shows differently from another."""
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


def reason(error: Exception) -> str:
    """What ffmpeg says, without its number."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text if text.endswith(".") else f"{text}."


def recoding(path: Path, before: str = "", after: str = "") -> str:
    """The ffmpeg command that writes a film again as H.264, with a time for every frame.

    Args:
        path: The film.
        before, after: Further options, before and after the input, each with a space at the end.
    """
    source, target = (
        shlex.quote(f"./{one}" if str(one).startswith("-") or ":" in str(one.parts[0]) else str(one))
        for one in (path, path.with_name(f"{path.stem}-recoded.mp4"))
    )
    return f"ffmpeg {before}-i {source} {after}-c:v libx264 -crf 12 {target}"


def has_hidden_alpha(stream: VideoStream) -> bool:
    """Whether a WebM film is transparent in a second stream of pictures, which its decoder leaves out."""
    return {name.lower(): value for name, value in stream.metadata.items()}.get("alpha_mode") == "1"
