"""Names of files in BIDS and its derivatives: entities, suffix, extension, and which file goes with which.

Only what a reader of preprocessed runs needs of the specification (https://bids-specification.readthedocs.io,
version 1.10): entities in the name, the folders ``sub-*/[ses-*]/func``, and the inheritance of metadata from
folders above.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindanim.errors import InputError
from mindanim.vocabulary.reading import reading

_ENTITY = re.compile(r"([a-z]+)-([a-zA-Z0-9][a-zA-Z0-9+.]*)")
_EXTENSIONS = (
    ".dtseries.nii.gz", ".ptseries.nii.gz", ".dtseries.nii", ".ptseries.nii", ".nii.gz", ".nii", ".json",
    ".tsv",
)  # fmt: skip
_OF_RUN = ("sub", "ses", "task", "acq", "ce", "dir", "run")
"""Entities that tell one acquisition from another, and so one viewing of a film from another. All others tell
versions of one acquisition: its echoes, magnitude and phase (part), reconstructions (rec), spaces (space,
res, den), cleaned and not (desc)."""
_INDICES = ("run", "echo")
"""Entities that are numbers, so that run-1 and run-01 are one."""


@dataclass(frozen=True)
class Name:
    """A file with what its name says. entities: in the order of the name, ``{"sub": "01", ...}``."""

    path: Path
    entities: Mapping[str, str]
    suffix: str
    extension: str

    @property
    def recording(self) -> frozenset[tuple[str, str]]:
        """The entities that identify the acquisition, numbers without leading zeros."""
        return frozenset(pair for pair in self._plain() if pair[0] in _OF_RUN)

    @property
    def version(self) -> frozenset[tuple[str, str]]:
        """The other entities, which tell in which of its versions the acquisition is stored."""
        return frozenset(pair for pair in self._plain() if pair[0] not in _OF_RUN)

    def label(self, without: Iterable[str] = ("sub",)) -> str:
        """The acquisition's entities in words, e.g. ``task-film_run-1``."""
        kept = [key for key in self.entities if key in _OF_RUN and key not in without]
        return "_".join(f"{key}-{self.entities[key]}" for key in kept)

    def _plain(self) -> Iterable[tuple[str, str]]:
        return ((key, plain(key, value)) for key, value in self.entities.items())


def plain(key: str, value: str) -> str:
    """An entity's value as it is compared: of runs and echoes the number, without leading zeros."""
    return str(int(value)) if key in _INDICES and value.isdecimal() else value


def parse(path: Path) -> Name | None:
    """What a file's name says; None where it is no BIDS name, such as ``notes.txt``."""
    extension = next((end for end in _EXTENSIONS if path.name.endswith(end)), None)
    if extension is None:
        return None
    *parts, suffix = path.name.removesuffix(extension).split("_")
    matches = [_ENTITY.fullmatch(part) for part in parts]
    if any(match is None for match in matches) or not re.fullmatch("[a-zA-Z0-9]+", suffix):
        return None
    entities = {match[1]: match[2] for match in matches if match}
    return Name(path, entities, suffix, extension) if len(entities) == len(parts) else None


def functional(trees: Iterable[Path]) -> list[Name]:
    """Every file in the ``func`` folders of subjects in some trees, sorted by path."""
    found = []
    for tree in trees:
        for pattern in ("sub-*/func/*", "sub-*/ses-*/func/*"):
            found += [name for path in sorted(tree.glob(pattern)) if (name := parse(path)) is not None]
    return found


def inherited(name: Name, trees: Iterable[Path], suffix: str, extension: str) -> list[Path]:
    """Files of ``suffix`` and ``extension`` that apply to ``name``, the nearest last.

    A file applies to another if all its entities are among the other's and it is in the same folder or in one
    above, up to the root of a tree. The same place in another tree counts too: derivatives do not repeat the
    events of the raw data.
    """
    folders: list[Path] = []
    for tree in trees:
        inside = Path(f"sub-{name.entities['sub']}")
        if "ses" in name.entities:
            inside /= f"ses-{name.entities['ses']}"
        inside /= "func"
        folders += [tree / parent for parent in reversed([inside, *inside.parents])]
    fitting = []
    for depth, folder in enumerate(folders):
        for path in sorted(folder.glob(f"*_{suffix}{extension}")) if folder.is_dir() else ():
            other = parse(path)
            if other is None or other.suffix != suffix or not other.recording <= name.recording:
                continue
            # Some converters write the same events once per echo; those of its own version come first.
            own = other.version <= name.version
            if own or suffix == "events":
                fitting.append((own, len(other.entities), depth, path))
    return [path for *_, path in sorted(fitting, key=lambda item: item[:3])]


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object. InputError where the file holds something else."""
    with reading(path, "JSON file", "Repair it, or get it again."):
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object.", f"It holds {type(content).__name__}.")
    return content


def metadata(name: Name, trees: Iterable[Path]) -> dict[str, tuple[Any, Path]]:
    """Metadata of a run, each with the sidecar it comes from; the nearest sidecar wins."""
    found: dict[str, tuple[Any, Path]] = {}
    for path in inherited(name, trees, name.suffix, ".json"):
        found |= {key: (value, path) for key, value in read_json(path).items()}
    return found
