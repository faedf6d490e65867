"""Reading CIFTI-2 series, dense or parcellated: places by the file's own axes, parsed once for all runs."""

from __future__ import annotations

import gzip
import hashlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.formats.compressed import Unpacked, unpack_whole
from mindanim.bold.formats.series import Series, broken
from mindanim.bold.voxels import NO_INDEX, UNKNOWN, Grid, Voxels
from mindanim.errors import ConfigError, InputError
from mindanim.vocabulary.limits import HEMISPHERES
from mindanim.vocabulary.nifti_header import check_numbers, check_size
from mindanim.vocabulary.reading import reading

if TYPE_CHECKING:
    from nibabel.cifti2.cifti2_axes import BrainModelAxis, ParcelsAxis

PREFIX = "CIFTI_STRUCTURE_"
_FORMAT = "CIFTI-2 series"
_HEADER_BYTES, _MOST_XML_BYTES = 540, 1 << 28
_MODELS, _PARCELS = b"CIFTI_INDEX_TYPE_BRAIN_MODELS", b"CIFTI_INDEX_TYPE_PARCELS"


@dataclass(frozen=True, eq=False)
class Places:
    """What a CIFTI file's space axis says: the voxels that are wanted, and their columns in the file.

    Attributes:
        stored: How many columns the axis names, wanted or not.
    """

    voxels: Voxels
    columns: NDArray[np.intp]
    stored: int


class CiftiReader:
    """Opens CIFTI runs and keeps the axes they share: parsing those is what takes time.

    Args:
        structures: Which brain models of dense files to take: ``cortex``, ``subcortex``, ``all``, or
            structures by name (``thalamus``, ``thalamus_left``, ``CIFTI_STRUCTURE_BRAIN_STEM``).
    """

    def __init__(self, structures: Sequence[str] = ("cortex",)) -> None:
        self._structures = tuple(structures)
        self._places: dict[bytes, Places] = {}
        self._unpacked = Unpacked()

    def open(self, path: Path) -> Series:
        """Open a dense or parcellated series. InputError where the file is something else, or truncated."""
        from nibabel.nifti2 import Nifti2Header

        packed = path.suffix == ".gz"
        with reading(path, _FORMAT), gzip.open(path) if packed else path.open("rb") as file:
            header = Nifti2Header.from_fileobj(file)  # type: ignore[no-untyped-call]
            file.seek(_HEADER_BYTES)
            rest = file.read(max(0, min(int(header["vox_offset"]), _MOST_XML_BYTES) - _HEADER_BYTES))
            dtype, offset = header.get_data_dtype(), int(header["vox_offset"])
        check_numbers(path)
        xml = _xml(path, rest, header.endianness)
        space, series = _split(path, xml)
        shape = tuple(int(size) for size in header["dim"][5:7])
        if min(*shape, offset - _HEADER_BYTES) < 1:
            raise broken(path, _FORMAT, f"it states the shape {shape} of data from byte {offset} on")
        tr_s = _repetition_time(path, series, shape[0])
        check_size(path, offset + shape[0] * shape[1] * dtype.itemsize)
        places = self._space(path, space, xml)
        if places.stored != shape[1]:
            why = f"its axes name {places.stored} grayordinates or parcels, its data have {shape[1]}"
            raise broken(path, _FORMAT, why)
        slope, intercept = header.get_slope_inter()

        def data() -> NDArray[Any]:
            file = self._unpacked(path, partial(unpack_whole, path, format=_FORMAT)) if packed else path
            return np.memmap(file, dtype, "r", offset, shape, order="F")

        return Series(
            path,
            tr_s,
            shape[0],
            places.voxels,
            places.columns,
            data,
            1.0 if slope is None else float(slope),
            0.0 if intercept is None else float(intercept),
        )

    def _space(self, path: Path, space: bytes, xml: bytes) -> Places:
        """What a space axis says, parsed once for all runs that have it."""
        from nibabel.cifti2.parse_cifti2 import Cifti2Parser

        key = hashlib.blake2b(space).digest()
        if key not in self._places:
            with reading(path, _FORMAT):
                parser: Any = Cifti2Parser()  # type: ignore[no-untyped-call]
                parser.parse(string=xml)
                axis = parser.header.get_axis(1)
            self._places[key] = places_of(path, axis, self._structures)
        return self._places[key]


def places_of(path: Path, axis: object, structures: Sequence[str] = ("all",)) -> Places:
    """What the space axis of a CIFTI file says of its voxels; of dense files, those of some structures.

    Raises:
        InputError: The axis holds neither brain models nor parcels, or lacks the cortex.
        ConfigError: The file has no structure of a wanted name.
    """
    from nibabel.cifti2.cifti2_axes import BrainModelAxis, ParcelsAxis

    if isinstance(axis, ParcelsAxis):
        return _parcels(axis)
    if isinstance(axis, BrainModelAxis):
        return _grayordinates(path, axis, structures)
    raise broken(path, _FORMAT, "its second axis holds neither brain models nor parcels")


def _grayordinates(path: Path, axis: BrainModelAxis, structures: Sequence[str]) -> Places:
    columns = np.flatnonzero(_wanted(path, axis, structures))
    models: Any = axis[columns]
    surface = np.asarray(models.surface_mask)
    ijk = np.where(surface[:, None], NO_INDEX, models.voxel).astype(np.int64)
    mm = np.full((len(columns), 3), np.nan)
    if not surface.all():  # CIFTI's volume space is MNI's by definition of the format
        grid = Grid(tuple(models.volume_shape), np.asarray(models.affine, float), mni=True)
        mm[~surface] = grid.mm(ijk[~surface])
    voxels = Voxels(
        "grayordinates",
        models.name.astype(str),
        np.where(surface, models.vertex, NO_INDEX).astype(np.int64),
        ijk,
        mm,
        None,
        models,
    )
    return Places(voxels, columns, len(axis))


def _wanted(path: Path, axis: BrainModelAxis, structures: Sequence[str]) -> NDArray[np.bool_]:
    """Which grayordinates belong to the wanted structures."""
    names = np.asarray(axis.name).astype(str)
    cortical = np.isin(names, HEMISPHERES) & np.asarray(axis.surface_mask)
    there = sorted({name.removeprefix(PREFIX).lower() for name in names})
    wanted = np.zeros(len(names), dtype=bool)
    for structure in structures:
        plain = structure.strip().upper().replace("-", "_").removeprefix(PREFIX)
        if plain == "ALL":
            found = np.ones(len(names), dtype=bool)
        elif plain == "CORTEX":
            found = cortical
        elif plain == "SUBCORTEX":
            found = ~np.asarray(axis.surface_mask)
        else:
            found = np.isin(names, [PREFIX + name for name in (plain, f"{plain}_LEFT", f"{plain}_RIGHT")])
        if not found.any():
            if plain == "CORTEX":
                raise InputError(
                    f"{path} has no cortical surface.",
                    f"Its structures are: {', '.join(there)}.",
                    'Name those to use, for example --set structures=["subcortex"], or get surface runs '
                    "(dtseries with CORTEX_LEFT and CORTEX_RIGHT).",
                )
            raise ConfigError(
                f"{path} has no structure '{structure}'.",
                f"Its structures are: {', '.join(there)}; cortex, subcortex and all are groups of them.",
                "Correct structures.",
            )
        wanted |= found
    return wanted


def _parcels(axis: ParcelsAxis) -> Places:
    parcels: Any = axis
    names = np.asarray(parcels.name).astype(str)
    columns = np.arange(len(names))
    voxels = Voxels.unplaced("parcels", len(names), names=names, space=axis)
    homes = [sorted(vertices) for vertices in parcels.vertices]
    structure = [
        home[0] if len(home) == 1 and not len(cells) else UNKNOWN
        for home, cells in zip(homes, parcels.voxels, strict=True)
    ]
    placed = Voxels("parcels", np.array(structure), voxels.vertex, voxels.ijk, voxels.mm, names, axis)
    return Places(placed, columns, len(names))


def _xml(path: Path, extensions: bytes, endianness: str) -> bytes:
    """The CIFTI extension (code 32) among the NIfTI extensions that follow the header."""
    position = 4
    while position + 8 <= len(extensions):
        size, code = np.frombuffer(extensions, f"{endianness}i4", 2, position).tolist()
        if code == 32:
            return extensions[position + 8 : position + size].rstrip(b"\0")
        position += max(size, 8)
    raise broken(path, _FORMAT, "it has no CIFTI header: it is truncated, or a plain NIfTI file")


def _split(path: Path, xml: bytes) -> tuple[bytes, ElementTree.Element]:
    """The text of the brain models or parcels (nearly all of the header), and the rest parsed."""
    version = re.search(rb'<CIFTI\b[^>]*\bVersion="([^"]*)"', xml)
    if version is not None and version[1].startswith(b"1"):
        raise InputError(
            f"{path} is a CIFTI-1 file.",
            "The format of its axes was replaced in 2014.",
            f"Convert it: wb_command -file-convert -cifti-version-convert {path} 2 NEW.dtseries.nii",
        )
    mark = max(xml.find(_MODELS), xml.find(_PARCELS))
    first, closing = xml.rfind(b"<MatrixIndicesMap", 0, mark), b"</MatrixIndicesMap>"
    last = xml.find(closing, mark)
    if min(mark, first, last) < 0:
        raise broken(path, _FORMAT, "its CIFTI header names neither brain models nor parcels")
    last += len(closing)
    with reading(path, _FORMAT):
        return xml[first:last], ElementTree.fromstring(xml[:first] + xml[last:])


def _repetition_time(path: Path, header: ElementTree.Element, volumes: int) -> float | None:
    """Seconds between volumes, from the series axis; None where its step is 0 or not stated."""
    for axis in header.iter("MatrixIndicesMap"):
        if (
            axis.get("IndicesMapToDataType") == "CIFTI_INDEX_TYPE_SERIES"
            and axis.get("AppliesToMatrixDimension") == "0"
        ):
            if axis.get("SeriesUnit") != "SECOND":
                unit = axis.get("SeriesUnit")
                raise broken(path, _FORMAT, f"the unit of its series is {unit}, not seconds")
            with reading(path, _FORMAT):
                step_s = float(axis.get("SeriesStep", "0")) * 10.0 ** int(axis.get("SeriesExponent", "0"))
                points = int(axis.get("NumberOfSeriesPoints", volumes))
            if not 0 <= step_s < float("inf"):
                raise broken(path, _FORMAT, f"the step of its series is {step_s:g} s")
            if points != volumes:
                raise broken(path, _FORMAT, f"its series has {points} points, its data {volumes} volumes")
            return step_s or None
    raise broken(path, _FORMAT, "its first axis is not a series of volumes")
