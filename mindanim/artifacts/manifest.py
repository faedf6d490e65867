"""The parts of a manifest that do not come from the stage itself."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import mindanim
from mindanim import runtime
from mindanim.artifacts.artifact import SCHEMA_VERSION, Artifact
from mindanim.artifacts.identity import Source, is_semantic
from mindanim.artifacts.lineage import input_entry
from mindanim.artifacts.plan import Plan
from mindanim.config import invocation
from mindanim.config.names import MAKER
from mindanim.config.option import StageConfig
from mindanim.config.run_options import RunOptions

# Where to write, and for this one call only: not part of a run that is replayed elsewhere.
_NOT_REPLAYED = {"work", "force", "dry_run", "offline", "shard"}
UNSET = "none"

MANIFEST_KEYS = {
    "schema_version": "version of this layout",
    "kind": "kind of artifact; also the folder's name, before any label",
    "identity": "hash of kind, seed, the options that decide the result, and the inputs' identities",
    "dataset, subject, label": "what it is about",
    "command": "command line, or Python call, that made it",
    "version, commit": "of mindanim; the commit is null when not known and ends in +changes for edited code",
    "seed": "seed of all randomness, null where there is none",
    "environment": "Python, platform, packages, threads, processes, GPU",
    "run": "device, precision, folders and the other shared options",
    "config": "every option of the stage: value, origin, and whether it is part of the identity",
    "inputs": "per input: an artifact's kind, relative path, identity, content digest and options; "
    "or a source's name, identity and detail",
    "started, finished": "times in UTC",
    "sessions": "how many runs it took; more than one when it was stopped and continued",
    "versions": "versions of mindanim that took part",
    "outputs": "per file: bytes, sha256 and, where they apply, shape, dtype, axes, unit, rows, columns",
    "methods": "sentences for a methods section",
    "findings": "audit findings and warnings: code, text, data",
    "facts": "small facts that `mindanim show` prints",
}


def describe_invocation(
    plan: Plan,
    config: StageConfig,
    inputs: Mapping[str, Artifact | Source],
    run: RunOptions,
    seed: int | None,
) -> dict[str, Any]:
    """What was asked for, by whom (command, version, commit), where, and from what."""
    options = config.model_dump(mode="json")
    origins = invocation.origins(config)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": plan.kind,
        "identity": plan.identity,
        "dataset": run.dataset,
        "subject": run.subject,
        "label": run.label,
        "command": list(invocation.command()),
        "version": runtime.version(),
        "commit": commit(),
        "seed": seed,
        "environment": runtime.environment(),
        "run": run.model_dump(mode="json"),
        "config": {
            name: {"value": options[name], "origin": origins[name], "identity": is_semantic(field)}
            for name, field in type(config).model_fields.items()
        },
        "inputs": {name: input_entry(given, plan.path) for name, given in inputs.items()},
    }


def replayable(kind: str, config: StageConfig, run: RunOptions) -> dict[str, Any]:
    """The content of config.toml: every option of run and stage. TOML has no null; "none" stands for it."""
    shared = {name: value for name, value in run.model_dump(mode="json").items() if name not in _NOT_REPLAYED}
    tables = {"run": shared, config.stage or MAKER.get(kind, kind): config.model_dump(mode="json")}
    return {table: {name: _toml(value) for name, value in values.items()} for table, values in tables.items()}


def _toml(value: Any) -> Any:
    return UNSET if value is None else value


@cache
def commit() -> str | None:
    """The git commit the code came from, with "+changes" for uncommitted edits; None when it is not known."""
    try:
        record = importlib.metadata.distribution("mindanim").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        record = None
    installed = json.loads(record).get("vcs_info", {}).get("commit_id") if record else None
    if isinstance(installed, str):
        return installed
    package = Path(mindanim.__file__).resolve().parent
    # A package inside site-packages may lie in someone else's repository: only its own checkout counts.
    if _git(package, "rev-parse", "--show-toplevel") != str(package.parent):
        return None
    head = _git(package, "rev-parse", "HEAD")
    edited = _git(package, "status", "--porcelain", "--untracked-files=no", ".")
    return f"{head}+changes" if head and edited else head or None


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
