"""Studies as they lie on a user's disk: declared facts, discovery, and the comparison of the two."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path

from mindanim.config.names import kind_of_dataset
from mindanim.errors import InputError, UsageError
from mindanim.studies.base import Entry, Facts, Finding, Segment, Study
from mindanim.studies.readers.algonauts2021 import Algonauts2021
from mindanim.studies.readers.bids import Bids
from mindanim.studies.readers.cc2017 import CC2017
from mindanim.studies.readers.hcp import HCP
from mindanim.studies.readers.own import Own
from mindanim.studies.readers.simulated import open_simulated
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
    "open_study",
]

READERS: dict[str, Callable[..., Study]] = {
    "cc2017": CC2017,
    "hcp": HCP,
    "algonauts2021": Algonauts2021,
    "bids": Bids,
    "tables": Own,
    "simulated": open_simulated,
}
"""Reader by dataset name: ``(root, allow_partial=..., options=...) -> Study``."""

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
    """Open the study ``dataset`` that lies in the folder ``data``; ``bids-lab2`` is read as ``bids``.

    With ``allow_partial`` whatever is there is used and each gap becomes a finding. options: what is asked of
    a study that comes in versions (``--study``).

    Raises UsageError for a name no reader has or an option it does not know, InputError where the folder does
    not hold the study.
    """
    name = kind_of_dataset(dataset)
    if name not in READERS:
        raise _unknown(dataset)
    if not data.is_dir():
        raise InputError(
            f"{data} is not a folder.",
            f"The study '{name}' is read from the folder it was downloaded or simulated to.",
            "Give the folder with --data.",
        )
    return READERS[name](data, allow_partial=allow_partial, options=options or {})


def _unknown(dataset: str) -> UsageError:
    readable = ", ".join(READERS)
    plain = "".join(letter for letter in dataset.lower() if letter.isalnum())
    if plain in _WITHOUT_READER:
        return UsageError(
            f"There is no reader for {_WITHOUT_READER[plain]} ('{dataset}') yet.",
            f"This version reads: {readable}.",
            "Write the runs and films in one of these layouts, or use a version that reads this study.",
        )
    known = [*READERS, *_WITHOUT_READER]
    near = [
        name
        for meant in (plain, kind_of_dataset(dataset))
        for name in difflib.get_close_matches(meant, known, n=1)
    ]
    guess = f"Did you mean '{near[0]}'? " if near else ""
    return UsageError(f"There is no study called '{dataset}'.", f"{guess}This version reads: {readable}.")
