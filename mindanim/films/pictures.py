"""A decoded frame as a player shows it: upright, with square pixels, in RGB."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from mindanim.vocabulary.arrays import Frames

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

_SAME_SHAPE = 0.02
"""Two sizes have the same proportions when they differ by at most this share."""


class TransparentError(ValueError):
    """A frame has pixels whose colour depends on what lies behind them."""


def picture(
    frame: VideoFrame,
    stream: VideoStream,
    reformatter: VideoReformatter,
    size: tuple[int, int] | None = None,
) -> Frames:
    """A frame turned by its display matrix and stretched by the shape of its pixels.

    Args:
        frame: As decoded.
        stream: Its stream, which knows the shape of a pixel.
        reformatter: Converts pixels; one serves a whole film.
        size: (height, width) to show it at, px; None for its own.

    Returns:
        (height, width, rgb) uint8.

    Raises:
        TransparentError: Some of its pixels are.
        ValueError: It has an oblique display matrix or other proportions than `size`.
    """
    flips, swap = _orientation(frame)
    height, width = frame.height, frame.width
    if aspect := stream.sample_aspect_ratio:
        width = max(1, round(width * aspect))
    if size is not None:
        wanted = size[::-1] if swap else size
        if abs(width * wanted[0] / (height * wanted[1]) - 1) > _SAME_SHAPE:
            raise ValueError(f"The picture changes from {_by(wanted)} to {_by((height, width))} px.")
        height, width = wanted
    opaque = not any(part.is_alpha for part in frame.format.components)
    scaled = (height, width) != (frame.height, frame.width)
    pixels: Any = reformatter.reformat(
        frame,
        width,
        height,
        "rgb24" if opaque else "rgba",
        interpolation="BICUBIC" if scaled else "BILINEAR",
        threads=1,  # more are slower for one picture, and each takes a stack
    ).to_ndarray()
    if not opaque:
        if pixels[..., 3].min() < 255:
            raise TransparentError(
                "Some of its pixels are transparent: their colour is that of what lies behind."
            )
        pixels = pixels[..., :3]
    if swap:
        pixels = pixels.swapaxes(0, 1)
    shown: Frames = np.ascontiguousarray(pixels[:: flips[0], :: flips[1]])
    return shown


def upright(frame: VideoFrame) -> bool:
    """Whether a frame is shown as it is stored, neither turned nor mirrored."""
    return _orientation(frame) == ((1, 1), False)


def _orientation(frame: VideoFrame) -> tuple[tuple[int, int], bool]:
    """Steps (1 or -1) along rows and columns, after rows and columns were swapped where that is True."""
    sides: Any = frame.side_data  # typed as a mapping, but a sequence
    for data in sides:
        if data.type.name != "DISPLAYMATRIX":
            continue
        # A pixel at (x, y) appears at (a x + c y, b x + d y), x to the right and y down.
        a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
        straight, turned = min(abs(a), abs(d)), min(abs(b), abs(c))
        if straight > 100 * max(abs(b), abs(c)):
            return (_sign(d), _sign(a)), False
        if turned > 100 * max(abs(a), abs(d)):
            return (_sign(b), _sign(c)), True
        raise ValueError("Its display matrix turns the picture by an oblique angle.")
    return (1, 1), False


def _sign(value: int) -> int:
    return -1 if value < 0 else 1


def _by(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]}"
