"""What can be named on the command line and brought by other packages: metrics, samplers, decoders, readers.

A registry finds an object by its name. Another package adds one through an entry point in the group
``mindanim.<things>`` whose name is the name users type and whose value is the object, "module:object".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from mindanim.errors import ConfigError, MissingError
from mindanim.vocabulary.words import unknown_sentence

T = TypeVar("T")

EXTENSIBLE = ("metric", "sampler", "decoder", "reader")
"""What other packages can add."""


class Registry(Generic[T]):
    """Objects of one sort by name: those of this package, and those of installed packages.

    Args:
        thing: What one of them is called in messages, "sampler"; the entry points' group is its plural,
            "mindanim.samplers".
        sort: The class that all of them are instances of; what another package brings is checked against it.
    """

    def __init__(self, thing: str, sort: Any) -> None:
        self.thing, self.group, self.sort = thing, f"mindanim.{thing}s", sort
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
            ConfigError: Nothing has this name (names the most likely one, or all), or several packages do.
            MissingError: The package that brings it cannot be imported, or brings something else.
        """
        points = [point for point in entry_points(group=self.group) if point.name == name]
        # A package that is found twice on the path brings one thing, not two.
        bringers = sorted({source(point) for point in points})
        if len(bringers) + (name in self._own) > 1:
            raise self._taken(name, bringers)
        if name in self._own:
            return self._own[name]
        if not points:
            raise ConfigError(unknown_sentence(self.thing, name, self))
        point = points[0]
        hint = f"Update or remove the package {source(point)}."
        try:
            found = point.load()
        except Exception as error:  # whatever another package's module raises
            why = str(error) if isinstance(error, (ImportError, AttributeError)) else repr(error)
            raise MissingError(
                f"The {self.thing} {name} cannot be loaded from {point.value}.", why=why, hint=hint
            ) from error
        if not isinstance(found, self.sort):
            raise MissingError(
                f"{point.value} is not a {self.thing}.",
                why=f"It is of type {type(found).__name__}.",
                hint=hint,
            )
        return cast(T, found)

    def _taken(self, name: str, bringers: list[str]) -> ConfigError:
        """That one name stands for two things: which of them is meant cannot be known."""
        if name in self._own:
            what = f"brings a {self.thing} called {name}, which is one of mindanim's own."
        else:
            what = f"both bring a {self.thing} called {name}."
        what = f"{' and '.join(bringers)} {what}"
        hint = f"Rename the entry point in the package, or remove it: pip uninstall {bringers[-1].split()[0]}"
        return ConfigError(what, why="A name stands for one thing.", hint=hint)

    def foreign(self) -> dict[str, str]:
        """Name -> package of what other packages bring; nothing is imported."""
        foreign = self._foreign().items()
        return {name: source(point) for name, point in foreign if name not in self._own}

    def _foreign(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}


def source(point: EntryPoint) -> str:
    """Name and version of the package an entry point belongs to."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.module
