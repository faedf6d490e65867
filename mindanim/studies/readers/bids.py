"""Studies in BIDS with derivatives: what fMRIPrep, the HCP pipelines or xcp_d leave, events and stimuli.

Nothing is declared beforehand, so everything is discovered: subjects, preprocessed runs, repetition times
(sidecar, else header), events, films. Clips come from the events; the test set from a column of them or from
a rule. What one subject has and another lacks is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.studies.base import READERS, Facts, Finding
from mindanim.studies.checks.declared_vs_disk import Declared, Fault, Stranger
from mindanim.studies.paths import OUTSIDE
from mindanim.studies.readers.bids_clock import RunClock, run_clock
from mindanim.studies.readers.bids_events import FILMS, Events, SplitRule, read_events
from mindanim.studies.readers.bids_names import read_json
from mindanim.studies.readers.bids_notes import notes, skipped_rows
from mindanim.studies.readers.bids_recordings import (
    ENTITIES,
    FORMATS,
    Recording,
    Wanted,
    find_recordings,
    find_trees,
)
from mindanim.studies.readers.declared import Reader
from mindanim.studies.study_options import StudyOptions
from mindanim.studies.tables import read_captions
from mindanim.studies.timeline import Laid, Part, Viewing, film_paths, lay_out, scattered
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Film, Run
from mindanim.vocabulary.subjects import Subject, in_order, subject_of
from mindanim.vocabulary.words import names_and_more

LAG_S = 6.0
"""Default lag where a study declares none: the peak of the canonical response to a clip of 2 s."""
_OPTIONS = {
    "task": "task label of the runs to use",
    "format": f"{', '.join(FORMATS)}; the first that is there",
    **{entity: f"entity '{entity}' of the runs' names" for entity in ENTITIES},
    "derivatives": "folder below derivatives/ to read",
    "stimuli": "folder of the films within the data folder (default stimuli)",
    "clip_s": "cut films into clips of this length, seconds",
    "start_time": "StartTime of runs that state none: seconds, or half of the repetition time",
    "lag_s": f"default lag from a clip's onset to its response, seconds (default {LAG_S:g})",
    "test": "which clips are for the test: run:5+6, ses:02, film:NAME or COLUMN:VALUE",
    OUTSIDE: "allow: tables may name files outside the data folder",
}


class Bids(Reader):
    """A BIDS dataset with its derivatives in ``derivatives/``, or a derivatives folder that holds the events
    as well."""

    def __init__(
        self,
        root: Path,
        *,
        allow_partial: bool = False,
        options: Mapping[str, str] | None = None,
        name: str = "bids",
    ) -> None:
        self._asked = StudyOptions(name, options or {}, _OPTIONS)
        self._rule = SplitRule.parse(self._asked.text("test"))
        self._clip_s = self._asked.number("clip_s", least=0.1)
        self._outside = self._asked.allows(OUTSIDE)
        self.root = root
        self._trees = find_trees(root, self._asked.text("derivatives"))
        if not any(path.is_dir() for tree in self._trees for path in tree.glob("sub-*")):
            raise InputError(
                f"{root} is not a BIDS dataset.",
                "There is no folder sub-<label> in it nor in derivatives/*.",
                "Give the folder that holds sub-*, or derivatives/, with --data",
            )
        self._wanted = Wanted(
            self._asked.text("task"),
            self._asked.choice("format", tuple(FORMATS)),
            {entity: self._asked.text(entity) for entity in ENTITIES},
        )
        start_time = self._start_time()
        self._recordings = find_recordings(root, self._trees, self._wanted)
        self._subjects = _subjects(self._recordings)
        self._clocks = {
            one.name.path: run_clock(one.name, self._trees, start_time, one.raw)
            for one in self._recordings
            if one.preprocessed
        }
        self._events: dict[Path, Events] = {}
        self._viewings = self._read_events()
        self._laid = lay_out(self._viewings)
        if not self._laid:
            skipped = names_and_more(
                sorted(
                    {
                        name
                        for one in self._events.values()
                        for names in one.skipped.values()
                        for name in names
                    }
                )
            )
            raise InputError(
                f"No film is shown in {root}.",
                f"The files in stim_file do not have a film's extension ({', '.join(FILMS)}): {skipped}."
                if skipped
                else "No events.tsv names one in stim_file.",
            )
        if self._rule and not any(laid.segment.split == "test" for laid in self._laid):
            raise InputError(
                f"--study test={self._asked.text('test')} fits no clip.",
                f"{len(self.clips())} clips are shown, all of them for training then.",
                "Correct the rule, for example --study test=run:5",
            )
        super().__init__(root, self._make_facts(name), allow_partial)

    def clips(self) -> list[Clip]:
        """The clips of all segments, training first."""
        return [clip for laid in self._laid for clip in laid.clips]

    def captions(self) -> dict[str, str] | None:
        """Captions from ``captions.tsv`` (clip_id, caption) in the folder of the films, where it is there."""
        path = self._stimuli() / "captions.tsv"
        return read_captions(path, self.clips()) if path.exists() else None

    def _films(self) -> list[Film]:
        films = film_paths(self._viewings)
        split = {clip.film: clip.split for clip in reversed(self.clips())}
        segment = {clip.film: clip.segment for clip in reversed(self.clips())}
        return [Film(name, path, split[name], segment[name]) for name, path in films.items()]

    def _hint(self) -> str:
        return "They are named in the column stim_file of the events."

    def _stimuli(self) -> Path:
        wanted = self._asked.text("stimuli")
        return self.root / (wanted or "stimuli")

    def _read_events(self) -> list[Viewing]:
        """What every run shows; all faulty tables are reported together."""
        viewings, problems = [], list[MindanimError]()
        for one in self._recordings:
            if one.events is None:
                continue
            try:
                events = read_events(
                    one.events,
                    one.name,
                    self._stimuli(),
                    rule=self._rule,
                    clip_s=self._clip_s,
                    allow_outside=self._outside,
                )
            except InputError as problem:
                problems.append(problem)
                continue
            self._events[one.name.path] = events
            name = one.name.label() or "film"
            subject = self._subjects[one.label]
            viewings.append(Viewing(subject, str(one.name.path), name, events.shown))
        raise_together(problems)
        return viewings

    def _make_facts(self, name: str) -> Facts:
        described = self._described()
        clips = self.clips()
        lag_s = self._asked.number("lag_s", least=0.0)
        rates = [clock.tr_s for clock in self._clocks.values() if clock.tr_s > 0]
        return Facts(
            name=name,
            title=str(described.get("Name") or self.root.resolve().name),
            layout="bids",
            subjects=tuple(in_order(self._subjects.values())),
            tr_s=rates[0] if rates else float("nan"),
            clip_s=self._clip_s or float(median(clip.duration_s for clip in clips)),
            lags_s=(LAG_S if lag_s is None else lag_s,),
            segments=tuple(laid.segment for laid in self._laid),
            citation=_citation(described),
            licence=str(described.get("License") or "not stated in dataset_description.json"),
            where="whoever provided the data, or your own pipeline",
        )

    def _described(self) -> dict[str, Any]:
        path = self.root / "dataset_description.json"
        return read_json(path) if path.is_file() else {}

    def _start_time(self) -> float | str | None:
        asked = self._asked.text("start_time")
        return asked if asked == "half" else self._asked.number("start_time", least=0.0)

    def _mine(self, subject: Subject) -> list[Recording]:
        return [one for one in self._recordings if self._subjects[one.label] == subject]

    def _declare(self, subject: Subject) -> Declared:
        parts: dict[str, list[tuple[Part, Laid]]] = {}
        for laid in self._laid:
            for part in laid.parts:
                parts.setdefault(part.key, []).append((part, laid))
        runs, strangers, faults = [], [], {}
        for one in self._mine(subject):
            mine = parts.get(str(one.name.path), [])
            if not mine:
                why = "no film is shown in it" if one.events else "it has no events"
                strangers.append(Stranger(one.name.path, why))
            runs += [self._run(subject, one, part, laid) for part, laid in mine]
            if mine and (fault := self._fault(one)):
                faults[one.path] = fault
        return Declared(runs, strangers, list(self._notes(subject)), faults)

    def _run(self, subject: Subject, one: Recording, part: Part, laid: Laid) -> Run:
        clock = self._clocks.get(one.name.path, RunClock())
        first = laid.clips[0]
        names = [clip.clip_id for clip in laid.clips] if part.onsets_s else []
        return Run(
            subject,
            first.film,
            first.split,
            laid.segment.name,
            part.repeat,
            one.path,
            clock.start_s + part.shift_s,
            clock.tr_s,
            0,
            mask=one.mask,
            confounds=one.confounds,
            shown_s=dict(zip(names, part.onsets_s, strict=True)),
        )

    def _fault(self, one: Recording) -> Fault | None:
        """Why a run that shows films cannot be used."""
        if not one.preprocessed:
            wanted = f" with {self._wanted.words}" if self._wanted.words else ""
            why = f"{one.name.label(())} has events ({one.name.path}), but no preprocessed run{wanted}"
            hint = "Preprocess it (fMRIPrep), or leave it out: --allow-partial"
            if others := self._without_events(one.label):
                hint = f"Does it have another name? These have no events: {others}. If not: {hint}"
            return Fault("missing-run", why, hint)
        clock = self._clocks[one.name.path]
        if not clock.fault:
            return None
        sidecar = self.root / f"task-{one.name.entities.get('task', 'LABEL')}_{one.name.suffix}.json"
        hint = (
            "Sidecars give RepetitionTime and, if it is known, StartTime in seconds: a JSON file with the "
            f"name of a run, or {sidecar} for all runs of the task."
        )
        return Fault("unknown-timing", clock.fault, hint)

    def _without_events(self, label: str) -> str:
        runs = [one for one in self._recordings if one.label == label and one.preprocessed and not one.events]
        return names_and_more([one.name.label(()) for one in runs], 3)

    def _notes(self, subject: Subject) -> Iterator[Finding]:
        mine = self._mine(subject)
        yield from notes(subject, mine, self._clocks)
        yield from skipped_rows(
            subject, [events for one in mine if (events := self._events.get(one.name.path))]
        )
        if count := scattered(self._laid):
            text = (
                f"{count} clips are shown in several runs, each time among different other ones: they are "
                "taken for different clips, not for repeats."
            )
            yield Finding("note", "scattered-clips", text, data={"clips": count})
        lacking = [
            laid.segment.name for laid in self._laid if subject not in {part.subject for part in laid.parts}
        ]
        if lacking:
            text = f"Subject {subject} has no run of: {', '.join(lacking)}; other subjects have."
            yield Finding("note", "other-segments", text, data={"segments": lacking})


def _subjects(recordings: Sequence[Recording]) -> dict[str, Subject]:
    """The subject of each label: the number that it is, else the label. InputError where two are the same."""
    subjects = dict[str, Subject]()
    for label in sorted({one.label for one in recordings}):
        try:
            subjects[label] = subject_of(label)
        except ValueError as error:
            raise InputError(f"sub-{label} is not a subject's label.", f"{error}.") from error
    labels: dict[Subject, list[str]] = {}
    for label, subject in subjects.items():
        labels.setdefault(subject, []).append(f"sub-{label}")
    if twice := [names for names in labels.values() if len(names) > 1]:
        raise InputError(
            f"{' and '.join(twice[0])} are the same number.",
            "Runs, events and results of one person must be under one label.",
            "Rename one of them, with the files in it.",
        )
    return subjects


def _citation(described: Mapping[str, Any]) -> str:
    doi, authors = described.get("DatasetDOI"), described.get("Authors")
    names = ", ".join(map(str, authors)) if isinstance(authors, list) else ""
    return ". ".join(str(part) for part in (names, described.get("Name"), doi) if part) or "not stated"


READERS.add("bids", Bids)
