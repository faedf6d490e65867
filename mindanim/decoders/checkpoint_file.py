"""Read the weights in a checkpoint file, however they are wrapped; no code in the file is executed."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors.torch import load_file
from torch import Tensor

from mindanim import console
from mindanim.errors import InputError
from mindanim.vocabulary.reading import reading
from mindanim.vocabulary.words import names_and_more

State = dict[str, Tensor]

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_PARTS = ("state_dict", "model_state_dict", "model", "net", "network", "module", "weights", "ema")
"""Names that training loops give to the weights; the first that is there is read."""
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module"}
"""Parts of names added by DataParallel, torch.compile and FSDP, anywhere in a name."""
_HOLDERS = {"model", "net", "network", "ema", "ema_model"}
"""Parts of names added by a class that holds the network, at the beginning of a name."""
_ROOTS = {"lin0", "lin1", "mlp", "encoder", "decoder", "blocks"}
"""First parts of the published names themselves."""
_DEPTH = 4
_TENSORS_ONLY = (
    "A pickled model is not opened since it could run code: on a machine where you trust it, save only its "
    "state_dict()."
)


def read_checkpoint(path: Path) -> State:
    """The tensors of a checkpoint by the names that the published code gives them, on the CPU.

    Reads what torch.save wrote and safetensors. The state dict may be inside a training checkpoint; what
    wrappers add to the names is removed; entries that are no tensors are left out.

    Raises:
        InputError: The file cannot be read, contains no state dict, several, or two weights of one name.
    """
    content = _content(path)
    state, part = _state_in(content, path)
    if part:
        console.say(f"{path.name}: the weights under {part} are read")
    names = {name: _plain(name) for name in state if name != "n_averaged"}
    while len(names) > 1 and len(first := {name.split(".")[0] for name in names.values()} - _ROOTS) == 1:
        (root,) = first
        if not all(name.startswith(f"{root}.") for name in names.values()):
            break
        names = {name: plain.removeprefix(f"{root}.") for name, plain in names.items()}
    found: State = {}
    for name, plain in names.items():
        if plain in found and not torch.equal(found[plain], state[name]):
            raise InputError(
                f"{path} contains two different weights called {plain}.",
                f"One of them is {name}.",
                "Save the state_dict() of one network.",
            )
        found[plain] = state[name]
    return found


def unusable(name: str, values: Tensor) -> str:
    """Why a tensor cannot be a decoder's weights, naming it; empty if it can be."""
    if values.is_quantized or values.is_complex() or values.dtype not in FLOATS:
        return f"{name} is {str(values.dtype).removeprefix('torch.')}, not a floating-point number"
    if values.layout != torch.strided or values.is_meta:
        return f"{name} is not a plain tensor"
    if (claimed := values.numel() * values.element_size()) > (held := values.untyped_storage().nbytes()):
        return f"{name} claims {claimed:,} bytes and holds {held:,}"
    broken = int((~values.float().isfinite()).sum())
    return f"{name} has {broken:,} of {values.numel():,} values that are not finite" if broken else ""


def _content(path: Path) -> Any:
    with reading(path, "checkpoint", _TENSORS_ONLY):
        with path.open("rb") as file:
            start = file.read(9)
        if (
            len(start) == 9
            and start[8:] == b"{"
            and int.from_bytes(start[:8], "little") < path.stat().st_size
        ):
            return load_file(path)
        # A table of 500,000 positions, as released, takes 33 GB: tensors stay in the file until used.
        mapped = is_zipfile(path)
        with torch.serialization.safe_globals([Namespace]):  # a training script's arguments
            try:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
            except (UnpicklingError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and "weights_only" not in str(error):
                    raise
                # torch's own message recommends to lift the restriction.
                why = "It contains more than tensors, or was not written by torch."
                if "TorchScript" in str(error):
                    why = "It is a TorchScript archive, which contains a program."
                raise InputError(f"{path} is not a readable checkpoint.", why, _TENSORS_ONLY) from error


def _state_in(content: Any, path: Path) -> tuple[State, str]:
    """The state dict in a file, and the name of the part it was under, "" for the whole file."""
    parts: list[str] = []
    while not _is_state(content):
        if not _has_state(content):
            raise InputError(f"{path} contains no state dict.", "Expected tensors by name.")
        inside = {str(name): value for name, value in content.items() if _has_state(value)}
        part = next((name for name in _PARTS if name in inside), None)
        if part is None and len(inside) > 1:
            raise InputError(
                f"{path} contains several networks: {names_and_more(list(inside))}.",
                "Which of them is the decoder cannot be known.",
                "Save the state_dict() of one of them.",
            )
        part = part or next(iter(inside))
        others = [name for name in inside if name != part]
        parts.append(f"'{part}'" + (f" (not {', '.join(others)})" if others else ""))
        content = inside[part]
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return tensors, " in ".join(reversed(parts))


def _is_state(content: Any) -> bool:
    """Whether this is a state dict itself: weights by name, perhaps among other things."""
    return isinstance(content, Mapping) and any(
        isinstance(name, str) and name.endswith((".weight", ".bias")) and isinstance(value, Tensor)
        for name, value in content.items()
    )


def _has_state(content: Any, depth: int = _DEPTH) -> bool:
    """Whether there is a state dict in this, at any depth; those of optimizers have numbers for names."""
    if _is_state(content):
        return True
    values = content.values() if isinstance(content, Mapping) and depth else ()
    return any(_has_state(value, depth - 1) for value in values)


def _plain(name: str) -> str:
    """A name without what wrappers add to it."""
    parts = [part for part in name.split(".") if part not in _WRAPPERS]
    while len(parts) > 1 and parts[0] in _HOLDERS:
        parts = parts[1:]
    return ".".join(parts)
