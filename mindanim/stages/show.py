"""``mindanim show``: what an artifact is, what it was made from, and whether it is still up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mindanim.artifacts import Ancestor, Artifact, Workspace, ancestors, staleness
from mindanim.artifacts.artifact import MANIFEST
from mindanim.artifacts.workspace import datasets
from mindanim.config.run_options import RunOptions
from mindanim.errors import InputError
from mindanim.vocabulary.subjects import subject_of_folder

_MADE = ("command", "version", "commit", "started", "finished", "sessions", "seed")


def describe(path: Path) -> dict[str, Any]:
    """Everything `mindanim show` prints about the artifact in the folder `path`, as plain data.

    Raises:
        InputError: There is no artifact.
    """
    artifact = Artifact.load(path)
    return {
        "kind": artifact.kind,
        "path": str(path),
        "identity": artifact.identity,
        "state": state(artifact),
        "reasons": staleness(artifact) + artifact.problems(),
        "made": {name: artifact.manifest[name] for name in _MADE},
        "options": {name: entry["value"] for name, entry in artifact.manifest["config"].items()},
        "facts": artifact.facts,
        "findings": artifact.findings,
        "outputs": artifact.outputs,
        "lineage": lineage(artifact),
    }


def state(artifact: Artifact) -> str:
    """ "ready", "stale" (an input has changed since) or "damaged" (a file is missing or has another size)."""
    return "damaged" if artifact.problems() else "stale" if staleness(artifact) else "ready"


def lineage(artifact: Artifact) -> list[dict[str, Any]]:
    """The inputs, recursively: name, identity, path, what has changed, and their inputs."""
    return [
        {
            "name": ancestor.name,
            "identity": ancestor.entry["identity"],
            "path": _place(ancestor),
            "source": ancestor.is_source,
            "gone": not ancestor.is_source and ancestor.artifact is None,
            "changed": ancestor.changed,
            "inputs": lineage(ancestor.artifact) if ancestor.artifact else [],
        }
        for ancestor in ancestors(artifact)
    ]


def _place(ancestor: Ancestor) -> str:
    if ancestor.artifact is not None:
        return str(ancestor.artifact.path)
    detail = ancestor.entry.get("detail", {})
    return str(ancestor.entry.get("path") or detail.get("root") or detail.get("path") or "")


def overview(run: RunOptions) -> list[dict[str, Any]]:
    """One row per artifact, finished or not; only those of run.dataset and run.subject if given."""
    rows = []
    for dataset in [run.dataset] if run.dataset else datasets(run.work):
        workspace = Workspace(run.work, dataset)
        finished = (_row(dataset, artifact) for artifact in workspace.artifacts())
        rows += [*finished, *_unfinished(dataset, workspace.root)]
    return [row for row in rows if run.subject in (None, row["subject"])]


def _row(dataset: str, artifact: Artifact) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "subject": artifact.manifest["subject"],
        "folder": artifact.path.name,
        "kind": artifact.kind,
        "state": state(artifact),
        "identity": artifact.identity,
        "finished": artifact.manifest["finished"],
        "bytes": sum(entry["bytes"] for entry in artifact.outputs.values()),
        "path": str(artifact.path),
    }


def _unfinished(dataset: str, root: Path) -> Iterator[dict[str, Any]]:
    for path in sorted([*root.glob(".*.partial-*"), *root.glob("sub-*/.*.partial-*")]):
        if (path / MANIFEST).exists():
            continue
        name, _, identity = path.name.removeprefix(".").rpartition(".partial-")
        parent = path.parent.name
        yield {
            "dataset": dataset,
            "subject": subject_of_folder(parent),
            "folder": name,
            "kind": name.partition("-")[0],
            "state": "unfinished",
            "identity": identity,
            "finished": None,
            "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
            "path": str(path),
        }


def find(path: Path) -> Path:
    """The artifact folder that `path` refers to: itself, or the folder that contains the given file."""
    for folder in (path, *path.parents):
        if (folder / MANIFEST).exists():
            return folder
    raise InputError(
        f"{path} is not an artifact, nor part of one." if path.exists() else f"{path} does not exist.",
        hint="mindanim show",
    )
