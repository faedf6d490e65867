"""`mindanim doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from mindanim.artifacts import Workspace
from mindanim.cli.boundary import error_record
from mindanim.cli.options import GENERAL, helper_parameters, shared_options
from mindanim.cli.render import print_json, print_table
from mindanim.config.recipes import default_recipe, load_recipe
from mindanim.config.resolve import resolve_run
from mindanim.errors import InputError, MindanimError, MissingError, UsageError, raise_together
from mindanim.stages.doctor import PARTS, Part, examine
from mindanim.vocabulary.visible import visible
from mindanim.vocabulary.words import names_and_more

_COLUMNS = ("subject", "segment", "found", "missing", "wrong", "left out", "why")
_ONLY = typer.Option("--only", metavar="data|machine|weights", help="Look at this alone.", show_default=False)
_SHARED = ("dataset", "data", "study", "subject", "work")


def parameters() -> list[Parameter]:
    """The command's options."""
    only = Parameter("only", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[Part | None, _ONLY])
    return helper_parameters(_SHARED, only, *(option for option in GENERAL if option.name != "set_"))


def run(given: Mapping[str, Any]) -> None:
    """Print every check as it is made.

    Raises:
        MissingError: Something needed is missing.
        InputError: Something is there but wrong.
    """
    options = resolve_run(shared_options(given, _SHARED))
    if given["only"] == "data" and options.dataset is None:
        raise UsageError("No dataset was given to look at.", hint="Add --dataset NAME --data FOLDER")
    encoded = Workspace.of(options).encoded(options) if options.dataset else None
    recipe = load_recipe(
        options.recipe
        or (encoded.recipe if encoded else "")
        or (default_recipe(options.dataset) if options.dataset else "demo")
    )
    checks = []
    for check in examine(recipe, options, (given["only"],) if given["only"] else PARTS):
        checks.append(check)
        if not given["json_"]:
            print(visible(f"{check.status:8} {check.about}: {check.text}"), flush=True)
            for line in check.hint.splitlines():
                print(visible(f"{'':8} -> {line}"))
    missing = dict.fromkeys(check.about for check in checks if check.status == "missing")
    wrong = dict.fromkeys(check.about for check in checks if check.status == "problem")
    problems: list[MindanimError] = []
    if wrong:
        text = f"Something is wrong with: {', '.join(wrong)}."
        problems.append(InputError(text, hint="See the lines marked 'problem'."))
    if missing:
        text = f"Missing: {', '.join(missing)}."
        problems.append(MissingError(text, hint="See the lines marked 'missing'."))
    if not given["json_"]:
        if runs := [run for check in checks for run in check.runs]:
            print_table(_COLUMNS, _rows(runs), "Runs")
        raise_together(problems)
        return
    record = {"recipe": recipe.name, "checks": [asdict(check) for check in checks]}
    try:
        raise_together(problems)
    except MindanimError as error:
        print_json(record | {"error": error_record(error)})
        raise SystemExit(error.exit_code) from None
    print_json(record)


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
        counted.append((str(subject), segment, *cells, names_and_more(reasons, 2, "; ")))
    return [*counted, *rows]
