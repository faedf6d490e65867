"""What can be learnt about a run without reading it: its header, and a sample of its data.

The fixed part of a CIFTI file is a NIfTI-2 header of 540 bytes, so checking a study of many gigabytes takes
milliseconds per run.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mindanim.errors import InputError
from mindanim.studies.header_clock import CIFTI_ENDINGS, header_clock
from mindanim.vocabulary.nifti_header import check_image, check_size
from mindanim.vocabulary.reading import map_npy, reading

_HEADER_BYTES = 540
_MAGIC = b"n+2\0\r\n\x1a\n"
_SAMPLES, _SAMPLE_BYTES = 4, 16 * 1024
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Layout:
    """Shape of the data block of a run, its first byte and its size in bytes.

    Attributes:
        grayordinates: Columns of a CIFTI series, or voxels of a volume, in or out of a mask.
        tr_s: Repetition time the header states, seconds; None where it states none. See
            :class:`mindanim.studies.header_clock.Clock`.
    """

    volumes: int
    grayordinates: int
    offset: int
    data_bytes: int
    tr_s: float | None = None


def peek(path: Path) -> Layout:
    """Read the header of a run: a CIFTI-2 series, a NIfTI volume series or a ``.npy`` array.

    Raises:
        InputError: The file is none of them, cut short, or of a form that is not read.
    """
    if path.name.endswith(CIFTI_ENDINGS):
        return _peek_cifti(path)
    if path.name.endswith((".nii", ".nii.gz")):
        return _peek_nifti(path)
    if path.name.endswith(".npy"):
        return _peek_npy(path)
    raise InputError(
        f"{path} has an unknown format.",
        "Runs are read from .dtseries.nii, .ptseries.nii, .nii, .nii.gz and .npy files.",
    )


def _peek_nifti(path: Path) -> Layout:
    import nibabel as nib

    with reading(path, "NIfTI file"):
        image: Any = nib.load(path)
        shape = image.shape
    check_image(path, image)
    if len(shape) != 4:
        raise InputError(f"{path} has {len(shape)} dimensions.", "A run has four: three of space, and time.")
    size = path.stat().st_size
    return Layout(int(shape[3]), math.prod(map(int, shape[:3])), 0, size, header_clock(path).tr_s)


def _peek_npy(path: Path) -> Layout:
    array = map_npy(path, "array")
    if array.ndim != 2:
        raise InputError(f"{path} has {array.ndim} dimensions.", "A run has two: volume and voxel.")
    return Layout(array.shape[0], array.shape[1], 0, path.stat().st_size)


def _peek_cifti(path: Path) -> Layout:
    """Read the fixed header of a CIFTI-2 series and compare the size it promises with that of the file.

    Raises InputError where the file is of another format, CIFTI-1, or shorter than its header says.
    """
    with (
        reading(path, "CIFTI file"),
        gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file,
    ):
        header = file.read(_HEADER_BYTES)
        start_of_xml = file.read(2048)
    order = next((order for order in "<>" if header[:4] == struct.pack(f"{order}i", _HEADER_BYTES)), None)
    if len(header) < _HEADER_BYTES or order is None or header[4:12] != _MAGIC:
        raise InputError(
            f"{path} is not a CIFTI file.", "It does not begin with a NIfTI-2 header.", "Download it again."
        )
    version = re.search(rb'<CIFTI\b[^>]*\bVersion="([^"]*)"', start_of_xml)
    if version is not None and version[1].startswith(b"1"):
        raise InputError(
            f"{path} is a CIFTI-1 file.",
            "The format of its axes was replaced in 2014.",
            f"Convert it: wb_command -file-convert -cifti-version-convert {path} 2 NEW.dtseries.nii",
        )
    bits = struct.unpack_from(f"{order}h", header, 14)[0]
    dimensions = struct.unpack_from(f"{order}8q", header, 16)
    offset = struct.unpack_from(f"{order}q", header, 168)[0]
    volumes, grayordinates = dimensions[5], dimensions[6]
    if offset < _HEADER_BYTES or min(volumes, grayordinates, bits) < 1:
        raise InputError(
            f"{path} has an impossible header.",
            f"It states {volumes} volumes of {grayordinates} values of {bits} bits from byte {offset} on.",
            "Download it again.",
        )
    data_bytes = volumes * grayordinates * bits // 8
    check_size(path, offset + data_bytes)
    return Layout(volumes, grayordinates, offset, data_bytes, header_clock(path).tr_s)


def signature(path: Path) -> str:
    """Hash of the data block's size and of a few samples of it; equal data have equal signatures.

    Of files other than CIFTI the data block is the whole file.

    Unequal data have equal signatures only where the samples agree: confirm with :func:`same_data`.
    """
    layout = _block(path)
    digest = hashlib.blake2b(str(layout.data_bytes).encode(), digest_size=16)
    with path.open("rb") as file:
        for sample in range(_SAMPLES):
            file.seek(layout.offset + sample * max(0, layout.data_bytes - _SAMPLE_BYTES) // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _block(path: Path) -> Layout:
    """The data block of a CIFTI series, or the whole of another file."""
    if path.name.endswith((".ptseries.nii", ".dtseries.nii")):
        return _peek_cifti(path)
    return Layout(0, 0, 0, path.stat().st_size)


def same_data(one: Path, other: Path) -> bool:
    """Whether the data blocks of two runs are equal byte by byte."""
    layouts = _block(one), _block(other)
    if layouts[0].data_bytes != layouts[1].data_bytes:
        return False
    with one.open("rb") as first, other.open("rb") as second:
        first.seek(layouts[0].offset)
        second.seek(layouts[1].offset)
        left = layouts[0].data_bytes
        while left > 0:
            size = min(left, _BLOCK_BYTES)
            if first.read(size) != second.read(size):
                return False
            left -= size
    return True
