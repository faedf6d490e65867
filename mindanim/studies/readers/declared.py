"""What all readers share: the comparison of a subject's runs with the facts, as errors or as findings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from mindanim.errors import InputError
from mindanim.studies.base import Entry, Facts, Finding, raise_problems
from mindanim.studies.checks.declared_vs_disk import Compared, Declared, compare_runs, identical_subjects
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Film, Run
from mindanim.vocabulary.subjects import Subject
from mindanim.vocabulary.words import names_and_more


class Reader(ABC):
    """A study in a folder. A reader says which runs it expects (``_declare``), which clips, which films."""

    def __init__(self, root: Path, facts: Facts, allow_partial: bool) -> None:
        self.root = root
        self.facts = facts
        self._allow_partial = allow_partial
        self._compared: dict[Subject, Compared] = {}

    @abstractmethod
    def clips(self) -> list[Clip]:
        """All clips of the study in order, training clips first."""

    @abstractmethod
    def _films(self) -> Sequence[Film]:
        """Every film the study declares, with the path where it is or should be."""

    @abstractmethod
    def _declare(self, subject: Subject) -> Declared:
        """The runs a subject should have. InputError where the subject is not there at all."""

    def films(self) -> list[Film]:
        """The films on disk. InputError lists the missing ones, unless an incomplete study is allowed."""
        films = self._films()
        missing = [film.path for film in films if not film.path.is_file()]
        if missing and (not self._allow_partial or len(missing) == len(films)):
            names = names_and_more(path.name for path in missing)
            raise InputError(
                f"{len(missing)} of {len(films)} films are not in {missing[0].parent}: {names}.",
                self._hint(),
                f"Get the films from {self.facts.where}, or work with what is there: --allow-partial",
            )
        return [film for film in films if film.path.is_file()]

    def runs(self, subject: Subject) -> list[Run]:
        """The usable runs of a subject in the order of the facts.

        Raises:
            InputError: Runs are missing, short or duplicate (all are listed), or no run is left. With
                ``allow_partial`` they are left out, as :meth:`check` says.
        """
        compared = self._compare(subject)
        if not self._allow_partial:
            raise_problems(compared.findings)
        if not compared.runs:
            raise InputError(
                f"No usable run of subject {subject} is left in {self.root}.",
                " ".join(finding.text for finding in compared.findings if finding.status == "problem"),
                f"Get the runs from {self.facts.where}.",
            )
        return compared.runs

    def check(self, subject: Subject) -> list[Finding]:
        """The comparison of a subject's runs with the declared facts, one row per kind of difference."""
        compared = self._compare(subject)
        counts = ", ".join(
            f"{sum(run.split == split for run in compared.runs)} {name}"
            for split, name in (("train", "training"), ("test", "test"))
        )
        return [Finding("ok", "runs", f"Subject {subject}: {counts} runs are usable."), *compared.findings]

    def inventory(self, subject: Subject) -> list[Entry]:
        """Every declared run of a subject, and every other file that looks like one, with what became of
        it."""
        return self._compare(subject).entries

    def captions(self) -> dict[str, str] | None:
        """Captions by clip_id; None where the study has none."""
        return None

    def atlas(self) -> Path | None:
        """The study's own parcellation; None where it has none."""
        return None

    def _hint(self) -> str:
        """What may have gone wrong where files are missing."""
        return ""

    def _compare(self, subject: Subject) -> Compared:
        if subject not in self._compared:
            self._know(subject)
            compared = compare_runs(self.facts, subject, self._declare(subject), self._onsets_s())
            compared.findings += identical_subjects(subject, compared.runs, self._others(subject))
            self._compared[subject] = compared
        return self._compared[subject]

    def _know(self, subject: Subject) -> None:
        if subject not in self.facts.subjects:
            known = ", ".join(str(number) for number in self.facts.subjects)
            raise InputError(f"{self.facts.title} has no subject {subject}.", f"Its subjects are {known}.")

    def _others(self, subject: Subject) -> dict[Subject, Declared]:
        others = {}
        for other in self.facts.subjects:
            if other == subject:
                continue
            try:
                others[other] = self._declare(other)
            except InputError:
                continue  # not there: a finding of that subject
        return others

    def _onsets_s(self) -> dict[str, list[float]]:
        """By segment, when its clips begin on its runs' clock."""
        onsets: dict[str, list[float]] = {}
        for clip in self.clips():
            onsets.setdefault(clip.segment, []).append(clip.shown_s)
        return onsets
