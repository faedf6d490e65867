"""Subjects: a number, or a label where the study's labels are no numbers (``sub-pilot01``)."""

from __future__ import annotations

import re
from collections.abc import Iterable

Subject = int | str
"""``1`` for sub-01, sub-1 and sub-001; ``"pilot01"`` for sub-pilot01."""

FOLDER = "sub-"
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9+]{0,63}")
RULE = "a subject is a number, or a label of letters and digits as in sub-pilot01"


def subject_of(text: str | int) -> Subject:
    """The subject that a number, a label or a folder's name means. ValueError where it can be none."""
    label = str(text).strip().removeprefix(FOLDER)
    if _LABEL.fullmatch(label) is None:
        raise ValueError(RULE)
    return int(label) if label.isdecimal() and int(label) > 0 else label


def subject_of_folder(name: str) -> Subject | None:
    """The subject whose folder has this name; None where it is no subject's."""
    try:
        return subject_of(name) if name.startswith(FOLDER) else None
    except ValueError:
        return None


def label_of(subject: Subject) -> str:
    """How a subject is written in names of folders and results: ``01``, ``pilot01``."""
    return f"{subject:02d}" if isinstance(subject, int) else subject


def folder_of(subject: Subject) -> str:
    """``sub-01``, ``sub-pilot01``."""
    return f"{FOLDER}{label_of(subject)}"


def in_order(subjects: Iterable[Subject]) -> list[Subject]:
    """The subjects once each: numbers first, then labels by the alphabet."""
    return sorted(
        set(subjects), key=lambda one: (isinstance(one, str), one if isinstance(one, int) else 0, str(one))
    )
