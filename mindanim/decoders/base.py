"""What all decoders have in common: shapes, prediction in batches, and the registry of their names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mindanim.config.suggestion import suggested
from mindanim.errors import InputError
from mindanim.vocabulary.registry import Registry

Responses = Tensor | NDArray[np.float32]


@dataclass(frozen=True)
class Shapes:
    """Sizes of inputs and outputs. A decoder reads those it needs.

    Attributes:
        response: ``(lag, voxel)``.
        clip: ``(feature,)``.
        tokens: ``(token, feature)``, including the constant first token.
        latents: ``(frame, channel, height, width)``.
    """

    response: tuple[int, int]
    clip: tuple[int] = (0,)
    tokens: tuple[int, int] = (0, 0)
    latents: tuple[int, int, int, int] = (0, 0, 0, 0)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self:
        """From plain lists, as in JSON."""
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
    """A decoder, with or without fitted weights.

    To write your own, derive a class from the one for its kind: `SemanticNetwork`, `StructureNetwork` or
    `MotionNetwork` if the training loop fits it, else the kind's base class and `ClosedForm`. The constructor
    takes the shapes and, by keyword, its own arguments.

    Attributes:
        kind: Kind of artifact: semantic, structure or motion.
        targets: What decoders of this kind are fitted to, in words.
        spec: What `build` needs to make it again: ``decoder`` (its name or "module:Class") and the
            constructor's arguments.
    """

    kind: ClassVar[str]
    targets: ClassVar[str]
    predict_batch = 128

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.shapes = shapes
        self.spec: dict[str, Any] = {}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], shapes: Shapes) -> Self:
        """Make a decoder with fresh weights.

        Raises:
            InputError: The constructor does not take the arguments.
        """
        arguments = {name: value for name, value in spec.items() if name != "decoder"}
        try:
            decoder = cls(shapes, **arguments)
        except TypeError as error:
            raise InputError(
                f"The {cls.kind} decoder {spec['decoder']} cannot be built.",
                str(error),
                "Check decoder_arguments.",
            ) from error
        decoder.spec = dict(spec)
        return decoder

    @classmethod
    def method(cls, config: Any) -> str:
        """One sentence for a methods section: what was fitted, to what.

        Args:
            config: The options of the training stage.
        """
        return (
            f"The {cls.kind} decoder is {config.decoder}, which is not part of mindanim; it was fitted to "
            f"{cls.targets}."
        )

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(iter(self.state_dict().values())).device
        return device

    def flatten(self, responses: Responses) -> Tensor:
        """``(clip, lag, voxel)`` to ``(clip, lag * voxel) float32`` on the decoder's device.

        Raises:
            InputError: Lags or voxels differ from those the decoder was fitted to.
        """
        if tuple(responses.shape[1:]) != self.shapes.response:
            raise InputError(
                f"The {self.kind} decoder expects responses of {self._size(self.shapes.response)}, "
                f"not {self._size(tuple(responses.shape[1:]))}.",
                "It was fitted to different responses.",
                f"Use the responses it was trained on, or train it again: "
                f"{suggested(f'train-{self.kind}', '--force')}",
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
        """Number of fitted values, including those of ridge decoders, which are buffers."""
        return sum(value.numel() for value in self.state_dict().values())


DECODERS: Registry[type[Decoder]] = Registry("decoder", type)
"""Decoder classes by kind and name, "semantic.mlp"; users type the name alone."""

Class = TypeVar("Class", bound=type[Decoder])


def register(name: str) -> Callable[[Class], Class]:
    """A class decorator: `name` is what users type for this decoder, ``--decoder <name>``."""

    def add(made: Class) -> Class:
        DECODERS.add(f"{made.kind}.{name}", made)
        return made

    return add
