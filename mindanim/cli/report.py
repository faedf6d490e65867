"""`mindanim report`."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any

import typer

from mindanim.artifacts import find_dataset
from mindanim.cli.options import FILE, helper_parameters, shared_options
from mindanim.cli.render import print_json
from mindanim.config.resolve import resolve_run
from mindanim.vocabulary.visible import visible

_ARGUMENT = typer.Argument(help="Folders of evaluations (default: all of the dataset or subject).")
_OUT = typer.Option(
    "--out",
    metavar="file",
    help="File to write: .html, .md, .tex or, for several evaluations, .tsv (default: a page next to them).",
)
_CLIPS = typer.Option(
    "--clips", metavar="integer", min=0, show_default=False,
    help="Show at most this many clips, for a smaller page (default: as many as the evaluation's own page).",
)  # fmt: skip
_FILM_MB = typer.Option(
    "--film-mb", metavar="number", min=0.0, show_default=False,
    help="Compress the clips to about this many megabytes in total (default: 14).",
)  # fmt: skip
_SHARED = ("dataset", "subject", "work")


def parameters() -> list[Parameter]:
    """The command's options."""
    folders = Parameter(
        "folders", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[list[str] | None, _ARGUMENT]
    )
    out = Parameter("out", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, _OUT])
    clips = Parameter("clips", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[int | None, _CLIPS])
    film_mb = Parameter(
        "film_mb", Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[float | None, _FILM_MB]
    )
    return helper_parameters(_SHARED, folders, out, clips, film_mb, FILE)


def run(given: Mapping[str, Any]) -> None:
    """Write the page and print its path."""
    from mindanim.stages.comparison import evaluations_of
    from mindanim.stages.report import report

    folders = [Path(folder) for folder in given["folders"] or []]
    if not folders:
        folders = evaluations_of(find_dataset(resolve_run(shared_options(given, _SHARED))))
    path = report(folders, Path(given["out"]) if given["out"] else None, given["clips"], given["film_mb"])
    if given["json_"]:
        print_json({"path": str(path), "evaluations": [str(folder) for folder in folders]})
    else:
        print(visible(str(path)))
