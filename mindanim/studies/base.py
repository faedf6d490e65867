"""What a study is to the rest of the tool: facts declared by its reader, and what the reader found on disk.

A reader is a module with two duties. It *declares* what the study's papers and scripts say (:class:`Facts`),
and it *discovers* what lies in the user's folder; :mod:`mindanim.studies.checks.declared_vs_disk` compares
the two. Time is explicit throughout: seconds of film time, that is from the onset of the film.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mindanim.errors import InputError, MindanimError, raise_together

Axes = Literal["volume voxel", "voxel volume"]
Split = Literal["train", "test"]
Status = Literal["ok", "note", "problem"]
State = Literal["found", "missing", "wrong", "left out", "not used"]


@dataclass(frozen=True)
class Segment:
    """One film of the study as it was shown in the scanner.

    clips: number of equally long clips the film is cut into.
    repeats: runs per subject that show this film.
    start_s: film time of a run's volume 0, seconds.
    volumes: volumes per run.
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

    tr_s: repetition time, seconds. clip_s: duration of a clip, seconds.
    lags_s: default haemodynamic lags, seconds from a clip's onset to the signal taken as its response.
    dropped: runs left out on the study's own advice, ``(subject, segment, repeat)`` with the reason.
    """

    name: str
    title: str
    layout: str
    subjects: tuple[int, ...]
    tr_s: float
    clip_s: float
    lags_s: tuple[float, ...]
    segments: tuple[Segment, ...]
    citation: str
    licence: str
    where: str
    dropped: Mapping[tuple[int, str, int], str] = field(default_factory=dict)

    @property
    def repeats(self) -> dict[Split, int]:
        """Most repeats of a film, by split."""
        repeats: dict[Split, int] = {}
        for segment in self.segments:
            repeats[segment.split] = max(repeats.get(segment.split, 0), segment.repeats)
        return repeats


@dataclass(frozen=True)
class Film:
    """A film file. ``name`` is what :attr:`Clip.film` and :attr:`Run.film` refer to."""

    name: str
    path: Path
    split: Split
    segment: str


@dataclass(frozen=True)
class Clip:
    """A piece of a film. ``index`` counts from 1 within the segment; onset and duration are film time,
    seconds.

    at_s: where the clip begins on the clock of its segment's runs, seconds, if that clock is not film time:
    one run may show many films, and one film may lie in many runs.
    """

    clip_id: str
    split: Split
    segment: str
    film: str
    index: int
    onset_s: float
    duration_s: float
    at_s: float | None = None

    @property
    def shown_s(self) -> float:
        """Beginning of the clip on the clock that :attr:`Run.start_s` refers to, seconds."""
        return self.onset_s if self.at_s is None else self.at_s


@dataclass(frozen=True, eq=False)
class Matrix:
    """Signal that a study's own reader takes out of a file of its own kind.

    signal ``(volume, voxel)``. region ``(voxel,)``: region of interest of each voxel, where known, by which
    ``--roi`` chooses. ijk ``(voxel, 3)``: index in the study's volume, where known.
    """

    signal: NDArray[np.floating[Any]]
    region: NDArray[np.str_] | None = None
    ijk: NDArray[np.integer[Any]] | None = None


@dataclass(frozen=True)
class Run:
    """One recording of one subject watching one film.

    Volume k was acquired at ``start_s + k * tr_s`` seconds of the clock that :attr:`Clip.shown_s` uses, which
    is film time where a run shows one film. Two segments may lie in one file: each has runs with its path.
    ``volumes`` is the declared number of volumes. Responses to single clips (GLM betas) are a run too: one
    volume per clip, ``tr_s`` the duration of a clip, lag 0.

    path: CIFTI-2 series (``.dtseries.nii``, ``.ptseries.nii``), NIfTI (``.nii``, ``.nii.gz``), ``.npy``, or,
    with ``load``, any file or folder.
    mask: NIfTI mask, needed for NIfTI runs.
    axes: ``volume voxel`` or ``voxel volume``, needed for ``.npy`` runs.
    confounds: table of nuisance time series as fMRIPrep writes it (``*_desc-confounds_timeseries.tsv``).
    load: takes the signal out of a file of the study's own kind; called once, when the run is opened.
    others: further files that ``load`` reads; they count as input.
    shown_s: by clip_id, when this run shows its clips, where that is another time than
    :attr:`Clip.shown_s`: runs may show the same clips in another order, or at other distances.
    """

    subject: int
    film: str
    split: Split
    segment: str
    repeat: int
    path: Path
    start_s: float
    tr_s: float
    volumes: int
    mask: Path | None = None
    axes: Axes | None = None
    confounds: Path | None = None
    load: Callable[[], Matrix] | None = None
    others: tuple[Path, ...] = ()
    shown_s: Mapping[str, float] = field(default_factory=dict)

    def when(self, clip: Clip) -> float:
        """Beginning of a clip on the run's clock, seconds."""
        return self.shown_s.get(clip.clip_id, clip.shown_s)

    @property
    def files(self) -> list[Path]:
        """Every file that the run's signal depends on."""
        return [self.path, *(path for path in (self.mask, self.confounds) if path is not None), *self.others]

    @property
    def name(self) -> str:
        """Short name for messages, e.g. ``seg3 repeat 1``."""
        return f"{self.segment} repeat {self.repeat}"


@dataclass(frozen=True)
class Finding:
    """One thing a check of the study or of its responses brought up.

    status: ``ok``, ``note`` (travels with the results) or ``problem`` (an error unless a part of the study is
    enough). data: small JSON facts, the names of the runs for example.
    """

    status: Status
    code: str
    text: str
    hint: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """What became of one run of a study: a row of the table that ``mindanim doctor`` prints.

    state: ``found``; ``missing`` or ``wrong`` (``code`` names the kind of fault, ``why`` says what, ``hint``
    what to do); ``left out`` on the study's own advice; ``not used``: a file that the study does not declare,
    with segment and repeat where its name tells them.
    """

    subject: int
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
        """The film files. InputError where one is missing, unless a part of the study is enough."""

    def clips(self) -> list[Clip]:
        """All clips of the study in order, training clips first."""

    def runs(self, subject: int) -> list[Run]:
        """The usable runs of a subject. InputError with all problems, unless a part is enough."""

    def check(self, subject: int) -> list[Finding]:
        """How a subject's runs compare with the declared facts; reads headers and samples only."""

    def inventory(self, subject: int) -> list[Entry]:
        """Every declared run of a subject, and every other file that looks like one, with what became of
        it."""

    def captions(self) -> dict[str, str] | None:
        """Caption by clip_id, where the study comes with captions."""

    def atlas(self) -> Path | None:
        """The study's own parcellation (CIFTI dlabel), where it has one."""


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
