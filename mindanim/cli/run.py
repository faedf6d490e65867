"""What every stage's command does: resolve, explain or run, and print the result."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim import runtime
from mindanim.artifacts import Artifact, Plan, Planned, ShareDone
from mindanim.cli.render import print_json, print_options, print_rich
from mindanim.config.resolve import Asked
from mindanim.stages.call import perform, prepare
from mindanim.vocabulary.visible import visible

if TYPE_CHECKING:
    import pandas as pd

_NOT_OPTIONS = ("recipe", "set_", "config_file", "explain", "json_", "verbose", "quiet", "debug")


def run_stage(name: str, given: Mapping[str, Any]) -> None:
    """Run the stage `name` with the flags in `given`; None means not given."""
    flags = {
        option: ",".join(value) if isinstance(value, list) else value
        for option, value in given.items()
        if option not in _NOT_OPTIONS and value not in (None, [])
    }
    asked = Asked(
        flags=flags,
        sets=given["set_"] or [],
        config_file=Path(given["config_file"]) if given["config_file"] else None,
        recipe=given["recipe"],
        environment=os.environ,
    )
    resolution = prepare(name, asked, only_explain=bool(given["explain"]))
    as_json = bool(given["json_"])
    if given["explain"]:
        print_options(resolution, as_json)
        return
    try:
        result = perform(resolution, ("mindanim", *sys.argv[1:]))
    except Planned as planned:
        if runtime.rank() == 0:  # only the first process of a launch prints
            _print_plan(planned.plan, as_json)
        return
    except ShareDone as done:
        if as_json:
            print_json({"kind": done.plan.kind, "path": str(done.plan.path), "reason": done.reason})
        else:
            print(visible(f"{done.plan.kind}: {done.reason} ({done.plan.path})"))
        return
    if runtime.rank() == 0:
        _print_result(result, as_json, _compared(result, resolution.config))


def _print_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        facts = {"action": plan.action, "kind": plan.kind, "path": str(plan.path), "identity": plan.identity}
        print_json(facts | {"reason": plan.reason, "replaces": plan.replaces})
        return
    words = {
        "skip": "nothing to do",
        "build": "would run",
        "continue": "would continue",
        "finish": "would finish",
        "extend": "would extend",
    }
    print(visible(f"{plan.kind}: {words[plan.action]}: {plan.reason} ({plan.path})"))
    if plan.replaces and plan.extends is None:
        print(f"{plan.kind}: what is there now would be set aside")


def _compared(result: Any, config: Any) -> pd.DataFrame | None:
    """The comparison that `evaluate --compare` asks for, in addition to the scores."""
    if not isinstance(result, Artifact) or not getattr(config, "compare", ()):
        return None
    from mindanim.stages.comparison import comparison

    return comparison(result, config.compare)


def _print_result(result: Any, as_json: bool, compared: pd.DataFrame | None) -> None:
    if isinstance(result, Artifact):
        if as_json:
            more = {} if compared is None else {"comparison": json.loads(compared.to_json(orient="records"))}
            if result.kind == "evaluation":
                from mindanim.stages.report import scores_of

                more["scores"] = scores_of(result)
            print_json(
                {"kind": result.kind, "path": str(result.path), "identity": result.identity}
                | {"facts": result.facts, "findings": result.findings, "outputs": result.outputs}
                | more
            )
            return
        if result.kind == "evaluation":
            from mindanim.stages.report import score_tables

            columns = shutil.get_terminal_size((100, 24)).columns  # 100 if it is not a terminal
            print_rich(*score_tables(result, compared, columns))
        print(visible(str(result.path)))
    elif isinstance(result, Path):
        print(json.dumps({"path": str(result)}) if as_json else visible(str(result)))
