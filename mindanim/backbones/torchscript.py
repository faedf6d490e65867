"""Tensors of TorchScript archives, as OpenAI publishes CLIP, read without compiling or running their code."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

_DTYPES = {
    "BFloat16Storage": torch.bfloat16,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
}


def is_torchscript(file: Path) -> bool:
    """Whether `file` is a TorchScript archive, which ``torch.load`` reads only by running what is in it."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def read_torchscript(file: Path) -> dict[str, torch.Tensor]:
    """All tensors of the archived module by their dotted names, on the CPU.

    The archive's own classes are read as plain containers; anything but these and tensors is refused.

    Raises:
        ValueError, KeyError, RuntimeError, pickle.UnpicklingError: The archive is damaged, or names something
            else than modules and tensors.
    """
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise ValueError("It holds no single data.pkl.")
        with archive.open(names[0]) as content:
            module = _Unpickler(content, archive, names[0].removesuffix("data.pkl")).load()
    if not isinstance(module, _Module):
        raise ValueError("It holds no module.")
    return dict(_tensors(module, ""))


class _Module:
    """Stands for every class of an archive: holds attributes and does nothing."""

    attributes: Mapping[Any, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("the state of a module is not a dictionary")
        self.attributes = state


class _Unpickler(pickle.Unpickler):
    def __init__(self, content: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(content)
        self._archive = archive
        self._root = root

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch.jit._pickle", "restore_type_tag"): _untagged,
        }
        known |= {
            ("torch.jit._pickle", f"build_{kind}list"): list for kind in ("int", "double", "bool", "tensor")
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Any:
        kind, dtype, key, _, _ = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError(f"persistent object {kind!r}")
        entry = self._archive.getinfo(f"{self._root}data/{key}")
        if entry.compress_type != zipfile.ZIP_STORED:  # torch never compresses; what does may be a bomb
            raise pickle.UnpicklingError(f"{entry.filename} is compressed")
        data = bytearray(self._archive.read(entry))
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _tensor(storage: torch.Tensor, offset: int, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    return storage.as_strided(size, stride, offset)  # checks the bounds


def _untagged(value: Any, _: str) -> Any:
    return value


def _tensors(module: _Module, prefix: str) -> Iterator[tuple[str, torch.Tensor]]:
    for name, value in module.attributes.items():
        if isinstance(value, torch.Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, _Module):
            yield from _tensors(value, f"{prefix}{name}.")
