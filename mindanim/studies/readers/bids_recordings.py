"""The runs of a study in BIDS: which exist, in which versions, and the files that accompany them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.studies.files import peek
from mindanim.studies.readers.bids_names import Name, functional, inherited, metadata

FORMATS = {
    "dtseries": (".dtseries.nii", ".dtseries.nii.gz"),
    "ptseries": (".ptseries.nii", ".ptseries.nii.gz"),
    "nifti": (".nii.gz", ".nii"),
}
ENTITIES = ("space", "res", "den", "desc", "atlas", "seg")
"""Entities that tell versions of one run apart."""
_GIFTI = (".func.gii", ".shape.gii", ".gii")


@dataclass(frozen=True)
class Recording:
    """A preprocessed run with its events, or the events of a run that has not been preprocessed."""

    subject: int
    name: Name
    events: Path | None
    preprocessed: bool

    @property
    def volumetric(self) -> bool:
        """Whether the run is a volume series, which needs a mask."""
        return self.name.extension in FORMATS["nifti"]

    @property
    def path(self) -> Path:
        """The run, or what it would be called."""
        if self.preprocessed:
            return self.name.path
        return self.name.path.with_name(f"{self.name.label(())}_desc-preproc_bold.nii.gz")

    @property
    def mask(self) -> Path:
        """The brain mask that belongs to a volume series."""
        entities = {**self.name.entities, "desc": "brain"}
        stem = "_".join(f"{key}-{value}" for key, value in entities.items())
        names = [self.name.path.with_name(f"{stem}_mask{end}") for end in (".nii.gz", ".nii")]
        return next((path for path in names if path.is_file()), names[0])

    @property
    def confounds(self) -> Path | None:
        """fMRIPrep's table of the run, under its present or former name."""
        if not self.preprocessed:
            return None
        names = (f"{self.name.label(())}_desc-confounds_{end}.tsv" for end in ("timeseries", "regressors"))
        return next((path for name in names if (path := self.name.path.with_name(name)).is_file()), None)


@dataclass(frozen=True)
class Wanted:
    """Which of several versions of a run to read; None takes any."""

    task: str | None
    format: str | None
    entities: Mapping[str, str | None]

    def fits(self, name: Name) -> bool:
        """Whether a file is a preprocessed run of this kind."""
        ends = FORMATS.get(self.format or "", sum(FORMATS.values(), ()))
        if name.suffix not in ("bold", "timeseries") or name.extension not in ends:
            return False
        if name.extension in FORMATS["nifti"] and "desc" not in name.entities:
            return False  # a raw run
        return all(value in (None, name.entities.get(entity)) for entity, value in self.entities.items())


def find_trees(root: Path, derivatives: str | None) -> list[Path]:
    """The raw data (or the folder given) first, then the derivatives. InputError if there are none."""
    below = sorted(path for path in root.glob("derivatives/*") if path.is_dir())
    if derivatives is not None and derivatives not in [path.name for path in below]:
        there = ", ".join(path.name for path in below) or "none"
        raise InputError(f"There is no folder {root / 'derivatives' / derivatives}.", f"There are: {there}.")
    return [root, *(path for path in below if derivatives in (None, path.name))]


def number_subjects(trees: Sequence[Path]) -> dict[str, int]:
    """Subject numbers by label: the label itself where all are numbers, else the place in the alphabet."""
    labels = sorted({path.name[4:] for tree in trees for path in tree.glob("sub-*") if path.is_dir()})
    numbers = [int(label) for label in labels if label.isdecimal()]
    if len(set(numbers)) == len(labels) and all(numbers):
        return dict(zip(labels, numbers, strict=True))
    return {label: place for place, label in enumerate(labels, start=1)}


def find_recordings(
    root: Path, trees: Sequence[Path], numbers: Mapping[str, int], wanted: Wanted
) -> list[Recording]:
    """Every run that is preprocessed or has events.

    Raises:
        InputError: A run is there in several versions, and where the only runs are of a kind that is not
            read.
    """
    files = [name for name in functional(trees) if wanted.task in (None, name.entities.get("task"))]
    versions: dict[Any, list[Name]] = {}
    for name in files:
        if wanted.fits(name):
            versions.setdefault(name.recording, []).append(name)

    def recording(name: Name, preprocessed: bool) -> Recording:
        events = inherited(name, trees, "events", ".tsv")
        return Recording(numbers[name.entities["sub"]], name, events[-1] if events else None, preprocessed)

    recordings: dict[Any, Recording] = {}
    problems: list[MindanimError] = []
    for key, names in versions.items():
        kinds = [kind for kind, ends in FORMATS.items() if any(one.extension in ends for one in names)]
        names = [one for one in names if one.extension in FORMATS[wanted.format or kinds[0]]]
        if len(names) > 1:
            problems.append(_ambiguous(root, names))
        recordings[key] = recording(names[0], preprocessed=True)
    raise_together(problems[:1])
    if not recordings:
        _refuse_surfaces(trees)
    for name in files:
        if name.suffix == "events" and name.recording not in recordings:
            recordings[name.recording] = recording(name, preprocessed=False)
    return list(recordings.values())


def _ambiguous(root: Path, names: Sequence[Name]) -> InputError:
    listed = ", ".join(str(name.path.relative_to(root)) for name in names)
    return InputError(
        f"{names[0].label(())} exists in {len(names)} versions: {listed}.",
        "Responses come from one of them.",
        "Choose with --study space=, res=, den=, desc=, format= or derivatives=.",
    )


def _refuse_surfaces(trees: Sequence[Path]) -> None:
    """InputError where runs are there as GIFTI surfaces alone: a file per hemisphere, with no common axis."""
    surfaces = [
        path
        for tree in trees
        for pattern in ("sub-*/func/*", "sub-*/ses-*/func/*")
        for path in sorted(tree.glob(pattern))
        if path.name.endswith(_GIFTI)
    ]
    if surfaces:
        raise InputError(
            f"The runs are GIFTI surfaces, for example {surfaces[0]}.",
            "Readable: CIFTI-2 (.dtseries.nii, .ptseries.nii) and volumes with a mask (.nii, .nii.gz).",
            "Let fMRIPrep write them (--cifti-output 91k), or join both hemispheres: wb_command "
            "-cifti-create-dense-timeseries NEW.dtseries.nii -left-metric ... -right-metric ...",
        )


def repetition_time(recording: Recording, trees: Sequence[Path]) -> float | None:
    """Seconds between volumes from the sidecars, else from the header; None where neither can be read.

    Raises:
        InputError: A sidecar states none that can be.
    """
    if not recording.preprocessed:
        return None
    value = metadata(recording.name, trees).get("RepetitionTime")
    if value is not None:
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 100:
            raise InputError(
                f"RepetitionTime of {recording.name.path.name} is {value!r}.",
                "It must be a number of seconds.",
                "Correct the JSON file.",
            )
        return float(value)
    try:
        return peek(recording.name.path).tr_s
    except InputError:
        return None  # a finding of the comparison
