"""The runs of a study in BIDS: which exist, in which versions, and the files that accompany them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.studies.readers.bids_names import Name, functional, inherited, plain

FORMATS = {
    "dtseries": (".dtseries.nii", ".dtseries.nii.gz"),
    "ptseries": (".ptseries.nii", ".ptseries.nii.gz"),
    "nifti": (".nii.gz", ".nii"),
}
ENTITIES = ("space", "res", "den", "desc", "atlas", "seg", "rec", "echo", "part")
"""Entities that tell versions of one run apart, by which a version is chosen."""
ABSENT = "none"
"""What to ask for to get the version whose name does not have an entity."""
_GIFTI = (".func.gii", ".shape.gii", ".gii")
_Files = Mapping[frozenset[tuple[str, str]], Sequence[Name]]


@dataclass(frozen=True)
class Recording:
    """A preprocessed run with its events, or the events of a run that has not been preprocessed.

    Attributes:
        raw: The run before it was preprocessed, where it is there.
        others: Versions of the same acquisition that are not read: single echoes, phase.
    """

    name: Name
    events: Path | None
    preprocessed: bool
    mask: Path | None = None
    confounds: Path | None = None
    raw: Path | None = None
    others: tuple[Name, ...] = ()

    @property
    def label(self) -> str:
        """The subject's label."""
        return self.name.entities["sub"]

    @property
    def path(self) -> Path:
        """The run, or what it would be called."""
        if self.preprocessed:
            return self.name.path
        return self.name.path.with_name(f"{self.name.label(())}_desc-preproc_bold.nii.gz")


@dataclass(frozen=True)
class Wanted:
    """Which of several versions of a run to read; None takes any, :data:`ABSENT` one without the entity."""

    task: str | None
    format: str | None
    entities: Mapping[str, str | None]

    def fits(self, name: Name) -> bool:
        """Whether a file is a preprocessed run of this kind."""
        ends = FORMATS.get(self.format or "", sum(FORMATS.values(), ()))
        if name.suffix not in ("bold", "timeseries") or name.extension not in ends:
            return False
        if _is_raw(name):
            return False
        there = dict(name.version)
        return all(
            value is None or plain(entity, value) == there.get(entity, ABSENT)
            for entity, value in self.entities.items()
        )

    @property
    def words(self) -> str:
        """The entities that were asked for, e.g. ``space-T1w``; empty where none was."""
        return ", ".join(f"{entity}-{value}" for entity, value in self.entities.items() if value)


def find_trees(root: Path, derivatives: str | None) -> list[Path]:
    """The raw data (or the folder given) first, then the derivatives. InputError if there are none."""
    below = sorted(path for path in root.glob("derivatives/[!.]*") if path.is_dir())
    if derivatives is not None and derivatives not in [path.name for path in below]:
        there = ", ".join(path.name for path in below) or "none"
        raise InputError(f"There is no folder {root / 'derivatives' / derivatives}.", f"There are: {there}.")
    return [root, *(path for path in below if derivatives in (None, path.name))]


def find_recordings(root: Path, trees: Sequence[Path], wanted: Wanted) -> list[Recording]:
    """Every run that is preprocessed or has events, one per acquisition, sorted by path.

    Of a run with several echoes their combination is read, of magnitude and phase the magnitude.

    Raises:
        InputError: A run is there in several other versions, and where the only runs are of a kind that is
            not read.
    """
    by_recording: dict[frozenset[tuple[str, str]], list[Name]] = {}
    for name in functional(trees):
        if wanted.task in (None, name.entities.get("task")):
            by_recording.setdefault(name.recording, []).append(name)
    recordings, problems = [], list[MindanimError]()
    for names in by_recording.values():
        versions = [name for name in names if wanted.fits(name)]
        if not versions:
            if events := [name for name in names if name.suffix == "events" and name.extension == ".tsv"]:
                recordings.append(Recording(events[0], _events(events[0], trees), preprocessed=False))
            continue
        if _events(versions[0], trees) is None:  # rest, for example: its version does not matter
            recordings.append(Recording(versions[0], None, preprocessed=True))
            continue
        try:
            chosen, others = _choose(root, versions, wanted)
        except InputError as problem:
            problems.append(problem)
            continue
        mask = _mask(chosen, names) if chosen.extension in FORMATS["nifti"] else None
        raw = next((name.path for name in names if _is_raw(name) and name.path.is_file()), None)
        confounds = _confounds(chosen, names)
        recordings.append(Recording(chosen, _events(chosen, trees), True, mask, confounds, raw, others))
    raise_together(problems[:1])
    if not any(one.preprocessed for one in recordings):
        _refuse_surfaces(trees)
    return sorted(recordings, key=lambda one: (not one.preprocessed, one.name.path))


def _is_raw(name: Name) -> bool:
    """Whether it is a run as the scanner left it."""
    return (
        name.suffix == "bold"
        and name.extension in FORMATS["nifti"]
        and not {"desc", "space"} & name.entities.keys()
    )


def _events(name: Name, trees: Sequence[Path]) -> Path | None:
    events = inherited(name, trees, "events", ".tsv")
    return events[-1] if events else None


def _choose(root: Path, names: Sequence[Name], wanted: Wanted) -> tuple[Name, tuple[Name, ...]]:
    """The version to read, and single echoes and phases that it stands for. InputError where that is open."""
    kinds = [kind for kind, ends in FORMATS.items() if any(one.extension in ends for one in names)]
    kept = [one for one in names if one.extension in FORMATS[wanted.format or kinds[0]]]
    if wanted.entities.get("echo") is None:
        kept = [one for one in kept if "echo" not in one.entities] or kept
    if wanted.entities.get("part") is None:
        magnitudes = [one for one in kept if one.entities.get("part", "mag") == "mag"]
        if not magnitudes:
            raise InputError(
                f"Of {kept[0].label(())} there is no magnitude image.",
                f"There is only {', '.join(one.path.name for one in kept)}.",
                "Responses are read from the magnitude; to read another part: --study part=phase",
            )
        kept = magnitudes
    if len(kept) > 1:
        raise _ambiguous(root, kept)
    chosen = kept[0]
    return chosen, tuple(one for one in names if one is not chosen and _signal(one) != _signal(chosen))


def _signal(name: Name) -> list[str | None]:
    """Which of the signals that one acquisition records: echo, and magnitude or phase."""
    return [name.entities.get(entity) for entity in ("echo", "part")]


def _ambiguous(root: Path, names: Sequence[Name]) -> InputError:
    listed = ", ".join(str(name.path.relative_to(root)) for name in names)
    ways = []
    for entity in ENTITIES:
        values = sorted({dict(name.version).get(entity, ABSENT) for name in names})
        if len(values) > 1:
            ways.append(f"--study {entity}={next(value for value in values if value != ABSENT)}")
    folders = [name.path.relative_to(root).parts for name in names]
    trees = sorted({parts[1] for parts in folders if parts[0] == "derivatives"})
    if not ways and len(trees) > 1:
        ways.append(f"--study derivatives={trees[0]}")
    echoes = all("echo" in name.entities for name in names)
    return InputError(
        f"{names[0].label(())} exists in {len(names)} versions: {listed}.",
        "They are versions of one viewing, not repeats, and responses come from one of them."
        + (" Echoes are best combined first (fMRIPrep, tedana)." if echoes else ""),
        f"Choose one, for example with {' '.join(ways)}" if ways else "Keep one of them, or rename it.",
    )


def _mask(name: Name, files: Iterable[Name]) -> Path:
    """The brain mask in the run's space and resolution, that of its own version first, in its own folder
    first; where there is none, what it would be called."""
    grid = [name.entities.get(entity) for entity in ("space", "res")]
    fitting = [
        (other.path.parent == name.path.parent, len(other.version), other.path)
        for other in files
        if other.suffix == "mask" and other.entities.get("desc") == "brain"
        if other.extension in FORMATS["nifti"]
        if [other.entities.get(entity) for entity in ("space", "res")] == grid
        if {pair for pair in other.version if pair[0] != "desc"} <= name.version
    ]
    if fitting:
        return max(fitting, key=lambda item: item[:2])[2]
    stem = "_".join(f"{key}-{value}" for key, value in {**name.entities, "desc": "brain"}.items())
    return name.path.with_name(f"{stem}_mask.nii.gz")


def _confounds(name: Name, files: Iterable[Name]) -> Path | None:
    """fMRIPrep's table of the run, next to it, under its present or former name."""
    fitting = [
        (len(other.version), other.suffix == "timeseries", other.path)
        for other in files
        if other.suffix in ("timeseries", "regressors") and other.extension == ".tsv"
        if other.entities.get("desc") == "confounds" and other.path.parent == name.path.parent
        if {pair for pair in other.version if pair[0] != "desc"} <= name.version
    ]
    return max(fitting)[2] if fitting else None


def _refuse_surfaces(trees: Sequence[Path]) -> None:
    """InputError where runs are there as GIFTI surfaces alone: a file per hemisphere, with no common axis."""
    surfaces = [
        path
        for tree in trees
        for pattern in ("sub-*/func/[!.]*", "sub-*/ses-*/func/[!.]*")
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
