"""A share of the damaged files of `python -m tests.fuzz`, which also limits memory and time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.attack import attack
from tests.fuzz.readers import READERS, Reader

INPUTS = range(30)


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_files_are_refused_or_harmless(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wrong = [
        f"{number}: {verdict}"
        for number, verdict in attack(reader, tmp_path / "files", INPUTS)
        if verdict.startswith("wrong")
    ]
    assert not wrong, "\n".join(wrong)
