"""Build a decoder by name, save it to its folder and load it again."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from mindanim.config.suggestion import suggested
from mindanim.decoders.base import DECODERS, Decoder, Shapes
from mindanim.errors import InputError
from mindanim.vocabulary.registry import Registry
from mindanim.vocabulary.words import unknown_sentence

KINDS = ("semantic", "structure", "motion")
SPEC, WEIGHTS = "decoder.json", "weights.safetensors"
FORMAT = 1


def names(kind: str) -> list[str]:
    """The names of all decoders of a kind, of this package and of others."""
    return [name.removeprefix(f"{kind}.") for name in registered() if name.startswith(f"{kind}.")]


def registered() -> Registry[type[Decoder]]:
    """The registry of decoders with all of this package's own in it."""
    _import_own()
    return DECODERS


def decoder_class(kind: str, name: str) -> type[Decoder]:
    """The class of a decoder. Importing a "module:Class" runs that module's code.

    Args:
        kind: semantic, structure or motion.
        name: A registered name or "module:Class".

    Raises:
        InputError: There is no such decoder, or it is not of this kind.
        MissingError: The package that provides it cannot be imported.
    """
    if kind not in KINDS:
        raise InputError(unknown_sentence("kind of decoder", kind, KINDS))
    if ":" in name:
        made = _imported(kind, name)
    elif name in (known := names(kind)):
        made = DECODERS[f"{kind}.{name}"]
    else:
        raise InputError(unknown_sentence(f"{kind} decoder", name, known))
    if not (isinstance(made, type) and issubclass(made, Decoder) and getattr(made, "kind", "") == kind):
        raise InputError(
            f"{name} is not a {kind} decoder.",
            f"It must be a class derived from mindanim.decoders.models.{kind}.{kind.title()}.",
        )
    return made


@cache
def _import_own() -> None:
    """Import the modules of this package that may register decoders."""
    for room in ("models", "ridge"):
        package = import_module(f"mindanim.decoders.{room}")
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)


def _imported(kind: str, name: str) -> Any:
    module, _, cls = name.partition(":")
    try:
        return getattr(import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"The {kind} decoder {name} cannot be imported.",
            str(error),
            "Install its package, or add its folder to PYTHONPATH.",
        ) from error


def build(kind: str, spec: Mapping[str, Any], shapes: Shapes | Mapping[str, Any]) -> Decoder:
    """Make a decoder with fresh weights.

    Args:
        kind: semantic, structure or motion.
        spec: ``decoder``, a registered name or "module:Class", and the constructor's arguments.
        shapes: Sizes of responses and targets.

    Raises:
        InputError: There is no such decoder, or it does not take the arguments.
    """
    made = decoder_class(kind, spec.get("decoder", ""))
    return made.from_spec(spec, shapes if isinstance(shapes, Shapes) else Shapes.of(shapes))


def describe(decoder: Decoder) -> dict[str, Any]:
    """The content of decoder.json: all that `load` needs besides the weights."""
    return {
        "format": FORMAT,
        "kind": decoder.kind,
        "class": type(decoder).__name__,
        "spec": decoder.spec,
        "shapes": asdict(decoder.shapes),
    }


def save_weights(decoder: Decoder, path: Path) -> None:
    """Write all weights and buffers as safetensors."""
    save_file({name: value.detach().cpu().contiguous() for name, value in decoder.state_dict().items()}, path)


def load(folder: Path, device: torch.device | str = "cpu") -> Decoder:
    """Load a decoder from its folder, ready to predict.

    Raises:
        InputError: A file is missing or does not fit.
    """
    try:
        record = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise InputError(
                f"{folder / SPEC} has format {record['format']}.",
                f"This version of mindanim reads format {FORMAT}.",
                "Train it again: " + suggested(f"train-{record.get('kind', 'semantic')}", "--force"),
            )
        decoder = build(record["kind"], record["spec"], record["shapes"])
        decoder.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise InputError(f"No decoder in {folder}.", f"{error.filename} is missing.") from error
    except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"The decoder in {folder} cannot be read.", f"{type(error).__name__}: {error}"
        ) from error
    return decoder.to(device).eval()
