"""Texts from the command line, the environment and TOML files as values of options."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

NONE = "none"


def parse(annotation: Any, text: str) -> Any:
    """The value that a text stands for, given the option's type.

    Tuples are comma-separated; "none" is the empty tuple, or no value where the type allows that. A text that
    does not fit is returned unchanged, for validation to report.

    Args:
        annotation: The option's type.
        text: From the command line, the environment or a TOML file.
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
