"""Decoders: fMRI responses to what is seen (semantic), how it looks (structure) and how it moves (motion)."""

from mindanim.decoders.base import SPEC, WEIGHTS, Decoder, Shapes, build, describe, load, save_weights

__all__ = ["SPEC", "WEIGHTS", "Decoder", "Shapes", "build", "describe", "load", "save_weights"]
