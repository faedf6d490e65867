"""A package that is not installed but found: entry points and a module in a folder on the path."""

from __future__ import annotations

from pathlib import Path

import pytest


def install(folder: Path, group: str, name: str, value: str, source: str, patch: pytest.MonkeyPatch) -> None:
    """Let the package ``plugged 1.2`` bring the module ``plugged`` and one entry point ``name = value``."""
    about = folder / "plugged-1.2.dist-info"
    about.mkdir(parents=True, exist_ok=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.2\n")
    with (about / "entry_points.txt").open("a") as file:
        file.write(f"[{group}]\n{name} = {value}\n")
    (folder / "plugged.py").write_text(source)
    patch.syspath_prepend(folder)
    patch.delitem(__import__("sys").modules, "plugged", raising=False)
