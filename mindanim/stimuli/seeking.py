"""A few places of a long film, read by decord, which seeks, where it is proved to give the same frames.

decord goes to the key frame before a place and counts from there. That is wrong wherever its decoder drops a
frame: after key frames that later frames reach across (open groups of pictures, intra refresh), in films with
an edit list or without presentation times. To read a film from end to end, it also takes longer than PyAV.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from mindanim import console, runtime
from mindanim.errors import InputError
from mindanim.films.playback import Playback
from mindanim.films.streams import open_film
from mindanim.vocabulary.arrays import Frames

_FAR = 500
"""Frames; a place further on than this is worth a seek."""
_KEYS_START_AFRESH = {"h264", "mpeg4", "vp8", "vp9"}
_PIXELS = {"yuv420p", "yuvj420p", "yuv422p", "yuv444p"}
_OTHER_COLOURS = {1, 9}  # BT.709 and BT.2020, which decord takes for BT.601
_IDR = 5  # type of the H.264 units of a picture that no later one reaches across


class Seeker:
    """A film opened by decord."""

    def __init__(self, playback: Playback) -> None:
        import decord

        decord.logging.set_level(decord.logging.QUIET)
        self._playback = playback
        self._reader: Any = decord.VideoReader(str(playback.path), num_threads=runtime.threads())

    def frames(self, numbers: Iterable[int]) -> Iterator[Frames]:
        """See `Playback.frames`."""
        import decord

        for number in numbers:
            try:
                frame: Frames = self._reader[number].asnumpy()
            except (decord.DECORDError, RuntimeError, IndexError) as error:
                raise InputError(
                    f"{self._playback.path} is damaged near {self._playback.times[number]:.2f} s.",
                    why=str(error).splitlines()[0],
                    hint="Restore it from its source.",
                ) from error
            yield frame

    def difference(self, keys: list[int]) -> str | None:
        """What decord would do differently from a player, as far as opening the film shows.

        Args:
            keys: Numbers of the key frames.
        """
        times = np.asarray(self._reader.get_frame_timestamp(range(len(self._reader))), np.float64)
        expected = self._playback.times
        if len(times) != len(expected):
            return f"decord counts {len(times)} frames of {len(expected)}"
        if not np.allclose(times[:, 0] - times[0, 0], expected - expected[0], rtol=1e-6, atol=1e-4):
            return "decord finds other times"
        if list(self._reader.get_key_indices()) != keys:
            return "decord finds other key frames"
        (first,) = self._playback.frames([0])
        if not np.array_equal(self._reader[0].asnumpy(), first):
            return "decord shows another first frame"
        return None


def seeker(playback: Playback, numbers: Sequence[int]) -> Seeker | None:
    """decord, if most of the way to the last frame is to be skipped and its frames are proved to be the same.

    Args:
        playback: The film.
        numbers: Rising numbers of the frames wanted.
    """
    skipped = np.diff([0, *numbers])
    if not len(numbers) or skipped[skipped > _FAR].sum() < max(2 * _FAR, 0.5 * numbers[-1]):
        return None
    keys = _keys(playback) if find_spec("decord") else None
    why, reader = _obstacle(playback, keys), None
    if why is None and keys is not None:
        import decord

        try:
            reader = Seeker(playback)
            why = reader.difference(keys)
        except (decord.DECORDError, RuntimeError, IndexError) as error:
            why = f"decord cannot open it ({str(error).splitlines()[0]})"
    if why is not None:
        _say_once(f"{playback.path} is decoded from its beginning to its last clip: {why}.")
        return None
    return reader


def _obstacle(playback: Playback, keys: list[int] | None) -> str | None:
    """Why counting from a key frame may go wrong in this film, from the file alone."""
    if find_spec("decord") is None:
        return "decord, which could seek in it, is not installed"
    stream = playback.stream
    if keys is None:
        return "seeking in it is not exact"
    even = stream.height % 2 == 0 and stream.pix_fmt in _PIXELS
    if not playback.plain or not even or stream.colorspace in _OTHER_COLOURS:
        return "decord would show its pictures differently"
    return None


def _keys(playback: Playback) -> list[int] | None:
    """Numbers of the key frames, if no frame after one refers to what came before it."""
    container, stream = open_film(playback.path)
    with container:
        if not {"mp4", "matroska"} & set(container.format.name.split(",")):
            return None
        if stream.codec.name not in _KEYS_START_AFRESH:
            return None
        pts, keys = [], []
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_discard or packet.pts is None or packet.has_sidedata("new_extradata"):
                return None
            if packet.is_keyframe and (stream.codec.name != "h264" or _IDR in _unit_types(bytes(packet))):
                keys.append(packet.pts)
            elif packet.is_keyframe or not keys or packet.pts < keys[-1]:
                return None
            pts.append(packet.pts)
    number = {time: position for position, time in enumerate(sorted(pts))}
    return [number[time] for time in keys]


def _unit_types(data: bytes) -> set[int]:
    """Types of the H.264 units in a packet of MP4 or Matroska, each behind its length in 4 bytes."""
    types, at = set(), 0
    while at + 4 < len(data):
        types.add(data[at + 4] & 31)
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    return types


@cache
def _say_once(text: str) -> None:
    console.say(text)
