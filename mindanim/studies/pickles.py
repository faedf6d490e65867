"""Pickles and pickled ``.npy`` files that studies are published in, opened without running what is in them.

A pickle is a program: an ordinary loader calls whatever it names. The loader here knows numpy arrays and
plain containers (dict, list, tuple, set, text, numbers) only and refuses everything else by name, before it
is called.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mindanim.errors import InputError


def _latin1(text: str, encoding: str) -> bytes:
    """The one use numpy's pickles of protocol 2 make of ``_codecs.encode``: bytes written as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes text as {encoding}")
    return text.encode("latin1")


def _known() -> dict[tuple[str, str], Any]:
    """What a pickle may name: numpy's makers of arrays, under the names of numpy 1 and 2, and OrderedDict."""
    from numpy._core.multiarray import _reconstruct, scalar  # type: ignore[attr-defined]
    from numpy._core.numeric import _frombuffer  # type: ignore[attr-defined]

    makers = {
        ("multiarray", "_reconstruct"): _reconstruct,
        ("multiarray", "scalar"): scalar,
        ("numeric", "_frombuffer"): _frombuffer,
    }
    found: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
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
        try:
            version = np.lib.format.read_magic(file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, _, dtype = read_header(file)
        except (ValueError, KeyError) as error:
            raise InputError(f"{path} is not a .npy file.", str(error), "Download it again.") from error
        if not dtype.hasobject:
            file.seek(0)
            try:
                return np.load(file, allow_pickle=False)
            except ValueError as error:
                raise InputError(f"{path} is truncated.", str(error), "Download it again.") from error
        content = _read(path, file)
    return content.item() if isinstance(content, np.ndarray) and not shape else content


def _read(path: Path, file: BinaryIO) -> Any:
    try:
        return _Unpickler(file).load()
    except _Refused as refused:
        raise InputError(
            f"{path} holds {refused}, which is refused.",
            "A pickle can run any program. Only numpy arrays and plain containers (dict, list, tuple, text, "
            "numbers) are read from one.",
            "Get the file from the study's own site; if it is yours, save arrays with numpy.save.",
        ) from None
    except (pickle.UnpicklingError, EOFError, struct.error) as error:
        raise _broken(path, error) from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, ImportError) as error:
        raise _broken(path, error) from error  # what the loader raises where bytes make no sense
    except (MemoryError, RecursionError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: BaseException) -> InputError:
    return InputError(
        f"{path} is not a readable pickle.",
        f"It is truncated or damaged ({type(error).__name__}: {error}).",
        "Download it again.",
    )
