"""Errors with what is wrong, why, and a hint, and the exit code of each."""

from __future__ import annotations

from collections.abc import Sequence


class MindanimError(Exception):
    """An error that a user can fix.

    Args:
        what: What is wrong, naming the file, run, clip or option.
        why: The reason, if it is known.
        hint: What the user can do, preferably a command.
    """

    exit_code = 1

    def __init__(self, what: str, why: str = "", hint: str = "") -> None:
        self.what, self.why, self.hint = what, why, hint
        super().__init__("\n".join(part for part in (what, why, hint) if part))


class UsageError(MindanimError):
    """The command line is wrong (exit code 2)."""

    exit_code = 2


class ConfigError(MindanimError):
    """A configuration value or recipe is wrong (exit code 3)."""

    exit_code = 3


class InputError(MindanimError):
    """Input data or an artifact is missing, malformed, stale or in the way (exit code 4)."""

    exit_code = 4


class MissingError(MindanimError):
    """Weights or an optional dependency are missing (exit code 5)."""

    exit_code = 5


INTERRUPTED = 130


def raise_together(problems: Sequence[MindanimError]) -> None:
    """Raise one error that reports every problem; do nothing if there is none.

    The error has the class of the first problem, and hence its exit code.
    """
    if not problems:
        return
    if len(problems) == 1:
        raise problems[0]
    lines = []
    for number, problem in enumerate(problems, start=1):
        lines.append(f"{number}. {problem.what}")
        lines += [f"   {line}" for part in (problem.why, problem.hint) for line in part.splitlines()]
    raise type(problems[0])(f"{len(problems)} problems:", "\n".join(lines))
