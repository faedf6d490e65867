"""Files and tables from elsewhere: pickles that would run code, paths that would leave the data folder."""

from __future__ import annotations

import collections
import io
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mindanim.errors import InputError
from mindanim.studies.paths import inside
from mindanim.studies.pickles import read_object_npy, read_pickle


class Runs:
    """A pickle of this calls ``function(*arguments)`` where an ordinary loader opens it."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.recipe = function, arguments

    def __reduce__(self) -> Any:
        return self.recipe


def marks(tmp_path: Path) -> str:
    return f"touch {tmp_path / 'mark'}"


ATTACKS = {
    "posix.system": lambda path: Runs(os.system, marks(path)),
    "subprocess.Popen": lambda path: Runs(
        subprocess.Popen, marks(path), -1, None, None, None, None, None, True
    ),
    "builtins.eval": lambda path: Runs(eval, f"__import__('os').system('{marks(path)}')"),
    "builtins.exec": lambda path: Runs(exec, f"open('{path / 'mark'}', 'w')"),
    "builtins.getattr": lambda path: Runs(getattr, "".join, "__class__"),
    "_io.open": lambda path: Runs(io.open, str(path / "mark"), "w"),
    "os.makedirs": lambda path: Runs(os.makedirs, str(path / "mark")),
    "numpy.load": lambda path: Runs(np.load, str(path / "other.npy"), None, True),
    "numpy.fromfile": lambda path: Runs(np.fromfile, "/etc/hostname"),
    "nested in a list": lambda path: {"train": [np.zeros(2), (1, Runs(os.system, marks(path)))]},
    "in an object array": lambda path: np.array([Runs(os.system, marks(path))], dtype=object),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_that_would_run_code_is_refused_by_name(attack: str, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "V1.pkl"
    path.write_bytes(pickle.dumps(ATTACKS[attack](tmp_path), protocol=protocol))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"V1\.pkl holds .*, which is refused") as caught:
        read_pickle(path)
    if "." in attack:
        assert attack.split(".")[-1] in caught.value.what
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "code",
    [
        b"cos\nsystem\n(S'touch mark'\ntR.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"cnumpy\nndarray.__class__\n.",
        b"(S'touch mark'\nios\nsystem\n.",
        b"Pid\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0cload.__doc__\x93.",
    ],
)
def test_hand_written_pickles_are_refused(code: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(code)
    with pytest.raises(InputError, match="which is refused"):
        read_pickle(path)


def test_the_attacks_of_these_tests_do_run_in_an_ordinary_loader(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(ATTACKS["posix.system"](tmp_path)))
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_containers_come_back_as_they_were(protocol: int, tmp_path: Path) -> None:
    content = {
        "train": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        "voxel_mask": np.eye(3, dtype=bool)[None],
        "names": ["a", ("b", None, True)],
        "scalar": np.float64(2.5),
        "ordered": collections.OrderedDict(a=1),
        "bytes": b"\xff\x00",
        "object": np.array([{"x": 1}, None], dtype=object),
        "fortran": np.asfortranarray(np.ones((2, 3), ">i2")),
    }
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_pickle(path)
    assert found.keys() == content.keys()
    for name in ("train", "voxel_mask", "fortran"):
        np.testing.assert_array_equal(found[name], content[name])
        assert found[name].dtype.kind == content[name].dtype.kind  # type: ignore[attr-defined]
    assert found["names"] == content["names"] and found["scalar"] == 2.5 and found["ordered"] == {"a": 1}
    assert found["bytes"] == b"\xff\x00" and found["object"][0] == {"x": 1}


def test_a_dict_saved_as_npy(tmp_path: Path) -> None:
    spans = {"1": np.array([[0, 24], [48, 96]]), "2": np.array([[0, 12]])}
    np.save(tmp_path / "spans.npy", spans)  # type: ignore[arg-type]
    found = read_object_npy(tmp_path / "spans.npy")
    assert list(found) == ["1", "2"]
    np.testing.assert_array_equal(found["1"], spans["1"])
    np.save(tmp_path / "plain.npy", np.arange(3))
    np.testing.assert_array_equal(read_object_npy(tmp_path / "plain.npy"), np.arange(3))
    np.save(tmp_path / "bad.npy", {"1": Runs(os.system, "true")})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"holds .*system, which is refused"):
        read_object_npy(tmp_path / "bad.npy")


@pytest.mark.parametrize("text", ["a.mp4", "films/a.mp4", "./films//a.mp4", "a..b/c.mp4"])
def test_paths_within_the_folder(text: str, tmp_path: Path) -> None:
    assert inside(tmp_path, text, tmp_path / "clips.tsv") == tmp_path / text


@pytest.mark.parametrize(
    "text", ["/etc/passwd", "../a.mp4", "films/../../a.mp4", "films/../a.mp4", "link/a.mp4", "loop/a"]
)
def test_paths_out_of_the_folder(text: str, tmp_path: Path) -> None:
    root = tmp_path / "study"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    (root / "loop").symlink_to(root / "loop")
    with pytest.raises(InputError, match=r"in .*clips\.tsv (is outside|does not exist)"):
        inside(root, text, root / "clips.tsv")
    assert inside(root, text, root / "clips.tsv", allow_outside=True) == root / text


@pytest.mark.parametrize("text", ["", "  ", "a\0b"])
def test_paths_that_are_none(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty path"):
        inside(tmp_path, text, tmp_path / "clips.tsv", allow_outside=True)
