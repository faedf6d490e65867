"""Your own study without BIDS: a folder with ``runs.tsv`` and ``clips.tsv``.

``runs.tsv``, one row per run: ``subject``, ``segment``, ``repeat``, ``path``, ``tr_s``; if needed ``start_s``
(time of the first volume on the segment's clock), ``volumes``, ``mask`` (NIfTI), ``axes`` (.npy),
``confounds``.

``clips.tsv``, one row per clip: ``clip_id``, ``split``, ``segment``, ``film`` (path), ``onset_s`` and
``duration_s`` in the film; if needed ``at_s`` (time on the segment's clock, where that is not film time) and
``caption``.

``study.json``, if wanted: ``title``, ``citation``, ``licence``, ``where``, ``lags_s``, ``atlas``. Paths are
relative to the folder. The columns are described in docs/reference/tables.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.studies.base import READERS, Facts, Segment
from mindanim.studies.checks.declared_vs_disk import Declared, series_start_note
from mindanim.studies.header_clock import CIFTI_ENDINGS, header_clock
from mindanim.studies.paths import OUTSIDE, inside
from mindanim.studies.readers.bids import LAG_S
from mindanim.studies.readers.bids_names import read_json
from mindanim.studies.readers.declared import Reader
from mindanim.studies.study_options import StudyOptions
from mindanim.studies.tables import ROW, number, read_table, text
from mindanim.vocabulary.clips import Clip, Split
from mindanim.vocabulary.file_names import check_clip_id
from mindanim.vocabulary.limits import LONGEST_TR_S
from mindanim.vocabulary.runs import Axes, Film, Run
from mindanim.vocabulary.subjects import Subject, in_order, subject_of
from mindanim.vocabulary.words import names_and_more

RUNS, CLIPS, STUDY = "runs.tsv", "clips.tsv", "study.json"
RUN_COLUMNS = ("subject", "segment", "repeat", "path", "tr_s")
CLIP_COLUMNS = ("clip_id", "split", "segment", "film", "onset_s", "duration_s")
Made = TypeVar("Made")

_AXES = ("volume voxel", "voxel volume")
_HINT = "The columns are described in docs/reference/tables.md."
_OPTIONS = {OUTSIDE: "allow: tables may name files outside the data folder"}
_TEXTS = ("title", "citation", "licence", "where", "atlas")


class Own(Reader):
    """A study declared by the tables in its folder."""

    def __init__(
        self,
        root: Path,
        *,
        allow_partial: bool = False,
        options: Mapping[str, str] | None = None,
        name: str = "tables",
    ) -> None:
        self._outside = StudyOptions(name, options or {}, _OPTIONS).allows(OUTSIDE)
        self.root = root
        self._about = self._read_about()
        self._rows = read_table(root / CLIPS, CLIP_COLUMNS, _HINT)
        self._clips = _numbered(_together(root / CLIPS, self._rows, self._clip))
        self._headers_s: dict[Path, float] = {}
        self._runs = _together(root / RUNS, read_table(root / RUNS, RUN_COLUMNS, _HINT), self._run)
        self._check()
        super().__init__(root, self._make_facts(name), allow_partial)

    def clips(self) -> list[Clip]:
        """The clips in the order of the table, training first."""
        return sorted(self._clips, key=lambda clip: clip.split != "train")

    def captions(self) -> dict[str, str] | None:
        """The column ``caption``; None without it. InputError where a clip has none."""
        if "caption" not in self._rows[0]:
            return None
        return {row["clip_id"]: text(self.root / CLIPS, row, "caption") for row in self._rows}

    def atlas(self) -> Path | None:
        """The parcellation that ``study.json`` names. InputError where it is not there."""
        name = self._about.get("atlas")
        if not name:
            return None
        path = inside(self.root, name, self.root / STUDY, allow_outside=self._outside)
        if not path.is_file():
            raise InputError(f"{path} is missing.", f"{STUDY} names it as the study's atlas.")
        return path

    def _films(self) -> list[Film]:
        first: dict[str, Clip] = {}
        for clip in self.clips():
            first.setdefault(clip.film, clip)
        table = self.root / CLIPS
        return [
            Film(
                name,
                inside(self.root, name, table, allow_outside=self._outside),
                clip.split,
                clip.segment,
            )
            for name, clip in first.items()
        ]

    def _hint(self) -> str:
        return f"They are named in {CLIPS}."

    def _declare(self, subject: Subject) -> Declared:
        runs = [run for run in self._runs if run.subject == subject]
        by_use: dict[bool, dict[Path, float]] = {}
        for run in runs:
            if header_s := self._headers_s.get(run.path):
                by_use.setdefault(run.start_s == header_s, {})[run.path] = header_s
        notes = [series_start_note(subject, starts_s, used) for used, starts_s in by_use.items()]
        return Declared(runs, notes=notes)

    def _clip(self, row: Mapping[str, str]) -> Clip:
        table, film = self.root / CLIPS, text(self.root / CLIPS, row, "film")
        inside(self.root, film, table, allow_outside=self._outside)
        split = text(table, row, "split")
        if split not in ("train", "test"):
            raise InputError(f"{table}, line {row[ROW]}: split is '{split}', not train or test.")
        duration_s = number(table, row, "duration_s")
        if duration_s == 0:
            raise InputError(
                f"{table}, line {row[ROW]}: duration_s is 0.", "A clip must last longer than that."
            )
        return Clip(
            check_clip_id(text(table, row, "clip_id"), f"{table}, line {row[ROW]}"),
            cast(Split, split),
            text(table, row, "segment"),
            film,
            0,
            number(table, row, "onset_s"),
            duration_s,
            number(table, row, "at_s", least=float("-inf")) if row.get("at_s") else None,
        )

    def _run(self, row: Mapping[str, str]) -> Run:
        table = self.root / RUNS
        try:
            subject = subject_of(text(table, row, "subject"))
        except ValueError as error:
            value = row["subject"]
            raise InputError(f"{table}, line {row[ROW]}: subject is '{value}'.", f"{error}.") from error
        segment = text(table, row, "segment")
        clip = next((clip for clip in self._clips if clip.segment == segment), None)
        if clip is None:
            raise InputError(
                f"{table}, line {row[ROW]}: no clip belongs to the segment '{segment}'.",
                f"The segments of {CLIPS} are: {', '.join({one.segment: 0 for one in self._clips})}.",
            )
        axes = row.get("axes") or None
        if axes is None and row["path"].endswith(".npy"):
            raise InputError(
                f"{table}, line {row[ROW]}: axes is empty.",
                f"A .npy file does not say which axis is time: '{_AXES[0]}' has one row per volume, "
                f"'{_AXES[1]}' one per voxel.",
            )
        if axes not in (None, *_AXES):
            raise InputError(
                f"{table}, line {row[ROW]}: axes is '{axes}'.", f"It is one of: {', '.join(_AXES)}."
            )
        tr_s = number(table, row, "tr_s")
        if not 0 < tr_s < LONGEST_TR_S:
            raise InputError(
                f"{table}, line {row[ROW]}: tr_s is {tr_s:g}.",
                f"It is the time between volumes (TR), in seconds{' (milliseconds?)' if tr_s else ''}.",
            )

        def path(column: str) -> Path:
            return inside(self.root, row[column], table, allow_outside=self._outside)

        signal = inside(self.root, text(table, row, "path"), table, allow_outside=self._outside)
        start_s = number(table, row, "start_s", least=float("-inf"), default=math.nan)
        if header_s := _series_start(signal):
            self._headers_s[signal] = header_s
        start_s = header_s if math.isnan(start_s) else start_s
        return Run(
            subject,
            clip.film,
            clip.split,
            segment,
            int(number(table, row, "repeat", least=1, whole=True)),
            signal,
            start_s,
            tr_s,
            int(number(table, row, "volumes", whole=True, default=0.0)),
            mask=path("mask") if row.get("mask") else None,
            axes=cast(Axes | None, axes),
            confounds=path("confounds") if row.get("confounds") else None,
        )

    def _check(self) -> None:
        """Raise for what no single row shows."""
        problems: list[MindanimError] = []
        # Each clip has files of its own, and some file systems do not tell "A" from "a".
        counts = Counter(clip.clip_id.casefold() for clip in self._clips)
        if twice := {clip.clip_id: 0 for clip in self._clips if counts[clip.clip_id.casefold()] > 1}:
            problems.append(
                InputError(
                    f"{self.root / CLIPS} names clips twice: {names_and_more(twice)}.",
                    "A clip_id must differ from all others in more than upper and lower case.",
                )
            )
        keys = Counter((run.subject, run.segment, run.repeat) for run in self._runs)
        for (subject, segment, repeat), count in keys.items():
            if count > 1:
                what = f"subject {subject}, segment {segment}, repeat {repeat}"
                problems.append(InputError(f"{self.root / RUNS} has {count} rows for {what}."))
        splits: dict[str, set[str]] = {}
        for clip in self._clips:
            splits.setdefault(clip.segment, set()).add(clip.split)
        for segment, found in splits.items():
            if len(found) > 1:
                problems.append(
                    InputError(
                        f"The segment '{segment}' in {self.root / CLIPS} has training and test clips.",
                        "All clips of a segment belong to one split.",
                        "Give them two segments; two rows of runs.tsv may name one file.",
                    )
                )
        raise_together(problems)

    def _make_facts(self, name: str) -> Facts:
        counts = Counter(clip.segment for clip in self._clips)
        segments: list[Segment] = []
        for clip in self.clips():
            if clip.segment in {segment.name for segment in segments}:
                continue
            mine = [run for run in self._runs if run.segment == clip.segment]
            segments.append(
                Segment(
                    clip.segment,
                    clip.split,
                    counts[clip.segment],
                    max((run.repeat for run in mine), default=0),
                    mine[0].start_s if mine else 0.0,
                    mine[0].volumes if mine else 0,
                )
            )
        return Facts(
            name=name,
            title=self._about.get("title", self.root.resolve().name),
            layout="tables",
            subjects=tuple(in_order(run.subject for run in self._runs)),
            tr_s=self._runs[0].tr_s,
            clip_s=sorted(clip.duration_s for clip in self._clips)[len(self._clips) // 2],
            lags_s=tuple(self._about.get("lags_s", (LAG_S,))),
            segments=tuple(segments),
            citation=self._about.get("citation", "not stated"),
            licence=self._about.get("licence", "not stated"),
            where=self._about.get("where", "whoever provided the data"),
        )

    def _read_about(self) -> dict[str, Any]:
        path = self.root / STUDY
        if not path.is_file():
            return {}
        content = read_json(path)
        if strange := [key for key in content if key not in (*_TEXTS, "lags_s")]:
            raise InputError(
                f"{path} has unknown entries: {', '.join(strange)}.",
                f"It may have: {', '.join((*_TEXTS, 'lags_s'))}.",
            )
        if wrong := [key for key in _TEXTS if not isinstance(content.get(key, ""), str)]:
            raise InputError(f"{path}: {', '.join(wrong)} is not text.")
        lags = content.get("lags_s", [LAG_S])
        if (
            not isinstance(lags, list)
            or not lags
            or not all(isinstance(lag, int | float) and 0 <= lag < 60 for lag in lags)
        ):
            raise InputError(f"{path}: lags_s is {lags!r}, not a list of seconds.", hint='"lags_s": [6.0]')
        return content


def _series_start(path: Path) -> float:
    """When a CIFTI series begins by its own header, seconds; 0 for other files and what cannot be read."""
    try:
        return header_clock(path).start_s if path.name.endswith(CIFTI_ENDINGS) else 0.0
    except InputError:
        return 0.0  # a finding of the comparison


def _numbered(clips: list[Clip]) -> list[Clip]:
    """The clips with their number within the segment, from 1, in the order of the table."""
    counts: Counter[str] = Counter()
    numbered = []
    for clip in clips:
        counts[clip.segment] += 1
        numbered.append(replace(clip, index=counts[clip.segment]))
    return numbered


def _together(
    path: Path, rows: list[dict[str, str]], make: Callable[[Mapping[str, str]], Made]
) -> list[Made]:
    """What ``make`` makes of every row; all faulty rows are reported together, up to ten."""
    made, problems = [], list[MindanimError]()
    for row in rows:
        try:
            made.append(make(row))
        except InputError as problem:
            problems.append(problem)
    if len(problems) > 10:
        rest = InputError(f"{len(problems) - 10} more rows of {path} are wrong.")
        problems = [*problems[:10], rest]
    raise_together(problems)
    return made


READERS.add("tables", Own)
