"""What a BIDS folder shows and in which versions its runs are there, before any option is chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mindanim.errors import InputError
from mindanim.studies.proposals.split import LONGEST_CLIP_S, Showing, Split, propose_split
from mindanim.studies.proposals.study_file import Choice
from mindanim.studies.readers.bids_events import FILMS
from mindanim.studies.readers.bids_names import Name, functional, inherited
from mindanim.studies.readers.bids_recordings import FORMATS, find_trees
from mindanim.studies.tables import number, read_table
from mindanim.vocabulary.words import names_and_more

_NEEDED = ("onset", "duration", "stim_file")
_EXAMPLE = "onset<TAB>duration<TAB>stim_file, and below: 0<TAB>180<TAB>film1.mp4"
_BEST = {"space": ("fsLR", "MNI152NLin2009cAsym", "MNI152NLin6Asym"), "desc": ("preproc", "denoised")}
_CHOSEN = ("space", "res", "den", "desc", "atlas", "seg")


@dataclass(frozen=True)
class BidsFolder:
    """A BIDS dataset as found.

    Attributes:
        stimuli: Where the films are, below the root.
        split: The proposed test set; None where the events have a column split.
        long: Whether films are longer than a clip, so that they must be cut.
    """

    root: Path
    showings: Sequence[Showing]
    stimuli: str
    split: Split | None
    long: bool
    versions: Sequence[Choice]


def look(root: Path) -> BidsFolder:
    """Look at the events, the films and the names of the runs in ``root``.

    Raises:
        InputError: No runs, no events, no film in them, no film file, or no test set to propose.
    """
    trees = find_trees(root, None)
    names = functional(trees)
    runs = [name for name in names if name.suffix in ("bold", "timeseries") and name.extension != ".json"]
    if not runs:
        raise InputError(
            f"There are no functional runs in {root}.",
            "Looked for sub-*/[ses-*/]func/*_bold.* in it and in derivatives/*.",
            "Give the BIDS dataset that has derivatives/ in it",
        )
    found = {name.recording: inherited(name, trees, "events", ".tsv") for name in names}
    events = {files[-1]: key for key, files in found.items() if files}
    if not events:
        raise InputError(
            f"There are no events in {root}.",
            f"No *_events.tsv says which film ran when in {runs[0].path.name} and {len(runs) - 1} other "
            f"runs. {_raw_above(root)}".rstrip(),
            f"Write one next to each run of the raw data, with the columns {_EXAMPLE}",
        )
    showings, marked, named = _read(names, trees)
    if not showings:
        raise InputError(
            f"No film is shown in {root}.",
            f"The column stim_file of {len(events)} events tables names no file that ends in "
            f"{', '.join(FILMS)}; it has: {names_and_more(sorted(named), 6) or 'nothing'}.",
            f"Name the film of each event, for example {_EXAMPLE}",
        )
    return BidsFolder(
        root,
        showings,
        _place_of(root, {one.film for one in showings}),
        None if marked else propose_split(showings),
        max(one.duration_s for one in showings) > LONGEST_CLIP_S,
        _versions(runs),
    )


def _raw_above(root: Path) -> str:
    for folder in root.resolve().parents:
        if list(folder.glob("sub-*")):
            return f"This seems to be a derivatives folder of {folder}, which may have them."
    return ""


def _read(names: Sequence[Name], trees: Sequence[Path]) -> tuple[list[Showing], bool, set[str]]:
    """What the runs show, whether every row with a film has a split, and all that stim_file names."""
    showings: list[Showing] = []
    marked, named = [], set[str]()
    seen = set()
    for name in names:
        if name.recording in seen:
            continue
        files = inherited(name, trees, "events", ".tsv")
        if not files:
            continue
        seen.add(name.recording)
        table = files[-1]
        for row in read_table(table, _NEEDED, f"Its columns begin with {_EXAMPLE}"):
            film = row["stim_file"].replace("\\", "/").removeprefix("bids::").removeprefix("stimuli/")
            named.add(film)
            if PurePosixPath(film).suffix.lower() not in FILMS:
                continue
            showings.append(
                Showing(
                    name.entities["sub"],
                    name.label(()),
                    film,
                    number(table, row, "stim_start", default=0.0),
                    number(table, row, "duration"),
                    dict(name.entities),
                )
            )
            marked.append(bool(row.get("split")))
    return showings, all(marked), named - {""}


def _place_of(root: Path, films: set[str]) -> str:
    """The folder below ``root`` that has the films; ``stimuli`` where that is the one."""
    missing = sorted(film for film in films if not (root / "stimuli" / film).is_file())
    if not missing:
        return "stimuli"
    folders: Counter[str] = Counter()
    for path in root.rglob(PurePosixPath(missing[0]).name):
        base = Path(str(path).removesuffix(missing[0]))
        if path.is_file() and all((base / film).is_file() for film in films):
            folders[base.relative_to(root).as_posix()] += 1
    if not folders:
        raise InputError(
            f"{len(missing)} of {len(films)} films are not in {root / 'stimuli'}: "
            f"{names_and_more(missing, 4)}.",
            "The events name them in stim_file. No other folder of the dataset has all of them.",
            f"Copy or link the films to {root / 'stimuli'}",
        )
    return min(folders, key=lambda folder: (folder.count("/"), folder))


def _versions(runs: Sequence[Name]) -> list[Choice]:
    """For each entity that tells versions of a run apart, the one to read."""
    kinds = [kind for kind, ends in FORMATS.items() if any(run.extension in ends for run in runs)]
    same = [run for run in runs if kinds and run.extension in FORMATS[kinds[0]]]
    if kinds[:1] == ["nifti"]:
        same = [run for run in same if "desc" in run.entities]  # the others are raw
    choices = []
    for entity in _CHOSEN:
        there = Counter(run.entities[entity] for run in same if entity in run.entities)
        if len(there) < 2:
            continue
        order = {name: place for place, name in enumerate(_BEST.get(entity, ()))}
        best = min(there, key=lambda name: (order.get(name, 99), -there[name], name))
        others = ", ".join(name for name in there if name != best)
        choices.append(
            Choice("run.study", entity, best, f"Which {entity} of the runs to read; also there: {others}.")
        )
        same = [run for run in same if run.entities.get(entity, best) == best]
    return choices
