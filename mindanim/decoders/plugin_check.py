"""Try a decoder of another package on two clips before it is trained: what it returns, and in which shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from mindanim.decoders.base import Decoder
from mindanim.decoders.fit_result import ClosedForm, Fitted
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.decoders.models.semantic import SemanticNetwork
from mindanim.decoders.models.structure import StructureNetwork
from mindanim.errors import InputError

Size = tuple[int, ...]
CLIPS = (2, 1)
"""Numbers of clips it is tried on: the last batch of an epoch may have a single one."""


def check_network(decoder: Decoder, name: str) -> None:
    """Check a network that the training loop is to fit: parameters, forward pass, prediction.

    Args:
        decoder: With fresh weights, on the CPU; changed by nothing but its running statistics.
        name: What the user calls it.

    Raises:
        InputError: It has nothing to train, fails, or returns another shape or type than it must; names the
            method, the expected and the found shape.
    """
    tried = _Trial(decoder, name)
    if not any(parameter.requires_grad for parameter in decoder.parameters()):
        raise tried.refused(
            "has no parameters to train.",
            "Its constructor keeps no torch.nn.Module or Parameter as an attribute, or freezes all of them.",
            "Assign the layers to attributes of self; a list of layers must be a torch.nn.ModuleList.",
        )
    decoder.eval()  # batch normalisation cannot train on a single clip
    for clips in CLIPS:
        tried.forward(clips)
    check_prediction(decoder, name)


def check_fitted(fitted: Any, made: type[ClosedForm], name: str) -> None:
    """Check what the `fit` of another package's class returned.

    Raises:
        InputError: It is not a fitted decoder of this class, lacks a figure, or predicts something else.
    """
    whole = isinstance(fitted, Fitted) and isinstance(fitted.decoder, made)
    lacking = sorted({"best_epoch", "val_score", "val_p"} - fitted.facts.keys()) if whole else []
    if not whole or lacking:
        found = f"facts without {', '.join(lacking)}" if lacking else type(fitted).__name__
        raise InputError(
            f"The {made.kind} decoder {name} does not return a fitted decoder from fit().",
            f"Expected {Fitted.__module__}.Fitted of a {made.__name__}, found {found}.",
            f"Correct {made.__module__}.{made.__qualname__}.fit.",
        )
    check_prediction(fitted.decoder, name)


def check_prediction(decoder: Decoder, name: str) -> None:
    """Check what a decoder of another package predicts, fitted or not: shape, type, finite numbers.

    Raises:
        InputError: It fails, or returns something else.
    """
    tried, shapes = _Trial(decoder, name), decoder.shapes
    clips = CLIPS[0]
    responses = torch.randn(clips, *shapes.response)
    if decoder.kind == "motion":
        first = torch.randn(clips, *shapes.latent)
        tried.returns("predict", clips, (clips, *shapes.latents), decoder.predict, responses, first)
    elif decoder.kind == "structure":
        tried.returns("predict", clips, (clips, *shapes.latent), decoder.predict, responses)
    else:
        found = tried.call("predict", clips, decoder.predict, responses)
        sizes = {"clip": (clips, *shapes.clip), "text_tokens": (clips, *shapes.tokens)}
        if not isinstance(found, Mapping) or not sizes.keys() <= found.keys():
            raise tried.refused("returns something else than it must from predict().", f"Expected {sizes}.")
        for part, size in sizes.items():
            tried.fits(f"predict()[{part!r}]", clips, found[part], size)


class _Trial:
    """A decoder while it is tried."""

    def __init__(self, decoder: Decoder, name: str) -> None:
        self.decoder, self.name = decoder, name

    def forward(self, clips: int) -> None:
        """Call what the training loop calls."""
        decoder, shapes = self.decoder, self.decoder.shapes
        flat = torch.randn(clips, shapes.features)
        if isinstance(decoder, MotionNetwork):
            memory = self.call("memory", clips, decoder.memory, flat)
            for frames in range(1, shapes.frames):  # at inference they are one more in every step
                tokens = torch.randn(clips, frames, shapes.latent_size)
                visible = torch.ones(frames, frames, dtype=torch.bool).tril()
                size = tuple(tokens.shape)
                outputs = (self.returns("forward", clips, size, decoder, tokens, memory, visible),)
        elif isinstance(decoder, StructureNetwork):
            outputs = (self.returns("forward", clips, (clips, shapes.latent_size), decoder, flat),)
        elif isinstance(decoder, SemanticNetwork):
            sizes = {"vectors": (clips, *shapes.clip), "tokens": (clips, decoder.token_outputs)}
            found = self.call("forward", clips, decoder, flat)
            if not isinstance(found, (tuple, list)) or len(found) != len(sizes):
                raise self.refused(
                    "does not return a pair from forward().",
                    f"Expected CLIP vectors of {_size(sizes['vectors'])} and tokens of "
                    f"{_size(sizes['tokens'])}, found {_found(found)}.",
                )
            for (part, size), one in zip(sizes.items(), found, strict=True):
                self.fits(f"forward(), {part},", clips, one, size)
            outputs = tuple(found)
        if not any(output.requires_grad for output in outputs):
            raise self.refused(
                "cannot be trained: what forward() returns does not depend on its parameters.",
                "It detaches its result, or computes it without gradients.",
            )

    def returns(self, method: str, clips: int, size: Size, call: Callable[..., Any], *given: Any) -> Tensor:
        """What a call returns, a tensor of a given size."""
        found: Tensor = self.call(method, clips, call, *given)
        self.fits(f"{method}()", clips, found, size)
        return found

    def call(self, method: str, clips: int, call: Callable[..., Any], *given: Any) -> Any:
        """Call a method; whatever it raises becomes an error that names it."""
        try:
            return call(*given)
        except Exception as error:  # another package's code may raise anything
            sizes = ", ".join(_size(tuple(one.shape)) for one in given if isinstance(one, Tensor))
            raise self.refused(
                f"failed in {method}() on {clips} clip{'s' * (clips > 1)}.",
                f"Given {sizes}: {type(error).__name__}: {' '.join(str(error).split())[:300]}",
            ) from error

    def fits(self, what: str, clips: int, found: Any, size: Size) -> None:
        """Check one tensor that a method returned."""
        if not isinstance(found, Tensor) or tuple(found.shape) != size:
            raise self.refused(
                f"returns another shape than it must from {what} on {clips} clip{'s' * (clips > 1)}.",
                f"Expected {_size(size)}, found {_found(found)}.",
            )
        if found.dtype != torch.float32:
            raise self.refused(
                f"returns another type than it must from {what}.",
                f"Expected torch.float32, found {found.dtype}.",
            )
        if not bool(found.isfinite().all()):
            raise self.refused(
                f"returns {_broken(found)} from {what}.",
                "It was given unit Gaussian noise, and its weights are those that it starts with.",
            )

    def refused(self, what: str, why: str, hint: str = "") -> InputError:
        """An error that names the decoder and its source."""
        made = type(self.decoder)
        return InputError(
            f"The {self.decoder.kind} decoder {self.name} {what}",
            why,
            hint
            or f"Correct {made.__module__}.{made.__qualname__}; docs/reference/decoders.md lists the shapes.",
        )


def _size(shape: Size) -> str:
    return " x ".join(map(str, shape)) or "a single number"


def _found(found: Any) -> str:
    """What was returned, in words."""
    if isinstance(found, Tensor):
        return _size(tuple(found.shape))
    if isinstance(found, (tuple, list)):
        return f"{type(found).__name__} of {len(found)}"
    return type(found).__name__


def _broken(values: Tensor) -> str:
    return f"{int((~values.isfinite()).sum())} of {values.numel()} values that are not finite"
