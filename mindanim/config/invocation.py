"""The command that is running and the origin of each option, for the manifest."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from mindanim.config.option import StageConfig
from mindanim.config.run_options import RunOptions


@dataclass(frozen=True)
class Invocation:
    """One call of a stage: its command line, the origin of each option's value, the shared options."""

    command: tuple[str, ...]
    config: StageConfig
    origins: Mapping[str, str]
    run: RunOptions = field(default_factory=RunOptions)


_current: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


@contextmanager
def invoked(invocation: Invocation) -> Iterator[None]:
    """Inside the block, `command` and `origins` refer to this invocation."""
    token = _current.set(invocation)
    try:
        yield
    finally:
        _current.reset(token)


def command() -> tuple[str, ...]:
    """The command line or Python call that is running."""
    current = _current.get()
    return current.command if current else tuple(sys.argv)


def shared() -> RunOptions:
    """The shared options of the running command; the defaults if none is running."""
    current = _current.get()
    return current.run if current else RunOptions()


def origins(config: StageConfig) -> dict[str, str]:
    """Where each option's value came from: a flag, a file, a recipe, the default, or the calling code."""
    current = _current.get()
    known = current if current is not None and type(current.config) is type(config) else None
    found = {}
    for name in type(config).model_fields:
        if known is not None and getattr(known.config, name) == getattr(config, name):
            found[name] = known.origins.get(name, "default")
        elif known is not None:
            found[name] = "computed"
        else:
            found[name] = "argument" if name in config.model_fields_set else "default"
    return found
