"""Recipes and config files: TOML tables, one per stage, that set options."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mindanim.config.names import STAGES, kind_of_dataset
from mindanim.errors import ConfigError
from mindanim.vocabulary.reading import reading
from mindanim.vocabulary.words import unknown

RECIPES = Path(__file__).parent.parent / "recipes"
BACKBONES = ("diffusion", "clip", "captioner", "image_classifier", "video_classifier")
_TEXTS = ("title", "description", "extends")

Tables = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Recipe:
    """A named set of options for some or all stages.

    Attributes:
        name: Its name, or its file.
        tables: Stage name, "backbones" or (in a config file) "run" -> option -> value, as in the file.
        title: For the reference page.
        description: For the reference page.
        extends: The recipe whose options apply where this one sets none.
    """

    name: str
    tables: Tables
    title: str = ""
    description: str = ""
    extends: str = ""

    def options(self, stage: str, known: Mapping[str, Any]) -> dict[str, Any]:
        """The values for one stage. A backbone applies to every stage that has an option of its name."""
        backbones = {name: value for name, value in self.tables.get("backbones", {}).items() if name in known}
        return backbones | self.tables.get(stage, {})


def recipe_names() -> list[str]:
    """Names of the recipes that ship with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def default_recipe(dataset: str | None) -> str:
    """The recipe that is used if none is given."""
    kind = kind_of_dataset(dataset or "")
    if kind == "simulated":
        return "demo"
    if kind in ("", "cc2017"):
        return "paper"
    return kind if kind in ("hcp", "algonauts2021") else "own-study"


def load_recipe(name: str) -> Recipe:
    """The recipe called `name`, or the file `name` if that ends in .toml, with what it extends merged in.

    Raises:
        ConfigError: No such recipe, not TOML, unknown tables, or recipes that extend each other in a circle.
    """
    return _load(name, ())


def load_config_file(path: Path) -> Recipe:
    """A file for --config: the tables of a recipe, and "run" for the options that all stages share."""
    return _parse(path, str(path), ("run", "backbones", *STAGES))


def _load(name: str, below: tuple[str, ...]) -> Recipe:
    if name in below:
        raise ConfigError(f"Recipes extend each other in a circle: {' -> '.join((*below, name))}.")
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not name.endswith(".toml") and name not in recipe_names():
        raise ConfigError(
            f"{unknown('recipe', name, recipe_names())}",
            hint="Your own recipe is given by its path: --recipe my-recipe.toml",
        )
    recipe = _parse(path, name, ("backbones", *STAGES))
    if not recipe.extends:
        return recipe
    return replace(recipe, tables=merge(_load(recipe.extends, (*below, name)).tables, recipe.tables))


def merge(below: Mapping[str, Mapping[str, Any]], above: Mapping[str, Mapping[str, Any]]) -> Tables:
    """Both sets of tables in one; where both set an option, `above` wins."""
    return {table: {**below.get(table, {}), **above.get(table, {})} for table in [*below, *above]}


def _parse(path: Path, name: str, tables: tuple[str, ...]) -> Recipe:
    with reading(path, "TOML file", "Correct it, or its path.", kind=ConfigError):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    texts = {key: content.pop(key) for key in _TEXTS if isinstance(content.get(key), str)}
    problems = [_stray(key, value, tables) for key, value in content.items() if key not in tables]
    flat = [key for key in tables if key in content and not isinstance(content[key], dict)]
    problems += [f"{key} is not a table" for key in flat]
    backbones = {} if "backbones" in flat else content.get("backbones", {})
    problems += [unknown("backbone", key, BACKBONES) for key in backbones if key not in BACKBONES]
    if problems:
        raise ConfigError(f"{path}: {'; '.join(problems)}.", why=f"Tables are {', '.join(tables)}.")
    return Recipe(name, content, **texts)


def _stray(key: str, value: Any, tables: tuple[str, ...]) -> str:
    return unknown("table", key, tables) if isinstance(value, dict) else unknown("key", key, _TEXTS)
