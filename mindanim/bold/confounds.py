"""Confounds of a run, as fMRIPrep leaves them: which to regress out, and how much the head moved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mindanim.artifacts.tsv import read_tsv
from mindanim.errors import InputError
from mindanim.vocabulary.arrays import Float

_ENDINGS = ("desc-confounds_timeseries.tsv", "desc-confounds_regressors.tsv")
_COMPONENTS = 6
"""Components of each mask's CompCor, of the hundreds that fMRIPrep may list."""
_DISPLACEMENT = "framewise_displacement"


def read_confounds(path: Path, strategy: Sequence[str], motion: str, volumes: int) -> Float:
    """Regressors ``(regressor, volume)`` of a run, chosen by nilearn's ``load_confounds``.

    Args:
        path: fMRIPrep's table, with its JSON sidecar.
        strategy: Names of nilearn's, e.g. ``motion`` and ``wm_csf``.
        motion: ``basic`` for the six parameters, up to ``full`` for 24.

    Raises:
        InputError: The table is missing, lacks what the strategy needs, has another length than the run, or
            nilearn refuses the combination.
    """
    from nilearn.interfaces.fmriprep import load_confounds

    _must_exist(path)
    ending = next((ending for ending in _ENDINGS if path.name.endswith(ending)), None)
    if ending is None:
        raise InputError(
            f"{path} is not called as fMRIPrep calls its confounds.",
            "nilearn finds out by the name what the columns mean.",
            f"Call it ..._{_ENDINGS[0]}.",
        )
    image = path.with_name(
        path.name.removesuffix(ending) + "desc-preproc_bold.nii.gz"
    )  # only its name counts
    options = {"motion": motion, "ica_aroma": "basic", "compcor": "anat_separated", "n_compcor": _COMPONENTS}
    try:
        table, _ = load_confounds(str(image), strategy=tuple(strategy), demean=False, **options)
    except ValueError as error:
        raise InputError(
            f"{path} does not give the confounds {', '.join(strategy)}.",
            " ".join(str(error).split()),
            "Choose other confounds, or run fMRIPrep with the steps that write them.",
        ) from error
    values: Float = table.to_numpy(dtype=np.float64).T
    _check(path, values, volumes)
    return values


def displacement(path: Path, volumes: int) -> Float | None:
    """Framewise displacement ``(volume,)`` in mm (Power et al. 2012); None where the table has none."""
    _must_exist(path)
    table = read_tsv(path)
    if _DISPLACEMENT not in table.columns:
        return None
    column = table.columns.index(_DISPLACEMENT)
    try:
        values = np.array([float(cells[column].replace("n/a", "nan") or "nan") for cells in table.rows])
    except ValueError as error:
        raise InputError(f"{path}: {_DISPLACEMENT} has a cell that is no number.", str(error)) from error
    values[:1] = np.nan_to_num(values[:1])
    _check(path, values[None], volumes)
    return values


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise InputError(
            f"The confounds {path} are missing.", hint="Add the table, or leave out --set confounds"
        )


def _check(path: Path, values: NDArray[np.float64], volumes: int) -> None:
    if values.shape[1] != volumes:
        raise InputError(
            f"{path} has {values.shape[1]} rows.",
            f"Its run has {volumes} volumes, and each needs its row.",
            "Use the table that was written with this run.",
        )
    if not np.isfinite(values).all():
        volume = int(np.flatnonzero(~np.isfinite(values).all(0))[0])
        raise InputError(
            f"{path} lacks a number for volume {volume}.",
            "A confound that is not known cannot be removed.",
            "Get the table again, or choose other confounds.",
        )
