"""What an artifact was made from, and whether that is still there unchanged."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindanim.artifacts.artifact import Artifact
from mindanim.artifacts.differences import input_changes
from mindanim.artifacts.identity import Source, changed_files
from mindanim.errors import InputError, MindanimError
from mindanim.vocabulary.words import names_and_more


@dataclass(frozen=True)
class Ancestor:
    """One input of an artifact as its manifest records it, compared with what is there now.

    Attributes:
        name: The input's name.
        entry: What the manifest records of it.
        artifact: What is there now; None for a source, or if it is gone.
        changed: Why this input makes the artifact stale; empty if it does not.
    """

    name: str
    entry: dict[str, Any]
    artifact: Artifact | None
    changed: str

    @property
    def is_source(self) -> bool:
        return bool(self.entry["type"] == "source")


def input_entry(given: Artifact | Source, below: Path) -> dict[str, Any]:
    """What a manifest in the folder `below` records of an input."""
    if isinstance(given, Artifact):
        # Relative, so that a work folder can be moved as a whole.
        path = Path(os.path.relpath(given.path.resolve(), below.resolve())).as_posix()
        content = {
            "identity": given.identity,
            "digest": given.digest,
            "stage_version": given.manifest["stage_version"],
            "options": given.options,
            "changed": given.changed_options,
        }
        if "clips" in given.facts:
            content["clips"] = given.facts["clips"]
        return {"type": "artifact", "kind": given.kind, "path": path, **content}
    return {"type": "source", "name": given.name, "identity": given.identity, "detail": given.detail}


def ancestors(artifact: Artifact) -> list[Ancestor]:
    """The inputs of an artifact, each compared with what is there now."""
    return [_compare(artifact, name, entry) for name, entry in artifact.manifest["inputs"].items()]


def staleness(artifact: Artifact) -> list[str]:
    """Why the artifact is stale: a sentence for every input, its own or further up, that has changed since.

    An input that is gone cannot be compared and does not count.
    """
    reasons: list[str] = []
    for ancestor in ancestors(artifact):
        if ancestor.changed:
            reasons.append(ancestor.changed)
        elif ancestor.artifact is not None:
            reasons += [reason for reason in staleness(ancestor.artifact) if reason not in reasons]
    return reasons


def refuse_stale(name: str, artifact: Artifact) -> list[MindanimError]:
    """The error, if any, that rules out `artifact` as the input `name`."""
    reasons = staleness(artifact)
    if not reasons:
        return []
    return [
        InputError(
            f"The input {name} ({artifact.path}) is stale.",
            why=" ".join(reasons),
            hint=f"Make it again: {artifact.command}",
        )
    ]


def _compare(artifact: Artifact, name: str, entry: dict[str, Any]) -> Ancestor:
    if entry["type"] == "source":
        changed = changed_files(entry["detail"], entry["identity"])
        files = names_and_more(changed)
        reason = f"{artifact.path.name} was made from {name}, whose files have changed: {files}."
        return Ancestor(name, entry, None, reason if changed else "")
    path = (artifact.path / entry["path"]).resolve()
    try:
        now = Artifact.load(path)
    except InputError:
        return Ancestor(name, entry, None, "")
    change = input_changes(entry, input_entry(now, artifact.path))
    reason = f"{artifact.path.name} was made from a different {name} than the one now in {path}: {change}."
    return Ancestor(name, entry, now, reason if change else "")
