"""How an option is declared: once, with its type, default, unit, help and the choices it depends on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from mindanim.vocabulary.words import unknown

IMPORT_PATH = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"
"""A class outside this package, as "module:Class"."""


def spelled(pattern: str, rule: str) -> AfterValidator:
    """A text that is None or matches all of `pattern`; any other is refused with `rule`, a rule in words.

    Args:
        pattern: Regular expression.
        rule: What is possible and why; it follows "label = 'x' is not possible: ".
    """

    def check(value: str | None) -> str | None:
        if value is not None and re.fullmatch(pattern, value) is None:
            raise ValueError(rule)
        return value

    return AfterValidator(check)


def modules_of(folder: str) -> tuple[str, ...]:
    """Names of the modules in a folder of this package, one per variant; nothing is imported."""
    found = iter_modules([str(Path(__file__).parents[1] / folder)])
    return tuple(sorted(module.name for module in found if module.name != "sampler"))


@dataclass(frozen=True)
class Variants:
    """The type of an option that picks a variant by name: one of ours, or one from another package.

    Args:
        thing: What is picked, "decoder"; other packages bring theirs by entry points (mindanim.decoders).
        own: The names of this package's variants.
        kind: What such a variant is for, where one registry serves several purposes; entry points are then
            called "kind.name", and users type the name.
        paths: Whether a class may also be given by its import path, module:Class.
    """

    thing: str
    own: tuple[str, ...]
    kind: str = ""
    paths: bool = False

    def check(self, value: str) -> str:
        """The name itself; ValueError with the likely name when there is no such variant."""
        if value in self.own or (self.paths and re.fullmatch(IMPORT_PATH, value)):
            return value
        start = f"{self.kind}." if self.kind else ""
        foreign = (point.name for point in entry_points(group=f"mindanim.{self.thing}s"))
        names = [*self.own, *(name.removeprefix(start) for name in foreign if name.startswith(start))]
        if value in names:
            return value
        sentence = unknown(self.thing, value, names)
        path = self.paths and not sentence.endswith("?")  # a likely name needs no other advice
        raise ValueError(sentence + ("; your own class is written package.module:Class" if path else ""))

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


class Options(BaseModel):
    """A frozen group of options; unknown keys are errors.

    Attributes:
        regardless: Inherited options that have an effect here whatever their `only` says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    regardless: ClassVar[tuple[str, ...]] = ()

    @field_validator("*", mode="before")
    @classmethod
    def _plain_digits(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse "1_0" for a number: pydantic, like Python, would read 10."""
        texts = [part for part in (value if isinstance(value, tuple) else (value,)) if isinstance(part, str)]
        kinds = _members(cls.model_fields[info.field_name or ""].annotation)
        if kinds & {int, float} and str not in kinds and any("_" in text for text in texts):
            raise ValueError("write numbers with digits only, without '_'")
        return value


def _members(annotation: Any) -> set[Any]:
    """The types in an annotation: {float} for tuple[float, ...]."""
    parts = get_args(annotation)
    return {annotation}.union(*map(_members, parts))


class StageConfig(Options):
    """The options of one stage that decide its result.

    Fields declared with ``identity=False`` change how the work is done, not what comes out.

    Attributes:
        stage: The subcommand that reads these options, where it is not the usual one for its artifact.
        stage_version: Part of every identity. Raise it when a default or the meaning of a result changes, so
            that older artifacts are recognised as outdated, and say why in the comment next to it. A new
            option whose default keeps the old behaviour needs no new version.
    """

    stage: ClassVar[str] = ""
    stage_version: ClassVar[int] = 1


def opt(
    default: Any,
    help: str,
    *,
    unit: str = "",
    flag: bool = False,
    identity: bool = True,
    only: Mapping[str, tuple[Any, ...]] | None = None,
    neutral: Any = None,
    metavar: str = "",
    **constraints: Any,
) -> Any:
    """Declare one option.

    Args:
        default: The value without any recipe; ``...`` makes the option required.
        help: One sentence for ``--help`` and the reference page.
        unit: Physical unit, shown after the help ("s", "px", "clips").
        flag: Whether it is a first-class flag of its command; others are set by ``--set`` and recipes.
        identity: Whether a different value makes a different artifact.
        only: Other options and the values of each with which this one has an effect (see
            `mindanim.config.variants`); without them it always has.
        neutral: A value that asks for nothing, so that it may be given where the option has no effect.
        metavar: What help texts call its type, where the type's own name says little.
        constraints: Pydantic bounds (``ge``, ``le``, ``gt``, ``lt``, ``min_length``). The spelling of a text
            is checked by its type (`spelled`), whose rule is in words, never by a pattern.
    """
    extra: dict[str, Any] = {"unit": unit, "flag": flag, "identity": identity, "only": dict(only or {})}
    extra |= {} if neutral is None else {"neutral": neutral}
    extra |= {"metavar": metavar} if metavar else {}
    return Field(default, description=help, json_schema_extra=extra, **constraints)


def declared(field: FieldInfo) -> Mapping[str, Any]:
    """What `opt` recorded of an option: unit, flag, identity, only."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
