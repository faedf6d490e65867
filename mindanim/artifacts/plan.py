"""Whether a stage has to run: reuse, continue, build, or refuse, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mindanim.artifacts.artifact import MANIFEST, Artifact
from mindanim.artifacts.differences import Settings, input_changes, option_changes
from mindanim.artifacts.identity import Source, identity_of, stage_of
from mindanim.artifacts.lineage import input_entry, refuse_stale
from mindanim.config.option import StageConfig
from mindanim.config.run_options import RunOptions
from mindanim.config.suggestion import in_order
from mindanim.errors import InputError, MindanimError, raise_together

Action = Literal["skip", "build", "continue", "finish", "extend"]


@dataclass(frozen=True)
class Coverage:
    """How far an artifact covers what is asked for, where several requests share an identity.

    Attributes:
        lacks: What is missing, in words; empty if everything is there.
        remark: What to say when nothing is missing; may be empty.
    """

    lacks: str
    remark: str = ""


@dataclass(frozen=True)
class Plan:
    """What a stage would do.

    Attributes:
        action: skip (the artifact is there), build, continue (a killed run's work), finish (only the renaming
            of the folder is left), or extend (add what the artifact lacks).
        kind: Kind of artifact.
        path: Its folder.
        identity: Its identity.
        partial: The folder it is built in.
        reason: Why this action.
        existing: The readable artifact in `path`, if any.
        replaces: Whether something in `path` will be replaced.
        extends: The artifact whose finished parts are reused, if any.
    """

    action: Action
    kind: str
    path: Path
    identity: str
    partial: Path
    reason: str
    existing: Artifact | None
    replaces: bool
    extends: Artifact | None = None


class Planned(Exception):  # noqa: N818 - not an error: it carries the answer of a dry run
    """Raised instead of building when `run.dry_run` is set."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(plan.reason)


class ShareDone(Exception):  # noqa: N818 - not an error: it carries the answer of one share
    """Raised when this process has done its share of the work but other shares are not done yet."""

    def __init__(self, plan: Plan, reason: str) -> None:
        self.plan, self.reason = plan, reason
        super().__init__(reason)


def make_plan(
    kind: str,
    path: Path,
    config: StageConfig,
    inputs: Mapping[str, Artifact | Source],
    run: RunOptions,
    seed: int | None,
    covers: Callable[[Artifact], Coverage] | None = None,
) -> Plan:
    """Decide without writing anything.

    Raises:
        InputError: An input is stale or damaged; or, without run.force, the folder has an artifact with
            another identity, a damaged one, or something that is not an artifact.
    """
    check_inputs(inputs)
    identity = identity_of(kind, config, inputs, seed)
    partial = path.with_name(f".{path.name}.partial-{identity[:8]}")
    existing = _existing(path, run.force)
    occupied = path.is_dir() and any(path.iterdir())
    extends: Artifact | None = None
    if existing is not None and not run.force:
        if differences := compare(existing, identity, config, inputs, seed):
            raise InputError(
                f"{path} was made with different options or inputs.",
                why="\n".join(differences),
                hint="Add --label NAME to keep both, or --force to rebuild (the old one is set aside).",
            )
        if damage := existing.damage():
            raise InputError(f"{path} is damaged.", why=" ".join(damage), hint="Add --force to rebuild it.")
        found = Coverage("") if covers is None else covers(existing)
        if not found.lacks:
            finished = existing.manifest["finished"]
            reason = f"same inputs and options as the one finished {finished}{found.remark}"
            reason += _other_precision(existing, run)
            return Plan("skip", kind, path, identity, partial, reason, existing, replaces=False)
        extends, lacks = existing, found.lacks
    sealed = (partial / MANIFEST).exists()
    if sealed and not (covers is not None and covers(Artifact.load(partial)).lacks):
        action: Action = "finish"
        reason = "complete except for its name; the run was stopped just before the end"
    elif partial.is_dir() and any(partial.iterdir()):
        action, reason = "continue", f"an earlier run was stopped; its work is in {partial}"
    elif extends is not None:
        action, reason = "extend", lacks
    else:
        action, reason = "build", "forced" if occupied else "not there yet"
    return Plan(action, kind, path, identity, partial, reason, existing, replaces=occupied, extends=extends)


def _other_precision(existing: Artifact, run: RunOptions) -> str:
    """A remark if networks ran in less than single precision, or another one than is asked for now.

    Not a reason to refuse: with --precision auto the machine decides, and an identity is the same on all.
    """
    made = existing.facts.get("precision", run.precision)
    if made == run.precision or (made == "fp32" and run.precision == "auto"):
        return ""
    again = f"; --force computes it in {run.precision}" if run.precision != "auto" else ""
    return f" (computed in {made}{again})"


def check_inputs(inputs: Mapping[str, Artifact | Source]) -> None:
    """Check that no input artifact is stale or damaged.

    Raises:
        InputError: Names every one that is.
    """
    artifacts = {name: given for name, given in inputs.items() if isinstance(given, Artifact)}
    problems: list[MindanimError] = [
        InputError(f"The input {name} is damaged.", why=" ".join(damage), hint=in_order([artifact.command]))
        for name, artifact in artifacts.items()
        if (damage := artifact.damage())
    ]
    raise_together([*refuse_stale(artifacts), *problems])


def compare(
    existing: Artifact,
    identity: str,
    config: StageConfig,
    inputs: Mapping[str, Artifact | Source],
    seed: int | None,
) -> list[str]:
    """One line for each difference between an artifact and what is asked for."""
    manifest = existing.manifest
    before, now = Settings(existing.options, existing.changed_options), Settings.of_config(config)
    lines = [f"option {change}" for change in option_changes(before, now)]
    if manifest["stage"] != (stage := stage_of(existing.kind, config)):
        lines.append(f"stage: {manifest['stage']} -> {stage}")
    elif manifest["stage_version"] != config.stage_version:
        versions = f"{manifest['stage_version']} -> {config.stage_version}"
        lines.append(f"version of {stage}: {versions} (its defaults or the meaning of its results changed)")
    if manifest["seed"] != seed and "seed" not in now.values:
        lines.append(f"seed: {manifest['seed']} -> {seed}")
    for name in sorted(manifest["inputs"].keys() | inputs.keys()):
        change = _input_change(manifest["inputs"].get(name), inputs.get(name), existing.path)
        if change:
            lines.append(f"input {name}: {change}")
    if not lines and existing.identity != identity:
        lines.append(f"identity: {existing.kind} {existing.identity[:8]} -> {identity[:8]}")
    return lines


def _input_change(before: dict[str, Any] | None, given: Artifact | Source | None, below: Path) -> str:
    if before is None:
        return "was not used before"
    return "is no longer used" if given is None else input_changes(before, input_entry(given, below))


def _existing(path: Path, force: bool) -> Artifact | None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    if not path.is_dir():
        raise InputError(f"{path} is a file, not a folder.", hint="Move it away, or use --label")
    try:
        return Artifact.load(path)
    except InputError as error:
        if force:
            return None
        raise InputError(
            f"{path} is in the way: it is not a readable artifact.",
            why=error.what,
            hint="Add --force to set it aside, --label to write elsewhere, or move it away.",
        ) from None
