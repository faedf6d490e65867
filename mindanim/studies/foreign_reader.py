"""A study as the reader of another package presents it: everything that it returns is of the right kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mindanim.errors import InputError, MindanimError
from mindanim.studies.base import Entry, Facts, Finding, Opener, Study
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Film, Run

_LISTS: dict[str, type] = {"films": Film, "clips": Clip, "runs": Run, "check": Finding, "inventory": Entry}
_OTHERS: dict[str, tuple[type, ...]] = {"captions": (dict, type(None)), "atlas": (Path, type(None))}
_VALUES: dict[str, type] = {"facts": Facts, "root": Path}


def guarded(
    package: str, opener: Opener, root: Path, allow_partial: bool, options: Mapping[str, str]
) -> Study:
    """Open a study and check it, now and whenever it is asked for something.

    Args:
        package: Name and version of the package, for errors.
        opener: The package's reader.
        root: Its arguments, as of `Opener`.
        allow_partial: Likewise.
        options: Likewise.

    Raises:
        InputError: The reader fails, or its facts are something else.
    """
    try:
        study: Any = opener(root, allow_partial=allow_partial, options=options)
    except MindanimError:
        raise
    except Exception as error:  # whatever another package's code raises
        raise _refused(package, f"It failed: {type(error).__name__}: {error}") from error
    for name, sort in _VALUES.items():
        if not isinstance(value := getattr(study, name, None), sort):
            raise _refused(package, f"{name} is of type {type(value).__name__}, not {sort.__name__}.")
    return _Guarded(study, package)  # type: ignore[return-value]


class _Guarded:
    """Passes everything on to the study and looks at what it returns."""

    def __init__(self, study: Any, package: str) -> None:
        self._study, self._package = study, package

    def __getattr__(self, name: str) -> Any:
        if name not in _LISTS and name not in _OTHERS:
            return getattr(self._study, name)
        found = getattr(self._study, name, None)
        if found is None:
            raise _refused(self._package, f"The study has no {name}().")

        def call(*given: Any, **named: Any) -> Any:
            try:
                made = found(*given, **named)
            except MindanimError:
                raise
            except Exception as error:  # whatever another package's code raises
                raise _refused(self._package, f"{name}() failed: {type(error).__name__}: {error}") from error
            if name in _LISTS:
                made = self._listed(name, made)
            elif not isinstance(made, _OTHERS[name]):
                raise _refused(self._package, f"{name}() returned a {type(made).__name__}.")
            return made

        return call

    def _listed(self, name: str, made: Any) -> list[Any]:
        """What a method returned as a list; InputError where it is no list of the right sort."""
        sort = _LISTS[name]
        if not isinstance(made, (list, tuple)):
            raise _refused(
                self._package, f"{name}() returned a {type(made).__name__}, not a list of {sort.__name__}."
            )
        strangers = [type(item).__name__ for item in made if not isinstance(item, sort)]
        if strangers:
            raise _refused(
                self._package, f"{name}() returned a list with a {strangers[0]}, not only {sort.__name__}."
            )
        return list(made)


def _refused(package: str, why: str) -> InputError:
    return InputError(
        f"The reader of {package} does not present a study as it must.",
        why,
        "Correct the package, or remove it: docs/how-to/extend.md shows a reader.",
    )
