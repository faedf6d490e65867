"""A proposal for ``runs.tsv`` and ``clips.tsv`` of a folder that has films and runs, but not these tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mindanim.errors import InputError
from mindanim.studies.files import peek
from mindanim.studies.proposals.split import Showing, Split, propose_split
from mindanim.studies.readers.bids_events import FILMS
from mindanim.vocabulary.file_names import as_name

RUN_FILES = (".nii", ".nii.gz", ".npy")
_NOT_RUNS = ("mask", "dseg", "dlabel", "t1w", "atlas")
_SUBJECT = re.compile(r"(?:sub|subject|subj)[-_]?0*(\d+)", re.I)


@dataclass(frozen=True)
class FoundRun:
    """A run's file with what its name and header tell. film: empty where the name tells none."""

    path: Path
    subject: int
    film: str
    tr_s: float | None
    mask: Path | None


def find_films(root: Path) -> list[Path]:
    """Every film below ``root``, by name. InputError where there is none."""
    films = sorted(path for path in root.rglob("*") if path.suffix.lower() in FILMS and path.is_file())
    if not films:
        raise InputError(
            f"There is no film in {root}.", f"Looked for {', '.join(FILMS)}.", f"Copy the films to {root}"
        )
    return films


def find_runs(root: Path, films: Sequence[Path]) -> list[FoundRun]:
    """Every run below ``root``, by name. InputError where there is none."""
    files = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.name.endswith(RUN_FILES)
        and not path.name.startswith(".")
        and not any(word in path.name.lower() for word in _NOT_RUNS)
    ]
    if not files:
        raise InputError(
            f"There is no run in {root}.", f"Looked for {', '.join(RUN_FILES)}.", f"Copy the runs to {root}"
        )
    return [_run(root, path, films) for path in files]


def _run(root: Path, path: Path, films: Sequence[Path]) -> FoundRun:
    where = path.relative_to(root).as_posix()
    subject = _SUBJECT.search(where)
    named = [film for film in films if film.stem.lower() in where.lower()]
    try:
        tr_s = peek(path).tr_s
    except InputError:
        tr_s = None  # said when the table is read
    masks = sorted(mask for mask in path.parent.glob("*mask*.nii*")) or sorted(root.glob("*mask*.nii*"))
    volume = path.name.endswith((".nii", ".nii.gz")) and "series" not in path.name
    return FoundRun(
        path,
        int(subject[1]) if subject else 1,
        max(named, key=lambda film: len(film.stem)).relative_to(root).as_posix() if named else "",
        tr_s,
        masks[0] if volume and masks else None,
    )


def split_of(runs: Sequence[FoundRun], seconds: Mapping[str, float]) -> Split:
    """The test set, where runs name their films. seconds: duration by film."""
    shown = [(str(run.subject), str(run.path), run.film) for run in runs if run.film]
    shown = shown or [("", film, film) for film in seconds]
    return propose_split([Showing(who, run, film, 0.0, seconds[film]) for who, run, film in shown])


def runs_table(root: Path, runs: Sequence[FoundRun]) -> str:
    """The text of ``runs.tsv``; what is not known is left empty."""
    repeats: Counter[tuple[int, str]] = Counter()
    axes = any(run.path.suffix == ".npy" for run in runs)
    lines = ["subject\tsegment\trepeat\tpath\tmask\ttr_s\tstart_s" + "\taxes" * axes]
    for run in runs:
        repeats[run.subject, run.film] += 1
        cells = [
            str(run.subject),
            Path(run.film).stem,
            str(repeats[run.subject, run.film]),
            run.path.relative_to(root).as_posix(),
            run.mask.relative_to(root).as_posix() if run.mask else "",
            "" if run.tr_s is None else f"{run.tr_s:g}",
            "0",
            *[""] * axes,
        ]
        lines.append("\t".join(cells))
    return "\n".join(lines) + "\n"


def clips_table(seconds: Mapping[str, float], test: Sequence[str], clip_s: float) -> str:
    """The text of ``clips.tsv``: every film in whole clips of ``clip_s`` seconds."""
    lines = ["clip_id\tsplit\tsegment\tfilm\tonset_s\tduration_s"]
    for film, duration_s in seconds.items():
        name, split = Path(film).stem, "test" if film in test else "train"
        for number in range(int(duration_s / clip_s + 1e-6)):
            onset = f"{number * clip_s:g}"
            clip_id = f"{as_name(name)}-{number + 1:04d}"
            lines.append("\t".join((clip_id, split, name, film, onset, f"{clip_s:g}")))
    return "\n".join(lines) + "\n"
