"""What all decoders have in common: shapes, prediction in batches, and their two files on disk."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mindanim.errors import InputError
from mindanim.vocabulary.words import unknown

Responses = Tensor | NDArray[np.float32]

SPEC, WEIGHTS = "decoder.json", "weights.safetensors"
FORMAT = 1

# Kind -> decoder -> where its class is; imported when it is asked for.
DECODERS: dict[str, dict[str, tuple[str, str]]] = {
    "semantic": {"mlp": ("models.semantic", "SemanticMlp"), "ridge": ("models.semantic", "SemanticRidge")},
    "structure": {
        "mlp": ("models.structure", "StructureMlp"),
        "ridge": ("models.structure", "StructureRidge"),
    },
    "motion": {
        "cmg": ("models.cmg", "FrameTokenCmg"),
        "cmg-patches": ("models.cmg_patches", "PatchCmg"),
        "mlp": ("models.framewise", "FramewiseMlp"),
        "ridge": ("ridge.motion_transport", "MotionRidge"),
        "transport": ("ridge.motion_transport", "MotionTransport"),
    },
}


@dataclass(frozen=True)
class Shapes:
    """Sizes of what goes in and comes out.

    response ``(lag, voxel)``; clip ``(feature,)``; tokens ``(token, feature)``, the constant first one
    included; latents ``(frame, channel, height, width)``. A decoder reads those it needs.
    """

    response: tuple[int, int]
    clip: tuple[int] = (0,)
    tokens: tuple[int, int] = (0, 0)
    latents: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """From plain lists, as JSON has them."""
        return cls(**{field.name: tuple(record[field.name]) for field in fields(cls) if field.name in record})

    @property
    def features(self) -> int:
        """Entries of one flattened response."""
        return self.response[0] * self.response[1]

    @property
    def latent(self) -> tuple[int, int, int]:
        """``(channel, height, width)`` of one frame's latent."""
        return self.latents[1:]

    @property
    def frames(self) -> int:
        """Frames per clip."""
        return self.latents[0]

    @property
    def latent_size(self) -> int:
        """Elements of one frame's latent."""
        return int(np.prod(self.latent))


class Decoder(nn.Module, ABC):
    """A decoder with fitted weights; `kind` is the artifact kind, `spec` what `build` needs to make it
    again.

    A decoder of one's own is a class derived from the one of its kind (`SemanticNetwork`,
    `StructureNetwork`, `MotionNetwork`), whose constructor takes the shapes and, by name, its own
    arguments. It is named "module:Class" and needs no change of this package.
    """

    kind: ClassVar[str]
    predict_batch = 128

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.shapes = shapes
        self.spec: dict[str, Any] = {}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(iter(self.state_dict().values())).device
        return device

    def flatten(self, responses: Responses) -> Tensor:
        """``(clip, lag, voxel)`` to ``(clip, lag * voxel) float32`` on the decoder's device.

        Raises InputError when lags or voxels differ from those the decoder was fitted on.
        """
        if tuple(responses.shape[1:]) != self.shapes.response:
            raise InputError(
                f"The {self.kind} decoder reads responses of {self._size(self.shapes.response)}, "
                f"not {self._size(tuple(responses.shape[1:]))}.",
                "It was fitted on other responses than these.",
                f"Use the responses it was trained on, or train it again: mindanim train-{self.kind}.",
            )
        values = (
            responses if isinstance(responses, Tensor) else torch.from_numpy(np.array(responses, np.float32))
        )
        return values.to(self.device, torch.float32).flatten(1)

    @staticmethod
    def _size(shape: tuple[int, ...]) -> str:
        return f"{shape[0]} lags x {shape[1]} voxels" if len(shape) == 2 else f"shape {shape}"

    def batches(self, responses: Responses) -> Iterator[tuple[slice, Tensor]]:
        """Flattened responses in batches of at most `predict_batch` clips, with their rows."""
        for start in range(0, len(responses), self.predict_batch):
            rows = slice(start, start + self.predict_batch)
            yield rows, self.flatten(responses[rows])

    @abstractmethod
    def predict(self, responses: Responses, *rest: Any) -> Any:
        """Decode responses ``(clip, lag, voxel)``; results are float32 tensors on the CPU."""

    def parameter_count(self) -> int:
        """Fitted numbers, those of linear baselines included."""
        return sum(value.numel() for value in self.state_dict().values())


def build(kind: str, spec: Mapping[str, Any], shapes: Shapes | Mapping[str, Any]) -> Decoder:
    """Make a decoder with fresh weights.

    kind: semantic, structure or motion. spec: ``decoder``, the name of one or "module:Class", and the
    arguments of its constructor. Raises InputError for a name that does not exist or arguments that the
    decoder does not have.
    """
    arguments = dict(spec)
    name = arguments.pop("decoder", "")
    made = decoder_class(kind, name)
    shapes = shapes if isinstance(shapes, Shapes) else Shapes.of(shapes)
    try:
        decoder = made(shapes, **arguments)
    except TypeError as error:
        raise InputError(f"The {kind} decoder '{name}' cannot be built.", str(error)) from error
    decoder.spec = dict(spec)
    return decoder


def decoder_class(kind: str, name: str) -> type[Decoder]:
    """The class of the decoder ``name`` of a kind.

    Raises InputError when there is none, or when "module:Class" names something that is no decoder of this
    kind. Nothing but such a class is ever called, but importing its module runs that module's code.
    """
    known = DECODERS.get(kind)
    if known is None:
        raise InputError(f"{unknown('kind of decoder', kind, DECODERS)}.")
    if name not in known and ":" not in name:
        raise InputError(f"{unknown(f'{kind} decoder', name, known)}.")
    module, _, cls = name.partition(":")
    if name in known:
        module, cls = f"mindanim.decoders.{known[name][0]}", known[name][1]
    try:
        made = getattr(importlib.import_module(module), cls)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"The {kind} decoder {name} cannot be imported.",
            str(error),
            "Install the package that holds it, or put its folder on PYTHONPATH.",
        ) from error
    if not (isinstance(made, type) and issubclass(made, Decoder) and getattr(made, "kind", "") == kind):
        raise InputError(
            f"{name} is no {kind} decoder.",
            f"It must be a class derived from mindanim.decoders.models.{kind}.{kind.title()}.",
        )
    return made


def describe(decoder: Decoder) -> dict[str, Any]:
    """The content of decoder.json: all that `load` needs beside the weights."""
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
    """Read a decoder from its folder, ready to predict.

    Raises InputError when a file is missing or does not fit.
    """
    try:
        record = json.loads((folder / SPEC).read_text(encoding="utf-8"))
        if record["format"] != FORMAT:
            raise InputError(
                f"{folder / SPEC} has format {record['format']}.",
                f"This mindanim reads format {FORMAT}.",
                f"Train again: mindanim train-{record.get('kind', 'semantic')}.",
            )
        decoder = build(record["kind"], record["spec"], record["shapes"])
        decoder.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise InputError(f"There is no decoder in {folder}.", f"{error.filename} is missing.") from error
    except (KeyError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"The decoder in {folder} cannot be read.", f"{type(error).__name__}: {error}"
        ) from error
    return decoder.to(device).eval()
