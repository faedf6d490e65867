"""The runs of a study as they should be, held against those on disk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

from mindanim.errors import InputError
from mindanim.studies.base import Entry, Facts, Finding
from mindanim.studies.files import Layout, peek, same_data, signature
from mindanim.vocabulary.limits import TR_TOLERANCE
from mindanim.vocabulary.runs import Run
from mindanim.vocabulary.subjects import Subject
from mindanim.vocabulary.words import names_and_more


@dataclass(frozen=True)
class Fault:
    """Why a run cannot be used, as a reader knows it: ``code`` is one of the kinds below."""

    code: str
    why: str
    hint: str


@dataclass(frozen=True)
class Stranger:
    """A file that looks like a run and is not used; ``code`` is that of the finding."""

    path: Path
    why: str
    code: Literal["extra-file", "extra-run"] = "extra-file"


@dataclass(frozen=True)
class Declared:
    """What a reader expects of a subject.

    Attributes:
        runs: One per declared run, with the path where it is or should be; ``volumes=0`` where the study does
            not say how many.
        strangers: Other files that look like runs.
        notes: Findings of the reader itself.
        faults: By the path of a run, why it cannot be used, where the reader knows that.
    """

    runs: Sequence[Run]
    strangers: Sequence[Stranger] = ()
    notes: Sequence[Finding] = ()
    faults: Mapping[Path, Fault] = field(default_factory=dict)


@dataclass
class Compared:
    """The usable runs in their declared order, what became of each, and the findings on all of them."""

    runs: list[Run] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


_UNRECORDED = 0.1
"""Share of a run's clips that may begin after its end: a scan stopped with the film loses the last ones, one
that was broken off, or whose TR is wrong, more."""


def compare_runs(
    facts: Facts,
    subject: Subject,
    declared: Declared,
    onsets_s: Mapping[str, Sequence[float]] | None = None,
) -> Compared:
    """Compare the runs on disk with the declared ones.

    Args:
        onsets_s: By segment, when its clips begin on its runs' clock, seconds; most of them have to begin
            before a run ends. Findings are one per kind of difference: missing runs, unreadable ones, runs
            of another length, copies of other runs; and, as notes, files of undeclared runs, runs left out
            on the study's own advice, and headers with another TR.
    """
    found = Compared()
    good: dict[tuple[str, int], Run] = {}
    strange_tr = []
    for run in declared.runs:
        entry, usable, layout = _look(
            facts, run, declared.faults.get(run.path), (onsets_s or {}).get(run.segment, ())
        )
        if usable is not None:
            good[run.segment, run.repeat] = usable
        if layout and layout.tr_s and abs(layout.tr_s - run.tr_s) > TR_TOLERANCE * run.tr_s:
            strange_tr.append(f"{run.path.name} ({layout.tr_s:g} s)")
        found.entries.append(entry)
    _drop_duplicates(facts, found, good)
    found.runs = list(good.values())
    found.findings = _fault_findings(facts, subject, found.entries)
    left_out = [entry for entry in found.entries if entry.state == "left out"]
    if left_out:
        text = "; ".join(f"{entry.segment}_{entry.repeat}: {entry.why}" for entry in left_out)
        text = f"Subject {subject}: left out on the study's advice: {text}."
        found.findings.append(Finding("note", "dropped-run", text))
    if strange_tr:
        text = (
            f"Subject {subject}: {len(strange_tr)} headers give a TR other than the study's "
            f"{declared.runs[0].tr_s:g} s: {names_and_more(strange_tr, separator='; ')}."
        )
        hint = "preprocess stops at them; to use the study's TR: --set check_tr=false"
        found.findings.append(Finding("note", "header-tr", text, hint, {"runs": strange_tr}))
    for one in declared.strangers:
        found.entries.append(Entry(subject, "", 0, "not used", one.path, "extra-file", one.why))
    found.findings += _strangers(subject, declared.strangers)
    found.findings += declared.notes
    return found


def _look(
    facts: Facts, run: Run, fault: Fault | None, onsets_s: Sequence[float]
) -> tuple[Entry, Run | None, Layout | None]:
    """One declared run: its entry, and the run itself where it is without fault."""
    again = f"Download it again from {facts.where}, or leave it out: --allow-partial"

    def entry(state: str, code: str = "", why: str = "", hint: str = "") -> Entry:
        return Entry(run.subject, run.segment, run.repeat, state, run.path, code, why, hint)  # type: ignore[arg-type]

    advice = facts.dropped.get((run.subject, run.segment, run.repeat))
    if advice is not None:
        return entry("left out", "dropped-run", advice), None, None
    if fault is not None:
        state = "missing" if fault.code == "missing-run" else "wrong"
        return entry(state, fault.code, fault.why, fault.hint), None, None
    absent = [path for path in run.files if not path.exists()]
    if run.path in absent:
        linked = " (a link to a file that is not there: datalad get it)" if run.path.is_symlink() else ""
        return entry("missing", "missing-run", f"{run.path}{linked}", again), None, None
    if absent:
        names = ", ".join(path.name for path in absent)
        return entry("wrong", "missing-part", f"{run.path.name} lacks {names}", again), None, None
    try:
        layout = _loaded(run) if run.load is not None else peek(run.path)
    except InputError as error:
        why = " ".join(part for part in (error.what, error.why) if part).rstrip(".")
        return entry("wrong", "unreadable-run", why, error.hint), None, None
    if run.volumes and layout.volumes != run.volumes:
        why = f"{run.path.name} has {layout.volumes} volumes instead of {run.volumes}"
        return entry("wrong", "wrong-volumes", why, again), None, layout
    run = replace(run, volumes=layout.volumes)
    end_s, shown_s = run.start_s + run.volumes * run.tr_s, tuple(run.shown_s.values()) or onsets_s
    unrecorded = [onset_s for onset_s in shown_s if onset_s >= end_s - 1e-6]
    if len(unrecorded) > _UNRECORDED * len(shown_s):
        why = (
            f"{run.path.name} ends at {end_s:g} s (TR {run.tr_s:g} s, {run.volumes} volumes), but "
            f"{len(unrecorded)} of {len(shown_s)} clips begin after that, the last at {max(shown_s):g} s"
        )
        return entry("wrong", "wrong-volumes", why, again), None, layout
    return entry("found"), run, layout


def _loaded(run: Run) -> Layout:
    assert run.load is not None
    volumes, voxels = run.load().signal.shape
    return Layout(volumes, voxels, 0, run.path.stat().st_size)


def _drop_duplicates(facts: Facts, found: Compared, good: dict[tuple[str, int], Run]) -> None:
    """Take out runs that hold the data of another file; of two films nobody can say which one was shown."""
    files: dict[Path, list[Run]] = {}
    for run in good.values():
        files.setdefault(run.path, []).append(run)
    bad: dict[Path, str] = {}
    for one, other in _duplicates(files):
        why = f"{one.name} and {other.name} contain the same data"
        bad.setdefault(other, why)
        if {run.segment for run in files[one]} != {run.segment for run in files[other]}:
            bad.setdefault(one, why)
    hint = f"Download both again from {facts.where}, or leave them out: --allow-partial"
    for path in bad:
        for run in files[path]:
            del good[run.segment, run.repeat]
    found.entries = [
        replace(entry, state="wrong", code="duplicate-run", why=bad[entry.path], hint=hint)
        if entry.state == "found" and entry.path in bad
        else entry
        for entry in found.entries
    ]


def _duplicates(files: Iterable[Path]) -> list[tuple[Path, Path]]:
    groups: dict[str, list[Path]] = {}
    for path in files:
        groups.setdefault(signature(path), []).append(path)
    pairs = (pair for group in groups.values() for pair in combinations(group, 2))
    return [(one, other) for one, other in pairs if same_data(one, other)]


_KINDS = {
    "missing-run": "of {count} runs missing",
    "missing-part": "runs without a file they need",
    "unreadable-run": "runs unreadable",
    "wrong-volumes": "runs of another length than the study or its events say",
    "unknown-timing": "runs whose timing is not known",
    "duplicate-run": "runs that are copies of another run",
}


def _fault_findings(facts: Facts, subject: Subject, entries: Sequence[Entry]) -> list[Finding]:
    findings = []
    for code, label in _KINDS.items():
        faulty = [entry for entry in entries if entry.code == code]
        if not faulty:
            continue
        names = list(dict.fromkeys(entry.why for entry in faulty))
        named = names_and_more(names, separator="; ")
        text = f"Subject {subject}: {len(faulty)} {label.format(count=len(entries))}: {named}."
        mends = dict.fromkeys(entry.hint for entry in faulty)
        hint = " ".join(text for text in mends if text)
        if "--allow-partial" not in hint:
            hint = f"{hint} Or leave them out: --allow-partial".strip()
        findings.append(Finding("problem", code, text, hint, {"runs": names}))
    return findings


def _strangers(subject: Subject, strangers: Sequence[Stranger]) -> list[Finding]:
    """One note per reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in strangers:
        reasons.setdefault((one.code, one.why), []).append(one.path.name)
    return [
        Finding(
            "note",
            code,
            f"Subject {subject}: not used, because {why}: {', '.join(sorted(names))}.",
            data={"files": sorted(names)},
        )
        for (code, why), names in reasons.items()
    ]


def identical_subjects(
    subject: Subject, runs: Sequence[Run], others: Mapping[Subject, Declared]
) -> list[Finding]:
    """Other subjects of whom a run of the same segment and repeat holds the same data."""
    findings = []
    for other, declared in others.items():
        theirs = {(run.segment, run.repeat): run.path for run in declared.runs if run.path.is_file()}
        same = []
        for run in runs:
            path = theirs.get((run.segment, run.repeat))
            try:
                if path and signature(path) == signature(run.path) and same_data(path, run.path):
                    same.append(run.name)
            except InputError:
                continue  # unreadable: a finding of that subject
        if same:
            text = (
                f"{len(same)} runs of subjects {subject} and {other} contain the same data: "
                f"{names_and_more(same, separator='; ')}. "
                "They cannot be two subjects."
            )
            data = {"subjects": [subject, other], "runs": same}
            findings.append(Finding("note", "identical-subjects", text, data=data))
    return findings


def series_start_note(subject: Subject, starts_s: Mapping[Path, float], used: bool = True) -> Finding:
    """The note on runs whose CIFTI header places the first volume at these seconds, used or not."""
    named = names_and_more(
        [f"{path.name} ({start_s:g} s)" for path, start_s in starts_s.items()], separator="; "
    )
    text = (
        f"Subject {subject}: the first volume of {len(starts_s)} runs is not at 0 s by their headers "
        f"(SeriesStart), {'which is used' if used else 'but the study gives another start, which is used'}: "
        f"{named}."
    )
    return Finding("note", "series-start", text, data={"runs": [path.name for path in starts_s]})
