"""Reconstructions made elsewhere: folders of clips, found by their layout.

| layout | reconstruction | ground truth |
|---|---|---|
| plain | NAME.ext | NAME.ext in the truth's folder |
| mind-video | right half of NAME.ext | its left half, or NAME.ext in the truth's folder |
| mind-animator | testN.ext | the half of test_and_gtN.ext that is not the reconstruction |
| neuroclips | NAME.ext | gt_NAME.ext |
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mindanim.config.evaluate import Layout
from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.metrics.inputs.short_films import SUFFIXES, cut, open_short, read_film
from mindanim.vocabulary.arrays import Frames
from mindanim.vocabulary.words import names_and_more

Half = Literal["whole", "left", "right", "other"]


@dataclass(frozen=True)
class Part:
    """A film, or the part of it that is used.

    Attributes:
        half: `other` is the half that differs more from the film `unlike`.
    """

    file: Path
    half: Half = "whole"
    unlike: Path | None = None


@dataclass(frozen=True)
class Folders:
    """The clips in the folders.

    Attributes:
        pairs: Clip name -> ground truth and reconstruction, in natural order of the names.
        missing: Ground truths without a reconstruction.
        extra: Reconstructions without a ground truth.
    """

    pairs: Mapping[str, tuple[Part, Part]]
    missing: list[str]
    extra: list[str]

    @property
    def files(self) -> list[Path]:
        """Every file that is read, each once."""
        return sorted({part.file for pair in self.pairs.values() for part in pair})

    @property
    def formats(self) -> dict[str, int]:
        """Suffix -> number of files, as in `source` of metrics.json."""
        return dict(Counter(file.suffix.lower() for file in self.files))


def find_clips(videos: Path, truth: Path | None, layout: Layout) -> Folders:
    """The clips of two folders, or of one with both truths and reconstructions, by their layout.

    Raises:
        InputError: A folder does not exist, two files have the same name, or no file fits the layout.
    """
    shown = _films(videos)
    given = _films(truth) if truth is not None else None
    recons, truths = _LAYOUTS[layout](shown, given)
    names = sorted(recons.keys() & truths.keys(), key=_natural)
    if not names:
        raise InputError(
            f"No clip in {videos} fits the layout {layout}.",
            why=f"Found there: {names_and_more(list(shown)) or 'no ' + ', '.join(SUFFIXES)}"
            + (f"; in {truth}: {names_and_more(list(given))}." if given is not None else "."),
            hint=f"{layout}: {WORDS[layout]}.",
        )
    return Folders(
        {name: (truths[name], recons[name]) for name in names},
        sorted(truths.keys() - recons.keys(), key=_natural),
        sorted(recons.keys() - truths.keys(), key=_natural),
    )


def check_complete(found: Folders, subset: bool) -> str | None:
    """How much of the ground truth is scored, None for all of it.

    Raises:
        InputError: Clips are missing, and `subset` does not allow it.
    """
    total = len(found.pairs) + len(found.missing)
    lacking = []
    if found.missing:
        lacking.append(
            f"{len(found.missing)} of {total} clips have no reconstruction: {names_and_more(found.missing)}."
        )
    if found.extra:
        lacking.append(
            f"{len(found.extra)} reconstructions have no ground truth: {names_and_more(found.extra)}."
        )
    if lacking and not subset:
        raise InputError(
            " ".join(lacking),
            why="Scores on a subset are not comparable with scores on all clips.",
            hint="Complete the folders, or score what is in both with --subset; every table will say so.",
        )
    if not found.missing and not found.extra:
        return None
    left_out = f"; {len(found.extra)} reconstructions without ground truth" if found.extra else ""
    return f"{len(found.pairs)} of {total} clips{left_out}"


class PartClips:
    """Clips read from films on demand, each (frame, height, width, rgb) uint8.

    Args:
        parts: Where they are.
        size: Side of the square they are resized to, px; None for no resizing.
        frames: Number of frames to take at even times; None for all.
        border: See `short_films.cut`.
        whole: See `frames_of`.
    """

    def __init__(
        self,
        parts: list[Part],
        size: int | None,
        frames: int | None,
        border: int | None = None,
        whole: int | None = None,
    ) -> None:
        self.parts, self.size, self.frames, self.border, self.whole = parts, size, frames, border, whole

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int, /) -> Frames:
        film = _part(self.parts[index], self.border, self.whole, self.frames)
        return film if self.size is None else _resized(film, self.size)


def frames_of(found: Folders) -> int | None:
    """How many frames a clip has, where GIFs with a last frame that is held leave it open.

    Returns:
        The number of frames that the first ground truth and the first reconstruction both may have, or None.
    """
    films = [open_short(part.file) for part in next(iter(found.pairs.values()))]
    if moving := [film.counts for film in films if not film.still]:
        truth, recon = moving[0], moving[-1]  # the same one where the other film is still
        common = [count for count in (truth[-1], recon[-1], truth[0]) if count in truth and count in recon]
        return common[0] if common else None
    return None


def check_alike(names: list[str], truth: PartClips, recon: PartClips) -> tuple[int, ...]:
    """The shape (frame, height, width, rgb) that all clips have in common.

    Every film is read once, so that a broken one is found before any long computation.

    Raises:
        InputError: Clips have another shape; names them.
    """
    shapes = [(truth[index].shape, recon[index].shape) for index in range(len(names))]
    common = shapes[0][0]
    problems: list[MindanimError] = []
    for number, what in enumerate(("ground truths", "reconstructions")):
        wrong = [name for name, pair in zip(names, shapes, strict=True) if pair[number] != common]
        if wrong:
            other = shapes[names.index(wrong[0])][number]
            problems.append(
                InputError(
                    f"{len(wrong)} {what} differ in shape from the first ground truth: "
                    f"{names_and_more(wrong)}.",
                    why=f"{wrong[0]} is {_size(other)}, the first ground truth is {_size(common)}.",
                    hint="--size PX resizes all clips, --set frames=N takes N equally spaced frames of each. "
                    "Both affect the scores: enlarging alone raises SSIM.",
                )
            )
    raise_together(problems)
    return common


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} frames of {shape[1]} x {shape[2]} px"


def _part(part: Part, border: int | None, whole: int | None, wanted: int | None) -> Frames:
    film = read_film(part.file, whole, wanted)
    if part.half == "whole":
        return film
    left, right = cut(film, part.file, border)
    if part.half == "other" and part.unlike is not None:
        known = read_film(part.unlike, whole, wanted)
        if known.shape != left.shape:
            raise InputError(
                f"{part.unlike} does not have the size of either half of {part.file}.",
                why=f"It is {_size(known.shape)}, the halves are {_size(left.shape)}.",
                hint="Give the width of the border with --set border=PX, or put truth and reconstruction in "
                "two folders and use --layout plain",
            )
        errors = [np.abs(half.astype(np.int16) - known).mean() for half in (left, right)]
        return right if errors[0] < errors[1] else left
    return left if part.half == "left" else right


def _resized(film: Frames, size: int) -> Frames:
    import cv2

    if film.shape[1:3] == (size, size):
        return film
    smaller = min(film.shape[1:3]) >= size
    way = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.stack([cv2.resize(frame, (size, size), interpolation=way) for frame in film]).astype(np.uint8)


def _films(folder: Path) -> dict[str, Path]:
    """The films in a folder, not in its subfolders, by their names without the suffix."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}.", hint="Give a folder of clips, one file per clip.")
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES and file.is_file()]
    found: dict[str, Path] = {}
    for file in files:
        if file.name.startswith("."):
            continue
        if file.stem in found:
            raise InputError(
                f"{folder} has {file.stem} twice: {found[file.stem].name} and {file.name}.",
                hint="Keep only the lossless one (npy rather than webp, mp4 or gif).",
            )
        found[file.stem] = file
    return found


Films = dict[str, Path]
Parts = tuple[dict[str, Part], dict[str, Part]]


def _plain(shown: Films, given: Films | None) -> Parts:
    return _whole(shown), _whole(given or {})


def _mind_video(shown: Films, given: Films | None) -> Parts:
    truths = {name: Part(file, "left") for name, file in shown.items()} if given is None else _whole(given)
    return {name: Part(file, "right") for name, file in shown.items()}, truths


def _mind_animator(shown: Films, given: Films | None) -> Parts:
    recons = {name: file for name, file in shown.items() if re.fullmatch(r"test\d+", name)}
    both = {
        f"test{name.removeprefix('test_and_gt')}": file
        for name, file in (shown if given is None else given).items()
        if re.fullmatch(r"test_and_gt\d+", name)
    }
    truths = {name: Part(file, "other", unlike=recons.get(name)) for name, file in both.items()}
    return _whole(recons), truths


def _neuroclips(shown: Films, given: Films | None) -> Parts:
    recons = {name: file for name, file in shown.items() if not name.startswith("gt_")}
    truths = {
        name.removeprefix("gt_"): file
        for name, file in (shown if given is None else given).items()
        if name.startswith("gt_")
    }
    return _whole(recons), _whole(truths)


def _whole(films: Films) -> dict[str, Part]:
    return {name: Part(file) for name, file in films.items()}


_LAYOUTS: dict[Layout, Callable[[Films, Films | None], Parts]] = {
    "plain": _plain,
    "mind-video": _mind_video,
    "mind-animator": _mind_animator,
    "neuroclips": _neuroclips,
}
WORDS: dict[Layout, str] = {
    "plain": "the same file name in both folders",
    "mind-video": "one file per clip, ground truth left, reconstruction right",
    "mind-animator": "testN is the reconstruction, test_and_gtN shows both side by side",
    "neuroclips": "NAME is the reconstruction, gt_NAME the ground truth",
}


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that puts clip 9 before clip 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
