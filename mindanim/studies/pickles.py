"""Pickles and pickled ``.npy`` files that studies are published in, opened without running what is in them.

A pickle is a program: an ordinary loader calls whatever it names. The loader here knows numpy arrays and
plain containers (dict, list, tuple, set, text, numbers) only and refuses everything else by name, before it
is called.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mindanim.errors import InputError
from mindanim.vocabulary.reading import map_npy, npy_header, reading


def _latin1(text: str, encoding: str) -> bytes:
    """The one use numpy's pickles of protocol 2 make of ``_codecs.encode``: bytes written as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding}")
    return text.encode("latin1")


def _empty(*stated: Any) -> Any:
    """A new array, whose shape and values come later: a shape that comes first may claim any memory."""
    return np.empty(0)


def _known() -> dict[tuple[str, str], Any]:
    """What a pickle may name: numpy's makers of arrays, under the names of numpy 1 and 2, and OrderedDict."""
    from numpy._core.multiarray import scalar  # type: ignore[attr-defined]
    from numpy._core.numeric import _frombuffer  # type: ignore[attr-defined]

    makers = {
        ("multiarray", "_reconstruct"): _empty,
        ("multiarray", "scalar"): scalar,
        ("numeric", "_frombuffer"): _frombuffer,
    }
    found: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): None,  # an argument of _reconstruct, never called itself
        ("numpy", "dtype"): np.dtype,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): _latin1,
    }
    for (module, name), maker in makers.items():
        found |= {(f"numpy.{core}.{module}", name): maker for core in ("core", "_core")}
    return found


class _Refused(pickle.UnpicklingError):
    """The pickle names something else than arrays and containers."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, encoding="latin1")  # as Python 2 wrote text
        self._allowed = _known()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise _Refused(f"{module}.{name}")
        return self._allowed[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused(f"persistent object {pid!r}")


def read_pickle(path: Path) -> Any:
    """The content of a pickle of numpy arrays and plain containers.

    Raises:
        InputError: The file is missing, truncated, not a pickle, or contains anything else (named).
    """
    if not path.is_file():
        raise InputError(f"{path} is missing.", hint="Download it again.")
    with path.open("rb") as file:
        return _read(path, file)


def read_object_npy(path: Path) -> Any:
    """The content of a ``.npy`` file; one that holds Python objects, as ``np.save`` writes a dict, included.

    A single object comes as itself, anything else as an array.

    Raises:
        InputError: See :func:`read_pickle`.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing.")
    with path.open("rb") as file:
        with reading(path, ".npy file"):
            shape, dtype = npy_header(file)
        if not dtype.hasobject:
            return np.array(map_npy(path, ".npy file"))
        content = _read(path, file)
    return content.item() if isinstance(content, np.ndarray) and not shape else content


def _read(path: Path, file: BinaryIO) -> Any:
    with reading(path, "pickle"):
        try:
            return _Unpickler(file).load()
        except _Refused as refused:
            raise InputError(
                f"{path} holds {refused}, which is refused.",
                "A pickle can run any program. Only numpy arrays and plain containers (dict, list, tuple, "
                "text, numbers) are read from one.",
                "Get the file from the study's own site; if it is yours, save arrays with numpy.save.",
            ) from None
