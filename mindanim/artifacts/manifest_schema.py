"""The form of manifest.json: whoever wrote it, what is read further on has the types it should have."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from mindanim.errors import InputError

SCHEMA_VERSION = 2
_MOST_BYTES = 1 << 28
"""Largest manifest that is read; one of 100,000 clips has 40 MB."""
_MOST_NAMED = 5


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or name == "." or not name.isprintable():
        raise ValueError("the name leads out of the artifact's folder or is not a plain path")
    return name


_Count = Annotated[int, Field(ge=0)]
_Hash = Annotated[str, Field(pattern=re.compile(r"\A[0-9a-f]{64}\Z"))]
_Name = Annotated[str, AfterValidator(_inside)]


class _Form(BaseModel):
    """A part of the manifest; entries of other versions are let through."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Output(_Form):
    bytes: _Count
    sha256: _Hash
    shape: list[_Count] = []
    dtype: str = ""
    axes: str = ""
    unit: str = ""
    rows: _Count = 0
    columns: dict[str, str] = {}


class _Option(_Form):
    value: Any
    origin: str
    identity: bool
    changed: bool


class _OfArtifact(_Form):
    type: Literal["artifact"]
    kind: str
    path: str
    identity: str
    digest: str
    stage_version: int
    options: dict[str, Any]
    changed: list[str]


class _Detail(_Form):
    root: str = ""
    path: str = ""
    files: dict[str, Annotated[list[int | None], Field(min_length=2, max_length=2)]] = {}


class _OfSource(_Form):
    type: Literal["source"]
    name: str
    identity: str
    detail: _Detail


class _Finding(_Form):
    code: str
    text: str
    data: dict[str, Any]


class _Manifest(_Form):
    schema_version: int
    kind: str
    identity: _Hash
    stage: str
    stage_version: int
    dataset: str | None
    subject: Annotated[int, Field(ge=1)] | str | None
    label: str
    command: list[str]
    version: str
    commit: str | None
    seed: int | None
    environment: dict[str, Any]
    run: dict[str, Any]
    config: dict[str, _Option]
    inputs: dict[str, Annotated[_OfArtifact | _OfSource, Field(discriminator="type")]]
    started: str
    finished: str
    sessions: Annotated[int, Field(ge=1)]
    versions: list[str]
    outputs: dict[_Name, _Output]
    methods: list[str]
    findings: list[_Finding]
    facts: dict[str, Any]


def read_manifest(file: Path) -> dict[str, Any]:
    """The content of a manifest.json.

    Raises:
        FileNotFoundError, NotADirectoryError: There is none.
        InputError: It is no manifest, or one of another version of mindanim; names the file and the entries.
    """
    try:
        size = file.stat().st_size
        if not file.is_file():
            raise ValueError("it is not a file")
        if size > _MOST_BYTES:
            raise ValueError(f"it has {size} bytes, more than {_MOST_BYTES}")
        manifest = json.loads(
            file.read_text(encoding="utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_finite,
            parse_float=_finite,
        )
        if not isinstance(manifest, dict):
            raise ValueError(f"it holds a {type(manifest).__name__}, not an object")
    except (FileNotFoundError, NotADirectoryError):
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise _refused(file, f"{type(error).__name__}: {error}") from error
    version = manifest.get("schema_version")
    if type(version) is int and version != SCHEMA_VERSION:
        age, made_by = "a newer" if version > SCHEMA_VERSION else "an older", manifest.get("version")
        raise InputError(
            f"{file} was written by {age} mindanim ({made_by if isinstance(made_by, str) else 'unknown'}).",
            why=f"Its schema version is {version}; this mindanim reads {SCHEMA_VERSION}.",
            hint="Use that version of mindanim, or make the artifact again with --force",
        )
    try:
        _Manifest.model_validate(manifest)
    except ValidationError as error:
        raise _refused(file, _wrong(error)) from None
    return manifest


def _wrong(error: ValidationError) -> str:
    """Which entries are wrong, the first few: "outputs.a.npy.bytes: input should be ..."."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [
        f"{'.'.join(map(str, one['loc'])) or 'all'}: {one['msg'].removeprefix('Value error, ')}"
        for one in found[:_MOST_NAMED]
    ]
    rest = len(found) - _MOST_NAMED
    return "; ".join(lines) + (f"; and {rest} more" if rest > 0 else "") + "."


def _refused(file: Path, why: str) -> InputError:
    return InputError(
        f"{file} is not a manifest.",
        why=why,
        hint="Copy the artifact again from where it was made, or make it again with --force",
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the entry {twice!r} twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number of JSON")
    return number
