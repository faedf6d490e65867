"""What an artifact was made from, and whether that is still there unchanged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindanim.artifacts.artifact import Artifact
from mindanim.artifacts.differences import input_changes
from mindanim.artifacts.identity import Source, changed_files
from mindanim.config.suggestion import in_order
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


class Look:
    """One look at a work folder: every artifact in it and every source is read once.

    Whoever looks again later makes a new one, because files may have changed.
    """

    def __init__(self) -> None:
        self._artifacts: dict[str, Artifact | None] = {}
        self._sources: dict[tuple[str, str], list[str]] = {}
        self._reasons: dict[str, list[str]] = {}

    def ancestors(self, artifact: Artifact) -> list[Ancestor]:
        """The inputs of an artifact, each compared with what is there now."""
        return [self._compare(artifact, name, entry) for name, entry in artifact.manifest["inputs"].items()]

    def staleness(self, artifact: Artifact) -> list[str]:
        """Why the artifact is stale: a sentence for every input, its own or further up, that has changed.

        An input that is gone cannot be compared and does not count.
        """
        place = os.path.realpath(artifact.path)
        if place not in self._reasons:
            reasons = self._reasons[place] = []  # before its inputs: a forged lineage may be a circle
            for ancestor in self.ancestors(artifact):
                if ancestor.changed:
                    reasons.append(ancestor.changed)
                elif ancestor.artifact is not None:
                    above = self.staleness(ancestor.artifact)
                    reasons += [reason for reason in above if reason not in reasons]
        return self._reasons[place]

    def add(self, artifact: Artifact) -> Artifact:
        """Note an artifact that has just been read."""
        self._artifacts[os.path.realpath(artifact.path)] = artifact
        return artifact

    def _load(self, place: str) -> Artifact | None:
        if place not in self._artifacts:
            try:
                self._artifacts[place] = Artifact.load(Path(place))
            except InputError:
                self._artifacts[place] = None
        return self._artifacts[place]

    def _compare(self, artifact: Artifact, name: str, entry: dict[str, Any]) -> Ancestor:
        if entry["type"] == "source":
            key = (entry["identity"], str(entry["detail"].get("root", "")))
            if key not in self._sources:
                self._sources[key] = changed_files(entry["detail"], entry["identity"])
            changed = self._sources[key]
            files = names_and_more(changed)
            reason = f"{artifact.path.name} was made from {name}, whose files have changed: {files}."
            return Ancestor(name, entry, None, reason if changed else "")
        place = os.path.realpath(artifact.path / entry["path"])
        now = self._load(place)
        if now is None:
            return Ancestor(name, entry, None, "")
        change = input_changes(entry, input_entry(now, artifact.path))
        reason = (
            f"{artifact.path.name} was made from a different {name} than the one now in {place}: {change}."
        )
        return Ancestor(name, entry, now, reason if change else "")


def ancestors(artifact: Artifact) -> list[Ancestor]:
    """The inputs of an artifact, each compared with what is there now."""
    return Look().ancestors(artifact)


def staleness(artifact: Artifact) -> list[str]:
    """Why the artifact is stale; see `Look.staleness`."""
    return Look().staleness(artifact)


def refuse_stale(inputs: Mapping[str, Artifact]) -> list[MindanimError]:
    """The error, if any, that rules out `inputs`; its hint has the commands that remake all that is stale."""
    look = Look()
    stale = {name: artifact for name, artifact in inputs.items() if look.staleness(artifact)}
    if not stale:
        return []
    reasons = dict.fromkeys(reason for artifact in stale.values() for reason in look.staleness(artifact))
    remade = dict.fromkeys(
        one.command for artifact in stale.values() for one in _stale_lineage(artifact, look)
    )
    named = [f"{name} ({artifact.path})" for name, artifact in stale.items()]
    subject = f"The input {named[0]} is" if len(named) == 1 else f"The inputs {' and '.join(named)} are"
    return [InputError(f"{subject} stale.", why="\n".join(reasons), hint=in_order(list(remade)))]


def _stale_lineage(artifact: Artifact, look: Look, below: tuple[Path, ...] = ()) -> list[Artifact]:
    """A stale artifact and the stale ones that it is made from, in the order in which to remake them."""
    below = (*below, artifact.path)
    above = [one.artifact for one in look.ancestors(artifact) if one.artifact is not None]
    stale = [one for one in above if one.path not in below and look.staleness(one)]
    return [*(found for one in stale for found in _stale_lineage(one, look, below)), artifact]
