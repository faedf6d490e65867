"""Studies on a user's disk: what each declares about itself, what is there, and how the two compare."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from mindanim.config.names import kind_of_dataset
from mindanim.errors import InputError, UsageError
from mindanim.studies import readers
from mindanim.studies.base import READERS, Entry, Facts, Finding, Segment, Study
from mindanim.studies.foreign_reader import guarded
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Film, Matrix, Run

__all__ = [
    "READERS",
    "Clip",
    "Entry",
    "Facts",
    "Film",
    "Finding",
    "Matrix",
    "Run",
    "Segment",
    "Study",
    "has_reader",
    "open_study",
]

for _module in iter_modules(readers.__path__):
    import_module(f"{readers.__name__}.{_module.name}")

_WITHOUT_READER = {
    "boldmoments": "BOLD Moments (ds005165)",
    "neuromod": "Courtois NeuroMod",
    "shortclips": "Gallant Shortclips",
    "vim2": "vim-2",
    "cinebrain": "CineBrain",
}


def open_study(
    dataset: str, data: Path, allow_partial: bool = False, options: Mapping[str, str] | None = None
) -> Study:
    """Open the study ``dataset`` in the folder ``data``; ``bids-lab2`` is read as ``bids``.

    Args:
        dataset: Name of a reader, optionally followed by a dash and a name of the user's choice.
        data: Folder that the study was downloaded to.
        allow_partial: Use whatever is there, and report each gap as a finding.
        options: Choices for a study that comes in versions (``--study``).

    Raises:
        UsageError: No reader has this name, or the reader does not know an option.
        InputError: The folder does not contain the study.
    """
    name = _reader_of(dataset)
    if name is None:
        raise _unknown(dataset)
    if not data.is_dir():
        raise InputError(
            f"{data} is not a folder.",
            f"The study '{name}' is read from the folder it was downloaded or simulated to.",
            "Give the folder with --data",
        )
    opener = READERS[name]
    if package := READERS.foreign().get(name):
        return guarded(package, opener, data, allow_partial, options or {})
    return opener(data, allow_partial=allow_partial, options=options or {})


def has_reader(dataset: str) -> bool:
    """Whether any reader, of this or another package, reads the dataset of this name."""
    return _reader_of(dataset) is not None


def _reader_of(dataset: str) -> str | None:
    """The reader's name: all of the dataset's name, or as much of it as possible before a dash."""
    name = dataset.lower()
    while name not in READERS:
        name, dash, _ = name.rpartition("-")
        if not dash:
            return None
    return name


def _unknown(dataset: str) -> UsageError:
    readable = ", ".join(READERS)
    plain = "".join(letter for letter in dataset.lower() if letter.isalnum())
    if plain in _WITHOUT_READER:
        return UsageError(
            f"There is no reader for {_WITHOUT_READER[plain]} ('{dataset}') yet.",
            f"This version reads: {readable}.",
            "Convert the runs and films to one of these layouts, or install a package that reads this study.",
        )
    known = [*READERS, *_WITHOUT_READER]
    near = [
        name
        for meant in (plain, kind_of_dataset(dataset))
        for name in difflib.get_close_matches(meant, known, n=1)
    ]
    guess = f"Did you mean '{near[0]}'? " if near else ""
    return UsageError(f"There is no study called '{dataset}'.", f"{guess}This version reads: {readable}.")
