"""Small film files whose frames say their own number, as people's programs write them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

BITS = 10


def picture(number: int, height: int = 64, width: int = 80) -> np.ndarray:
    """(height, width, rgb) uint8: one vertical bar per bit of `number`."""
    bars = np.repeat([158 if number >> bit & 1 else 98 for bit in range(BITS)], width // BITS)
    return np.broadcast_to(bars[None, :, None], (height, len(bars), 3)).astype(np.uint8)


def number_of(frame: np.ndarray) -> int:
    """The number that a frame of `picture` says."""
    step = frame.shape[1] // BITS
    return sum(
        1 << bit for bit in range(BITS) if frame[:, bit * step + 2 : (bit + 1) * step - 2].mean() > 128
    )


def write_film(path: Path, times_ms: Sequence[float], frames: Sequence[np.ndarray] | None = None) -> Path:
    """An mp4 (H.264, index at the front) that shows frame k from `times_ms[k]` on."""
    frames = frames or [picture(number) for number in range(len(times_ms))]
    clock = Fraction(1, 1000)
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=30, options={"crf": "16", "preset": "veryfast", "g": "25"}
        )
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.time_base, stream.codec_context.time_base = "yuv420p", clock, clock
        for time, array in zip(times_ms, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
            frame.pts, frame.time_base = round(time), clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_coded(
    path: Path,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    *,
    count: int = 90,
    first: int = 0,
    sound: tuple[float, float] | None = None,
    pixels: str = "yuv420p",
    format: str | None = None,
    prepare: Callable[[Any], object] = lambda stream: None,
    frames: Sequence[np.ndarray] | None = None,
) -> Path:
    """A film at 30 Hz by any encoder, whose frame k is shown from (first + k) / 30 s on.

    Args:
        sound: Start and length of silent sound in it, s.
        prepare: Sets what else the stream has, before it is written.
    """
    frames = frames or [picture(number) for number in range(count)]
    packets = []
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream(codec, rate=30, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        prepare(stream)
        if sound is not None:
            packets += _silence(container, *sound)
        for number, array in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
            frame.pts, frame.time_base = first + number, Fraction(1, 30)
            packets += stream.encode(frame)
        packets += stream.encode()
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            container.mux(packet)
    return path


def _silence(container: Any, start_s: float, seconds: float) -> list[av.Packet]:
    stream = container.add_stream("aac", rate=48_000)
    packets = []
    for part in range(round(seconds * 48_000 / 1024)):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
        frame.pts = round(start_s * 48_000) + 1024 * part
        packets += stream.encode(frame)
    return packets + stream.encode()


def copy_film(source: Path, target: Path, change: Callable[[int, av.Packet], bool]) -> Path:
    """Copy the picture's packets without decoding, as `ffmpeg -c copy` does.

    Args:
        change: May change the packet, given its position; False leaves it out.
    """
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(old.streams.video[0]) if packet.size]
        for position, packet in enumerate(packets):
            if change(position, packet):
                packet.stream = stream
                new.mux(packet)
    return target


def constant(fps: float, seconds: float) -> list[float]:
    """Times in ms of a film of constant frame rate."""
    return [1000 * number / fps for number in range(round(fps * seconds))]


def variable(seconds: float, seed: int = 0) -> list[float]:
    """Times in ms of a film whose frames last 20 to 70 ms."""
    steps = np.random.default_rng(seed).choice([20, 33, 50, 70], round(50 * seconds))
    times = np.concatenate([[0], np.cumsum(steps)])
    return [float(time) for time in times[times < 1000 * seconds]]
