"""Commands to suggest: complete, so that they run when pasted into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindanim.config.invocation import shared
from mindanim.config.names import MAKER
from mindanim.config.recipes import default_recipe, load_config_file
from mindanim.config.run_options import DEFAULT_WORK, RunOptions

_READING = ("preprocess", "encode-stimuli")
_OF_THE_STUDY = ("encode-stimuli", "init", "doctor", "show")
_SHORT_OF_A_RECIPE = ("init", "show", "report")


def command(name: str, run: RunOptions, *more: str, label: str | None = None) -> str:
    """The command `name` with all that `run` was given, quoted for a shell.

    Args:
        name: The subcommand, with its first argument if it has one: "init captions".
        run: What the present command works on.
        more: Further words, put last.
        label: Another label than that of `run`.
    """
    verb = name.partition(" ")[0]
    wanted: dict[str, Any] = {"dataset": run.dataset}
    if verb not in _OF_THE_STUDY:
        wanted["subject"] = run.subject
    if verb in (*MAKER.values(), "import-checkpoint"):
        wanted["label"] = run.label if label is None else label
    wanted["work"] = run.work
    if verb not in _SHORT_OF_A_RECIPE:
        wanted["recipe"] = run.recipe
    if verb in (*_READING, "doctor", "init"):
        wanted |= {"data": run.data, "study": run.study}
    usual: dict[str, Any] = {
        "label": "",
        "work": DEFAULT_WORK,
        "recipe": default_recipe(run.dataset),
        "study": {},
    }
    words = ["mindanim", *name.split()]
    if run.config is not None:
        words += ["--config", str(run.config)]
        usual |= RunOptions.model_validate(_of_file(run.config)).model_dump(
            include=set(wanted), exclude_unset=True
        )
    for option, value in wanted.items():
        if value is None or value == usual.get(option):
            continue
        if isinstance(value, dict):
            known = usual.get(option, {}).items()
            new = [f"{key}={one}" for key, one in value.items() if (key, one) not in known]
            words += [word for text in new for word in (f"--{option}", text)]
        else:
            words += [f"--{option}", str(value)]
    return shlex.join([*words, *more])


def suggested(name: str, *more: str) -> str:
    """The command `name` on what the running command works on."""
    return command(name, shared(), *more)


def in_order(commands: Sequence[str]) -> str:
    """A hint to run one or several commands."""
    if len(commands) == 1:
        return f"Run: {commands[0]}"
    return "\n".join(["Run, in this order:", *commands])


def _of_file(path: Path) -> dict[str, Any]:
    """The shared options that a file sets."""
    table = load_config_file(path).tables.get("run", {})
    return {name: value for name, value in table.items() if value != "none"}
