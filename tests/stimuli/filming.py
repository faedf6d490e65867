"""Small film files whose frames say their own number."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 10


def picture(number: int, height: int = 64, width: int = 80) -> np.ndarray:
    """(height, width, rgb) uint8: one vertical bar per bit of `number`."""
    bars = np.repeat([158 if number >> bit & 1 else 98 for bit in range(BITS)], width // BITS)
    return np.broadcast_to(bars[None, :, None], (height, width, 3)).astype(np.uint8)


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


def constant(fps: float, seconds: float) -> list[float]:
    """Times in ms of a film of constant frame rate."""
    return [1000 * number / fps for number in range(round(fps * seconds))]


def variable(seconds: float, seed: int = 0) -> list[float]:
    """Times in ms of a film whose frames last 20 to 70 ms."""
    steps = np.random.default_rng(seed).choice([20, 33, 50, 70], round(50 * seconds))
    times = np.concatenate([[0], np.cumsum(steps)])
    return [float(time) for time in times[times < 1000 * seconds]]
