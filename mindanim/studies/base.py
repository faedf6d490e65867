"""What a study is to the rest of the tool: facts declared by its reader, and what the reader found on disk.

A reader is a module with two duties. It *declares* what the study's papers and scripts say (:class:`Facts`),
and it *discovers* what is in the user's folder; :mod:`mindanim.studies.checks.declared_vs_disk` compares
the two. Time is explicit throughout: seconds of film time, that is from the onset of the film.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.vocabulary.clips import Clip, Split
from mindanim.vocabulary.registry import Registry
from mindanim.vocabulary.runs import Film, Run
from mindanim.vocabulary.subjects import Subject

Status = Literal["ok", "note", "problem"]
State = Literal["found", "missing", "wrong", "left out", "not used"]


@dataclass(frozen=True)
class Segment:
    """One film of the study as it was shown in the scanner.

    Attributes:
        clips: Number of equally long clips the film is cut into.
        repeats: Runs per subject that show this film.
        start_s: Film time of a run's volume 0, seconds.
        volumes: Volumes per run.
    """

    name: str
    split: Split
    clips: int
    repeats: int
    start_s: float
    volumes: int


@dataclass(frozen=True)
class Facts:
    """What a study declares about itself; a reader compares every item with the disk.

    Attributes:
        tr_s: Repetition time, seconds.
        clip_s: Duration of a clip, seconds.
        lags_s: Default haemodynamic lags, seconds from a clip's onset to the signal taken as its response.
        dropped: Runs left out on the study's own advice, ``(subject, segment, repeat)`` with the reason.
    """

    name: str
    title: str
    layout: str
    subjects: tuple[Subject, ...]
    tr_s: float
    clip_s: float
    lags_s: tuple[float, ...]
    segments: tuple[Segment, ...]
    citation: str
    licence: str
    where: str
    dropped: Mapping[tuple[Subject, str, int], str] = field(default_factory=dict)

    @property
    def repeats(self) -> dict[Split, int]:
        """Most repeats of a film, by split."""
        repeats: dict[Split, int] = {}
        for segment in self.segments:
            repeats[segment.split] = max(repeats.get(segment.split, 0), segment.repeats)
        return repeats


@dataclass(frozen=True)
class Finding:
    """One thing that a check of the study or of its responses found.

    Attributes:
        status: ``ok``, ``note`` (travels with the results) or ``problem`` (an error, unless an incomplete
            study is allowed).
        data: Small JSON facts, the names of the runs for example.
    """

    status: Status
    code: str
    text: str
    hint: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """What became of one run of a study: a row of the table that ``mindanim doctor`` prints.

    Attributes:
        state: ``found``; ``missing`` or ``wrong`` (``code`` names the kind of fault, ``why`` says what,
            ``hint`` what to do); ``left out`` on the study's own advice; ``not used``: a file that the study
            does not declare, with segment and repeat where its name tells them.
    """

    subject: Subject
    segment: str
    repeat: int
    state: State
    path: Path
    code: str = ""
    why: str = ""
    hint: str = ""


class Study(Protocol):
    """A study on disk, as every reader presents it."""

    @property
    def facts(self) -> Facts: ...

    @property
    def root(self) -> Path: ...

    def films(self) -> list[Film]:
        """The film files. InputError where one is missing, unless an incomplete study is allowed."""

    def clips(self) -> list[Clip]:
        """All clips of the study in order, training clips first."""

    def runs(self, subject: Subject) -> list[Run]:
        """The usable runs of a subject. InputError with all problems, unless these are allowed."""

    def check(self, subject: Subject) -> list[Finding]:
        """How a subject's runs compare with the declared facts; reads headers and samples only."""

    def inventory(self, subject: Subject) -> list[Entry]:
        """Every declared run of a subject, and every other file that looks like one, with what became of
        it."""

    def captions(self) -> dict[str, str] | None:
        """Caption by clip_id, where the study comes with captions."""

    def atlas(self) -> Path | None:
        """The study's own parcellation (CIFTI dlabel), where it has one."""


@runtime_checkable
class Opener(Protocol):
    """Opens a study in a folder: a reader's class or a function."""

    def __call__(self, root: Path, *, allow_partial: bool, options: Mapping[str, str]) -> Study: ...


READERS: Registry[Opener] = Registry("reader", Opener)
"""Readers by dataset name. Another package adds one by an entry point in the group ``mindanim.readers``."""


def regular_clips(facts: Facts) -> list[Clip]:
    """Cut every film into its declared number of equally long, adjacent clips; training clips first.

    Identifiers are ``seg01-0007``: the segment (training numbers with two digits) and the clip's number from
    1.
    """
    clips = [
        Clip(
            clip_id=f"{clip_prefix(segment.name)}-{index:04d}",
            split=segment.split,
            segment=segment.name,
            film=segment.name,
            index=index,
            onset_s=(index - 1) * facts.clip_s,
            duration_s=facts.clip_s,
        )
        for segment in facts.segments
        for index in range(1, segment.clips + 1)
    ]
    return sorted(clips, key=lambda clip: clip.split != "train")


def clip_prefix(segment: str) -> str:
    """``seg1`` -> ``seg01`` so that identifiers sort; other names stay as they are."""
    digits = segment.removeprefix("seg")
    return f"seg{int(digits):02d}" if segment.startswith("seg") and digits.isdecimal() else segment


def raise_problems(findings: Sequence[Finding]) -> None:
    """Raise one InputError that lists every finding with status ``problem``, if there is any."""
    problems: list[MindanimError] = [
        InputError(finding.text, hint=finding.hint) for finding in findings if finding.status == "problem"
    ]
    raise_together(problems)
