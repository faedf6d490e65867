"""Studies in BIDS with derivatives: what fMRIPrep, the HCP pipelines or xcp_d leave, events and stimuli.

Nothing is declared beforehand, so everything is discovered: subjects, preprocessed runs, repetition times
(sidecar, else header), events, films. Clips come from the events; the test set from a column of them or from
a rule. What one subject has and another lacks is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.studies.asked import StudyOptions
from mindanim.studies.base import Clip, Facts, Film, Finding, Run
from mindanim.studies.bids_events import SplitRule, read_events
from mindanim.studies.bids_names import Name, functional, inherited, metadata, read_json
from mindanim.studies.compare import Declared
from mindanim.studies.files import peek
from mindanim.studies.paths import OUTSIDE
from mindanim.studies.reader import Reader
from mindanim.studies.tables import read_captions
from mindanim.studies.timeline import Viewing, film_paths, lay_out

LAG_S = 6.0
"""Default lag where a study declares none: the peak of the canonical response to a clip of 2 s."""
FORMATS = {"dtseries": (".dtseries.nii",), "ptseries": (".ptseries.nii",), "nifti": (".nii.gz", ".nii")}
_ENTITIES = ("space", "res", "den", "desc", "atlas", "seg")
_OPTIONS = {
    "task": "task label of the runs to use",
    "format": f"{', '.join(FORMATS)}; the first that is there",
    **{entity: f"entity '{entity}' of the runs' names" for entity in _ENTITIES},
    "derivatives": "folder below derivatives/ to read",
    "stimuli": "folder of the films within the data folder (default stimuli)",
    "clip_s": "cut films into clips of this length, seconds",
    "lag_s": f"default lag from a clip's onset to its response, seconds (default {LAG_S:g})",
    "test": "which clips are for the test: run:5+6, ses:02, film:NAME or COLUMN:VALUE",
    OUTSIDE: "allow lets paths in tables leave the data folder",
}


@dataclass(frozen=True)
class _Recording:
    """A preprocessed run with its events, or the events of a run that has not been preprocessed."""

    subject: int
    name: Name
    events: Path | None
    preprocessed: bool


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
        self._trees = self._find_trees()
        self._numbers = _number_subjects(self._trees)
        if not self._numbers:
            raise InputError(
                f"{root} is not a BIDS dataset.",
                "There is no folder sub-<label> in it nor in derivatives/*.",
                "Give the folder that holds sub-*, or derivatives/, with --data.",
            )
        self._recordings = self._find_recordings()
        self._viewings = self._read_events()
        self._laid = lay_out(self._viewings)
        if not self._laid:
            raise InputError(f"No film is shown in {root}.", "No events.tsv names one in stim_file.")
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

    def _find_trees(self) -> list[Path]:
        """The raw data, or what is given, first; then the derivatives."""
        wanted = self._asked.text("derivatives")
        below = sorted(path for path in self.root.glob("derivatives/*") if path.is_dir())
        if wanted is not None and wanted not in [path.name for path in below]:
            there = ", ".join(path.name for path in below) or "none"
            raise InputError(
                f"There is no folder {self.root / 'derivatives' / wanted}.", f"There are: {there}."
            )
        return [self.root, *(path for path in below if wanted in (None, path.name))]

    def _find_recordings(self) -> list[_Recording]:
        """Every run that is preprocessed or has events. InputError where one is there in several versions."""
        files = functional(self._trees)
        if (task := self._asked.text("task")) is not None:
            files = [name for name in files if name.entities.get("task") == task]
        versions: dict[Any, list[Name]] = {}
        for name in files:
            if self._fits(name):
                versions.setdefault(name.recording, []).append(name)
        recordings: dict[Any, _Recording] = {}
        problems: list[MindanimError] = []
        for key, names in versions.items():
            kinds = [kind for kind, ends in FORMATS.items() if any(one.extension in ends for one in names)]
            ends = FORMATS[self._asked.choice("format", tuple(FORMATS)) or kinds[0]]
            names = [one for one in names if one.extension in ends]
            if len(names) > 1:
                problems.append(self._ambiguous(names))
            if names:
                recordings[key] = self._recording(names[0], preprocessed=True)
        raise_together(problems[:1])
        for name in files:
            if name.suffix == "events" and name.recording not in recordings:
                recordings[name.recording] = self._recording(name, preprocessed=False)
        return list(recordings.values())

    def _fits(self, name: Name) -> bool:
        """Whether a file is a preprocessed run of the kind asked for."""
        wanted = {entity: self._asked.text(entity) for entity in _ENTITIES}
        ends = FORMATS.get(self._asked.choice("format", tuple(FORMATS)) or "", sum(FORMATS.values(), ()))
        if name.suffix not in ("bold", "timeseries") or name.extension not in ends:
            return False
        if name.extension in FORMATS["nifti"] and "desc" not in name.entities:
            return False  # a raw run
        return all(value in (None, name.entities.get(entity)) for entity, value in wanted.items())

    def _ambiguous(self, names: list[Name]) -> InputError:
        listed = ", ".join(str(name.path.relative_to(self.root)) for name in names)
        return InputError(
            f"{names[0].label(())} is there in {len(names)} versions: {listed}.",
            "Responses are taken from one.",
            "Choose with --study space=, res=, den=, desc=, format= or derivatives=.",
        )

    def _recording(self, name: Name, preprocessed: bool) -> _Recording:
        """A run with the events that hold for it."""
        events = inherited(name, self._trees, "events", ".tsv")
        return _Recording(
            self._numbers[name.entities["sub"]], name, events[-1] if events else None, preprocessed
        )

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
                shown = read_events(
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
            name = one.name.label() or "film"
            viewings.append(Viewing(one.subject, str(one.name.path), name, shown))
        raise_together(problems)
        return viewings

    def _make_facts(self, name: str) -> Facts:
        described = self._described()
        clips = self.clips()
        lag_s = self._asked.number("lag_s", least=0.0)
        rates = [rate for one in self._recordings if (rate := self._rate_s(one)) is not None]
        return Facts(
            name=name,
            title=str(described.get("Name") or self.root.resolve().name),
            layout="bids",
            subjects=tuple(sorted(self._numbers.values())),
            tr_s=rates[0] if rates else float("nan"),
            clip_s=self._clip_s or float(median(clip.duration_s for clip in clips)),
            lags_s=(LAG_S if lag_s is None else lag_s,),
            segments=tuple(laid.segment for laid in self._laid),
            citation=_citation(described),
            licence=str(described.get("License") or "not stated in dataset_description.json"),
            where="whoever gave you the data, or your own pipeline",
        )

    def _described(self) -> dict[str, Any]:
        path = self.root / "dataset_description.json"
        return read_json(path) if path.is_file() else {}

    def _rate_s(self, recording: _Recording) -> float | None:
        """Repetition time from the sidecars, else from the header; None where neither can be read."""
        if not recording.preprocessed:
            return None
        value = metadata(recording.name, self._trees).get("RepetitionTime")
        if value is not None:
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 100:
                raise InputError(
                    f"RepetitionTime of {recording.name.path.name} is {value!r}.",
                    "It is a number of seconds in the sidecar.",
                    "Correct the JSON file.",
                )
            return float(value)
        try:
            return peek(recording.name.path).tr_s
        except InputError:
            return None  # a finding of the comparison

    def _declare(self, subject: int) -> Declared:
        shift = {
            (part.key, laid.segment.name): (part, laid)
            for laid in self._laid
            for part in laid.parts
            if part.subject == subject
        }
        runs, strangers = [], []
        for one in self._recordings:
            if one.subject != subject:
                continue
            mine = [pair for (key, _), pair in shift.items() if key == str(one.name.path)]
            if not mine:
                why = "no film is shown in it" if one.events else "it has no events"
                strangers.append((one.name.path, why))
            for part, laid in mine:
                runs.append(self._run(one, part.repeat, part.shift_s, laid.segment.name, laid.clips[0]))
        return Declared(runs, strangers, list(self._notes(subject)))

    def _run(self, one: _Recording, repeat: int, shift_s: float, segment: str, first: Clip) -> Run:
        path = one.name.path if one.preprocessed else _preprocessed_name(one.name)
        start_s = metadata(one.name, self._trees).get("StartTime", 0.0) if one.preprocessed else 0.0
        rate_s = self._rate_s(one)
        return Run(
            one.subject,
            first.film,
            first.split,
            segment,
            repeat,
            path,
            float(start_s) + shift_s,
            self.facts.tr_s if rate_s is None else rate_s,
            0,
            mask=self._mask(one.name) if one.name.extension in FORMATS["nifti"] else None,
            confounds=_confounds(one.name) if one.preprocessed else None,
        )

    def _mask(self, name: Name) -> Path:
        """The brain mask that belongs to a volume series."""
        entities = {**name.entities, "desc": "brain"}
        stem = "_".join(f"{key}-{value}" for key, value in entities.items())
        return next(
            (
                path
                for end in (".nii.gz", ".nii")
                if (path := name.path.with_name(f"{stem}_mask{end}")).is_file()
            ),
            name.path.with_name(f"{stem}_mask.nii.gz"),
        )

    def _notes(self, subject: int) -> Iterator[Finding]:
        labels = {number: label for label, number in self._numbers.items()}
        if labels[subject].lstrip("0") != str(subject):
            text = f"Subject {subject} is sub-{labels[subject]}: labels are numbered in alphabetical order."
            yield Finding("note", "subject-label", text, data={"label": labels[subject]})
        lacking = [
            laid.segment.name for laid in self._laid if subject not in {part.subject for part in laid.parts}
        ]
        if lacking:
            text = f"Subject {subject} has no run of: {', '.join(lacking)}; other subjects have."
            yield Finding("note", "other-segments", text, data={"segments": lacking})


def _number_subjects(trees: list[Path]) -> dict[str, int]:
    """Subject numbers by label: the label itself where all are numbers, else the place in the alphabet."""
    labels = sorted({path.name[4:] for tree in trees for path in tree.glob("sub-*") if path.is_dir()})
    numbers = [int(label) for label in labels if label.isdecimal()]
    if len(set(numbers)) == len(labels) and all(numbers):
        return dict(zip(labels, numbers, strict=True))
    return {label: place for place, label in enumerate(labels, start=1)}


def _confounds(name: Name) -> Path | None:
    """fMRIPrep's table of a run, under its present or former name."""
    stem = name.label(())
    for suffix in ("timeseries", "regressors"):
        path = name.path.with_name(f"{stem}_desc-confounds_{suffix}.tsv")
        if path.is_file():
            return path
    return None


def _preprocessed_name(events: Name) -> Path:
    """What a run that only has events would be called."""
    return events.path.with_name(f"{events.label(())}_desc-preproc_bold.nii.gz")


def _citation(described: Mapping[str, Any]) -> str:
    doi, authors = described.get("DatasetDOI"), described.get("Authors")
    names = ", ".join(map(str, authors)) if isinstance(authors, list) else ""
    return ". ".join(str(part) for part in (names, described.get("Name"), doi) if part) or "not stated"
