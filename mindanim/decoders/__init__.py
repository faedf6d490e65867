"""Decoders: from fMRI responses to what is seen (semantic), what it looks like (structure) and how it moves
(motion)."""

from mindanim.decoders.base import DECODERS, Decoder, Shapes, register
from mindanim.decoders.build import SPEC, WEIGHTS, build, describe, load, save_weights

__all__ = [
    "DECODERS",
    "SPEC",
    "WEIGHTS",
    "Decoder",
    "Shapes",
    "build",
    "describe",
    "load",
    "register",
    "save_weights",
]
