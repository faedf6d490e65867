"""Loading the networks of a located backbone, with every parameter from the file."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from mindanim.errors import InputError

if TYPE_CHECKING:
    import torch

    from mindanim.backbones.weights.find import Weights

# Raised by the libraries for files that are truncated, in another format or of another network.
READING_FAILED = (
    OSError,
    ValueError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
    EOFError,
    LookupError,
    TypeError,
    UnpicklingError,
    SafetensorError,
    struct.error,
    zlib.error,
)


def load_network(
    kind: Any,
    weights: Weights,
    device: torch.device | str,
    dtype: torch.dtype,
    subfolder: str = "",
    config: Any = None,
) -> Any:
    """A diffusers or transformers network in evaluation mode, without gradients.

    Args:
        kind: Its class, with ``from_pretrained``.
        subfolder: Its folder within the backbone's folder.
        config: Replaces the folder's configuration.

    Raises:
        InputError: The file contains another network, lacks parameters or has them in other sizes (they would
            stay random), or has more layers than the configuration (which would be left out).
    """
    place = f"{weights.path / subfolder}"
    file = weights.holds(f"^{subfolder}/.*\\.(safetensors|bin)$" if subfolder else r"\.(safetensors|bin)$")
    options: dict[str, Any] = {} if config is None else {"config": config}
    if kind.__module__.startswith("diffusers"):
        options["torch_dtype"] = dtype
    else:
        options |= {"dtype": dtype, "trust_remote_code": False, "ignore_mismatched_sizes": True}
    try:
        with _quiet():
            network, report = kind.from_pretrained(
                place,
                local_files_only=True,
                output_loading_info=True,
                use_safetensors=file is not None and file.endswith(".safetensors"),
                variant="fp16" if file is not None and re.search(r"[.]fp16[.-]", file) else None,
                **options,
            )
    except READING_FAILED as error:
        raise unreadable(weights, place, kind.__name__, error) from error
    if other := sorted(report["mismatched_keys"]):
        name, stored, stated = other[0]
        raise InputError(
            f"{place}: {len(other)} parameters have another size than config.json states.",
            why=f"{name} is {' x '.join(map(str, stored))}, not {' x '.join(map(str, stated))}.",
            hint="Correct config.json (the number of classes is that of id2label), or fetch the model again.",
        )
    if missing := sorted(report["missing_keys"]):
        raise InputError(
            f"{place}: {len(missing)} parameters of {kind.__name__} are missing, e.g. {missing[0]}.",
            why="They would stay random.",
            hint="Use a complete model of this architecture. One that was only pretrained has no head: "
            "name a version fine-tuned to the task.",
        )
    layers = {_unnumbered(name) for name in network.state_dict()}
    if more := sorted(name for name in report["unexpected_keys"] if _unnumbered(name) in layers):
        raise InputError(
            f"{place} holds more layers than its config.json states, e.g. {more[0]}.",
            why="They would be left out.",
            hint="Fetch the model's own config.json again.",
        )
    return network.to(device).eval().requires_grad_(False)


def load_configuration(weights: Weights) -> Any:
    """The transformers configuration in the folder of `weights`; never code from the folder.

    Raises:
        InputError: It cannot be read.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(weights.path, local_files_only=True, trust_remote_code=False)
    except READING_FAILED as error:
        raise unreadable(weights, weights.path, "configuration", error) from error


def unreadable(weights: Weights, place: object, what: str, error: Exception) -> InputError:
    """The error that the files in `place` cannot be read as `what`."""
    said = " ".join(str(error).split())
    why, hint = said[:300], f"Check the {weights.kind} backbone {weights.name!r}, or fetch it again."
    if re.search("Unrecognized (configuration class|model)", said):  # raised by transformers' Auto classes
        why = "transformers has no such network for the model_type in config.json."
        hint = f"Name another {weights.kind.replace('_', ' ')}."
    elif "trust_remote_code" in said:
        why = "Its configuration asks for code from the model's folder, which is never run."
        hint = "Use a model whose architecture is part of transformers."
    return InputError(f"{place} does not hold a readable {what}.", why=why, hint=hint)


def _unnumbered(name: str) -> str:
    """The name of a parameter, the same for all layers of a stack."""
    return re.sub(r"\.\d+\.", ".#.", name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide both libraries' progress bars and reports of parameters, whose serious ones are errors here."""
    import diffusers
    import transformers

    levels = []
    for library in (diffusers, transformers):
        logging = library.utils.logging
        logging.disable_progress_bar()
        levels.append((logging, logging.get_verbosity()))
        logging.set_verbosity_error()
    try:
        yield
    finally:
        for logging, level in levels:
            logging.set_verbosity(level)
