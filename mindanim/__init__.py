"""Reconstruct videos from human brain activity.

The seven stages as functions, the same as on the command line::

    import mindanim

    fmri = mindanim.preprocess(dataset="simulated", subject=1, data="study")
    print(fmri.facts)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindanim.api import (
        encode_stimuli,
        evaluate,
        generate,
        import_checkpoint,
        preprocess,
        simulate,
        train_motion,
        train_semantic,
        train_structure,
    )
    from mindanim.artifacts import Artifact
    from mindanim.errors import MindanimError

__all__ = [
    "Artifact",
    "MindanimError",
    "encode_stimuli",
    "evaluate",
    "generate",
    "import_checkpoint",
    "preprocess",
    "simulate",
    "train_motion",
    "train_semantic",
    "train_structure",
]

_HOMES = {"Artifact": "mindanim.artifacts", "MindanimError": "mindanim.errors"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mindanim' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES.get(name, "mindanim.api")), name)


def __dir__() -> list[str]:
    return __all__
