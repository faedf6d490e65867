"""Provenance of a report's numbers: a line per artifact, and the software that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mindanim import runtime
from mindanim.artifacts import Artifact
from mindanim.artifacts.manifest import commit
from mindanim.config.invocation import command


@dataclass(frozen=True)
class Origin:
    """How one artifact was made.

    Attributes:
        record: Its line in the provenance.
        environment: The environment recorded in its manifest.
    """

    record: Mapping[str, str]
    environment: Mapping[str, Any]

    @classmethod
    def of(cls, artifact: Artifact) -> Self:
        """The origin of a finished artifact."""
        manifest = artifact.manifest
        record = {
            "artifact": artifact.path.name,
            "identity": artifact.identity,
            "command": " ".join(manifest["command"]),
            "version": manifest["version"],
            "commit": manifest["commit"] or "",
            "seed": "" if manifest["seed"] is None else str(manifest["seed"]),
            "finished": f"{manifest['finished'][:16].replace('T', ' ')} UTC",
        }
        return cls(record, manifest["environment"])

    @classmethod
    def of_this_call(cls, place: Path, seed: int) -> Self:
        """The origin of the artifact being made for `place`; its identity is not known yet."""
        record = {
            "artifact": place.name,
            "identity": "",
            "command": " ".join(command()),
            "version": runtime.version(),
            "commit": commit() or "",
            "seed": str(seed),
            "finished": "with this page",
        }
        return cls(record, runtime.environment())


def software(origins: Sequence[Origin]) -> list[str]:
    """One sentence per environment, naming the artifacts that were made in it."""
    made: dict[str, list[str]] = {}
    for origin in origins:
        made.setdefault(_described(origin.environment), []).append(origin.record["artifact"])
    if len(made) == 1:
        return [f"All were made with {described}." for described in made]
    return [f"{', '.join(names)}: made with {described}." for described, names in made.items()]


def _described(environment: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {found}" for name, found in environment["packages"].items())
    machine = environment.get("gpu") or environment["machine"]
    return f"Python {environment['python']} on {machine}; {packages}"
