"""What NIfTI headers, of images and of CIFTI, must be right about before data are read by them."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.artifacts.files import unpacked_size
from mindanim.errors import InputError
from mindanim.vocabulary.reading import GET_AGAIN, reading

_NIFTI_2_BYTES = 540
_AGAIN = "Download it again, or correct its header."


def check_image(path: Path, image: Any) -> None:
    """Refuse an image of nibabel whose data are fewer than it states, and see `check_numbers`.

    Raises:
        InputError: With both numbers of bytes.
    """
    from nibabel import Nifti1Image

    if not isinstance(image, Nifti1Image):
        return  # another format that nibabel knows
    check_numbers(path)
    with reading(path, "NIfTI file"):
        data: Any = image.dataobj
        shape, offset = tuple(map(int, image.shape)), int(data.offset)
        promised = offset + math.prod(shape) * data.dtype.itemsize
    if min(shape, default=0) < 1 or offset < 0:
        raise InputError(f"{path} states the shape {shape} of data from byte {offset} on.", hint=_AGAIN)
    check_size(path, promised)


def whole_data(path: Path, image: Any) -> NDArray[Any]:
    """The data of a small image, such as a mask; of a compressed one, the checksum is compared, too."""
    if path.suffix == ".gz":
        with gzip.open(path) as packed:
            while packed.read(1 << 20):
                pass
    return np.asarray(image.dataobj)


def check_size(path: Path, promised: int) -> None:
    """InputError, with both numbers, where a file, compressed or not, is shorter than its header says."""
    packed = path.suffix == ".gz"
    size, why = unpacked_size(path, promised) if packed else (path.stat().st_size, "")
    if size < promised:
        has = "unpacks to" if packed else "has"
        raise InputError(
            f"{path} is truncated.",
            f"Its header promises {promised} bytes, the file {has} {size}{why}.",
            GET_AGAIN,
        )


def check_numbers(path: Path) -> None:
    """Refuse data of a type that is no number or disagrees with its size, and a scaling by infinity.

    nibabel corrects such headers in silence when it loads an image, so the header is read again as it is.

    Args:
        path: A NIfTI-1, NIfTI-2 or CIFTI-2 file, compressed or not.

    Raises:
        InputError: With both numbers.
    """
    from nibabel import Nifti1Header, Nifti2Header

    with reading(path, "NIfTI file"):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            block = file.read(_NIFTI_2_BYTES)
        kind: Any = (
            Nifti2Header if _NIFTI_2_BYTES in (_number(block, "<"), _number(block, ">")) else Nifti1Header
        )
        header: Any = kind(block[: kind.template_dtype.itemsize], check=False)
        dtype, bits = np.dtype(header.get_data_dtype()), int(header["bitpix"])
        slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if dtype.kind not in "fiu":
        raise InputError(f"{path} holds no real numbers.", f"Its data are of the type {dtype}.", _AGAIN)
    if bits != 8 * dtype.itemsize:
        why = f"{dtype} has {8 * dtype.itemsize} bits, and its header states {bits} (bitpix)."
        raise InputError(f"{path} contradicts itself on the type of its data.", why, _AGAIN)
    # A slope of 0 or NaN means that the values are not scaled.
    if np.isinf(slope) or (np.isfinite(slope) and slope != 0 and not np.isfinite(intercept)):
        raise InputError(
            f"{path} has no valid scaling.",
            f"Its header gives scl_slope {slope:g} and scl_inter {intercept:g}.",
            "Write it again with numbers in both fields, 1 and 0 if the values are not scaled.",
        )


def _number(block: bytes, order: str) -> int:
    """The size of the header that a header states."""
    return int(struct.unpack_from(f"{order}i", block)[0])
