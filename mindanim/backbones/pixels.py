"""Frames of any size to a network's input: resize, crop and normalise, as tensor operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from mindanim.errors import InputError

if TYPE_CHECKING:
    import torch

Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class Preprocessing:
    """How a model's processor transforms an image.

    Attributes:
        size: Side of the shorter edge, or (height, width), or None to keep the size.
        crop: (height, width) kept around the centre, or None.
        mean, std: Per colour, for images in [0, 1].
        floor: Whether half of an odd margin is rounded down, as by transformers. torchvision, and so
            open_clip, rounds it to the even number.
    """

    size: int | tuple[int, int] | None
    crop: tuple[int, int] | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: Interpolation
    floor: bool = False

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(image, channel, height, width) float in [0, 1] -> the same, resized, cropped and normalised."""
        if self.size is not None:
            images = resize(images, self.size, self.interpolation)
        if self.crop is not None:
            images = _centre(images, self.crop, self.floor)
        mean, std = (images.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (images - mean) / std


def interpolation(name: str) -> Interpolation:
    """`name` if it is known; InputError otherwise."""
    for known in get_args(Interpolation):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise InputError(
        f"Interpolation {name!r} is not supported.",
        hint="Use a model with bilinear or bicubic interpolation.",
    )


def resize(images: torch.Tensor, size: int | tuple[int, int], how: Interpolation) -> torch.Tensor:
    """Antialiased resize of (..., channel, height, width), uint8 or float in [0, 1]; type and range are kept.

    Args:
        size: (height, width), or the length of the shorter edge.
    """
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2.functional import resize as torchvision_resize

    lengths: Sequence[int] = [size] if isinstance(size, int) else list(size)
    resized: torch.Tensor = torchvision_resize(images, lengths, InterpolationMode(how), antialias=True)
    # Bicubic weights overshoot at edges; images stored as bytes are clipped there, so floats must be too.
    return resized.clamp(0, 1) if resized.is_floating_point() else resized


def _centre(images: torch.Tensor, size: tuple[int, int], floor: bool) -> torch.Tensor:
    """The middle (height, width) of images; black around those that are smaller."""
    from torchvision.transforms.v2.functional import crop, pad

    spare = [wanted - found for wanted, found in zip(size, images.shape[-2:], strict=True)]
    low, left = (max(0, half // 2) for half in spare)
    high, right = (max(0, half + 1) // 2 for half in spare)
    images = pad(images, [left, low, right, high])
    halves = [(found - wanted) / 2 for wanted, found in zip(size, images.shape[-2:], strict=True)]
    top, start = (int(half) if floor else round(half) for half in halves)
    cropped: torch.Tensor = crop(images, top, start, *size)
    return cropped
