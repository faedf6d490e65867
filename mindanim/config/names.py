"""The names users type: artifact kinds, stages, datasets, labels, flags."""

from __future__ import annotations

# Artifact kinds are also the names of their folders.
KINDS = ("fmri", "stimuli", "semantic", "structure", "motion", "videos", "evaluation")

MAKER = {
    "fmri": "preprocess",
    "stimuli": "encode-stimuli",
    "semantic": "train-semantic",
    "structure": "train-structure",
    "motion": "train-motion",
    "videos": "generate",
    "evaluation": "evaluate",
}

MEANING = {
    "fmri": "preprocessed responses",
    "stimuli": "encoded stimuli",
    "semantic": "semantic decoder",
    "structure": "structure decoder",
    "motion": "motion decoder",
}
"""What an artifact is, where the name of its kind does not say so."""

_DECODERS = ("semantic", "structure", "motion")
NEEDS = {
    **dict.fromkeys(_DECODERS, ("fmri", "stimuli")),
    "videos": ("fmri", "stimuli", *_DECODERS),
    "evaluation": ("fmri", "stimuli", *_DECODERS, "videos"),
}
"""The artifacts that an artifact is made from, directly or not."""


def kind_of_dataset(dataset: str) -> str:
    """The reader a dataset's name stands for: ``bids`` for both ``bids`` and ``bids-lab2``.

    What follows the dash keeps two studies of one kind apart in the work folder.
    """
    return dataset.lower().partition("-")[0]


STAGES = (*MAKER.values(), "import-checkpoint", "simulate", "demo")


def flag_name(option: str) -> str:
    """How an option is written on the command line."""
    return "--" + option.replace("_", "-")
