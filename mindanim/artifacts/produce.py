"""How an artifact is made: planned, locked, built in a hidden folder, renamed at the end."""

from __future__ import annotations

import os
import shutil
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import tomli_w

from mindanim import console, runtime
from mindanim.artifacts.artifact import CONFIG, Artifact
from mindanim.artifacts.checksums import remember
from mindanim.artifacts.draft import LOG, Draft
from mindanim.artifacts.files import sync, write_text
from mindanim.artifacts.identity import Source
from mindanim.artifacts.lock import BusyError, locked, refuse_held
from mindanim.artifacts.manifest import describe_invocation, replayable
from mindanim.artifacts.plan import Coverage, Plan, Planned, ShareDone, make_plan
from mindanim.artifacts.workspace import Workspace
from mindanim.config.option import StageConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import InputError, UsageError
from mindanim.vocabulary.words import in_bytes

REPLACED = ".replaced"
_RESUMING = {"continue": "continuing", "extend": "extending"}


def produce(
    kind: str,
    path: Path,
    *,
    config: StageConfig,
    inputs: Mapping[str, Artifact | Source],
    run: RunOptions,
    seed: int | None,
    build: Callable[[Draft], None],
    expected_bytes: int = 0,
    contribute: Callable[[Draft], bool] | None = None,
    covers: Callable[[Artifact], Coverage] | None = None,
) -> Artifact:
    """The artifact that `config` and `inputs` make in the folder `path`, built if it is not there.

    An artifact of the same identity is reused; one of a different identity is refused with the differences,
    or set aside with run.force. The work happens in a hidden folder next to `path`, named by the identity:
    a run that is stopped at any instant is continued by the next one, and `path` contains a complete
    artifact or nothing.

    Args:
        kind: Kind of artifact; decides which stage messages name.
        path: Folder of the artifact.
        config: Options of the stage.
        inputs: What the stage reads, by name.
        run: How and where to work.
        seed: Recorded, and part of the identity.
        build: Writes everything into the `Draft`; called again on the same folder after a kill.
        expected_bytes: Approximate size of the result on disk; too little room is an error before any work.
        contribute: With run.shard, does this process's share of the work and tells whether all shares are
            done; the process that finds them done calls `build` and finishes.
        covers: How much of what is asked for an artifact of this identity has, where options outside the
            identity choose a part of the work. An incomplete one is extended: `build` finds it in
            `Draft.extends`, and the result replaces it.

    Raises:
        InputError: An input is stale or damaged, something is in the way, another process writes, or there is
            too little room.
        Planned: run.dry_run is set; carries the plan.
        ShareDone: run.shard is set, this share is done, and others are not.
    """
    runtime.join_on(run.device)
    arguments = (kind, path, config, inputs, run, seed, covers)
    plan = make_plan(*arguments)
    _check_room(plan, expected_bytes)
    if run.dry_run:
        raise Planned(plan)
    if run.share is not None and contribute is not None and plan.action not in ("skip", "finish"):
        _contribute(plan, run.share, contribute)
    runtime.wait_for_all()  # every process has decided before the first one writes
    if plan.action == "skip":
        return _reuse(plan, run)
    if runtime.rank() > 0:
        return _assist(plan, build)
    with ExitStack() as held:
        try:
            held.enter_context(locked(_lock(path)))
        except BusyError:
            if run.share is None:
                raise
            raise ShareDone(plan, "all shares are done, another process is putting them together") from None
        if run.share is None:
            for part in path.parent.glob(f".{path.name}.part-*.lock"):
                refuse_held(part)
        before, plan = plan, make_plan(*arguments)  # another writer may have finished in the meantime
        if plan.action != before.action and runtime.world_size() > 1:
            raise InputError(f"{path} changed while this run began.", hint="Run the same command again.")
        if plan.action == "skip":
            return _reuse(plan, run)
        if plan.action != "finish":
            _work(plan, config, inputs, run, seed, build)
        _put_in_place(plan)
        made = Artifact.load(path)
        if plan.action != "finish":  # computed a moment ago: later stages need not read everything again
            remember(path, {name: entry["sha256"] for name, entry in made.outputs.items()})
    runtime.wait_for_all()
    _describe_dataset(run)
    return made


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _contribute(plan: Plan, share: tuple[int, int], contribute: Callable[[Draft], bool]) -> None:
    """Do one share of the work; ShareDone unless it was the last one."""
    if runtime.world_size() > 1:
        raise UsageError(
            "--shard is for processes that are started separately.",
            why="The processes of one launch share the work by themselves.",
            hint="Leave out either --shard or accelerate launch.",
        )
    name = "{}of{}".format(*share)
    refuse_held(_lock(plan.path))
    with locked(plan.path.with_name(f".{plan.path.name}.part-{name}.lock")):
        draft = Draft(plan.partial, part=name, extends=plan.extends)
        draft.begin()
        complete = contribute(draft)
    if not complete:
        raise ShareDone(plan, f"share {share[0]} of {share[1]} is done, others are not yet")


def _describe_dataset(run: RunOptions) -> None:
    if run.dataset is not None and runtime.rank() == 0:
        Workspace(run.work, run.dataset).dataset_description(run.data)


def _reuse(plan: Plan, run: RunOptions) -> Artifact:
    if plan.existing is None:
        raise AssertionError("a plan to skip always has an artifact")
    console.say(f"{plan.kind}: nothing to do, {plan.reason} ({plan.path})")
    _describe_dataset(run)
    return plan.existing


def _work(
    plan: Plan,
    config: StageConfig,
    inputs: Mapping[str, Artifact | Source],
    run: RunOptions,
    seed: int | None,
    build: Callable[[Draft], None],
) -> None:
    draft = Draft(plan.partial, extends=plan.extends)
    draft.begin()
    with ExitStack() as stack:
        stack.enter_context(console.logging_to(plan.partial / LOG))
        console.log(f"mindanim {runtime.version()}, {plan.action} of {plan.kind} {plan.identity[:8]}")
        if plan.action in _RESUMING:
            console.say(f"{plan.kind}: {_RESUMING[plan.action]}, {plan.reason}")
        invocation = describe_invocation(plan, config, inputs, run, seed)
        write_text(plan.partial / CONFIG, tomli_w.dumps(replayable(plan.kind, config, run)))
        runtime.wait_for_all()
        try:
            build(draft)
        except BaseException:
            console.log(traceback.format_exc())
            raise
        _inherit_partial(draft, inputs)
        runtime.wait_for_all()
        draft.seal(invocation | draft.complete())


def _inherit_partial(draft: Draft, inputs: Mapping[str, Artifact | Source]) -> None:
    """What is made from a part of a study says so itself, however far down the road."""
    parts = [
        name for name, given in inputs.items() if isinstance(given, Artifact) and given.facts.get("partial")
    ]
    if parts:
        draft.fact(partial=True)
        text = f"Made from a part of the study: {', '.join(parts)} lack runs or films."
        draft.finding("partial-study", text, inputs=parts)


def _assist(plan: Plan, build: Callable[[Draft], None]) -> Artifact:
    """The part of the processes that do not own the folder: share the work, and wait for the result."""
    if plan.action != "finish":
        runtime.wait_for_all()
        build(Draft(plan.partial, extends=plan.extends))
        runtime.wait_for_all()
    runtime.wait_for_all()
    return Artifact.load(plan.path)


def _put_in_place(plan: Plan) -> None:
    Draft(plan.partial).tidy()
    aside = _set_aside(plan.path) if plan.path.exists() else None
    os.rename(plan.partial, plan.path)
    sync(plan.path.parent)
    if aside is not None and plan.extends is not None:
        shutil.rmtree(aside)  # all it had is in the new one
    elif aside is not None:
        console.say(f"{plan.kind}: what was there is now in {aside}")


def _set_aside(path: Path) -> Path | None:
    if not any(path.iterdir()):
        path.rmdir()
        return None
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.parent / REPLACED / f"{path.name}-{stamp}"
    aside.parent.mkdir(exist_ok=True)
    os.rename(path, aside)
    return aside


def _check_room(plan: Plan, expected: int) -> None:
    if plan.action == "skip" or expected <= 0:
        return
    here = plan.path
    while not here.exists():
        here = here.parent
    free = shutil.disk_usage(here).free
    if free < expected:
        raise InputError(
            f"{plan.kind} needs about {in_bytes(expected)} on disk; {here} has {in_bytes(free)} free.",
            hint="Make room, or choose another folder with --work",
        )
