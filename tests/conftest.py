"""Settings for all tests: deterministic, offline, unaffected by the caller's environment; longest first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
for name in [name for name in os.environ if name.startswith("MINDANIM_")]:
    del os.environ[name]

# Deadlines measure the machine's load, not the code.
settings.register_profile("mindanim", deadline=None, derandomize=True, database=None)
settings.load_profile("mindanim")

LONGEST = (
    "controls",
    "generation/test_generate.py",
    "metrics/test_statistics.py",
    "test_package.py",
    "simulation",
    "metrics/test_null.py",
    "test_pipeline.py",
    "stages/test_launch.py",
    "test_paper_recipe.py",
)
"""Handed to the workers first: a long file that starts last leaves the other worker idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    root = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        path = item.path.relative_to(root).as_posix()
        return next((place for place, name in enumerate(LONGEST) if path.startswith(name)), len(LONGEST))

    items.sort(key=rank)
