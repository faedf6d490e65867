"""Which options have an effect: many belong to one decoder, one sampler, one way of choosing voxels.

A stage's options are one flat class. An option that belongs to some variants says so where it is declared
(`opt(..., only={"decoder": ("ridge",)})`); everything else follows from that: what is refused on the command
line, what identity and config.toml leave out, and what the help says.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from mindanim.config.names import flag_name
from mindanim.config.option import Options, Variants, declared

PLUGIN = "a plug-in"
"""Among the values of `only`: a variant that another package brings."""
GIVEN = "given"
"""Among the values of `only`: anything but none."""


def unmet(model: type[Options], values: Mapping[str, Any], name: str) -> str | None:
    """The option whose value keeps the option `name` without effect; None when it has one.

    Args:
        model: The stage's options.
        values: Validated values by name; absent ones are at their default.
        name: The option in question.
    """
    for other, wanted in conditions(model, name).items():
        if blocked := unmet(model, values, other):
            return blocked
        field = model.model_fields[other]
        if not _fits(field, values.get(other, field.default), wanted):
            return str(other)
    return None


def conditions(model: type[Options], name: str) -> Mapping[str, tuple[Any, ...]]:
    """The other options on which the effect of the option `name` depends, each with the values it takes."""
    only: Mapping[str, tuple[Any, ...]] = declared(model.model_fields[name]).get("only", {})
    return {} if name in model.regardless else only


def wanted_of(model: type[Options], name: str, other: str) -> tuple[Any, ...]:
    """The values of `other` that give `name` an effect, by its own condition or one further up."""
    depends = conditions(model, name)
    if other in depends:
        return depends[other]
    return next((found for up in depends if (found := wanted_of(model, up, other))), ())


def in_use(config: Options) -> list[str]:
    """The options that have an effect in this configuration, in the order of their declaration."""
    values = {name: getattr(config, name) for name in type(config).model_fields}
    return [name for name in values if unmet(type(config), values, name) is None]


def deciding(model: type[Options]) -> set[str]:
    """The options that others depend on."""
    return {other for option in model.model_fields for other in conditions(model, option)}


def settle(model: type[Options], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the raw `values` that other options depend on, validated one by one.

    An invalid one is left out: it is reported when all are validated.
    """
    settled: dict[str, Any] = {}
    for name in deciding(model) & values.keys():
        field = model.model_fields[name]
        try:
            settled[name] = TypeAdapter(field.rebuild_annotation()).validate_python(values[name])
        except ValidationError:
            continue
    return settled


def variants_of(field: FieldInfo) -> Variants | None:
    """The variants an option picks from, where it is declared with `Variants`."""
    return next((item for item in field.metadata if isinstance(item, Variants)), None)


def with_value(name: str, value: Any) -> str:
    """An option's value as a circumstance: "with decoder ridge", "without motion_test"."""
    if value in (None, False, "", ()):
        return f"without {name}"
    shown = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"with {name}" if value in (True, GIVEN) else f"with {name} {shown}"


def effect(model: type[Options], name: str) -> str:
    """When an option has an effect, in words: "with decoder cmg or mlp"; empty where always."""
    depends = conditions(model, name).items()
    return " and ".join(circumstance(model, other, wanted) for other, wanted in depends)


def remark(model: type[Options], name: str) -> str:
    """`effect` for the help, in as few words as possible: "Not with decoder ridge."; empty where always."""
    parts = []
    for other, wanted in conditions(model, name).items():
        others = [value for value in _choices(model, other) if value not in wanted]
        fewer = 0 < len(others) < len(_possible(model, other, wanted))
        parts.append(
            f"not with {other} {_or(others)}" if fewer else f"only {circumstance(model, other, wanted)}"
        )
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def circumstance(model: type[Options], name: str, wanted: tuple[Any, ...]) -> str:
    """The values `wanted` of an option as a circumstance: "with decoder cmg, mlp or a plug-in"."""
    first = wanted[0]
    if first in (None, True, False, GIVEN):
        return with_value(name, first)
    possible = _possible(model, name, wanted)
    return f"with {PLUGIN} {name}" if possible == [PLUGIN] else f"with {name} {_or(possible)}"


def example(model: type[Options], name: str, wanted: tuple[Any, ...]) -> str:
    """What to type to give an option the first of the values `wanted`; empty if nothing would."""
    field, possible = model.model_fields[name], _possible(model, name, wanted)
    first = possible[0] if possible else GIVEN
    if first in (None, False, PLUGIN):
        return ""
    flag = declared(field).get("flag")
    if first in (True, GIVEN):
        return flag_name(name) if flag else f"--set {name}={'yes' if first is True else 'VALUE'}"
    return f"{flag_name(name)} {first}" if flag else f"--set {name}={first}"


def _fits(field: FieldInfo, value: Any, wanted: tuple[Any, ...]) -> bool:
    if isinstance(value, tuple):
        return any(item in wanted for item in value)
    if GIVEN in wanted:
        return value not in (None, "")
    own = variants_of(field)
    return value in wanted or (PLUGIN in wanted and own is not None and value not in own.own)


def _choices(model: type[Options], name: str) -> tuple[Any, ...]:
    """All values of an option that is a choice between names; empty for others."""
    field = model.model_fields[name]
    if own := variants_of(field):
        return (*own.own, PLUGIN)
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def _possible(model: type[Options], name: str, wanted: tuple[Any, ...]) -> list[Any]:
    """Those of `wanted` that this stage knows: stages share declarations, but not all variants."""
    choices = _choices(model, name)
    return [value for value in wanted if value in choices] if choices else list(wanted)


def _or(names: Iterable[Any]) -> str:
    *most, last = map(str, names)
    return f"{', '.join(most)} or {last}" if most else last
