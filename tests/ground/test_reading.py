"""The net around parsers: whatever they raise names the file; what is no fault of the file passes."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from mindanim.errors import ConfigError, InputError, MissingError
from mindanim.studies.pickles import read_object_npy
from mindanim.vocabulary.reading import map_npy, read_npz, reading


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of any content."""
    path = tmp_path / "run.nii"
    path.write_bytes(b"x")
    return path


@pytest.mark.parametrize(
    "error", [KeyError("units"), RecursionError(), MemoryError(), OverflowError("inf"), zlib.error("short")]
)
def test_whatever_a_parser_raises_names_the_file(error: Exception, file: Path) -> None:
    with (
        pytest.raises(InputError, match=r"run\.nii is not a readable NIfTI run") as caught,
        reading(file, "NIfTI run"),
    ):
        raise error
    assert (
        caught.value.__cause__ is error
        and type(error).__name__.lower() in caught.value.why.lower()
        and caught.value.hint
    )


def test_configuration_has_its_own_class_and_a_missing_file_its_own_words(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="does not exist"),
        reading(tmp_path / "a.toml", "TOML file", kind=ConfigError),
    ):
        pytest.fail("the block is entered without a file")


def test_what_is_no_fault_of_the_file_passes_unchanged(file: Path) -> None:
    for error in (MissingError("h5py"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, reading(file, "run"):
            raise error
        assert caught.value is error


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.npy")
    for read in (lambda path: map_npy(path, "array"), lambda path: read_npz(path, ("a",), "archive")):
        with pytest.raises(InputError, match="not a regular file"):
            read(tmp_path / "a.npy")


def claim(path: Path, shape: tuple[int, ...], held: bytes) -> Path:
    with path.open("wb") as out:
        np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": shape})
        out.write(held)
    return path


def test_arrays_that_claim_more_than_the_file_holds_are_refused_with_both_numbers(tmp_path: Path) -> None:
    path = claim(tmp_path / "a.npy", (10**12, 3), bytes(24))
    for read in (lambda: map_npy(path, "array"), lambda: read_object_npy(path)):
        with pytest.raises(InputError, match="claims 24,000,000,000,000 bytes and holds 24"):
            read()
    np.savez(tmp_path / "a.npz", ids=np.arange(3))
    content = (tmp_path / "a.npz").read_bytes()
    data = content[content.index(b"\x93NUMPY") :][: 128 + 24]
    forged = data.replace(b"(3,), }" + b" " * 9, b"(3" + b"0" * 9 + b",), }")
    assert len(forged) == len(data) and forged != data
    (tmp_path / "a.npz").write_bytes(
        content.replace(data, forged).replace(
            struct.pack("<I", zlib.crc32(data)), struct.pack("<I", zlib.crc32(forged))
        )
    )
    with pytest.raises(InputError, match="claims 24,000,000,000 bytes and holds 24"):
        read_npz(tmp_path / "a.npz", ("ids",), "archive")


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    for shape in ((), (0, 3), (2, 3)):
        np.save(tmp_path / "a.npy", np.ones(shape, np.float32))
        found = map_npy(tmp_path / "a.npy", "array")
        assert found.shape == shape and found.dtype == np.float32
    np.savez_compressed(tmp_path / "a.npz", ids=np.arange(3), other=np.eye(2))
    assert read_npz(tmp_path / "a.npz", ("ids",), "archive")["ids"].tolist() == [0, 1, 2]
    with pytest.raises(InputError, match=r"a\.npz is not a readable archive"):
        read_npz(tmp_path / "a.npz", ("ids", "labels"), "archive")
