"""``mindanim show``: what an artifact is, what it was made from, and whether it is still up to date."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mindanim.artifacts import Ancestor, Artifact, Workspace
from mindanim.artifacts.artifact import MANIFEST
from mindanim.artifacts.lineage import Look
from mindanim.artifacts.workspace import datasets
from mindanim.config.run_options import RunOptions
from mindanim.errors import InputError
from mindanim.vocabulary.subjects import subject_of_folder

_MADE = ("command", "version", "commit", "started", "finished", "sessions", "seed")


def describe(path: Path, verify: bool = False) -> dict[str, Any]:
    """Everything `mindanim show` prints about the artifact in the folder `path`, as plain data.

    Args:
        path: The folder.
        verify: Read all files and compare their content; otherwise only their sizes are.

    Raises:
        InputError: There is no artifact.
    """
    artifact, look = Artifact.load(path), Look()
    damage = _damage(artifact, verify)
    return {
        "kind": artifact.kind,
        "path": str(path),
        "identity": artifact.identity,
        "state": state(artifact, look, damage),
        "reasons": look.staleness(artifact) + damage,
        "made": {name: artifact.manifest[name] for name in _MADE},
        "options": {name: entry["value"] for name, entry in artifact.manifest["config"].items()},
        "facts": artifact.facts,
        "findings": artifact.findings,
        "outputs": artifact.outputs,
        "lineage": lineage(artifact, look),
    }


def state(artifact: Artifact, look: Look, damage: list[str]) -> str:
    """ "ready", "stale" (an input has changed since) or "damaged" (a file is missing or has changed)."""
    return "damaged" if damage else "stale" if look.staleness(artifact) else "ready"


def _damage(artifact: Artifact, verify: bool) -> list[str]:
    return artifact.damage(again=True) if verify else artifact.problems()


def lineage(artifact: Artifact, look: Look, below: tuple[Path, ...] = ()) -> list[dict[str, Any]]:
    """The inputs, recursively: name, identity, path, what has changed, and their inputs."""
    below = (*below, artifact.path.resolve())
    return [
        {
            "name": ancestor.name,
            "identity": ancestor.entry["identity"],
            "path": _place(ancestor),
            "source": ancestor.is_source,
            "gone": not ancestor.is_source and ancestor.artifact is None,
            "changed": ancestor.changed,
            "inputs": lineage(ancestor.artifact, look, below)
            if ancestor.artifact and ancestor.artifact.path not in below
            else [],
        }
        for ancestor in look.ancestors(artifact)
    ]


def _place(ancestor: Ancestor) -> str:
    if ancestor.artifact is not None:
        return str(ancestor.artifact.path)
    detail = ancestor.entry.get("detail", {})
    return str(ancestor.entry.get("path") or detail.get("root") or detail.get("path") or "")


def overview(run: RunOptions, verify: bool = False) -> list[dict[str, Any]]:
    """One row per artifact, finished or not; only those of run.dataset and run.subject if given.

    The state of one whose manifest cannot be read is "unreadable"; `reasons` says why.
    """
    rows, look = [], Look()
    for dataset in [run.dataset] if run.dataset else datasets(run.work):
        workspace = Workspace(run.work, dataset)
        found = [_read(dataset, path, look) for path in workspace.folders()]
        rows += [_row(dataset, one, look, verify) if isinstance(one, Artifact) else one for one in found]
        rows += _unfinished(dataset, workspace.root)
    return [row for row in rows if run.subject in (None, row["subject"])]


def _read(dataset: str, path: Path, look: Look) -> Artifact | dict[str, Any]:
    """The artifact in a folder, or the row of one that cannot be read."""
    try:
        return look.add(Artifact.load(path))
    except InputError as error:
        return _bare(dataset, path) | {"state": "unreadable", "reasons": [f"{error.what} {error.why}"]}


def _bare(dataset: str, path: Path) -> dict[str, Any]:
    """What the name of a folder says, finished or not."""
    return {
        "dataset": dataset,
        "subject": subject_of_folder(path.parent.name),
        "folder": path.name,
        "kind": path.name.partition("-")[0],
        "state": "",
        "identity": "",
        "finished": None,
        "bytes": 0,
        "path": str(path),
        "reasons": [],
    }


def _row(dataset: str, artifact: Artifact, look: Look, verify: bool) -> dict[str, Any]:
    damage = _damage(artifact, verify)
    return _bare(dataset, artifact.path) | {
        "subject": artifact.manifest["subject"],
        "kind": artifact.kind,
        "state": state(artifact, look, damage),
        "identity": artifact.identity,
        "finished": artifact.manifest["finished"],
        "bytes": sum(entry["bytes"] for entry in artifact.outputs.values()),
        "reasons": damage,
    }


def _unfinished(dataset: str, root: Path) -> Iterator[dict[str, Any]]:
    for path in sorted([*root.glob(".*.partial-*"), *root.glob("sub-*/.*.partial-*")]):
        if (path / MANIFEST).exists():
            continue
        name, _, identity = path.name.removeprefix(".").rpartition(".partial-")
        yield _bare(dataset, path) | {
            "folder": name,
            "kind": name.partition("-")[0],
            "state": "unfinished",
            "identity": identity,
            "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
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
