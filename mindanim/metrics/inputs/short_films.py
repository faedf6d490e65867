"""Short films from files of any common kind, without loss where the file is lossless, and the two halves of a
film that shows both ground truth and reconstruction.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindanim.errors import InputError
from mindanim.films.playback import Playback
from mindanim.vocabulary.arrays import Float, Frames
from mindanim.vocabulary.reading import map_npy, reading

SUFFIXES = (".npy", ".webp", ".mp4", ".gif")
MERGED = (".gif", ".webp")
"""Writers of these merge equal consecutive frames; a still film becomes a single frame."""
LOSSY = {
    ".gif": "GIF keeps at most 256 colours per frame",
    ".mp4": "mp4 is compressed",
    ".webp": "webp may be compressed",
}
"""What is lost in such files."""

_CLOCK_S = 2e-3
"""Steps between the frames of an even film differ by less: files round times to their clock."""
_HINT = (
    "Write the clip again: .npy as (frame, height, width, 3), uint8 or floats in [0, 1]; .webp and .gif "
    "without transparency; .mp4."
)


_MOST_BYTES = 1 << 30
"""Of one clip's pixels: 340 frames of 1024 x 1024. A file of some kB can claim terabytes."""


@dataclass(frozen=True)
class ShortFilm:
    """All frames of a film, each stored once.

    Attributes:
        path: Its file.
        stored: (frame, height, width, rgb) uint8.
        durations: ``(frame,)``, how long each is shown, in any unit; None where all are shown equally long.
    """

    path: Path
    stored: Frames
    durations: Float | None = None

    @property
    def counts(self) -> range:
        """How many frames it may have: merged frames count by their durations, and a pause may end a GIF."""
        if not self._merged or self.durations is None:
            return range(len(self.stored), len(self.stored) + 1)
        units = np.rint(self.durations / self.durations.min()).astype(np.int64)
        return range(int(units[:-1].sum()) + 1, int(units.sum()) + 1)

    def frames(self, whole: int | None = None, wanted: int | None = None) -> Frames:
        """What is on screen at even times, (frame, height, width, rgb) uint8.

        Args:
            whole: Number of frames of the clip, if known. It tells how much of a GIF's last frame is a pause
                between loops; None takes all of it as part of the clip.
            wanted: How many frames to take, from the first on; None for all.

        Raises:
            InputError: There are fewer, or far too many.
        """
        if self.still:
            return np.repeat(self.stored, wanted or whole or 1, axis=0)
        counts = self.counts
        count = whole if whole is not None and whole in counts else counts[-1]
        if wanted is not None and wanted > count:
            raise InputError(
                f"{self.path} has {count} frames, fewer than the {wanted} requested.",
                hint="Request fewer with --set frames=N, or write the clip again with all of its frames.",
            )
        taken = wanted or count
        if self.durations is None or (taken == count and not self._merged):
            return self.stored if taken == count else self.stored[np.arange(taken) * count // taken]
        _check_size(self.path, taken, *self.stored.shape[1:3])
        ends = np.cumsum(self.durations)
        held = count - counts[0] + 1 if self._merged else 0
        total = ends[-2] + held * self.durations.min() if held and count < counts[-1] else ends[-1]
        instants = np.arange(taken) * (total / taken) + 1e-4 * self.durations.min()
        shown: Frames = self.stored[np.searchsorted(ends, instants, "right")]
        return shown

    @property
    def still(self) -> bool:
        """Whether its writer merged all frames into one: it may have any number of them."""
        return self._merged and len(self.stored) == 1

    @property
    def _merged(self) -> bool:
        return self.path.suffix.lower() in MERGED


def read_film(path: Path, whole: int | None = None, wanted: int | None = None) -> Frames:
    """All frames of a film, (frame, height, width, rgb) uint8.

    .npy: uint8, or floats in [0, 1], with the colours last or second. GIF and WebP: a frame that is shown n
    times as long as the shortest counts n times, because writers merge equal frames. mp4: upright.

    Args:
        path: The file.
        whole, wanted: See `ShortFilm.frames`.

    Raises:
        InputError: The file cannot be read, or claims to be larger than any clip.
    """
    return open_short(path).frames(whole, wanted)


def open_short(path: Path) -> ShortFilm:
    """A film with its durations.

    Raises:
        InputError: See `read_film`.
    """
    kinds = {".npy": _read_npy, ".mp4": _read_mp4, ".gif": _read_pillow, ".webp": _read_pillow}
    with reading(path, "film", _HINT):
        film = kinds[path.suffix.lower()](path)
    if film.stored.size == 0:
        raise InputError(f"{path} has no frames.", hint=_HINT)
    return film


def _check_size(path: Path, frames: int, height: int, width: int) -> None:
    """Refuse a claim before memory is taken for it."""
    if (claimed := 3 * frames * height * width) > _MOST_BYTES:
        raise InputError(
            f"{path} claims {frames} frames of {width} x {height} px.",
            why=f"That is {claimed / 1e9:,.1f} GB of pixels; a clip has at most {_MOST_BYTES / 1e9:.1f} GB.",
            hint="Write the clip again: fewer frames, smaller, or each frame shown about equally long.",
        )


def _read_npy(path: Path) -> ShortFilm:
    array = map_npy(path, "film", _HINT)
    if array.ndim != 4 or 3 not in (array.shape[1], array.shape[3]):
        raise ValueError(f"its shape is {array.shape}, not (frame, height, width, 3)")
    if array.shape[3] != 3:
        array = array.transpose(0, 2, 3, 1)
    _check_size(path, *array.shape[:3])
    frames = np.empty(array.shape, np.uint8)
    if array.dtype == np.uint8 or array.size == 0:
        frames[...] = array
        return ShortFilm(path, frames)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"its type is {array.dtype}, not uint8 or a float in [0, 1]")
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"its values reach from {array.min():.3g} to {array.max():.3g}, not from 0 to 1")
    for row, frame in enumerate(array):
        frames[row] = np.round(frame * 255.0)
    return ShortFilm(path, frames)


def _read_pillow(path: Path) -> ShortFilm:
    from PIL import Image, ImageSequence

    _check_size(path, 1, *_canvas(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = Image.open(path)
    with image:
        count = getattr(image, "n_frames", 1)
        _check_size(path, count, image.height, image.width)
        frames, durations = np.empty((count, image.height, image.width, 3), np.uint8), np.zeros(count)
        for row, frame in enumerate(ImageSequence.Iterator(image)):
            if frame.has_transparency_data and np.asarray(frame.convert("RGBA"))[..., 3].min() < 255:
                raise ValueError("some of its pixels are transparent: they have no colour")
            frames[row] = np.asarray(frame.convert("RGB"))
            # Players show a frame without a duration for 100 ms.
            durations[row] = float(frame.info.get("duration", 0)) or 100.0
    return ShortFilm(path, frames, durations)


def _canvas(path: Path) -> tuple[int, int]:
    """(height, width) as the header of a GIF or an extended WebP gives it; (0, 0) for any other header."""
    with path.open("rb") as file:
        head = file.read(30)
    if head[:3] == b"GIF" and len(head) >= 10:
        width, height = struct.unpack("<HH", head[6:10])
        return height, width
    if head[8:16] == b"WEBPVP8X" and len(head) == 30:
        return 1 + int.from_bytes(head[27:30], "little"), 1 + int.from_bytes(head[24:27], "little")
    return 0, 0


def _read_mp4(path: Path) -> ShortFilm:
    film = Playback(path)
    _check_size(path, len(film), *film.size)
    frames = np.empty((len(film), *film.size, 3), np.uint8)
    for row, frame in enumerate(film.frames(range(len(film)))):
        frames[row] = frame
    steps = np.diff(film.times, append=film.end_s)
    even = len(steps) < 3 or np.ptp(steps[:-1]) < _CLOCK_S
    return ShortFilm(path, frames, None if even else steps)


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
            hint="Choose another --layout, or give the width of the border with --set border=PX",
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
