"""Artifact folders: what a stage's result is on disk, and how it gets there."""

from mindanim.artifacts.artifact import Artifact
from mindanim.artifacts.draft import Draft
from mindanim.artifacts.identity import Source, fingerprint, identity_of
from mindanim.artifacts.lineage import Ancestor, ancestors, staleness
from mindanim.artifacts.plan import Coverage, Plan, Planned, ShareDone
from mindanim.artifacts.produce import produce
from mindanim.artifacts.workspace import Workspace, data_unknown, find_data, find_dataset, with_data

__all__ = [
    "Ancestor",
    "Artifact",
    "Coverage",
    "Draft",
    "Plan",
    "Planned",
    "ShareDone",
    "Source",
    "Workspace",
    "ancestors",
    "data_unknown",
    "find_data",
    "find_dataset",
    "fingerprint",
    "identity_of",
    "produce",
    "staleness",
    "with_data",
]
