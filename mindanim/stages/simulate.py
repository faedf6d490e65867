"""``mindanim simulate``: write a study with known ground truth as raw data, in the layout of a real study."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mindanim import console, runtime
from mindanim.artifacts import Plan, Planned, identity_of
from mindanim.artifacts.files import sync
from mindanim.artifacts.identity import options_of
from mindanim.artifacts.lock import locked
from mindanim.config.run_options import RunOptions
from mindanim.config.simulate import SimulateConfig
from mindanim.errors import InputError, UsageError
from mindanim.simulation.study import write_study
from mindanim.vocabulary.limits import FACTS_FILE

_KIND = "simulated study"


def simulate(config: SimulateConfig, run: RunOptions) -> Path:
    """Write a simulated study into the folder ``run.data``.

    The study is raw data for the other stages (``--dataset simulated --data FOLDER``), not an artifact. It is
    built in a hidden folder next to its place and renamed at the end, so the folder is either empty or
    complete. The same study is not written twice; anything else in the folder is refused or, with
    ``run.force``, set aside.

    Returns:
        The folder.

    Raises:
        UsageError: No folder is given.
        InputError: Something else is in the folder.
        Planned: In a dry run.
    """
    if run.data is None:
        raise UsageError("No folder was given for the study.", hint="mindanim simulate --out FOLDER")
    root = run.data.absolute()
    identity = identity_of(_KIND, config, {}, config.seed)
    plan = _plan(root, config, identity, run.force)
    if run.dry_run:
        raise Planned(plan)
    runtime.wait_for_all()  # every process decides before the first one writes
    if plan.action == "build" and runtime.rank() == 0:
        with locked(root.with_name(f".{root.name}.lock")):
            plan = _plan(root, config, identity, run.force)  # another process may have finished meanwhile
            if plan.action == "build":
                _build(plan, config)
    runtime.wait_for_all()
    if plan.action == "skip":
        console.say(f"simulate: nothing to do, {plan.reason} ({root})")
    return root


def _plan(root: Path, config: SimulateConfig, identity: str, force: bool) -> Plan:
    partial = root.with_name(f".{root.name}.partial-{identity[:8]}")
    occupied = root.exists() and not (root.is_dir() and not any(root.iterdir()))
    if occupied and not force:
        facts = _facts(root)
        if facts.get("identity") != identity:
            raise InputError(
                f"{root} contains something else.",
                _differences(facts, config),
                "Choose another folder with --out, or add --force to set its content aside.",
            )
        reason = f"the folder already contains this study (seed {config.seed})"
        return Plan("skip", _KIND, root, identity, partial, reason, existing=None, replaces=False)
    reason = "forced" if occupied else "not there yet"
    return Plan("build", _KIND, root, identity, partial, reason, existing=None, replaces=occupied)


def _facts(root: Path) -> dict[str, Any]:
    """The facts of the study in the folder; empty if there is none."""
    try:
        facts = json.loads((root / FACTS_FILE).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _differences(facts: dict[str, Any], config: SimulateConfig) -> str:
    if not facts:
        return f"It has no {FACTS_FILE}, so it is not a simulated study."
    before, now = facts.get("options", {}), options_of(config)
    changed = [
        f"option {name}: {before.get(name)!r} -> {now.get(name)!r}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]
    return "\n".join(changed) or "Another version of the simulation wrote it."


def _build(plan: Plan, config: SimulateConfig) -> None:
    shutil.rmtree(
        plan.partial, ignore_errors=True
    )  # rewriting what a killed run left is faster than checking it
    plan.partial.mkdir(parents=True)
    write_study(plan.partial, config, plan.identity)
    if plan.replaces:
        aside = plan.path.with_name(f"{plan.path.name}-replaced-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        os.rename(plan.path, aside)
        console.say(f"simulate: moved the previous content to {aside}")
    elif plan.path.exists():
        plan.path.rmdir()
    os.rename(plan.partial, plan.path)
    sync(plan.path.parent)
    console.say(f"simulate: wrote {plan.path}; read it with --dataset simulated --data {plan.path}")
