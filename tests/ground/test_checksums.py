"""Checksums that are remembered: never those of another content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from mindanim.artifacts import checksums
from mindanim.artifacts.checksums import file_sha256


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/mindanim/sha256"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_another_content_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    """Only the modification time tells, as for weights that were trained further."""
    file = tmp_path / "weights"
    file.write_bytes(b"before")
    os.utime(file, ns=(1_000, 1_000))
    assert file_sha256(file) == sha256(b"before")
    file.write_bytes(b"after!")
    os.utime(file, ns=(1_000, 1_001))
    assert file_sha256(file) == sha256(b"after!")


def test_another_size_at_the_same_time_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    for content in (b"before", b"afterwards"):
        file.write_bytes(content)
        os.utime(file, ns=(1_000, 1_000))
        assert file_sha256(file) == sha256(content)


def test_it_is_computed_once_and_remembered_across_processes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"content")
    assert file_sha256(file) == sha256(b"content") and len(list(cache.iterdir())) == 1
    checksums._remembered.cache_clear()  # as a new process
    monkeypatch.setattr(checksums, "sha256_of", lambda path: pytest.fail("computed again"))
    assert file_sha256(file) == sha256(b"content")


def test_two_files_of_one_name_are_kept_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        file = tmp_path / folder / "weights"
        file.parent.mkdir()
        file.write_bytes(folder.encode())
        os.utime(file, ns=(1_000, 1_000))
        assert file_sha256(file) == sha256(folder.encode())


def test_a_broken_cache_costs_time_only(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"content")
    assert file_sha256(file) == sha256(b"content")
    (memory,) = cache.iterdir()
    for broken in ("{half", "[]", '{"weights": 3}', '{"weights": [1, 2, 3, 4, null]}'):
        memory.write_text(broken)
        checksums._remembered.cache_clear()
        assert file_sha256(file) == sha256(b"content")


def test_a_content_with_its_old_time_is_noticed(tmp_path: Path) -> None:
    """As `rsync --inplace --times` and `cp -p` write: size, inode and modification time are those before."""
    file = tmp_path / "weights"
    file.write_bytes(b"before")
    kept = file.stat()
    assert file_sha256(file) == sha256(b"before")
    file.write_bytes(b"after!")
    os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert file.stat().st_ino == kept.st_ino and file_sha256(file) == sha256(b"after!")
