"""From flags, files, environment, recipe and defaults to validated options, each with its origin."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from mindanim.config.names import STAGES, flag_name
from mindanim.config.option import Options, StageConfig, declared
from mindanim.config.parse import NONE, parse
from mindanim.config.problems import Layer, invalid_option, unknown_option, without_effect
from mindanim.config.recipes import Recipe, default_recipe, load_config_file, load_recipe
from mindanim.config.run_options import RunOptions
from mindanim.config.variants import deciding, settle, unmet, wanted_of, with_value
from mindanim.errors import ConfigError, MindanimError, UsageError, raise_together
from mindanim.vocabulary.words import unknown

M = TypeVar("M", bound=Options)
C = TypeVar("C", bound=StageConfig)

# --data has its own order: the variable of the dataset comes before the general one.
_NOT_FROM_ENVIRONMENT = {"data", "force", "dry_run"}


def _set_name(option: str) -> str:
    return f"--set {option}"


@dataclass(frozen=True)
class Asked:
    """What a user asked of a stage, before anything is looked up or checked.

    Args:
        flags: Option -> value, of the stage and of the run; texts are parsed, other values used unchanged.
        sets: "option=value" texts.
        config_file: Of ``--config``; None uses MINDANIM_CONFIG.
        recipe: Of ``--recipe``; None leaves the choice to the file, the environment and the study.
        environment: Variable -> value.
        flag_name: Option name -> what messages call its flag.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    sets: Sequence[str] = ()
    config_file: Path | None = None
    recipe: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    flag_name: Callable[[str], str] = flag_name

    @property
    def file(self) -> Path | None:
        """The file of options, if there is one."""
        named = self.environment.get("MINDANIM_CONFIG")
        return self.config_file or (Path(named).expanduser() if named else None)

    def names(self, stage: str, option: str) -> bool:
        """Whether a flag, --set, a file or the environment gives the option of `stage` a value."""
        file = load_config_file(self.file).tables.get(stage, {}) if self.file else {}
        variable = f"MINDANIM_{stage.upper().replace('-', '_')}_{option.upper()}"
        set_to = {text.partition("=")[0].strip().removeprefix(f"{stage}.") for text in self.sets}
        given = file.get(option, NONE) != NONE or bool(self.environment.get(variable))
        return bool(option) and (self.flags.get(option) is not None or option in set_to or given)


@dataclass(frozen=True)
class Resolution(Generic[C]):
    """The validated options of one call of a stage, and where each value came from."""

    stage: str
    config: C
    run: RunOptions
    recipe: Recipe
    origins: dict[str, str]
    run_origins: dict[str, str]

    def explain(self) -> list[dict[str, Any]]:
        """One row per option, shared ones first: option, value, unit, origin, help, flag.

        The value of an option that has no effect is None, and its origin says why.
        """
        pairs: list[tuple[Options, dict[str, str]]] = [
            (self.run, self.run_origins),
            (self.config, self.origins),
        ]
        rows = []
        for options, origins in pairs:
            values = options.model_dump(mode="json")
            for name, option in type(options).model_fields.items():
                other = unmet(type(options), dict(options), name)
                why = "" if other is None else f"no effect {with_value(other, getattr(options, other))}"
                rows.append(
                    {
                        "option": name,
                        "value": None if why else values[name],
                        "unit": declared(option).get("unit", ""),
                        "origin": why or origins[name],
                        "help": option.description or "",
                        "flag": bool(declared(option).get("flag", False)),
                    }
                )
        return rows


def resolve(
    asked: Asked,
    stage: str,
    config: type[C],
    complete: Callable[[RunOptions], tuple[RunOptions, dict[str, str]]],
) -> Resolution[C]:
    """Merge and validate everything that sets an option of `stage`.

    Precedence: flag, --set, --config, environment (MINDANIM_<STAGE>_<OPTION>; for the shared options
    MINDANIM_<OPTION>), recipe, default. The recipe itself is found in the same order.

    Args:
        asked: What the user asked for.
        stage: The subcommand.
        config: The stage's options.
        complete: Finds what the user need not repeat, the dataset, the data folder and the recipe, and says
            where.

    Raises:
        UsageError: A flag or ``--set`` is wrong, or does nothing; all problems are reported together.
        ConfigError: The same for a file, the environment or a recipe.
    """
    sets, problems = _split_sets(asked.sets, stage)
    file = load_config_file(asked.file) if asked.file else None
    run, run_origins = _merge_run(asked, sets, file, problems)
    if run is not None:
        try:
            run, found = complete(run)
            run_origins |= found
        except MindanimError as error:
            problems.append(error)

    recipe = load_recipe(
        (run.recipe if run else asked.recipe) or default_recipe(run.dataset if run else None)
    )
    prefix = f"MINDANIM_{stage.upper().replace('-', '_')}_"
    known = config.model_fields
    shared = RunOptions.model_fields
    layers = [
        Layer(lambda _: f"recipe {recipe.name}", recipe.options(stage, known), typed=False),
        Layer(lambda name: prefix + name.upper(), _environment(asked, prefix)),
        Layer(lambda _: str(asked.file), file.options(stage, known) if file else {}),
        Layer(_set_name, _except(sets, shared), UsageError),
        Layer(asked.flag_name, _except(asked.flags, shared), UsageError),
    ]
    options, origins = _merge(config, layers, stage, problems)
    raise_together(problems)
    if options is None or run is None:
        raise AssertionError("options that cannot be resolved always come with a problem")
    return Resolution(stage, options, run, recipe, origins, run_origins)


def strange_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for every MINDANIM_ variable that sets nothing, most likely a typo."""
    shared = {f"MINDANIM_{name.upper()}" for name in RunOptions.model_fields.keys() - {"force", "dry_run"}}
    prefixes = ("MINDANIM_DATA_", *(f"MINDANIM_{stage.upper().replace('-', '_')}_" for stage in STAGES))
    return [
        unknown("variable", name, shared)
        for name in sorted(environment)
        if name.startswith("MINDANIM_") and name not in shared and not name.startswith(prefixes)
    ]


def resolve_run(asked: Asked) -> RunOptions:
    """The options that all commands share, without those of a stage.

    Raises:
        UsageError: A flag is wrong.
        ConfigError: The file or the environment is wrong.
    """
    problems: list[MindanimError] = []
    file = load_config_file(asked.file) if asked.file else None
    run, _ = _merge_run(asked, {}, file, problems)
    raise_together(problems)
    if run is None:
        raise AssertionError("options that cannot be resolved always come with a problem")
    return run


def _merge_run(
    asked: Asked, sets: Mapping[str, str], file: Recipe | None, problems: list[MindanimError]
) -> tuple[RunOptions | None, dict[str, str]]:
    shared = RunOptions.model_fields
    typed = {"recipe": asked.recipe, "config": asked.config_file}
    flags = {name: value for name, value in typed.items() if value is not None}
    flags |= _only(asked.flags, shared)
    inside = file.tables.get("run", {}) if file else {}
    if "config" in inside or "config" in sets:
        where = str(asked.file) if "config" in inside else _set_name("config")
        problems.append(ConfigError(f"{where} names another file of options.", hint="Use --config FILE."))
    layers = [
        Layer(
            lambda name: f"MINDANIM_{name.upper()}",
            _only(_environment(asked, "MINDANIM_"), set(shared) - _NOT_FROM_ENVIRONMENT),
        ),
        Layer(lambda _: str(asked.file), inside),
        Layer(_set_name, _only(sets, shared), UsageError),
        Layer(asked.flag_name, flags, UsageError),
    ]
    return _merge(RunOptions, layers, "run", problems)


def _merge(
    model: type[M], layers: Sequence[Layer], stage: str, problems: list[MindanimError]
) -> tuple[M | None, dict[str, str]]:
    """The validated options and their origins; problems are added to `problems`, and then there are none."""
    values: dict[str, Any] = {}
    sources: dict[str, Layer] = {}
    for layer in layers:
        for name, raw in layer.values.items():
            known = model.model_fields.get(name)
            if known is None:
                problems.append(unknown_option(stage, name, layer, model))
                continue
            value = parse(known.annotation, raw) if isinstance(raw, str) else raw
            below = values.get(name)
            if model is RunOptions and isinstance(value, Mapping) and isinstance(below, Mapping):
                value = {**below, **value}  # --study clip_s=4 changes one entry of the file's
            values[name] = value
            sources[name] = layer
    problems += _drop_without_effect(model, values, sources, stage)
    origins = {
        name: sources[name].origin(name) if name in values else "default" for name in model.model_fields
    }
    try:
        return model.model_validate(values), origins
    except ValidationError as error:
        # One sentence per option: a union reports each of its members.
        options: dict[str, list[Mapping[str, Any]]] = {}
        for detail in error.errors():
            options.setdefault(str(detail["loc"][:1]), []).append(detail)
        problems += [invalid_option(stage, details, model, sources, values) for details in options.values()]
        return None, origins


def _equal(value: Any, neutral: float | None) -> bool:
    """Whether a value, perhaps as text, is this number."""
    try:
        return neutral is not None and float(value) == neutral
    except (TypeError, ValueError):
        return False


def _drop_without_effect(
    model: type[Options], values: dict[str, Any], sources: Mapping[str, Layer], stage: str
) -> list[MindanimError]:
    """Remove from `values` the options that do nothing given the others; a problem for those typed."""
    settled = settle(model, values)
    invalid = values.keys() & deciding(model) - settled.keys()  # reported as such, and decides nothing
    given = [name for name in model.model_fields if name in values]
    found = {name: unmet(model, settled, name) for name in given}
    idle = {name: other for name, other in found.items() if other is not None and other not in invalid}
    groups: dict[tuple[str, int, tuple[Any, ...]], list[str]] = {}
    for name, other in idle.items():
        neutral = declared(model.model_fields[name]).get("neutral")
        if not _equal(values.pop(name), neutral) and sources[name].typed:
            groups.setdefault((other, id(sources[name]), wanted_of(model, name, other)), []).append(name)
    return [
        without_effect(
            stage,
            names,
            other,
            settled.get(other, model.model_fields[other].default),
            sources[names[0]],
            model,
        )
        for (other, _, _), names in groups.items()
    ]


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
