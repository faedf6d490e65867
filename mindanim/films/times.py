"""When each frame of a film is on screen, from its packets, without decoding them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mindanim import console
from mindanim.errors import InputError
from mindanim.films.streams import FRAMES_OFF, open_film, recoding

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_NO_TIMES, _TIMES_MAY_JUMP = 0x80, 0x200  # AVFMT_NOTIMESTAMPS, AVFMT_TS_DISCONT
_JUMP_S = 10.0
"""A longer pause between two frames of a broadcast format is a jump of its clock (ffmpeg's own threshold)."""
_REORDERED_S = 2.0
"""A frame is decoded less than this before it is shown."""


@dataclass(frozen=True)
class FilmTimes:
    """The frames of a film in order of presentation.

    Attributes:
        ticks: When each appears, in ticks of the container's clock.
        tick_s: Seconds per tick.
        last_s: How long the last one is said to last, s; 0 if nothing is said.
    """

    ticks: list[int]
    tick_s: float
    last_s: float


def read_times(path: Path, container: InputContainer, stream: VideoStream) -> FilmTimes:
    """The times of all frames that are shown; an edit list may hide some.

    Args:
        path: The film, for messages.
        container, stream: As opened; read to the end.

    Raises:
        InputError: Times are missing or contradict each other, or frames are missing.
        ValueError: There are no frames.
    """
    if container.format.flags & _NO_TIMES or stream.time_base is None:
        again = recoding(path, "-r 30 ")
        raise InputError(
            f"{path} does not say when its frames are shown.",
            why="It is a bare stream.",
            hint=f"Re-encode it, with its true frame rate instead of 30: {again}",
        )
    tick_s = float(stream.time_base)
    # In program streams only some frames have a time, and those given to the others may be some frames off.
    uneven = container.format.name == "mpeg"
    slack = round(_REORDERED_S / tick_s) if uneven else 0
    shown: list[tuple[int, int]] = []
    stored, untimed, decoded_at = 0, 0, None
    for packet in container.demux(stream):
        if not packet.size:
            continue
        stored += 1
        if packet.dts is not None:
            if decoded_at is not None and packet.dts < decoded_at - slack:
                raise _timeless(path, "Its clock jumps back, as where films were joined or pieces cut out.")
            decoded_at = packet.dts
        if packet.is_discard:
            # An edit list hides frames before its start and after its end. Damaged times hide them elsewhere.
            pts, dts = packet.pts or 0, packet.dts or 0
            early = shown[0][0] - pts if shown else 0
            if not 0 <= (pts - dts) * tick_s <= _REORDERED_S or early * tick_s > _REORDERED_S:
                raise _timeless(path, "Its frames are not decoded near the time at which they are shown.")
        elif packet.pts is None:
            untimed += 1
        else:
            shown.append((packet.pts, packet.duration or 0))
    shown.sort()
    ticks = [tick for tick, _ in shown]
    if uneven and len(ticks) > 2:
        ticks = _evened(path, np.array(ticks))
    steps = np.diff(ticks) * tick_s
    _check_all_there(path, container, stream, stored, len(shown) + untimed, float(steps.sum()))
    if untimed:
        raise _timeless(path, f"{untimed} of its {untimed + len(shown)} frames have no time.")
    if not shown:
        raise ValueError("It has no frames.")
    if (steps == 0).any():
        raise _timeless(path, f"Two frames are shown at once after {steps[: steps.argmin()].sum():.2f} s.")
    if container.format.flags & _TIMES_MAY_JUMP and len(steps) and steps.max() > _JUMP_S:
        before_s = steps[: steps.argmax()].sum()
        why = f"Its clock jumps by {steps.max():.0f} s after {before_s:.2f} s, as where films were joined."
        raise _timeless(path, why)
    return FilmTimes(ticks, tick_s, shown[-1][1] * tick_s)


def _evened(path: Path, ticks: NDArray[np.int64]) -> list[int]:
    """The times of a film of constant rate, from times of which some are a few frames off.

    Raises:
        InputError: They do not belong to a constant rate.
    """
    places, half = np.arange(len(ticks)), len(ticks) // 2
    # The line through most times, not through all: those that are off are late or early by whole frames.
    step = float(np.median(ticks[half:] - ticks[:-half])) / half
    first = float(np.median(ticks - step * places))
    if step <= 0 or np.abs(ticks - first - step * places).max() > FRAMES_OFF * step:
        raise _timeless(path, "The times of its frames are not those of a constant rate.")
    return [round(first + step * place) for place in places]


def _check_all_there(
    path: Path, container: InputContainer, stream: VideoStream, stored: int, shown: int, reached_s: float
) -> None:
    """Compare the frames found with those promised; only MP4's count is of frames that are stored."""
    if "mp4" not in container.format.name:
        return
    if stored < stream.frames:
        whole, pictures = open_film(path, ignore_editlist="1")
        with whole:
            if sum(packet.size > 0 for packet in whole.demux(pictures)) < stream.frames:
                raise InputError(
                    f"{path} is damaged or truncated after {reached_s:.2f} s.",
                    why=f"{stored} of its {stream.frames} frames are found.",
                    hint=f"Restore it from its source. What is left of it: {recoding(path)}",
                )
    if shown < (most := max(stored, stream.frames)):
        warn_once(f"{path}: its edit list hides {most - shown} of {most} frames, which no player shows.")


def _timeless(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} does not say when its frames are shown.", why=why, hint=f"Re-encode it: {recoding(path)}"
    )


@cache
def warn_once(text: str) -> None:
    """Warn about a film, though it is opened again and again."""
    console.warn(text)
