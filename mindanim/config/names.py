"""The names users type, and what to say about one that does not exist."""

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

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
"""A dataset or a label: part of a folder's name, after the first dash of which a label begins."""
NAME_RULE = (
    "it becomes part of a folder's name; use letters, digits, '.', '_' and '-', a letter or digit first"
)


def kind_of_dataset(dataset: str) -> str:
    """Which reader a dataset's name asks for: ``bids`` for ``bids`` and for ``bids-lab2``.

    What follows the dash keeps two studies of one kind apart: a name is a folder of the work folder.
    """
    return dataset.lower().partition("-")[0]


STAGES = (*MAKER.values(), "import-checkpoint", "simulate", "demo")


def flag_name(option: str) -> str:
    """How an option is written on the command line."""
    return "--" + option.replace("_", "-")
