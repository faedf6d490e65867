"""What can be learnt about a run without reading it: its header, and a sample of its data.

The fixed part of a CIFTI file is a NIfTI-2 header of 540 bytes, so checking a study of many gigabytes takes
milliseconds per run.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindanim.artifacts.files import unpacked_size
from mindanim.errors import InputError
from mindanim.studies.header_clock import CIFTI_ENDINGS, header_clock

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
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nib.load(path)
        shape = image.shape  # type: ignore[attr-defined]
    except (ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{path} is not a readable NIfTI file.", str(error), "Download it again.") from error
    if len(shape) != 4:
        raise InputError(f"{path} has {len(shape)} dimensions.", "A run has four: three of space, and time.")
    size = path.stat().st_size
    promised = int(image.dataobj.offset) + int(np.prod(shape)) * image.get_data_dtype().itemsize  # type: ignore[attr-defined]
    _check_size(path, promised)
    return Layout(int(shape[3]), int(np.prod(shape[:3])), 0, size, header_clock(path).tr_s)


def _peek_npy(path: Path) -> Layout:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} is not a readable array.", str(error), "Download it again.") from error
    if array.ndim != 2:
        raise InputError(f"{path} has {array.ndim} dimensions.", "A run has two: volume and voxel.")
    return Layout(array.shape[0], array.shape[1], 0, path.stat().st_size)


def _check_size(path: Path, promised: int) -> None:
    """InputError where a file, compressed or not, is shorter than its header says."""
    packed = path.suffix == ".gz"
    size, why = unpacked_size(path, promised) if packed else (path.stat().st_size, "")
    if size < promised:
        has = "unpacks to" if packed else "has"
        raise InputError(
            f"{path} is truncated.",
            f"Its header promises {promised} bytes, the file {has} {size}{why}.",
            "Download it again.",
        )


def _peek_cifti(path: Path) -> Layout:
    """Read the fixed header of a CIFTI-2 series and compare the size it promises with that of the file.

    Raises InputError where the file is of another format, CIFTI-1, or shorter than its header says.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
            start_of_xml = file.read(2048)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be unpacked.", str(error), "Download it again.") from error
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
    data_bytes = volumes * grayordinates * bits // 8
    _check_size(path, offset + data_bytes)
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
