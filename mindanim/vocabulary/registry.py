"""What can be named on the command line and brought by other packages: metrics, samplers, decoders, readers.

A registry finds an object by its name. Another package adds one through an entry point in the group
``mindanim.<things>`` whose name is the name users type and whose value is the object, "module:object".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from mindanim.errors import ConfigError, MissingError
from mindanim.vocabulary.words import unknown

T = TypeVar("T")

EXTENSIBLE = ("metric", "sampler", "decoder", "reader")
"""What other packages can add."""


class Registry(Generic[T]):
    """Objects of one sort by name: those of this package, and those of installed packages.

    Args:
        thing: What one of them is called in messages, "sampler"; the entry points' group is its plural,
            "mindanim.samplers".
    """

    def __init__(self, thing: str) -> None:
        self.thing, self.group = thing, f"mindanim.{thing}s"
        self._own: dict[str, T] = {}

    def add(self, name: str, found: T) -> T:
        """Add an object of this package. ValueError when the name is taken."""
        if name in self._own:
            raise ValueError(f"there are two {self.thing}s called {name}")
        self._own[name] = found
        return found

    def register(self, name: str) -> Callable[[T], T]:
        """A decorator that adds what it decorates."""
        return lambda found: self.add(name, found)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._foreign()

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in self._foreign() if name not in self._own)

    def __getitem__(self, name: str) -> T:
        """The object called `name`.

        Raises:
            ConfigError: Nothing has this name; names the most likely one, or all.
            MissingError: The package that brings it cannot be imported.
        """
        if name in self._own:
            return self._own[name]
        if name not in (foreign := self._foreign()):
            raise ConfigError(f"{unknown(self.thing, name, self)}.")
        point = foreign[name]
        try:
            found: T = point.load()
        except (ImportError, AttributeError) as error:
            raise MissingError(
                f"The {self.thing} {name} cannot be loaded from {point.value}.",
                why=str(error),
                hint=f"Update or remove the package {source(point)}.",
            ) from error
        return found

    def foreign(self) -> dict[str, str]:
        """Name -> package of what other packages bring; nothing is imported."""
        return {name: source(point) for name, point in self._foreign().items()}

    def _foreign(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}


def source(point: EntryPoint) -> str:
    """Name and version of the package an entry point belongs to."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.module
