"""What a user asks of a reader beyond the folder: ``--study key=value``, where a study comes in versions."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from mindanim.errors import UsageError
from mindanim.vocabulary.numerals import real


class StudyOptions:
    """The ``--study`` options of one call, checked against those that the reader knows.

    Args:
        known: By key, what it is for. Raises UsageError naming every unknown key.
    """

    def __init__(self, dataset: str, given: Mapping[str, str], known: Mapping[str, str]) -> None:
        self._dataset, self._given = dataset, given
        strange = [key for key in given if key not in known]
        if strange:
            guesses = [
                f"Did you mean {match[0]}?"
                for key in strange
                if (match := difflib.get_close_matches(key, known))
            ]
            there = "; ".join(f"{key}: {meaning}" for key, meaning in known.items()) or "none"
            raise UsageError(
                f"The study '{dataset}' has no option {', '.join(strange)}.",
                " ".join([*guesses, f"Its options are: {there}."]),
                "Correct --study KEY=VALUE",
            )

    def text(self, key: str) -> str | None:
        """The value, None where it was not given. UsageError where it is empty."""
        value = self._given.get(key)
        if value is not None and not value.strip():
            raise UsageError(f"--study {key}= is empty.", hint=f"Give a value, or leave --study {key} out.")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str | None:
        """The value, one of ``choices``; None where it was not given."""
        value = self.text(key)
        if value is not None and value not in choices:
            raise UsageError(
                f"--study {key}={value} is not a valid value.",
                f"For '{self._dataset}' it is one of: {', '.join(choices)}.",
            )
        return value

    def number(self, key: str, *, least: float, whole: bool = False) -> float | None:
        """The value as a finite number of at least ``least``; None where it was not given."""
        value = self.text(key)
        if value is None:
            return None
        number = real(value)
        if number is None or not least <= number < float("inf") or whole and number != int(number):
            kind = "a whole number" if whole else "a number"
            raise UsageError(f"--study {key}={value} is not {kind} of {least:g} or more.")
        return number

    def allows(self, key: str) -> bool:
        """Whether ``key=allow`` was given."""
        return self.choice(key, ("allow",)) is not None
