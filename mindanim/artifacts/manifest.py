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
from mindanim.artifacts.artifact import Artifact
from mindanim.artifacts.identity import Source, decides_result, is_default, stage_of
from mindanim.artifacts.lineage import input_entry
from mindanim.artifacts.manifest_schema import SCHEMA_VERSION
from mindanim.artifacts.plan import Plan
from mindanim.config import invocation
from mindanim.config.option import StageConfig
from mindanim.config.run_options import RunOptions
from mindanim.config.variants import in_use

# Where to write, and what concerns this one call only: not replayed elsewhere.
_NOT_REPLAYED = {"work", "config", "force", "dry_run", "offline", "shard"}
UNSET = "none"

MANIFEST_KEYS = {
    "schema_version": "version of this layout",
    "kind": "kind of artifact; also the folder's name, before any label",
    "identity": "hash of kind, seed, stage and its version, the inputs' identities, and the options in use "
    "that decide the result and differ from their defaults",
    "stage, stage_version": "the subcommand that made it, and the version of what its results mean",
    "dataset, subject, label": "what it is about",
    "command": "command line, or Python call, that made it",
    "version, commit": "of mindanim; the commit is null when not known and ends in +changes for edited code",
    "seed": "seed of all randomness, null where there is none",
    "environment": "Python, platform, packages, threads, processes, GPU",
    "run": "device, precision, folders and the other shared options",
    "config": "every option that has an effect: value, origin, whether it decides the result (identity) and "
    "whether it differs from its default (changed)",
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
    """What was asked for, by which command and version, on what machine, from which inputs."""
    options = config.model_dump(mode="json")
    origins = invocation.origins(config)
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": plan.kind,
        "identity": plan.identity,
        "stage": stage_of(plan.kind, config),
        "stage_version": config.stage_version,
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
            name: {
                "value": options[name],
                "origin": origins[name],
                "identity": decides_result(type(config).model_fields[name]),
                "changed": not is_default(config, name),
            }
            for name in in_use(config)
        },
        "inputs": {name: input_entry(given, plan.path) for name, given in inputs.items()},
    }


def replayable(kind: str, config: StageConfig, run: RunOptions) -> dict[str, Any]:
    """The content of config.toml: every option that has an effect. TOML has no null; "none" replaces it."""
    shared = {name: value for name, value in run.model_dump(mode="json").items() if name not in _NOT_REPLAYED}
    own = config.model_dump(mode="json", include=set(in_use(config)))
    tables = {"run": shared, stage_of(kind, config): own}
    return {table: {name: _toml(value) for name, value in values.items()} for table, values in tables.items()}


def _toml(value: Any) -> Any:
    return UNSET if value is None else value


@cache
def commit() -> str | None:
    """The git commit of the code, with "+changes" for uncommitted edits; None if unknown."""
    try:
        record = importlib.metadata.distribution("mindanim").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        record = None
    installed = json.loads(record).get("vcs_info", {}).get("commit_id") if record else None
    if isinstance(installed, str):
        return installed
    package = Path(mindanim.__file__).resolve().parent
    # site-packages may be inside someone else's repository: only the package's own checkout counts.
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
