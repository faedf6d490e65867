"""How an option is declared: once, with its type, default, unit and help."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def spelled(pattern: str, rule: str) -> AfterValidator:
    """A text that matches all of `pattern`, or none is given; what does not is refused with `rule`, in words.

    rule: what is possible and why, to follow "label = 'x' is not possible: ".
    """

    def check(value: str | None) -> str | None:
        if value is not None and re.fullmatch(pattern, value) is None:
            raise ValueError(rule)
        return value

    return AfterValidator(check)


ImportPath = Annotated[
    str, spelled(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", "the import path of a class, as package.module:Class")
]
"""A class that lies outside this package, as "module:Class"."""


class Options(BaseModel):
    """A frozen group of options; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class StageConfig(Options):
    """The options of one stage that decide its result.

    Fields declared with ``identity=False`` change how the work is done, not what comes out.
    stage: the subcommand that reads these options, where that is not the one that usually makes the artifact.
    """

    stage: ClassVar[str] = ""


def opt(
    default: Any, help: str, *, unit: str = "", flag: bool = False, identity: bool = True, **constraints: Any
) -> Any:
    """Declare one option.

    default: the value without any recipe; ``...`` makes the option required.
    help: one sentence for ``--help`` and the reference page.
    unit: physical unit, shown beside the help ("s", "px", "clips").
    flag: whether the option is a first-class flag of its command; others are reached by ``--set`` and
    recipes.
    identity: whether a different value makes a different artifact.
    constraints: pydantic bounds (``ge``, ``le``, ``gt``, ``lt``, ``min_length``). How a text is spelled is
    said by its type (`spelled`), not by a pattern, which no reader of an error understands.
    """
    extra: dict[str, Any] = {"unit": unit, "flag": flag, "identity": identity}
    return Field(default, description=help, json_schema_extra=extra, **constraints)
