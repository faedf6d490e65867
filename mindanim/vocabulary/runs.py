"""Runs: recordings of subjects watching films."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mindanim.vocabulary.clips import Clip, Split
from mindanim.vocabulary.subjects import Subject

Axes = Literal["volume voxel", "voxel volume"]


@dataclass(frozen=True)
class Film:
    """A film file. ``name`` is what :attr:`Clip.film` and :attr:`Run.film` refer to."""

    name: str
    path: Path
    split: Split
    segment: str


@dataclass(frozen=True, eq=False)
class Matrix:
    """Signal that a reader extracts from a study-specific file.

    signal ``(volume, voxel)``.

    Attributes:
        region: ``(voxel,)`` Region of interest of each voxel, where known, by which ``--roi`` chooses.
        ijk: ``(voxel, 3)`` Index in the study's volume, where known.
    """

    signal: NDArray[np.floating[Any]]
    region: NDArray[np.str_] | None = None
    ijk: NDArray[np.integer[Any]] | None = None


@dataclass(frozen=True)
class Run:
    """One recording of one subject watching one film.

    Volume k was acquired at ``start_s + k * tr_s`` seconds of the clock that :attr:`Clip.shown_s` uses, which
    is film time where a run shows one film. Two segments may share a file: each has runs with its path.
    ``volumes`` is the declared number of volumes. Responses to single clips (GLM betas) are a run too: one
    volume per clip, ``tr_s`` the duration of a clip, lag 0.

    Attributes:
        path: CIFTI-2 series (``.dtseries.nii``, ``.ptseries.nii``), NIfTI (``.nii``, ``.nii.gz``), ``.npy``,
            or, with ``load``, any file or folder.
        mask: NIfTI mask, needed for NIfTI runs.
        axes: ``volume voxel`` or ``voxel volume``, needed for ``.npy`` runs.
        confounds: Table of nuisance time series as fMRIPrep writes it (``*_desc-confounds_timeseries.tsv``).
        load: Extracts the signal from a file of the study's own kind; called once, when the run is opened.
        others: Further files that ``load`` reads; they count as input.
        shown_s: By clip_id, when this run shows its clips, where that is another time than
            :attr:`Clip.shown_s`: runs may show the same clips in another order, or at other distances.
    """

    subject: Subject
    film: str
    split: Split
    segment: str
    repeat: int
    path: Path
    start_s: float
    tr_s: float
    volumes: int
    mask: Path | None = None
    axes: Axes | None = None
    confounds: Path | None = None
    load: Callable[[], Matrix] | None = None
    others: tuple[Path, ...] = ()
    shown_s: Mapping[str, float] = field(default_factory=dict)

    def when(self, clip: Clip) -> float:
        """Beginning of a clip on the run's clock, seconds."""
        return self.shown_s.get(clip.clip_id, clip.shown_s)

    @property
    def files(self) -> list[Path]:
        """Every file that the run's signal depends on."""
        found = [self.path, *(path for path in (self.mask, self.confounds) if path is not None)]
        # fMRIPrep describes the columns of its confounds, which decides which are taken, in a sidecar.
        sidecar = self.confounds.with_suffix(".json") if self.confounds is not None else None
        return [*found, *([sidecar] if sidecar is not None and sidecar.is_file() else []), *self.others]

    @property
    def name(self) -> str:
        """Short name for messages, e.g. ``seg3 repeat 1``."""
        return f"{self.segment} repeat {self.repeat}"
