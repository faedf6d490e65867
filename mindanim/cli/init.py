"""`mindanim init`."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from mindanim.cli.options import GENERAL, helper_parameters, shared_options
from mindanim.cli.render import print_json
from mindanim.config.resolve import resolve_run
from mindanim.stages.init import Kind, initialise
from mindanim.vocabulary.visible import visible

_KIND = typer.Argument(
    help="bids: a BIDS dataset with derivatives; tables: a folder of runs and films; "
    "captions: only the table of captions, of any study."
)
_FOLDER = typer.Argument(help="The study (captions: see --data).", show_default=False)
_OUT = typer.Option("--out", metavar="folder", help="Write the files here.", show_default="this folder")
_SHARED = ("dataset", "data", "study", "work")


def parameters() -> list[Parameter]:
    """The command's options."""

    def parameter(name: str, annotation: Any, default: Any = None) -> Parameter:
        return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    return helper_parameters(
        _SHARED,
        parameter("kind", Annotated[Kind, _KIND], Parameter.empty),
        parameter("folder", Annotated[str | None, _FOLDER]),
        parameter("out", Annotated[str | None, _OUT]),
        *(option for option in GENERAL if option.name != "set_"),
    )


def run(given: Mapping[str, Any]) -> None:
    """Print what was found, the files written and the commands to run next."""
    options = resolve_run(shared_options(given, _SHARED))
    folder = Path(given["folder"]).expanduser() if given["folder"] else None
    done = initialise(given["kind"], folder, Path(given["out"] or "."), options)
    if given["json_"]:
        record = {"found": done.found, "notes": done.notes, "commands": done.commands}
        print_json(record | {"files": [str(file) for file in done.files]})
        return
    for sentence in done.found:
        print(visible(sentence))
    for note in done.notes:
        print(visible(f"Note: {note}"))
    print(visible(f"Written: {', '.join(map(str, done.files))}"))
    print("\nRead and correct them. Then run, one after the other:\n")
    for line in done.commands:
        print(visible(line))
