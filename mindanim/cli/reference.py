"""Writes docs/reference/: pages on commands, options and artifacts, made from the code's own declarations.

Run `python -m mindanim.cli.reference` after changing an option; a test compares the committed pages.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from inspect import Parameter
from pathlib import Path
from typing import Any, get_args

from pydantic.fields import FieldInfo
from typer.models import ArgumentInfo

from mindanim.artifacts.artifact import SCHEMA_VERSION
from mindanim.artifacts.columns import COLUMNS
from mindanim.artifacts.contents import CONTENTS
from mindanim.artifacts.identity import is_semantic
from mindanim.artifacts.manifest import MANIFEST_KEYS
from mindanim.cli.app import SUMMARIES, command_parameters
from mindanim.cli.options import shown_default, type_name
from mindanim.config.names import MAKER
from mindanim.config.recipes import load_recipe, recipe_names
from mindanim.config.run_options import RunOptions
from mindanim.stages import STAGES

FOLDER = Path("docs/reference")
_NOTE = "<!-- Made by `python -m mindanim.cli.reference`; change the code, not this page. -->"

_EXIT_CODES = (
    ("0", "done, or nothing to do"),
    ("1", "a fault of the program, or too little memory"),
    ("2", "the command line makes no sense"),
    ("3", "a configuration value or recipe is wrong"),
    ("4", "input data or an artifact is missing, malformed, stale or in the way"),
    ("5", "weights or a dependency are missing"),
    ("6", "done in part"),
    ("130", "interrupted; the same command continues"),
    ("143", "terminated, as by a cluster's time limit; the same command continues"),
)


def pages() -> dict[str, str]:
    """File name -> text of every reference page."""
    return {"cli.md": _cli(), "config.md": _config(), "artifacts.md": _artifacts()}


def _cli() -> str:
    parts = ["# Commands", _NOTE, "Results go to stdout, everything else to stderr.", "## Exit codes"]
    parts.append(_table(("code", "meaning"), _EXIT_CODES))
    for name, summary in SUMMARIES.items():
        rows = [_flag_row(parameter) for parameter in command_parameters(name)]
        parts += [f"## mindanim {name}", summary, _table(("flag", "value", "meaning"), rows)]
    return _page(parts)


def _flag_row(parameter: Parameter) -> tuple[str, str, str]:
    info = get_args(parameter.annotation)[1]
    if isinstance(info, ArgumentInfo):
        return f"`{parameter.name}`", f"`{info.metavar}`" if info.metavar else "", info.help or ""
    # Inside Annotated, typer keeps the first name where a default would stand.
    names = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
    return (
        ", ".join(f"`{name}`" for name in names or [parameter.name.upper()]),
        f"`{info.metavar}`" if info.metavar else "",
        info.help.replace(r"\[", "["),
    )


def _config() -> str:
    parts = [
        "# Options",
        _NOTE,
        "Every option can be set, in falling order of precedence, by its flag (where it has one), by "
        "`--set option=value`, in a TOML file given with `--config`, by an environment variable "
        "(`MINDANIM_<STAGE>_<OPTION>`, or `MINDANIM_<OPTION>` for the shared ones), and by a recipe. "
        "The data folder is that of `--data`, else of `MINDANIM_DATA_<DATASET>`, else of `MINDANIM_DATA`, "
        "else the one that an earlier command used. "
        "`mindanim <stage> --explain` prints each value and where it comes from.",
        "In texts, several values are separated by commas, and `none` stands for no value. "
        "Options marked * do not change the result and are not part of an artifact's identity.",
        "## Shared by all stages",
        _options(RunOptions.model_fields, shared=True),
    ]
    for stage in STAGES.values():
        parts += [f"## {stage.name}", _options(stage.load_config().model_fields)]
    parts += ["## Recipes", *(_recipe(name) for name in recipe_names())]
    return _page(parts)


def _options(fields: dict[str, FieldInfo], shared: bool = False) -> str:
    rows = []
    for name, field in fields.items():
        extra: dict[str, Any] = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        mark = "" if shared or is_semantic(field) else " *"
        kind = f"`{extra.get('metavar', type_name(field.annotation))}`" + (
            f" ({extra['unit']})" if extra.get("unit") else ""
        )
        default = shown_default(field)
        help_text = field.description or ""
        flag = "yes" if extra.get("flag") else ""
        rows.append((f"`{name}`{mark}", flag, kind, f"`{default}`" if default else "", help_text))
    return _table(("option", "flag", "type (unit)", "default", "meaning"), rows)


def _recipe(name: str) -> str:
    recipe = load_recipe(name)
    rows = [
        (table, f"`{option}`", f"`{value}`")
        for table, options in recipe.tables.items()
        for option, value in options.items()
    ]
    return "\n\n".join(
        [f"### {name}: {recipe.title}", recipe.description, _table(("table", "option", "value"), rows)]
    )


def _artifacts() -> str:
    parts = [
        "# Artifacts",
        _NOTE,
        "A stage writes one folder: `<work>/<dataset>/sub-01/<kind>[-label]/`, or, for what is common to all "
        "subjects, `<work>/<dataset>/stimuli[-label]/`. Beside the outputs below, each folder holds "
        "`manifest.json`, `config.toml` (all options; for `--config`, to do the same again) and `log.txt`. "
        "A folder without `manifest.json` is not an artifact. Tables are TSV with `n/a` for missing values, "
        "arrays are .npy.",
    ]
    for kind, contents in CONTENTS.items():
        rows = [
            (
                f"`{c.name}`" + ("" if c.always else " (not always)"),
                c.dtype,
                c.axes.replace(" ", ", "),
                c.meaning,
            )
            for c in contents
        ]
        parts += [
            f"## {kind}",
            f"Written by `mindanim {MAKER[kind]}`.",
            _table(("file", "type", "axes", "content"), rows),
        ]
        for (owner, table), columns in COLUMNS.items():
            if owner == kind:
                parts += [f"### Columns of {table}", _table(("column", "meaning (unit)"), columns.items())]
    parts += [
        f"## manifest.json (schema version {SCHEMA_VERSION})",
        _table(("key", "content"), MANIFEST_KEYS.items()),
    ]
    return _page(parts)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _page(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the pages below the current folder, the root of the repository."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(FOLDER / name, file=sys.stderr)


if __name__ == "__main__":
    main()
