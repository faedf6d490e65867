"""When two artifacts are the same: same kind, same options that decide the result, same inputs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pydantic.fields import FieldInfo

from mindanim.artifacts.artifact import Artifact
from mindanim.artifacts.manifest_schema import SCHEMA_VERSION
from mindanim.config.names import MAKER
from mindanim.config.option import StageConfig, declared
from mindanim.config.variants import in_use
from mindanim.errors import InputError

_LISTED = "It is an input of this stage."
_HINT = "Correct the path, or put the file there."
_SAMPLE = 1 << 16


@dataclass(frozen=True)
class Source:
    """A raw input that no stage made: runs, films, weights.

    Attributes:
        name: What it is.
        identity: A fingerprint of its content.
        detail: What a reader of the manifest wants to know about it.
    """

    name: str
    identity: str
    detail: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_files(cls, name: str, paths: Sequence[Path], root: Path, **detail: Any) -> Self:
        """A source made of files below `root`; later stages can tell when one of them has changed.

        If a file is elsewhere, names are relative to the folder that all have in common instead.
        """
        if not all(path.is_relative_to(root) for path in paths):
            root = Path(os.path.commonpath([path.absolute() for path in (root, *paths)]))
            paths = [path.absolute() for path in paths]
        marks = {path.relative_to(root).as_posix(): _mark(path) for path in sorted(paths)}
        found = {"root": str(root.resolve()), "files": marks, **detail}
        return cls(name, fingerprint(paths, root), found)


def fingerprint(paths: Sequence[Path], root: Path) -> str:
    """A hash of files' names (relative to `root`), sizes and content, sampled so that a study takes seconds.

    A file of up to 192 KiB is read whole; of a larger one the first, middle and last 64 KiB. A change
    elsewhere in a large file that keeps its size is not noticed.

    Raises:
        InputError: A file is missing or no regular file.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        if path.exists() and not path.is_file():  # a FIFO would keep its reader waiting
            raise InputError(f"{path} is not a regular file.", why=_LISTED)
        try:
            size = path.stat().st_size
            digest.update(f"{path.relative_to(root).as_posix()}\0{size}\0".encode())
            with path.open("rb") as file:
                starts = (0,) if size <= 3 * _SAMPLE else (0, (size - _SAMPLE) // 2, size - _SAMPLE)
                for start in starts:
                    file.seek(start)
                    digest.update(file.read(size if len(starts) == 1 else _SAMPLE))
        except FileNotFoundError:
            raise InputError(f"{path} is missing.", why=_LISTED, hint=_HINT) from None
    return digest.hexdigest()


def changed_files(detail: Mapping[str, Any], recorded_identity: str) -> list[str]:
    """Names of a recorded source's files that have changed since; empty if none has or the root is gone.

    Sizes and modification times are compared first; content is sampled only if one of them differs.
    """
    marks, root = detail.get("files"), Path(str(detail.get("root", "")))
    if not isinstance(marks, Mapping) or not root.is_dir():
        return []
    now = {name: _mark(root / name) if (root / name).is_file() else [None, None] for name in marks}
    touched = [name for name in marks if now[name] != list(marks[name])]
    resized = [name for name in touched if now[name][0] != marks[name][0]]
    if resized or not touched:
        return resized
    return [] if fingerprint([root / name for name in marks], root) == recorded_identity else touched


def _mark(path: Path) -> list[int | None]:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path} is missing.", why=_LISTED, hint=_HINT) from None
    return [found.st_size, found.st_mtime_ns]


def options_of(config: StageConfig) -> dict[str, Any]:
    """The options that decide the result, as plain JSON values: of the variant in use, not of the others."""
    values = config.model_dump(mode="json")
    return {name: values[name] for name in in_use(config) if decides_result(type(config).model_fields[name])}


def decides_result(field: FieldInfo) -> bool:
    """Whether another value of this option makes another artifact."""
    return bool(declared(field).get("identity", True))


def is_default(config: StageConfig, name: str) -> bool:
    """Whether an option has its default value; one that has no default never does."""
    field = type(config).model_fields[name]
    return not field.is_required() and bool(
        getattr(config, name) == field.get_default(call_default_factory=True)
    )


def stage_of(kind: str, config: StageConfig) -> str:
    """The subcommand that makes this artifact with these options."""
    return config.stage or MAKER.get(kind, kind)


def identity_of(
    kind: str, config: StageConfig, inputs: Mapping[str, Artifact | Source], seed: int | None = None
) -> str:
    """The identity of the artifact that this kind, config and these inputs make: 64 hexadecimal digits.

    Only options of the variant in use that differ from their defaults are part of it, so that a new option
    leaves every artifact valid; a default that changes raises the version of the stage. Device, batch size,
    paths and verbosity are not part of it, nor is the order of options or inputs.

    Args:
        kind: Kind of artifact.
        config: The stage's options.
        inputs: By name, what the stage reads.
        seed: Seed of all randomness, None where there is none.
    """
    options = options_of(config)
    document = {
        "schema": SCHEMA_VERSION,
        "kind": kind,
        "stage": stage_of(kind, config),
        "version": config.stage_version,
        "options": {name: value for name, value in options.items() if not is_default(config, name)},
        "inputs": {name: given.identity for name, given in inputs.items()},
        "seed": seed,
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
