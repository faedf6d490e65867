"""From flags, files, environment, recipe and defaults to validated options, each with its origin."""

from __future__ import annotations

import types
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError

from mindanim.config.names import STAGES, flag_name
from mindanim.config.option import Options, StageConfig
from mindanim.config.recipes import Recipe, default_recipe, load_config_file, load_recipe
from mindanim.config.run_options import RunOptions
from mindanim.errors import ConfigError, MindanimError, UsageError, raise_together
from mindanim.vocabulary.words import unknown

M = TypeVar("M", bound=Options)
C = TypeVar("C", bound=StageConfig)

NONE = "none"
# --data has an order of its own, in which the dataset's variable comes before the general one.
_NOT_FROM_ENVIRONMENT = {"data", "force", "dry_run"}


def _set_name(option: str) -> str:
    return f"--set {option}"


@dataclass(frozen=True)
class Asked:
    """What a user asked of a stage, before anything is looked up or checked.

    flags: option -> value, of the stage and of the run; texts are parsed, other values taken as they are.
    sets: "option=value" texts. flag_name: how messages call a flag, by the option's name.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    sets: Sequence[str] = ()
    config_file: Path | None = None
    recipe: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    flag_name: Callable[[str], str] = flag_name

    def names(self, stage: str, option: str) -> bool:
        """Whether a flag, --set, a file or the environment gives the option of `stage` a value."""
        file = load_config_file(self.config_file).tables.get(stage, {}) if self.config_file else {}
        variable = f"MINDANIM_{stage.upper().replace('-', '_')}_{option.upper()}"
        set_to = {text.partition("=")[0].strip().removeprefix(f"{stage}.") for text in self.sets}
        given = file.get(option, NONE) != NONE or bool(self.environment.get(variable))
        return bool(option) and (self.flags.get(option) is not None or option in set_to or given)


@dataclass(frozen=True)
class Resolution(Generic[C]):
    """The validated options of one call of a stage, and for each of them where its value came from."""

    stage: str
    config: C
    run: RunOptions
    recipe: Recipe
    origins: dict[str, str]
    run_origins: dict[str, str]

    def explain(self) -> list[dict[str, Any]]:
        """One row per option, the shared ones first: option, value, unit, origin, help, flag."""
        pairs: list[tuple[Options, dict[str, str]]] = [
            (self.run, self.run_origins),
            (self.config, self.origins),
        ]
        rows = []
        for options, origins in pairs:
            values = options.model_dump(mode="json")
            for name, known in type(options).model_fields.items():
                extra = known.json_schema_extra if isinstance(known.json_schema_extra, dict) else {}
                rows.append(
                    {
                        "option": name,
                        "value": values[name],
                        "unit": extra.get("unit", ""),
                        "origin": origins[name],
                        "help": known.description or "",
                        "flag": bool(extra.get("flag", False)),
                    }
                )
        return rows


@dataclass(frozen=True)
class _Layer:
    """Values of one origin; `origin` tells, for the name of an option, where its value came from."""

    origin: Callable[[str], str]
    values: Mapping[str, Any]
    error: type[MindanimError] = ConfigError


def resolve(
    asked: Asked,
    stage: str,
    config: type[C],
    complete: Callable[[RunOptions], tuple[RunOptions, dict[str, str]]],
) -> Resolution[C]:
    """Merge and validate everything that sets an option of `stage`.

    Precedence: flag, --set, --config, environment (MINDANIM_<STAGE>_<OPTION>; for the shared options
    MINDANIM_<OPTION>), recipe, default.

    complete: finds what the user need not say every time, the dataset and the data folder, and says where
    it found each.

    Raises UsageError or ConfigError naming every problem at once.
    """
    sets, problems = _split_sets(asked.sets, stage)
    file = load_config_file(asked.config_file) if asked.config_file else None
    run, run_origins = _merge_run(asked, sets, file, problems)
    if run is not None:
        try:
            run, found = complete(run)
            run_origins |= found
        except MindanimError as error:
            problems.append(error)

    recipe = load_recipe(asked.recipe or default_recipe(run.dataset if run else None))
    prefix = f"MINDANIM_{stage.upper().replace('-', '_')}_"
    known = config.model_fields
    shared = RunOptions.model_fields
    layers = [
        _Layer(lambda _: f"recipe {recipe.name}", recipe.options(stage, known)),
        _Layer(lambda name: prefix + name.upper(), _environment(asked, prefix)),
        _Layer(lambda _: str(asked.config_file), file.options(stage, known) if file else {}),
        _Layer(_set_name, _except(sets, shared), UsageError),
        _Layer(asked.flag_name, _except(asked.flags, shared), UsageError),
    ]
    options, origins = _merge(config, layers, stage, problems)
    raise_together(problems)
    if options is None or run is None:
        raise AssertionError("options that could not be made always come with a problem")
    return Resolution(stage, options, run, recipe, origins, run_origins)


def strange_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for every MINDANIM_ variable that sets nothing, most likely a slip of the pen."""
    shared = {f"MINDANIM_{name.upper()}" for name in RunOptions.model_fields.keys() - {"force", "dry_run"}}
    prefixes = ("MINDANIM_DATA_", *(f"MINDANIM_{stage.upper().replace('-', '_')}_" for stage in STAGES))
    return [
        unknown("variable", name, shared)
        for name in sorted(environment)
        if name.startswith("MINDANIM_") and name not in shared and not name.startswith(prefixes)
    ]


def resolve_run(asked: Asked) -> RunOptions:
    """The options that all commands share, without any stage's. Raises UsageError or ConfigError."""
    problems: list[MindanimError] = []
    run, _ = _merge_run(asked, {}, None, problems)
    raise_together(problems)
    if run is None:
        raise AssertionError("options that could not be made always come with a problem")
    return run


def parse(annotation: Any, text: str) -> Any:
    """A text from the command line, the environment or TOML as the value that an option of this type takes.

    Tuples are comma-separated; "none" is an empty one, and elsewhere no value, where that is allowed. A text
    that does not fit is returned as it is, for the validation to complain about.
    """
    origin, members = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        if types.NoneType in members and text.strip().lower() in (NONE, ""):
            return None
        inner = [member for member in members if member is not types.NoneType]
        return parse(inner[0], text) if len(inner) == 1 else text
    if origin is tuple:
        if text.strip().lower() == NONE:
            return ()
        parts = [part.strip() for part in text.split(",") if part.strip()]
        kinds = (
            members if len(members) == len(parts) and Ellipsis not in members else [members[0]] * len(parts)
        )
        return tuple(parse(kind, part) for kind, part in zip(kinds, parts, strict=True))
    if origin is dict:
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        return {key.strip(): parse(members[1], value.strip()) for key, _, value in pairs}
    if origin is Literal:
        return next((choice for choice in members if str(choice) == text), text)
    return text


def _merge_run(
    asked: Asked, sets: Mapping[str, str], file: Recipe | None, problems: list[MindanimError]
) -> tuple[RunOptions | None, dict[str, str]]:
    shared = RunOptions.model_fields
    layers = [
        _Layer(
            lambda name: f"MINDANIM_{name.upper()}",
            _only(_environment(asked, "MINDANIM_"), set(shared) - _NOT_FROM_ENVIRONMENT),
        ),
        _Layer(lambda _: str(asked.config_file), file.tables.get("run", {}) if file else {}),
        _Layer(_set_name, _only(sets, shared), UsageError),
        _Layer(asked.flag_name, _only(asked.flags, shared), UsageError),
    ]
    return _merge(RunOptions, layers, "run", problems)


def _merge(
    model: type[M], layers: Sequence[_Layer], stage: str, problems: list[MindanimError]
) -> tuple[M | None, dict[str, str]]:
    """The validated options and their origins; problems are added to `problems`, and then there are none."""
    values: dict[str, Any] = {}
    sources: dict[str, _Layer] = {}
    for layer in layers:
        for name, raw in layer.values.items():
            known = model.model_fields.get(name)
            if known is None:
                problems.append(_unknown(stage, name, layer, model))
                continue
            values[name] = parse(known.annotation, raw) if isinstance(raw, str) else raw
            sources[name] = layer
    origins = {
        name: sources[name].origin(name) if name in sources else "default" for name in model.model_fields
    }
    try:
        return model.model_validate(values), origins
    except ValidationError as error:
        # One sentence per option: a union reports each of its members.
        options: dict[str, list[Mapping[str, Any]]] = {}
        for detail in error.errors():
            options.setdefault(str(detail["loc"][:1]), []).append(detail)
        problems += [_invalid(stage, details, model, sources, values) for details in options.values()]
        return None, origins


def _unknown(stage: str, name: str, layer: _Layer, model: type[Options]) -> MindanimError:
    candidates = [*model.model_fields, *RunOptions.model_fields]
    return layer.error(
        f"{stage}: {unknown('option', name, candidates)}",
        why=f"It comes from {layer.origin(name)}.",
        hint=f"All options of this stage: mindanim {stage} --explain",
    )


def _invalid(
    stage: str,
    details: Sequence[Mapping[str, Any]],
    model: type[Options],
    sources: Mapping[str, _Layer],
    values: Mapping[str, Any],
) -> MindanimError:
    """The problem of one option; `details` has one entry, or one for each type that it might have had."""
    detail, *others = details
    # Of the other types, those that say in our words what they take are worth a mention.
    said = [detail, *(other for other in others if other["type"] == "value_error")]
    message = ", or ".join(str(one["msg"]).removeprefix("Value error, ").rstrip(".") for one in said)
    if not detail["loc"]:
        return ConfigError(f"{stage}: {message}.")
    name = str(detail["loc"][0])
    layer = sources.get(name, _Layer(lambda _: "default", {}))
    help_text = model.model_fields[name].description or ""
    if detail["type"] == "missing":
        return UsageError(f"{stage}: the option {name} is required.", why=help_text)
    shown = values.get(name)
    return layer.error(
        f"{stage}: {name} = {shown!r} is not possible: {message[:1].lower()}{message[1:]}.",
        why=f"It comes from {layer.origin(name)}.",
        hint=f"{name}: {help_text}",
    )


def _split_sets(sets: Sequence[str], stage: str) -> tuple[dict[str, str], list[MindanimError]]:
    values: dict[str, str] = {}
    problems: list[MindanimError] = []
    for text in sets:
        key, equals, value = text.partition("=")
        if equals:
            values[key.strip().removeprefix(f"{stage}.").replace("-", "_")] = value.strip()
        else:
            problems.append(UsageError(f"--set {text} is not of the form option=value."))
    return values, problems


def _environment(asked: Asked, prefix: str) -> dict[str, str]:
    variables = asked.environment.items()
    return {
        name.removeprefix(prefix).lower(): value
        for name, value in variables
        if name.startswith(prefix) and value
    }


def _only(values: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name in names}


def _except(values: Mapping[str, Any], names: Container[str]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
