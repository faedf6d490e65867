"""What can be learnt of a CIFTI run without reading it: its fixed header, and a sample of its data.

The fixed part is a NIfTI-2 header of 540 bytes, so checking a study of many gigabytes takes milliseconds per
run.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from mindanim.errors import InputError

_HEADER_BYTES = 540
_MAGIC = b"n+2\0\r\n\x1a\n"
_SAMPLES, _SAMPLE_BYTES = 4, 16 * 1024
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Layout:
    """Shape of the data block of a dense series, its first byte and its size in bytes."""

    volumes: int
    grayordinates: int
    offset: int
    data_bytes: int


def peek(path: Path) -> Layout:
    """Read the fixed header of a CIFTI-2 dense series and hold its promise against the size of the file.

    Raises InputError where the file is compressed, of another format, CIFTI-1, or shorter than its header
    says.
    """
    if path.suffix == ".gz":
        raise InputError(f"{path} is compressed.", "Runs are memory-mapped.", f"Unpack it: gunzip {path}")
    with path.open("rb") as file:
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
            "Its axes are written in a form that was given up in 2014.",
            f"Convert it: wb_command -file-convert -cifti-version-convert {path} 2 NEW.dtseries.nii",
        )
    bits = struct.unpack_from(f"{order}h", header, 14)[0]
    dimensions = struct.unpack_from(f"{order}8q", header, 16)
    offset = struct.unpack_from(f"{order}q", header, 168)[0]
    volumes, grayordinates = dimensions[5], dimensions[6]
    data_bytes = volumes * grayordinates * bits // 8
    if path.stat().st_size < offset + data_bytes:
        raise InputError(
            f"{path} is truncated.",
            f"Its header promises {offset + data_bytes} bytes, the file has {path.stat().st_size}.",
            "Download it again.",
        )
    return Layout(volumes, grayordinates, offset, data_bytes)


def signature(path: Path) -> str:
    """Hash of the data block's size and of a few samples of it; equal data have equal signatures.

    Unequal data have equal signatures only where the samples agree: confirm with :func:`same_data`.
    """
    layout = peek(path)
    digest = hashlib.blake2b(str(layout.data_bytes).encode(), digest_size=16)
    with path.open("rb") as file:
        for sample in range(_SAMPLES):
            file.seek(layout.offset + sample * max(0, layout.data_bytes - _SAMPLE_BYTES) // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def same_data(one: Path, other: Path) -> bool:
    """Whether the data blocks of two runs are equal byte by byte."""
    layouts = peek(one), peek(other)
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
