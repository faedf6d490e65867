"""Short films from files of any common kind, without loss where the file is lossless, and the two halves of a
film that shows both ground truth and reconstruction.
"""

from __future__ import annotations

from pathlib import Path
from tokenize import TokenError

import numpy as np

from mindanim.errors import InputError
from mindanim.vocabulary.arrays import Frames

SUFFIXES = (".npy", ".webp", ".mp4", ".gif")
MERGED = (".gif", ".webp")
"""Writers of these merge equal consecutive frames; a still film becomes a single frame."""
LOSSY = {
    ".gif": "GIF keeps at most 256 colours per frame",
    ".mp4": "mp4 is compressed",
    ".webp": "webp may be compressed",
}
"""What is lost in such files."""

_UNREADABLE = (OSError, ValueError, EOFError)
_HINT = (
    "Write the clip again: .npy as (frame, height, width, 3), uint8 or floats in [0, 1]; .webp and .gif "
    "without transparency; .mp4."
)


def read_film(path: Path) -> Frames:
    """All frames of a film, (frame, height, width, rgb) uint8.

    .npy: uint8, or floats in [0, 1], with the colours last or second. GIF and WebP: a frame that is shown n
    times as long as the shortest counts n times, because writers merge equal frames. mp4: as decoded.

    Raises:
        InputError: The file cannot be read.
    """
    from PIL import Image

    kinds = {".npy": _read_npy, ".mp4": _read_mp4, ".gif": _read_pillow, ".webp": _read_pillow}
    try:
        frames = kinds[path.suffix.lower()](path)
    except _UNREADABLE as error:
        raise InputError(f"{path} cannot be read.", why=str(error), hint=_HINT) from error
    except (SyntaxError, IndexError, TokenError, Image.DecompressionBombError) as error:
        # Damaged files: Pillow has an IndexError for a GIF that ends early, numpy a TokenError for a header.
        raise InputError(f"{path} is damaged.", why=f"{type(error).__name__}: {error}", hint=_HINT) from error
    if frames.size == 0:
        raise InputError(f"{path} has no frames.", hint=_HINT)
    return frames


def _read_npy(path: Path) -> Frames:
    array = np.load(path, allow_pickle=False)
    if isinstance(array, np.lib.npyio.NpzFile):
        raise ValueError("it is an archive of several arrays, as .npz is")
    if array.ndim != 4 or 3 not in (array.shape[1], array.shape[3]):
        raise ValueError(f"its shape is {array.shape}, not (frame, height, width, 3)")
    if array.shape[3] != 3:
        array = array.transpose(0, 2, 3, 1)
    if array.dtype == np.uint8 or array.size == 0:
        return np.ascontiguousarray(array)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"its type is {array.dtype}, not uint8 or a float in [0, 1]")
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"its values reach from {array.min():.3g} to {array.max():.3g}, not from 0 to 1")
    frames: Frames = np.round(array * 255.0).astype(np.uint8)
    return frames


def _read_pillow(path: Path) -> Frames:
    from PIL import Image, ImageSequence

    frames, durations = [], []
    with Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            if frame.has_transparency_data and np.asarray(frame.convert("RGBA"))[..., 3].min() < 255:
                raise ValueError("some of its pixels are transparent: they have no colour")
            frames.append(np.asarray(frame.convert("RGB")))
            durations.append(float(frame.info.get("duration", 0)))
    shortest = min(durations)
    times = [max(1, round(duration / shortest)) if shortest > 0 else 1 for duration in durations]
    return np.repeat(np.stack(frames), times, axis=0)


def _read_mp4(path: Path) -> Frames:
    import av

    try:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    except (av.error.FFmpegError, IndexError) as error:
        raise ValueError(str(error) or "there is no video in it") from error
    return np.stack(frames).astype(np.uint8) if frames else np.empty((0, 0, 0, 3), np.uint8)


def cut(film: Frames, path: Path, border: int | None) -> tuple[Frames, Frames]:
    """The left and the right half of a film, without the border between and around them.

    A border that is not cut leaves the halves out of register, which ruins pixel and motion scores.

    Args:
        film: (frame, height, width, rgb) uint8.
        path: Its file, for messages.
        border: Its width in pixels; None infers it for square halves: a film wider than twice its height has
            a gap between the halves, a narrower one a frame all around of the same width as the gap.

    Raises:
        InputError: The size fits neither, or what would be cut is not of one colour.
    """
    height, width = film.shape[1:3]
    gap = abs(width - 2 * height) if border is None else border
    framed = width == 2 * (height - 2 * gap) + 3 * gap
    around = gap if framed else 0
    side = (width - gap - 2 * around) // 2
    inner = film[:, around : height - around]
    if 2 * side + gap + 2 * around != width or side < 1 or (border is None and gap > side // 4):
        raise InputError(
            f"{path} does not show two halves side by side.",
            why=f"It is {width} x {height} px.",
            hint="Choose another --layout, or give the width of the border with --set border=PX.",
        )
    between = inner[:, :, around + side : around + side + gap]
    if gap and np.ptp(between.reshape(-1, 3), axis=0).max() > 32:
        raise InputError(
            f"{path} has no even border of {gap} px between its halves.",
            why=f"It is {width} x {height} px; the columns between two squares are not of one colour.",
            hint="Give the width of the border with --set border=PX (0 for none).",
        )
    left, right = inner[:, :, around : around + side], inner[:, :, around + side + gap : width - around]
    return left, right
