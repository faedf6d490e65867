"""What a transformers processor does to pictures, and proof where tensor operations do the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from mindanim.backbones.pixels import Preprocessing, interpolation
from mindanim.backbones.pretrained import READING_FAILED, unreadable
from mindanim.errors import InputError

if TYPE_CHECKING:
    from mindanim.backbones.weights.find import Weights

Preprocess = Callable[[torch.Tensor], torch.Tensor]
"""(image, channel, height, width) float in [0, 1] -> what the network reads, one row per image."""

_PIL = {2: "bilinear", 3: "bicubic"}  # PIL.Image.Resampling numbers, as processor configs store them
_AGREE = 1e-3
_PROBES = ((61, 90), (64, 64), (401, 300), (97, 131))
"""(height, width) of the pictures of the proof: smaller and larger than usual inputs, in odd proportions."""
_FAILED = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)
"""Raised by processors that read settings, sizes or tensors in another way than expected."""


def load_preprocess(weights: Weights) -> Preprocess:
    """What the processor of `weights` does to images.

    Tensor operations replace the processor only if both give the same input, to 1e-3, on pictures of several
    shapes. Otherwise the processor itself is called.

    Raises:
        InputError: The processor cannot be read or applied, or gives its network more than one input.
    """
    processor = load_processor(weights)
    own = ProcessorCall(processor, weights)
    for probe in _probes():
        if not torch.isfinite(own(probe)).all():
            raise own.refused("makes values that are no numbers", "Is a deviation in image_std zero?")
    quick = _as_tensor_operations(processor)

    def on_floats(images: torch.Tensor) -> torch.Tensor:
        given = processor(list(images * 255), return_tensors="pt")
        return _rows(next(iter(given.values())))

    return quick if quick is not None and agree(quick, on_floats) else own


def load_processor(weights: Weights) -> Any:
    """The image or video processor in the folder of `weights`; never code from the folder.

    Raises:
        InputError: It cannot be read.
    """
    from transformers import AutoImageProcessor, AutoVideoProcessor

    kind: Any = (
        AutoVideoProcessor if weights.holds(r"^video_preprocessor_config\.json$") else AutoImageProcessor
    )
    try:
        return kind.from_pretrained(weights.path, local_files_only=True, trust_remote_code=False)
    except READING_FAILED as error:
        raise unreadable(weights, weights.path, "processor", error) from error


class ProcessorCall:
    """The processor itself, called on images as bytes, the form that it was made for.

    Args:
        processor: A transformers image processor, or one of videos, which reads the images as frames.
    """

    def __init__(self, processor: Any, weights: Weights) -> None:
        self._processor = processor
        self._weights = weights

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(image, channel, height, width) float in [0, 1] -> the network's input, one row per image."""
        options = {"do_sample_frames": False} if hasattr(self._processor, "do_sample_frames") else {}
        try:
            given = self._processor(pictures(images), return_tensors="pt", **options)
        except _FAILED as error:
            raise self.refused("cannot be applied to a picture", str(error)) from error
        tensors = {name: value for name, value in given.items() if isinstance(value, torch.Tensor)}
        if len(tensors) != 1:
            raise self.refused("is not supported", f"It gives the network {', '.join(sorted(given))}.")
        rows = _rows(next(iter(tensors.values())))
        if len(rows) != len(images):
            raise self.refused("is not supported", f"It makes {len(rows)} inputs of {len(images)} pictures.")
        return rows.to(images.device)

    def refused(self, what: str, why: str) -> InputError:
        """The error that the processor cannot be used."""
        return InputError(
            f"The {type(self._processor).__name__} of {self._weights.name} {what}.",
            why=" ".join(why.split())[:300],
            hint=f"Use another {self._weights.kind.replace('_', ' ')}, whose input is pixel values alone.",
        )


def _as_tensor_operations(processor: Any) -> Preprocessing | None:
    """Resize, crop and normalisation by the processor's settings; None if they say something else."""
    try:
        size = _lengths(processor.size) if processor.do_resize else {}
        resize: int | tuple[int, int] | None = None
        if size.keys() == {"shortest_edge"}:
            resize = size["shortest_edge"]
        elif size.keys() == {"height", "width"}:
            resize = (size["height"], size["width"])
        elif processor.do_resize:
            return None
        crop = None
        if getattr(processor, "do_center_crop", None):
            kept = _lengths(processor.crop_size)
            crop = (kept["height"], kept["width"])
        normal = processor.do_normalize
        return Preprocessing(
            size=resize,
            crop=crop,
            mean=tuple(processor.image_mean) if normal else (0.0,),
            std=tuple(processor.image_std) if normal else (1.0,),
            interpolation=interpolation(_PIL.get(int(processor.resample), str(processor.resample))),
            floor=True,
        )
    except (*_FAILED, InputError):
        return None


def agree(quick: Preprocess, original: Preprocess) -> bool:
    """Whether both make the same input, to 1e-3, of pictures of several shapes.

    Args:
        original: The steps of a processor on floats, so that no rounding to bytes hides one. False if it
            cannot take floats.
    """
    for probe in _probes():
        expected = quick(probe)
        try:
            made = original(probe)
        except _FAILED:
            return False
        if made.shape != expected.shape or not torch.allclose(made, expected, atol=_AGREE, rtol=0):
            return False
    return True


def pictures(images: torch.Tensor) -> list[Image.Image]:
    """(image, channel, height, width) float in [0, 1] -> pictures of bytes."""
    bytes_ = (images * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(image) for image in bytes_]


def _probes() -> list[torch.Tensor]:
    """Smooth pictures, (1, 3, height, width) each, far enough from 0 and 1 for no filter to overshoot."""
    made = []
    for height, width in _PROBES:
        y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        waves = [np.sin(3 * x + 5 * y), np.cos(6 * x * y + 1), np.sin(7 * y - 4 * x + 2)]
        made.append(torch.from_numpy(0.5 + 0.25 * np.stack(waves)).float()[None])
    return made


def _rows(given: torch.Tensor) -> torch.Tensor:
    """A video processor's (1, frame, ...) as (frame, ...)."""
    return given.flatten(0, 1) if given.ndim == 5 else given


def _lengths(size: Any) -> dict[str, int]:
    items = size.items() if isinstance(size, Mapping) else vars(size).items()
    return {name: int(length) for name, length in items if length is not None}
