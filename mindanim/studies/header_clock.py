"""When a run's volumes were acquired, as its header says: CIFTI's series axis, or NIfTI's time axis."""

from __future__ import annotations

import gzip
import math
import re
import struct
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindanim.errors import InputError
from mindanim.vocabulary.reading import reading

SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
"""Length of NIfTI's units of time."""
CIFTI_ENDINGS = (".dtseries.nii", ".ptseries.nii", ".dtseries.nii.gz", ".ptseries.nii.gz")
_HEADER_BYTES, _MOST_XML_BYTES = 540, 1 << 26
_SERIES = re.compile(rb"<MatrixIndicesMap\b[^>]*\bCIFTI_INDEX_TYPE_SERIES\b[^>]*>")


@dataclass(frozen=True)
class Clock:
    """What a header says about time, whether it is plausible or not.

    Attributes:
        tr_s: Seconds between volumes; None where the header gives no number or no unit of time.
        start_s: Time of the first volume, seconds: CIFTI's SeriesStart, NIfTI's toffset; 0 where not stated.
        volumes: Number of volumes; None where the file has no time axis.
    """

    tr_s: float | None = None
    start_s: float = 0.0
    volumes: int | None = None


def header_clock(path: Path) -> Clock:
    """Read the time axis of a CIFTI series or a NIfTI run; other files say nothing.

    Raises:
        InputError: The header cannot be read.
    """
    clock = Clock()
    with reading(path, "run") if path.name.endswith((".nii", ".nii.gz")) else nullcontext():
        if path.name.endswith(CIFTI_ENDINGS):
            clock = _of_cifti(path)
        elif path.name.endswith((".nii", ".nii.gz")):
            clock = _of_nifti(path)
    if clock.tr_s is not None and not math.isfinite(clock.tr_s):
        raise InputError(
            f"{path} states a repetition time of {clock.tr_s:g} s.",
            "That is no length of time: its header is damaged.",
            "Download it again, or correct its header.",
        )
    return clock


def _of_cifti(path: Path) -> Clock:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
        order = "<" if header[:4] == struct.pack("<i", _HEADER_BYTES) else ">"
        offset = struct.unpack_from(f"{order}q", header, 168)[0]
        volumes = struct.unpack_from(f"{order}8q", header, 16)[5]
        xml = file.read(min(max(offset - _HEADER_BYTES, 0), _MOST_XML_BYTES))
    found = _SERIES.search(xml)
    if found is None or b'SeriesUnit="SECOND"' not in found[0]:
        return Clock(volumes=volumes)

    def attribute(name: str) -> float | None:
        value = re.search(rf'\b{name}="([^"]*)"'.encode(), found[0])
        return None if value is None else float(value[1])

    power = 10.0 ** (attribute("SeriesExponent") or 0.0)
    step, start = attribute("SeriesStep"), attribute("SeriesStart") or 0.0
    return Clock(None if step is None else step * power, start * power, volumes)


def _of_nifti(path: Path) -> Clock:
    import nibabel as nib

    header: Any = nib.load(path).header  # type: ignore[attr-defined]
    unit, shape = header.get_xyzt_units()[1], header.get_data_shape()
    volumes = int(shape[3]) if len(shape) == 4 else None
    if unit not in SECONDS:
        return Clock(volumes=volumes)
    start_s = float(header["toffset"]) * SECONDS[unit]
    return Clock(
        float(header["pixdim"][4]) * SECONDS[unit], start_s if math.isfinite(start_s) else 0.0, volumes
    )
