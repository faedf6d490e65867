"""`mindanim doctor`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from inspect import Parameter
from pathlib import Path
from typing import Any

from mindanim.cli.options import GENERAL, helper_parameters
from mindanim.cli.render import print_json, print_table
from mindanim.config.recipes import default_recipe, load_recipe
from mindanim.config.resolve import Asked, resolve_run
from mindanim.errors import InputError, MissingError
from mindanim.stages.doctor import examine

_COLUMNS = ("subject", "segment", "found", "missing", "wrong", "left out", "why")
_SHARED = ("dataset", "data", "study", "subject", "work")


def parameters() -> list[Parameter]:
    """The command's options."""
    return helper_parameters(_SHARED, *(option for option in GENERAL if option.name == "recipe"))


def run(given: Mapping[str, Any]) -> None:
    """Print every check as it is made.

    Raises:
        MissingError: Something needed is missing.
        InputError: Something is there but wrong.
    """
    flags = {
        name: ",".join(value) if isinstance(value, list) else value
        for name in _SHARED
        if (value := given[name]) not in (None, [])
    }
    options = resolve_run(Asked(flags=flags, environment=os.environ))
    recipe = load_recipe(given["recipe"] or (default_recipe(options.dataset) if options.dataset else "demo"))
    checks = []
    for check in examine(recipe, options):
        checks.append(check)
        if not given["json_"]:
            print(f"{check.status:8} {check.about}: {check.text}", flush=True)
            for line in check.hint.splitlines():
                print(f"{'':8} -> {line}")
    if given["json_"]:
        print_json({"recipe": recipe.name, "checks": [asdict(check) for check in checks]})
    elif runs := [run for check in checks for run in check.runs]:
        print_table(_COLUMNS, _rows(runs), "Runs")
    missing = dict.fromkeys(check.about for check in checks if check.status == "missing")
    wrong = dict.fromkeys(check.about for check in checks if check.status == "problem")
    if missing:
        raise MissingError(f"Missing: {', '.join(missing)}.", hint="See the lines marked 'missing'.")
    if wrong:
        raise InputError(
            f"Something is wrong with: {', '.join(wrong)}.", hint="See the lines marked 'problem'."
        )


def _rows(runs: list[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """One row per subject and segment with the numbers of its repeats by what became of them, and why; one
    per file that is not used."""
    groups: dict[tuple[int | str, str], list[Mapping[str, Any]]] = {}
    rows = []
    for run in runs:
        if run["state"] == "not used":
            name = Path(run["path"]).name
            rows.append((str(run["subject"]), "-", "", "", "", "", f"{name} is not used: {run['why']}"))
        else:
            groups.setdefault((run["subject"], run["segment"]), []).append(run)
    counted = []
    for (subject, segment), group in groups.items():
        cells = [
            " ".join(str(run["repeat"]) for run in group if run["state"] == state)
            for state in ("found", "missing", "wrong", "left out")
        ]
        reasons = {
            Path(run["path"]).name if run["state"] == "missing" else run["why"]: 0
            for run in group
            if run["state"] != "found"
        }
        counted.append((str(subject), segment, *cells, "; ".join(reasons)))
    return [*counted, *rows]
