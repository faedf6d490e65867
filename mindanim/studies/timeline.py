"""From runs with their own events to segments: films shown alike in several runs are repeats of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mindanim.studies.base import Segment, clip_prefix
from mindanim.vocabulary.clips import Clip, Split
from mindanim.vocabulary.file_names import as_name
from mindanim.vocabulary.subjects import Subject

SAME_S = 0.1
"""Difference of onsets, counted from the first clip, up to which two runs show their clips alike, seconds."""
ALONE = 10
"""Fewest clips to become a segment of their own if runs show them together with different other clips. Fewer
are no time course that repeats could be compared over."""


@dataclass(frozen=True)
class Shown:
    """One clip in one run, times in seconds.

    Attributes:
        film, path: The film and its file.
        start_s: Where the clip begins in the film.
        onset_s: When it was shown, after the zero of the run's clock.
    """

    film: str
    path: Path
    start_s: float
    duration_s: float
    onset_s: float
    split: Split

    @property
    def what(self) -> tuple[str, float, float]:
        """The piece of film."""
        return self.film, round(self.start_s, 3), round(self.duration_s, 3)


@dataclass(frozen=True)
class Viewing:
    """One run of one subject: its clips, and what to call a segment of several films first met here."""

    subject: Subject
    key: str
    name: str
    shown: Sequence[Shown]


@dataclass(frozen=True)
class Part:
    """What one run contributes to a segment.

    Attributes:
        shift_s: Clock of the segment minus that of the run.
        onsets_s: When the run shows each of the segment's clips, on its own clock, where order or distances
            are not the segment's; then there is no shift.
    """

    subject: Subject
    key: str
    repeat: int
    shift_s: float = 0.0
    onsets_s: tuple[float, ...] = ()


@dataclass
class _Group:
    """Runs that show the same clips: those of the first one in their order, and what each contributes."""

    name: str
    shown: list[Shown]
    parts: list[Part]

    @property
    def split(self) -> Split:
        return self.shown[0].split

    def add(self, viewing: Viewing, shown: Sequence[Shown]) -> bool:
        """Add a run, unless it shows other clips. A clip that is shown twice is matched in order of time."""
        left: dict[tuple[str, float, float], list[Shown]] = {}
        for one in shown:
            left.setdefault(one.what, []).append(one)
        matched = [left[one.what].pop(0) for one in self.shown if left.get(one.what)]
        if len(shown) != len(self.shown) or len(matched) < len(shown):
            return False
        repeat = 1 + sum(part.subject == viewing.subject for part in self.parts)
        shifts = [mine.onset_s - one.onset_s for mine, one in zip(self.shown, matched, strict=True)]
        if all(abs(shift - shifts[0]) <= SAME_S for shift in shifts):
            self.parts.append(Part(viewing.subject, viewing.key, repeat, shifts[0]))
        else:
            onsets_s = tuple(one.onset_s for one in matched)
            self.parts.append(Part(viewing.subject, viewing.key, repeat, onsets_s=onsets_s))
        return True


@dataclass(frozen=True)
class Laid:
    """A segment with its clips and the parts of the runs that show it."""

    segment: Segment
    clips: tuple[Clip, ...]
    parts: tuple[Part, ...]


def cut(shown: Shown, clip_s: float) -> list[Shown]:
    """A stretch of film in whole clips of ``clip_s`` seconds; what is left at its end is not used."""
    count = int(shown.duration_s / clip_s + 1e-6)
    steps = [index * clip_s for index in range(count)]
    return [
        Shown(shown.film, shown.path, shown.start_s + step, clip_s, shown.onset_s + step, shown.split)
        for step in steps
    ]


def lay_out(viewings: Sequence[Viewing]) -> list[Laid]:
    """Group the runs of all subjects into segments, one per split and set of clips; training first.

    Runs that show the same clips are repeats of one segment, in whatever order they show them; their clocks
    may differ. A run has a part in several segments if it has training and test clips, or films that other
    runs show in other company.
    """
    groups: list[_Group] = []
    for viewing, pieces in zip(viewings, _pieces(viewings), strict=True):
        for clips in pieces:
            known = (group for group in groups if group.split == clips[0].split)
            if not any(group.add(viewing, clips) for group in known):
                groups.append(_Group(viewing.name, clips, [Part(viewing.subject, viewing.key, 1)]))
    # Segments name the clips and hence their files; films may be called anything.
    labels = _labels([(as_name(_one_film(group.shown) or group.name), group.split) for group in groups])
    laid = [_segment(label, group.shown, group.parts) for label, group in zip(labels, groups, strict=True)]
    return sorted(laid, key=lambda one: one.segment.split != "train")


def _pieces(viewings: Sequence[Viewing]) -> list[list[list[Shown]]]:
    """The clips of each run, training first, parted into those that the same runs show.

    Fewer than `ALONE` clips stay with the others of their run.
    """
    where: dict[tuple[Split, tuple[str, float, float]], list[int]] = {}
    for place, viewing in enumerate(viewings):
        for one in viewing.shown:
            where.setdefault((one.split, one.what), []).append(place)
    pieces = []
    for viewing in viewings:
        together: dict[tuple[Split, tuple[int, ...]], list[Shown]] = {}
        for one in sorted(viewing.shown, key=lambda one: (one.split != "train", one.onset_s)):
            together.setdefault((one.split, tuple(where[one.split, one.what])), []).append(one)
        large = [clips for clips in together.values() if len(clips) >= ALONE]
        small = [one for clips in together.values() if len(clips) < ALONE for one in clips]
        rest = [[one for one in small if one.split == split] for split in ("train", "test")]
        parts = [sorted(clips, key=lambda one: one.onset_s) for clips in [*large, *rest] if clips]
        pieces.append(sorted(parts, key=lambda clips: (clips[0].split != "train", clips[0].onset_s)))
    return pieces


def scattered(laid: Sequence[Laid]) -> int:
    """Number of film pieces that runs show in different company, so that they are not repeats."""
    places = Counter(
        what
        for one in laid
        for what in {(clip.split, clip.film, clip.onset_s, clip.duration_s) for clip in one.clips}
    )
    return sum(count > 1 for count in places.values())


def _one_film(shown: Sequence[Shown]) -> str:
    """The name of the film, without folder and ending, if all clips come from one; else empty."""
    films = {one.film for one in shown}
    return PurePosixPath(films.pop()).stem if len(films) == 1 else ""


def _labels(wanted: Sequence[tuple[str, str]]) -> list[str]:
    """A unique name per segment, whatever its case: that of its first run, with split and number if taken."""
    labels: list[str] = []
    for name, split in wanted:
        label, number = name, 1
        while label.casefold() in {one.casefold() for one in labels}:
            label = f"{name}-{split}" if number == 1 else f"{name}-{split}{number}"
            number += 1
        labels.append(label)
    return labels


def _segment(label: str, shown: Sequence[Shown], parts: Sequence[Part]) -> Laid:
    split = shown[0].split
    clips = tuple(
        Clip(
            f"{clip_prefix(label)}-{index:04d}",
            split,
            label,
            clip.film,
            index,
            clip.start_s,
            clip.duration_s,
            clip.onset_s,
        )
        for index, clip in enumerate(shown, start=1)
    )
    repeats = max(part.repeat for part in parts)
    return Laid(Segment(label, split, len(clips), repeats, 0.0, 0), clips, tuple(parts))


def film_paths(viewings: Sequence[Viewing]) -> Mapping[str, Path]:
    """Files of all films by name, in the order in which they are first shown."""
    return {one.film: one.path for viewing in viewings for one in viewing.shown}
