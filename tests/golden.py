"""Golden files: a test compares with what is committed; `UPDATE_GOLDEN=1 pytest ...` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path


def check(path: Path, text: str) -> None:
    """Compare `text` with the golden file `path`."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no golden file {path}: run once with UPDATE_GOLDEN=1 and look at the result"
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; if that is meant: UPDATE_GOLDEN=1"
