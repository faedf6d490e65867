"""Headers that contradict the data or themselves: refused by the audit and by the reader alike."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mindanim.bold.formats.run_reader import RunReader
from mindanim.errors import InputError
from mindanim.studies.files import peek
from tests.bold.test_cifti_order import write

Change = Callable[[bytes], bytes]


def put(form: str, at: int, value: float) -> Change:
    def change(content: bytes) -> bytes:
        changed = bytearray(content)
        struct.pack_into(form, changed, at, value)
        return bytes(changed)

    return change


def words(old: bytes, new: bytes) -> Change:
    def change(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new + b" " * (len(old) - len(new)))

    return change


CIFTI: dict[str, tuple[Change, str]] = {
    "step nan": (words(b'SeriesStep="2.0"', b'SeriesStep="nan"'), "nan s"),
    "step negative": (words(b'SeriesStep="2.0"', b'SeriesStep="-2"'), "-2 s"),
    "points": (words(b'NumberOfSeriesPoints="9"', b'NumberOfSeriesPoints="8"'), "8 points, its data 9 vol"),
    "bitpix": (put("<h", 14, 64), "float32 has 32 bits, and its header states 64"),
    "slope inf": (put("<d", 176, np.inf), "scl_slope inf"),
    "fewer columns": (put("<q", 64, 4), "name 5 grayordinates or parcels, its data have 4"),
    "no rows": (put("<q", 56, 0), "."),
    "offset": (put("<q", 168, 4), "."),
}
NIFTI: dict[str, tuple[Change, str]] = {
    "step nan": (put("<f", 92, np.nan), "nan"),
    "bitpix": (put("<h", 72, 16), "float32 has 32 bits, and its header states 16"),
    "slope inf": (put("<f", 112, -np.inf), "scl_slope -inf"),
    "complex": (put("<h", 70, 32), "no real numbers"),
    "no volumes": (put("<h", 48, 0), "."),
    "units": (put("<b", 123, 4), "KeyError"),
    "claims more": (
        put("<h", 48, 30_000),
        "promises 5760352 bytes, the file (has|unpacks to) 2080",
    ),
}


@pytest.mark.parametrize("fault", CIFTI)
def test_cifti(fault: str, tmp_path: Path) -> None:
    change, why = CIFTI[fault]
    path = write(tmp_path / "a.dtseries.nii", ["left", "right"])
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=rf"a\.dtseries\.nii (.|\n)*{why}"):
        RunReader().open(path)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("fault", NIFTI)
def test_nifti(fault: str, packed: bool, tmp_path: Path) -> None:
    change, why = NIFTI[fault]
    image = nib.Nifti1Image(np.ones((4, 4, 3, 9), np.float32), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    nib.save(nib.Nifti1Image(np.ones((4, 4, 3), np.uint8), np.eye(4)), tmp_path / "mask.nii")
    nib.save(image, tmp_path / "whole.nii")
    path, content = tmp_path / ("a.nii.gz" if packed else "a.nii"), (tmp_path / "whole.nii").read_bytes()
    path.write_bytes(gzip.compress(change(content)) if packed else change(content))
    for read in (peek, lambda run: RunReader().open(run, mask=tmp_path / "mask.nii")):
        with pytest.raises(InputError, match=rf"a\.nii(\.gz)? (.|\n)*{why}"):
            read(path)
