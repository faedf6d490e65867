"""Whether a stage has to run: reuse, continue, build, or refuse, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mindanim.artifacts.artifact import MANIFEST, Artifact
from mindanim.artifacts.differences import input_changes, option_changes
from mindanim.artifacts.identity import Source, identity_of, semantic_options
from mindanim.artifacts.lineage import input_entry, refuse_stale
from mindanim.config.option import StageConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import InputError, MindanimError, raise_together

Action = Literal["skip", "build", "continue", "finish"]


@dataclass(frozen=True)
class Plan:
    """What a stage would do.

    action: skip (the artifact is there), build, continue (a killed run's work), or finish (all is there but
    the last rename).
    """

    action: Action
    kind: str
    path: Path
    identity: str
    partial: Path
    reason: str
    existing: Artifact | None
    replaces: bool


class Planned(Exception):  # noqa: N818 - not an error: it carries the answer of a dry run
    """Raised instead of building when `run.dry_run` is set."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(plan.reason)


class ShareDone(Exception):  # noqa: N818 - not an error: it carries the answer of one share of several
    """Raised when this process has done its share of an artifact's work and the artifact is not there yet."""

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
) -> Plan:
    """Decide without writing anything.

    Raises InputError when an input is stale or its files are damaged, and, unless run.force, when the folder
    holds an artifact of another identity, a damaged one, or something that is no artifact.
    """
    check_inputs(inputs)
    identity = identity_of(kind, config, inputs, seed)
    partial = path.with_name(f".{path.name}.partial-{identity[:8]}")
    existing = _existing(path, run.force)
    occupied = path.is_dir() and any(path.iterdir())
    if existing is not None and not run.force:
        if differences := compare(existing, identity, config, inputs, seed):
            raise InputError(
                f"{path} holds {kind} made otherwise.",
                why="\n".join(differences),
                hint="Add --label NAME to keep both, or --force to build anew (what is there is set aside).",
            )
        if damage := existing.problems():
            raise InputError(
                f"{path} is damaged.", why=" ".join(damage), hint="Add --force to build it again."
            )
        finished = existing.manifest["finished"]
        reason = f"same inputs and options as the one finished {finished}{_other_precision(existing, run)}"
        return Plan("skip", kind, path, identity, partial, reason, existing, replaces=False)
    if (partial / MANIFEST).exists():
        action: Action = "finish"
        reason = "complete but for its name; the run that made it was stopped there"
    elif partial.is_dir() and any(partial.iterdir()):
        action, reason = "continue", f"an earlier run was stopped; its work lies in {partial}"
    else:
        action, reason = "build", "forced" if occupied else "not there yet"
    return Plan(action, kind, path, identity, partial, reason, existing, replaces=occupied)


def _other_precision(existing: Artifact, run: RunOptions) -> str:
    """That networks computed in less than single precision, or in another one than is asked for now.

    Not a reason to refuse: with --precision auto the machine decides, and an artifact is the same on all.
    """
    made = existing.facts.get("precision", run.precision)
    if made == run.precision or (made == "fp32" and run.precision == "auto"):
        return ""
    anew = f"; --force computes it in {run.precision}" if run.precision != "auto" else ""
    return f" (computed in {made}{anew})"


def check_inputs(inputs: Mapping[str, Artifact | Source]) -> None:
    """InputError naming every input artifact that is stale or damaged."""
    problems: list[MindanimError] = []
    for name, given in inputs.items():
        if isinstance(given, Artifact):
            problems += refuse_stale(name, given)
            if damage := given.problems():
                problems.append(InputError(f"The input {name} is damaged.", why=" ".join(damage)))
    raise_together(problems)


def compare(
    existing: Artifact,
    identity: str,
    config: StageConfig,
    inputs: Mapping[str, Artifact | Source],
    seed: int | None,
) -> list[str]:
    """One line for everything in which an artifact differs from what is asked for."""
    manifest = existing.manifest
    now = semantic_options(config)
    lines = [f"option {change}" for change in option_changes(existing.options, now)]
    if manifest["seed"] != seed and "seed" not in now:
        lines.append(f"seed: {manifest['seed']} -> {seed}")
    for name in sorted(manifest["inputs"].keys() | inputs.keys()):
        change = _input_change(manifest["inputs"].get(name), inputs.get(name), existing.path)
        if change:
            lines.append(f"input {name}: {change}")
    if not lines and existing.identity != identity:
        lines.append(f"kind or manifest version: {existing.kind} {existing.identity[:8]} -> {identity[:8]}")
    return lines


def _input_change(before: dict[str, Any] | None, given: Artifact | Source | None, below: Path) -> str:
    if before is None:
        return "was not used before"
    return "is not used any more" if given is None else input_changes(before, input_entry(given, below))


def _existing(path: Path, force: bool) -> Artifact | None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return None
    if not path.is_dir():
        raise InputError(f"{path} is a file where a folder should be.", hint="Move it away, or use --label.")
    try:
        return Artifact.load(path)
    except InputError as error:
        if force:
            return None
        raise InputError(
            f"{path} is in the way: it is no readable artifact.",
            why=error.what,
            hint="Add --force to set it aside, --label to write elsewhere, or move it away.",
        ) from None
