"""Finished evaluations of a dataset, and comparisons of one with others of the same subject."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mindanim.artifacts import Artifact, Workspace
from mindanim.artifacts.artifact import MANIFEST
from mindanim.artifacts.workspace import load_kind
from mindanim.config.run_options import RunOptions
from mindanim.config.suggestion import command, in_order
from mindanim.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_ALL = "all"


def evaluations_of(run: RunOptions) -> list[Path]:
    """The folders of all finished evaluations of a dataset, of one subject where `run` names one."""
    found = [one for one in Workspace.of(run).artifacts() if one.kind == "evaluation"]
    chosen = [one.path for one in found if run.subject in (None, one.manifest["subject"])]
    if not chosen:
        raise InputError(
            f"There is no evaluation in {Workspace.of(run).root}.",
            hint=in_order([command("evaluate", run, *([] if run.subject else ["--subject", "1"]))]),
        )
    return chosen


def siblings_of(place: Path) -> list[Path]:
    """Folders of the other finished evaluations in the same folder."""
    found = sorted(path.parent for path in place.parent.glob(f"evaluation*/{MANIFEST}"))
    return [path for path in found if path.resolve() != place.resolve()]


def compared_with(place: Path, labels: Sequence[str]) -> list[Path]:
    """Folders of the evaluations with some labels next to `place`, which need not exist yet.

    Args:
        place: The folder of an evaluation.
        labels: Of the others; "all" for every one.

    Raises:
        InputError: A label has no evaluation; names them.
    """
    there = {path.name.removeprefix("evaluation").removeprefix("-"): path for path in siblings_of(place)}
    chosen = there if _ALL in labels else {label: there[label] for label in labels if label in there}
    missing = [label for label in labels if label not in there and label != _ALL]
    if missing or not chosen:
        known = ", ".join(label or "one without a label" for label in there)
        raise InputError(
            f"There is no other evaluation labelled {', '.join(missing)} next to {place}."
            if missing
            else f"There is no other evaluation next to {place}.",
            why=f"There are: {known}." if there else "It would be the only one.",
            hint="Evaluate the other results first, or leave out --compare",
        )
    return list(chosen.values())


def comparison(evaluation: Artifact, labels: Sequence[str]) -> pd.DataFrame:
    """An evaluation against others of the same subject; see `metrics.comparison.compare`.

    labels: As in `compared_with`.

    Raises:
        InputError: One is missing or cannot be compared.
    """
    from mindanim.metrics.comparison import Evaluated, compare

    others = compared_with(evaluation.path, labels)
    return compare(
        [Evaluated.of(evaluation), *(Evaluated.of(load_kind(path, "evaluation")) for path in others)]
    )
