"""The options of each command, made from the one declaration of each option in `mindanim.config`."""

from __future__ import annotations

import os
import re
import types
from collections.abc import Mapping, Sequence
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from mindanim.config.names import flag_name
from mindanim.config.option import Options, declared
from mindanim.config.resolve import Asked
from mindanim.config.run_options import RunOptions
from mindanim.config.variants import remark, variants_of
from mindanim.stages import Stage

INPUTS, OPTIONS, RUN = "Inputs", "Options", "Run"
_SHORT = {"subject": "-s", "label": "-l", "force": "-f", "dry_run": "-n"}


def stage_parameters(stage: Stage) -> list[Parameter]:
    """The parameters of a stage's command: inputs, its own first-class options, and how to run."""
    config = stage.load_config()
    fields = config.model_fields
    own = [
        _option(name, config, OPTIONS, both=not name.startswith("no_"))
        for name, field in fields.items()
        if declared(field).get("flag") and name not in stage.arguments
    ]
    return [
        *(_argument(name, fields[name]) for name in stage.arguments),
        *(_option(name, RunOptions, INPUTS, stage=stage) for name in _input_names(stage)),
        *own,
        *GENERAL,
        *(_option(name, RunOptions, RUN) for name in _run_names(stage)),
        *REPORTING,
    ]


def helper_parameters(names: Sequence[str], *extra: Parameter) -> list[Parameter]:
    """The parameters of a helper's command: `extra`, the shared options in `names`, and how to report."""
    shared = (_option(name, RunOptions, INPUTS) for name in names)
    reporting = [parameter for parameter in REPORTING if parameter.name != "explain"]
    return [*extra, *shared, *reporting]


def shared_options(given: Mapping[str, Any], names: Sequence[str]) -> Asked:
    """What a helper's command was asked for, of the options that all commands share."""
    flags = {
        name: ",".join(value) if isinstance(value, list) else value
        for name in names
        if (value := given[name]) not in (None, [])
    }
    file = given.get("config_file")
    return Asked(
        flags=flags,
        config_file=Path(file) if file else None,
        recipe=given.get("recipe"),
        environment=os.environ,
    )


def _input_names(stage: Stage) -> list[str]:
    return [
        name
        for name, wanted in (
            ("dataset", not stage.dataset),
            ("data", stage.data != "neither"),
            ("study", stage.data == "reads"),
            ("subject", stage.per_subject),
            ("work", True),
            ("label", not stage.dataset),
            ("use", stage.reads_artifacts),
        )
        if wanted
    ]


def _run_names(stage: Stage) -> list[str]:
    batched = ["batch"] if stage.batched else []
    networks = ["device", "precision", *batched, "offline"] if stage.networks else []
    shares = ["low_memory", "shard"] if stage.shares else []
    reads = ["allow_partial"] if stage.data == "reads" else []
    return [*networks, *shares, *reads, "force", "dry_run"]


def type_name(field: FieldInfo) -> str:
    """An option's type as help texts and the reference show it."""
    if variants := variants_of(field):
        return "|".join(variants.own) + (" or module:Class" if variants.paths else " or plug-in")
    return str(declared(field).get("metavar") or _type_name(field.annotation))


def _type_name(annotation: Any) -> str:
    origin, members = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        choices = all(get_origin(member) is Literal for member in members)
        return ("|" if choices else " or ").join(_type_name(member) for member in members)
    if origin is Literal:
        return "|".join(str(member) for member in members)
    if origin is tuple:
        inner = [_type_name(member) for member in members if member is not Ellipsis]
        return f"{inner[0]},..." if Ellipsis in members else ",".join(inner)
    if origin is dict:
        return "input=label" if members[1] is str else "table"
    names = {int: "integer", float: "number", str: "text", bool: "yes/no", types.NoneType: "none"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)).lower())


def shown_default(field: FieldInfo) -> str:
    """A default value as help texts and the reference show it; empty when there is nothing worth showing."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else ""
    return "none" if value is None else "" if value in ("", {}) else str(value)


def _option(
    name: str, model: type[Options], panel: str, *, stage: Stage | None = None, both: bool = False
) -> Parameter:
    """A typer parameter for one declared option. Every default is None: not given, ask the other origins."""
    field = model.model_fields[name]
    extra, annotation = declared(field), field.annotation
    written, description = flag_name(name), field.description
    if name == "data" and stage is not None and stage.data == "writes":
        written, description = "--out", "Folder to write the study to."
    default = shown_default(field)
    # A unit that the description names already is not repeated.
    unit = extra.get("unit", "")
    named = len(unit) > 1 and re.search(rf"\b{re.escape(unit)}\b", description or "", re.I)
    unit = f" ({unit})" if unit and not named else ""
    condition = remark(model, name)
    text = f"{description} {condition}".rstrip() + unit
    if default and default != "none":
        text += f" (default {default})"
    names = [written, *([_SHORT[name]] if name in _SHORT else [])]
    if annotation is bool:
        names[0] = f"{written}/--no-{written.removeprefix('--')}" if both else written
        return _switch(name, names, text, panel)
    if get_origin(annotation) is dict:
        metavar = extra.get("metavar", type_name(field))
        return _parameter(name, list[str] | None, names, text, panel, metavar=metavar)
    return _parameter(name, str | None, names, text, panel, metavar=_metavar(field))


def _argument(name: str, field: FieldInfo) -> Parameter:
    """A typer parameter that is known by its place; whether it is given is checked with the other options."""
    metavar = "|".join(map(str, get_args(field.annotation))) or name.upper()
    info = typer.Argument(help=field.description, metavar=metavar, show_default=False)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, info])


def _metavar(field: FieldInfo) -> str:
    members = [member for member in get_args(field.annotation) if member is not types.NoneType]
    if (
        "metavar" not in declared(field)
        and get_origin(field.annotation) in (Union, types.UnionType)
        and len(members) == 1
    ):
        return _type_name(members[0])
    return type_name(field)


def _parameter(name: str, kind: Any, names: list[str], text: str, panel: str, **more: Any) -> Parameter:
    # Square brackets would be read as markup.
    info = typer.Option(
        *names, help=text.replace("[", r"\["), rich_help_panel=panel, show_default=False, **more
    )
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, info])


def _switch(name: str, names: list[str], text: str, panel: str) -> Parameter:
    return _parameter(name, bool | None, names, text, panel, metavar="")


def _value(name: str, names: list[str], text: str, metavar: str, kind: Any = str | None) -> Parameter:
    return _parameter(name, kind, names, text, OPTIONS, metavar=metavar)


FILE = _value(
    "config_file",
    ["--config", "-c"],
    "TOML file of options: a study.toml, or an artifact's config.toml.",
    "file",
)
GENERAL = [
    _value("recipe", ["--recipe", "-r"], "Recipe: a set of options, by name or file.", "name"),
    _value("set_", ["--set"], "Set any other option; repeatable.", "option=value", list[str] | None),
    FILE,
]
REPORTING = [
    _switch("explain", ["--explain"], "Print every option with its value and origin, and exit.", RUN),
    _switch("json_", ["--json"], "Print the result, or the error, as JSON.", RUN),
    _switch("verbose", ["--verbose", "-v"], "More messages.", RUN),
    _switch("quiet", ["--quiet", "-q"], "Only warnings and errors.", RUN),
    _switch("debug", ["--debug"], "Show tracebacks.", RUN),
]
