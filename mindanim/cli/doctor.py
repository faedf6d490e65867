"""`mindanim doctor`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from inspect import Parameter
from typing import Any

from mindanim.cli.options import GENERAL, helper_parameters
from mindanim.cli.render import print_json
from mindanim.config.recipes import default_recipe, load_recipe
from mindanim.config.resolve import Asked, resolve_run
from mindanim.errors import InputError, MissingError
from mindanim.stages.doctor import examine

_SHARED = ("dataset", "data", "subject", "work")


def parameters() -> list[Parameter]:
    """The command's options."""
    return helper_parameters(_SHARED, *(option for option in GENERAL if option.name == "recipe"))


def run(given: Mapping[str, Any]) -> None:
    """Print every check as it is made.

    Raises MissingError when something needed is missing, InputError when something is there but wrong.
    """
    flags = {name: given[name] for name in _SHARED if given[name] is not None}
    options = resolve_run(Asked(flags=flags, environment=os.environ))
    recipe = load_recipe(given["recipe"] or (default_recipe(options.dataset) if options.dataset else "demo"))
    checks = []
    for check in examine(recipe, options):
        checks.append(check)
        if not given["json_"]:
            print(f"{check.status:8} {check.about}: {check.text}", flush=True)
            for line in check.mend.splitlines():
                print(f"{'':8} -> {line}")
    if given["json_"]:
        print_json({"recipe": recipe.name, "checks": [asdict(check) for check in checks]})
    missing = [check.about for check in checks if check.status == "missing"]
    wrong = [check.about for check in checks if check.status == "problem"]
    if missing:
        raise MissingError(f"Missing: {', '.join(missing)}.", mend="See the lines marked 'missing'.")
    if wrong:
        raise InputError(f"Not as it should be: {', '.join(wrong)}.", mend="See the lines marked 'problem'.")
