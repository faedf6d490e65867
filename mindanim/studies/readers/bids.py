"""Studies in BIDS with derivatives: what fMRIPrep, the HCP pipelines or xcp_d leave, events and stimuli.

Nothing is declared beforehand, so everything is discovered: subjects, preprocessed runs, repetition times
(sidecar, else header), events, films. Clips come from the events; the test set from a column of them or from
a rule. What one subject has and another lacks is reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.studies.base import READERS, Facts, Finding
from mindanim.studies.checks.declared_vs_disk import Declared
from mindanim.studies.paths import OUTSIDE
from mindanim.studies.readers.bids_events import SplitRule, read_events
from mindanim.studies.readers.bids_names import metadata, read_json
from mindanim.studies.readers.bids_recordings import (
    ENTITIES,
    FORMATS,
    Recording,
    Wanted,
    find_recordings,
    find_trees,
    number_subjects,
    repetition_time,
)
from mindanim.studies.readers.declared import Reader
from mindanim.studies.study_options import StudyOptions
from mindanim.studies.tables import read_captions
from mindanim.studies.timeline import Laid, Part, Viewing, film_paths, lay_out, scattered
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Film, Run

LAG_S = 6.0
"""Default lag where a study declares none: the peak of the canonical response to a clip of 2 s."""
_OPTIONS = {
    "task": "task label of the runs to use",
    "format": f"{', '.join(FORMATS)}; the first that is there",
    **{entity: f"entity '{entity}' of the runs' names" for entity in ENTITIES},
    "derivatives": "folder below derivatives/ to read",
    "stimuli": "folder of the films within the data folder (default stimuli)",
    "clip_s": "cut films into clips of this length, seconds",
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
        self._numbers = number_subjects(self._trees)
        if not self._numbers:
            raise InputError(
                f"{root} is not a BIDS dataset.",
                "There is no folder sub-<label> in it nor in derivatives/*.",
                "Give the folder that holds sub-*, or derivatives/, with --data",
            )
        wanted = Wanted(
            self._asked.text("task"),
            self._asked.choice("format", tuple(FORMATS)),
            {entity: self._asked.text(entity) for entity in ENTITIES},
        )
        self._recordings = find_recordings(root, self._trees, self._numbers, wanted)
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
        rates = [rate for one in self._recordings if (rate := repetition_time(one, self._trees)) is not None]
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
            where="whoever provided the data, or your own pipeline",
        )

    def _described(self) -> dict[str, Any]:
        path = self.root / "dataset_description.json"
        return read_json(path) if path.is_file() else {}

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
                runs.append(self._run(one, part, laid))
        return Declared(runs, strangers, list(self._notes(subject)))

    def _run(self, one: Recording, part: Part, laid: Laid) -> Run:
        begins_s = metadata(one.name, self._trees).get("StartTime", 0.0) if one.preprocessed else 0.0
        rate_s = repetition_time(one, self._trees)
        first = laid.clips[0]
        names = [clip.clip_id for clip in laid.clips] if part.onsets_s else []
        return Run(
            one.subject,
            first.film,
            first.split,
            laid.segment.name,
            part.repeat,
            one.path,
            float(begins_s) + part.shift_s,
            self.facts.tr_s if rate_s is None else rate_s,
            0,
            mask=one.mask if one.volumetric else None,
            confounds=one.confounds,
            shown_s=dict(zip(names, part.onsets_s, strict=True)),
        )

    def _notes(self, subject: int) -> Iterator[Finding]:
        labels = {number: label for label, number in self._numbers.items()}
        if labels[subject].lstrip("0") != str(subject):
            text = f"Subject {subject} is sub-{labels[subject]}: labels are numbered in alphabetical order."
            yield Finding("note", "subject-label", text, data={"label": labels[subject]})
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


def _citation(described: Mapping[str, Any]) -> str:
    doi, authors = described.get("DatasetDOI"), described.get("Authors")
    names = ", ".join(map(str, authors)) if isinstance(authors, list) else ""
    return ". ".join(str(part) for part in (names, described.get("Name"), doi) if part) or "not stated"


READERS.add("bids", Bids)
