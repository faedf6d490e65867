"""Reading CIFTI runs: cortex by the file's own axis, parsed once for all runs; data memory-mapped."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mindanim.errors import InputError

if TYPE_CHECKING:
    from nibabel.cifti2.cifti2_axes import BrainModelAxis

HEMISPHERES = ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT")
TR_TOLERANCE = 1e-3
"""Relative difference of repetition times up to which they count as the same."""


@dataclass(frozen=True, eq=False)
class Cortex:
    """The cortical vertices of a file, in the file's order.

    columns ``(voxel,)``: index of the grayordinate; structure ``(voxel,)``: CIFTI name of the hemisphere;
    vertex ``(voxel,)``: index on that hemisphere's mesh; axis: the brain models of these vertices alone, for
    writing maps.
    """

    columns: NDArray[np.intp]
    structure: NDArray[np.str_]
    vertex: NDArray[np.int64]
    axis: BrainModelAxis

    def __len__(self) -> int:
        return len(self.columns)

    def same_as(self, other: Cortex) -> bool:
        """Whether both hold the same vertices in the same columns."""
        return self is other or (
            np.array_equal(self.columns, other.columns)
            and np.array_equal(self.vertex, other.vertex)
            and np.array_equal(self.structure, other.structure)
        )


@dataclass(frozen=True, eq=False)
class BoldRun:
    """An opened run. ``data (volume, grayordinate)`` is a memory map, each time series in one piece."""

    path: Path
    tr_s: float
    cortex: Cortex
    data: NDArray[Any]
    slope: float
    intercept: float

    @property
    def volumes(self) -> int:
        return int(self.data.shape[0])

    def signal(self, voxels: NDArray[np.intp] | slice, volumes: slice = slice(None)) -> NDArray[np.float64]:
        """Cortical signal ``(voxel, volume)`` float64 in the file's unit; ``voxels`` index the cortex."""
        columns = self.cortex.columns[voxels]
        if len(columns) and columns[-1] - columns[0] == len(columns) - 1 and np.all(np.diff(columns) == 1):
            block = self.data[
                volumes, columns[0] : columns[-1] + 1
            ]  # a view: no copy of the integers or singles
        else:
            block = self.data[volumes, columns]
        signal = np.array(block.T, dtype=np.float64, order="C")
        if self.slope != 1.0 or self.intercept != 0.0:
            signal = signal * self.slope + self.intercept
        return signal


class RunReader:
    """Opens the runs of a study, and keeps the brain models they share: parsing those is what takes time."""

    def __init__(self) -> None:
        self._cortex: dict[bytes, Cortex] = {}

    def open(self, path: Path, *, volumes: int | None = None, tr_s: float | None = None) -> BoldRun:
        """Open a CIFTI-2 dense series and memory-map its data.

        volumes, tr_s: what the study declares; InputError where the file says otherwise. InputError also
        where the file is missing, compressed, CIFTI-1, no dense series, truncated, or without a cortical
        surface.
        """
        from nibabel.filebasedimages import ImageFileError
        from nibabel.nifti2 import Nifti2Header
        from nibabel.spatialimages import HeaderDataError
        from nibabel.wrapstruct import WrapStructError

        if not path.is_file():
            raise InputError(
                f"The run {path} is missing.", mend="Check the study with: mindanim doctor --dataset"
            )
        if path.suffix == ".gz":
            raise InputError(f"{path} is compressed.", "Runs are memory-mapped.", f"Unpack it: gunzip {path}")
        try:
            with path.open("rb") as file:
                header = Nifti2Header.from_fileobj(file)  # type: ignore[no-untyped-call]
                file.seek(540)
                rest = file.read(int(header["vox_offset"]) - 540)
        except (ImageFileError, HeaderDataError, WrapStructError, ValueError) as error:
            raise _broken(path, f"its NIfTI-2 header cannot be read ({error})") from error
        xml = _xml(path, rest, header.endianness)
        models, series = _split(path, xml)
        file_tr = _repetition_time(path, series)
        shape = tuple(int(size) for size in header["dim"][5:7])
        dtype, offset = header.get_data_dtype(), int(header["vox_offset"])
        promised = offset + shape[0] * shape[1] * dtype.itemsize
        if path.stat().st_size < promised:
            raise _broken(path, f"it is truncated: {path.stat().st_size} bytes of {promised}")
        cortex = self._brain_models(path, models)
        if len(cortex) and cortex.columns.max() >= shape[1]:
            raise _broken(path, f"its axes name more grayordinates than the {shape[1]} of its data")
        slope, intercept = header.get_slope_inter()
        run = BoldRun(
            path,
            file_tr,
            cortex,
            np.memmap(path, dtype, "r", offset, shape, order="F"),
            1.0 if slope is None else float(slope),
            0.0 if intercept is None else float(intercept),
        )
        _check_declared(run, volumes, tr_s)
        return run

    def _brain_models(self, path: Path, models: bytes) -> Cortex:
        import nibabel as nib
        from nibabel.cifti2.cifti2_axes import BrainModelAxis

        key = hashlib.blake2b(models).digest()
        if key not in self._cortex:
            try:
                axis = nib.load(path).header.get_axis(1)  # type: ignore[attr-defined]
            except Exception as error:  # nibabel raises whatever its parser meets in a malformed header
                raise _broken(path, f"its CIFTI header cannot be read ({error})") from error
            if not isinstance(axis, BrainModelAxis):
                raise _broken(path, "its second axis does not hold brain models")
            columns = np.flatnonzero(np.isin(axis.name, HEMISPHERES) & axis.surface_mask)
            if not len(columns):
                raise InputError(
                    f"{path} holds no cortical surface.",
                    f"Its structures are: {', '.join(sorted(set(axis.name)))}.",
                    "Responses are taken from surface runs (dtseries with CORTEX_LEFT and CORTEX_RIGHT).",
                )
            cortex = axis[columns]
            self._cortex[key] = Cortex(
                columns, cortex.name.astype(str), cortex.vertex.astype(np.int64), cortex
            )
        return self._cortex[key]


def _check_declared(run: BoldRun, volumes: int | None, tr_s: float | None) -> None:
    if volumes is not None and run.volumes != volumes:
        raise InputError(
            f"{run.path} has {run.volumes} volumes.",
            f"The study declares {volumes}; with another number the timing is unknown.",
            "Get the run again, or leave it out with --allow-partial.",
        )
    if tr_s is not None and abs(run.tr_s - tr_s) > TR_TOLERANCE * tr_s:
        raise InputError(
            f"{run.path} states a repetition time of {run.tr_s:g} s.",
            f"The study declares {tr_s:g} s; with the wrong one every response belongs to another moment.",
            "If the header is wrong, trust the study: --set check_tr=false; otherwise this is another study.",
        )


def _broken(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} is not a readable CIFTI-2 dense series.", f"{why[0].upper()}{why[1:]}.", "Get the run again."
    )


def _xml(path: Path, extensions: bytes, endianness: str) -> bytes:
    """The CIFTI extension (code 32) among the NIfTI extensions that follow the header."""
    position = 4
    while position + 8 <= len(extensions):
        size, code = np.frombuffer(extensions, f"{endianness}i4", 2, position).tolist()
        if code == 32:
            return extensions[position + 8 : position + size].rstrip(b"\0")
        position += max(size, 8)
    raise _broken(path, "it has no CIFTI header: it is truncated, or a plain NIfTI file")


def _split(path: Path, xml: bytes) -> tuple[bytes, ElementTree.Element]:
    """The text of the brain models (nearly all of the header), and the rest parsed."""
    version = re.search(rb'<CIFTI\b[^>]*\bVersion="([^"]*)"', xml)
    if version is not None and version[1].startswith(b"1"):
        raise InputError(
            f"{path} is a CIFTI-1 file.",
            "Its axes are written in a form that was given up in 2014.",
            f"Convert it: wb_command -file-convert -cifti-version-convert {path} 2 NEW.dtseries.nii",
        )
    mark = xml.find(b"CIFTI_INDEX_TYPE_BRAIN_MODELS")
    first, closing = xml.rfind(b"<MatrixIndicesMap", 0, mark), b"</MatrixIndicesMap>"
    last = xml.find(closing, mark)
    if min(mark, first, last) < 0:
        raise _broken(path, "its CIFTI header names no brain models")
    last += len(closing)
    try:
        return xml[first:last], ElementTree.fromstring(xml[:first] + xml[last:])
    except ElementTree.ParseError as error:
        raise _broken(path, f"its CIFTI header is not valid XML ({error})") from error


def _repetition_time(path: Path, header: ElementTree.Element) -> float:
    """Seconds between volumes, from the series axis."""
    for axis in header.iter("MatrixIndicesMap"):
        if (
            axis.get("IndicesMapToDataType") == "CIFTI_INDEX_TYPE_SERIES"
            and axis.get("AppliesToMatrixDimension") == "0"
        ):
            if axis.get("SeriesUnit") != "SECOND":
                raise _broken(path, f"the unit of its series is {axis.get('SeriesUnit')}, not seconds")
            return float(axis.get("SeriesStep", "nan")) * 10.0 ** int(axis.get("SeriesExponent", "0"))
    raise _broken(path, "its first axis is not a series of volumes")
