"""From runs with their own events to segments: films shown alike in several runs are repeats of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mindanim.studies.base import Clip, Segment, Split, clip_prefix

SAME_S = 0.1
"""Difference of onsets, counted from the first clip, up to which two runs show their clips alike, seconds."""


@dataclass(frozen=True)
class Shown:
    """One clip in one run, times in seconds.

    film, path: the film and its file. start_s: where the clip begins in the film. onset_s: when it was shown,
    after the zero of the run's clock.
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

    subject: int
    key: str
    name: str
    shown: Sequence[Shown]


@dataclass(frozen=True)
class Part:
    """What one run contributes to a segment. shift_s: clock of the segment minus that of the run."""

    subject: int
    key: str
    repeat: int
    shift_s: float


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
    """Group the runs of all subjects into segments, one per split and sequence of clips; training first.

    Runs that show the same clips at the same distances in time are repeats of one segment; their clocks may
    differ by a constant. A run with training and test clips has a part in two segments.
    """
    groups: list[tuple[str, list[Shown], list[Part]]] = []
    for viewing in viewings:
        for split in ("train", "test"):
            clips = sorted((one for one in viewing.shown if one.split == split), key=lambda one: one.onset_s)
            if not clips:
                continue
            parts = next((parts for _, first, parts in groups if _alike(first, clips)), None)
            if parts is None:
                groups.append((viewing.name, clips, [Part(viewing.subject, viewing.key, 1, 0.0)]))
                continue
            first = next(first for _, first, known in groups if known is parts)
            repeat = 1 + sum(part.subject == viewing.subject for part in parts)
            shift_s = first[0].onset_s - clips[0].onset_s
            parts.append(Part(viewing.subject, viewing.key, repeat, shift_s))
    labels = _labels([(_one_film(shown) or name, shown[0].split) for name, shown, _ in groups])
    laid = [_segment(label, shown, parts) for label, (_, shown, parts) in zip(labels, groups, strict=True)]
    return sorted(laid, key=lambda one: one.segment.split != "train")


def _one_film(shown: Sequence[Shown]) -> str:
    """The name of the film, without folder and ending, where all clips come from one; otherwise empty."""
    films = {one.film for one in shown}
    return PurePosixPath(films.pop()).stem if len(films) == 1 else ""


def _labels(wanted: Sequence[tuple[str, str]]) -> list[str]:
    """A name of its own for each segment: that of its first run, with split and number where it is taken."""
    labels: list[str] = []
    for name, split in wanted:
        label, number = name, 1
        while label in labels:
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


def _alike(one: Sequence[Shown], other: Sequence[Shown]) -> bool:
    if len(one) != len(other) or one[0].split != other[0].split:
        return False
    shift_s = other[0].onset_s - one[0].onset_s
    return all(
        a.what == b.what and abs(b.onset_s - a.onset_s - shift_s) <= SAME_S
        for a, b in zip(one, other, strict=True)
    )


def film_paths(viewings: Sequence[Viewing]) -> Mapping[str, Path]:
    """Files of all films by name, in the order in which they are first shown."""
    return {one.film: one.path for viewing in viewings for one in viewing.shown}
