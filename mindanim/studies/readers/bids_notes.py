"""What a subject's runs in BIDS leave open or leave out, as findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mindanim.studies.base import Finding
from mindanim.studies.checks.declared_vs_disk import series_start_note
from mindanim.studies.readers.bids_clock import RunClock
from mindanim.studies.readers.bids_events import FILMS, Events
from mindanim.studies.readers.bids_recordings import Recording
from mindanim.vocabulary.subjects import Subject
from mindanim.vocabulary.words import names_and_more

_ASKS = {
    "slice-timing": (
        "were corrected for slice timing, but no sidecar says to which time (StartTime). Were they corrected "
        "to the middle of the TR, as by fMRIPrep before 21.0? Then responses are read half a TR off, unless "
        "you say so: --study start_time=half. To the start of the TR? Then say --study start_time=0"
    ),
    "toffset": (
        "have a start of the time axis (toffset) in their NIfTI headers, and no StartTime in a sidecar: the "
        "first volume is taken to be at 0 s. If the header is right, say so, in seconds: --study start_time="
    ),
    "fewer-volumes": (
        "have fewer volumes than the raw runs, and no StartTime in a sidecar. If the first ones were "
        "removed, the others were acquired later than assumed: give StartTime, or say it in seconds: "
        "--study start_time="
    ),
}


def notes(
    subject: Subject, recordings: Sequence[Recording], clocks: Mapping[Path, RunClock]
) -> Iterator[Finding]:
    """Findings on the versions of runs and on their clocks."""
    runs = [one for one in recordings if one.preprocessed and one.events]
    yield from _versions(subject, runs)
    for code, asks in _ASKS.items():
        open_ = [one.name.path.name for one in runs if code in clocks[one.name.path].asks]
        if open_:
            text = f"Subject {subject}: {len(open_)} runs, for example {open_[0]}, {asks}"
            yield Finding("note", code, text, data={"runs": open_})
    started = {
        one.name.path: clocks[one.name.path].start_s for one in runs if clocks[one.name.path].from_header
    }
    if started:
        yield series_start_note(subject, started)


def _versions(subject: Subject, runs: Sequence[Recording]) -> Iterator[Finding]:
    """Echoes and phases that are not read; and runs of which some are read in another version."""
    replaced = [one for one in runs if one.others]
    if replaced:
        names = sorted({f"{key}-{value}" for one in replaced for other in one.others
                        for key, value in other.entities.items() if key in ("echo", "part")})  # fmt: skip
        count = "1 run also exists" if len(replaced) == 1 else f"{len(replaced)} runs also exist"
        read = [one.name.path.name for one in replaced]
        text = (
            f"Subject {subject}: {count} as {', '.join(names)}. These are versions of one viewing, not "
            f"repeats, and are not read. Read instead: {names_and_more(read, 1)}."
        )
        yield Finding("note", "other-versions", text, data={"versions": names})
    kinds = Counter(
        "_".join(f"{key}-{value}" for key, value in sorted(one.name.version) if key != "rec")
        + one.name.extension.removesuffix(".gz")
        for one in runs
    )
    if len(kinds) > 1:
        listed = ", ".join(f"{count} as {kind}" for kind, count in kinds.most_common())
        text = f"Subject {subject}: the runs come in different versions, which must not be mixed: {listed}."
        hint = "Choose one with --study desc=, space=, res=, echo= or format="
        yield Finding("problem", "mixed-versions", text, hint, dict(kinds))


def skipped_rows(subject: Subject, events: Sequence[Events]) -> Iterator[Finding]:
    """Rows of events whose stimulus file is not known to be a film, counted by extension, and rows shorter
    than a clip."""
    if short := [name for one in events for name in one.short]:
        text = (
            f"Subject {subject}: {len(short)} rows of events are skipped, because they are shorter than a "
            f"clip: {names_and_more(dict.fromkeys(short), 3)}."
        )
        yield Finding("note", "short-rows", text, data={"rows": len(short)})
    by_ending: dict[str, list[str]] = {}
    for one in events:
        for ending, names in one.skipped.items():
            by_ending.setdefault(ending, []).extend(names)
    if not by_ending:
        return
    listed = "; ".join(
        f"{len(names)} with {ending} ({names_and_more(dict.fromkeys(names), 3)})"
        for ending, names in by_ending.items()
    )
    text = (
        f"Subject {subject}: {sum(map(len, by_ending.values()))} rows of events are skipped, because the "
        f"file in stim_file does not have a film's extension: {listed}."
    )
    hint = f"If these are films, convert them to one of {', '.join(FILMS)}, and rename them in the events."
    data = {ending: len(names) for ending, names in by_ending.items()}
    yield Finding("note", "skipped-rows", text, hint, data)
