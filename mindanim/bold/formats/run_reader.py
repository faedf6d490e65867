"""Opening runs: CIFTI series, NIfTI within a mask, arrays, and what a study's own reader extracts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mindanim.bold.formats.arrays import open_matrix, open_npy
from mindanim.bold.formats.cifti import CiftiReader
from mindanim.bold.formats.nifti import NiftiReader
from mindanim.bold.formats.series import Series
from mindanim.config.suggestion import suggested
from mindanim.errors import InputError
from mindanim.vocabulary.limits import TR_TOLERANCE
from mindanim.vocabulary.runs import Matrix

_CIFTI = (".dtseries.nii", ".ptseries.nii", ".dtseries.nii.gz", ".ptseries.nii.gz")
_NIFTI = (".nii", ".nii.gz")


class RunReader:
    """Opens the runs of a study by what their files are, and keeps what they share: axes, masks.

    Args:
        structures: Which structures of dense CIFTI files to take, see :class:`CiftiReader`.
    """

    def __init__(self, structures: Sequence[str] = ("cortex",)) -> None:
        self._cifti = CiftiReader(structures)
        self._nifti = NiftiReader()

    def open(
        self,
        path: Path,
        *,
        volumes: int | None = None,
        tr_s: float | None = None,
        mask: Path | None = None,
        axes: str | None = None,
        load: Callable[[], Matrix] | None = None,
    ) -> Series:
        """Open a run without reading its data.

        Args:
            volumes, tr_s: What the study declares.
            mask: Which voxels of a NIfTI run to take.
            axes: Of a .npy file.
            load: Extracts the signal from a file of another kind.

        Raises:
            InputError: The file is missing, of no known kind, malformed or truncated, or disagrees with the
                study.
        """
        if not path.exists():
            raise InputError(
                f"The run {path} is missing.",
                hint=f"Check the study: {suggested('doctor', '--only', 'data')}",
            )
        series = self._open(path, mask, axes, load)
        _check_declared(series, volumes, tr_s)
        return series

    def _open(
        self, path: Path, mask: Path | None, axes: str | None, load: Callable[[], Matrix] | None
    ) -> Series:
        if load is not None:
            return open_matrix(path, load)
        if path.name.endswith(_CIFTI):
            return self._cifti.open(path)
        if path.name.endswith(_NIFTI):
            return self._nifti.open(path, mask)
        if path.suffix == ".npy":
            return open_npy(path, axes)
        raise InputError(
            f"{path} is not a run.",
            "Runs are CIFTI-2 (.dtseries.nii, .ptseries.nii), NIfTI (.nii, .nii.gz) or arrays (.npy).",
            "Convert it to one of these.",
        )


def _check_declared(run: Series, volumes: int | None, tr_s: float | None) -> None:
    if volumes is not None and run.volumes != volumes:
        raise InputError(
            f"{run.path} has {run.volumes} volumes.",
            f"The study declares {volumes}; with a different number the timing is unknown.",
            "Download the run again, or leave it out: --allow-partial",
        )
    if tr_s is not None and run.tr_s is not None and abs(run.tr_s - tr_s) > TR_TOLERANCE * tr_s:
        raise InputError(
            f"{run.path} states a repetition time of {run.tr_s:g} s.",
            f"The study declares {tr_s:g} s; with the wrong one every response comes from the wrong moment.",
            "If the header is wrong, use the study's: --set check_tr=false",
        )
