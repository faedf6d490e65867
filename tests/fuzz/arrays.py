"""Arrays in NIfTI, CIFTI and numpy's formats, read a second time by their specifications alone."""

from __future__ import annotations

import ast
import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.cifti2.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import LabelAxis

from mindanim.bold.atlas import read_regions
from mindanim.bold.formats.run_reader import RunReader
from mindanim.bold.formats.series import Series
from mindanim.bold.formats.surfaces import standard_regions
from mindanim.studies.files import peek, signature
from tests.bold.test_cifti_order import write

SHAPE = (4, 3, 2)
_CODES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}


def npy(path: Path) -> np.ndarray:
    """The array of a .npy file of version 1, 2 or 3."""
    content = path.read_bytes()
    form, start = ("<H", 10) if content[6] == 1 else ("<I", 12)
    end = start + struct.unpack_from(form, content, 8)[0]
    says = ast.literal_eval(content[start:end].decode("utf-8" if content[6] == 3 else "latin1"))
    dtype, shape = np.dtype(says["descr"]), says["shape"]
    count = int(np.prod([int(size) for size in shape], dtype=object))
    order = "F" if says["fortran_order"] else "C"
    return np.frombuffer(content, dtype, count, end).reshape(shape, order=order)


def _signal(content: bytes, cifti: bool) -> np.ndarray:
    """``(voxel, volume)`` float64 as the header declares, scaled."""
    form, first, size = ("q", 16, 540) if cifti else ("h", 40, 348)
    (dims,) = struct.unpack_from(f"<{form}", content, first)  # 1 to 7 where the order of bytes is right
    little = 1 <= dims <= 7 or (dims == 0 and struct.unpack_from("<i", content)[0] == size)
    order = "<" if little else ">"
    places = ("8q", 16, 12, 176, "d") if cifti else ("8h", 40, 70, 112, "f")
    dim = struct.unpack_from(order + places[0], content, places[1])
    (code,) = struct.unpack_from(order + "h", content, places[2])
    slope, intercept = struct.unpack_from(order + 2 * places[4], content, places[3])
    offset = (
        struct.unpack_from(order + "q", content, 168)[0]
        if cifti
        else int(struct.unpack_from(order + "f", content, 108)[0])
    )
    dtype = np.dtype(order + _CODES[code])
    shape = dim[5:7] if cifti else (int(np.prod(dim[1:4])), dim[4])
    values = np.frombuffer(content, dtype, int(np.prod(shape)), offset).reshape(shape, order="F")
    values = (values.T if cifti else values).astype(np.float64)
    return values if not np.isfinite(slope) or slope == 0 else values * slope + intercept


def _check(series: Series, content: bytes, cifti: bool) -> None:
    found, expected = series.signal(slice(None)), _signal(content, cifti)
    assert found.shape == (len(series.voxels), series.volumes) == expected.shape
    assert series.tr_s is None or 0 < series.tr_s < np.inf
    np.testing.assert_allclose(found, expected, rtol=1e-5, equal_nan=True)


def make_cifti(folder: Path) -> Path:
    return write(folder / "a.dtseries.nii", ["left", "right"])


def read_cifti(path: Path) -> None:
    layout = peek(path)
    assert signature(path) and layout.volumes > 0
    _check(RunReader(["all"]).open(path), path.read_bytes(), cifti=True)


def make_nifti(folder: Path) -> Path:
    image = nib.Nifti1Image(np.random.default_rng(0).standard_normal((*SHAPE, 5)).astype("f4"), np.eye(4))
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, folder / "run.nii")
    nib.save(nib.Nifti1Image(np.ones(SHAPE, np.uint8), np.eye(4)), folder / "mask.nii")
    return folder / "run.nii"


def make_packed(folder: Path) -> Path:
    plain = make_nifti(folder)
    path = folder / "run.nii.gz"
    path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    return path


def read_nifti(path: Path) -> None:
    assert peek(path).volumes > 0 and signature(path)
    found = RunReader().open(path, mask=path.with_name("mask.nii"))
    found.signal(slice(None))
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    _check(found, content, cifti=False)


def make_mask(folder: Path) -> Path:
    return make_nifti(folder).with_name("mask.nii")


def read_mask(path: Path) -> None:
    found = RunReader().open(path.with_name("run.nii"), mask=path)
    assert np.array_equal(found.columns, np.flatnonzero(_mask_values(path))) and len(found.columns)
    assert np.isfinite(found.signal(slice(None))).all()


def _mask_values(path: Path) -> np.ndarray:
    content = path.read_bytes()
    (code,), (offset,) = struct.unpack_from("<h", content, 70), struct.unpack_from("<f", content, 108)
    slope, intercept = struct.unpack_from("<2f", content, 112)
    values = np.frombuffer(content, "<" + _CODES[code], int(np.prod(SHAPE)), int(offset)).astype(float)
    return values if not np.isfinite(slope) or slope == 0 else values * slope + intercept


def make_npy(folder: Path) -> Path:
    np.save(folder / "run.npy", np.random.default_rng(0).standard_normal((6, 5)).astype("f4"))
    return folder / "run.npy"


def read_npy(path: Path) -> None:
    peek(path)
    found = RunReader().open(path, axes="volume voxel").signal(slice(None))
    np.testing.assert_array_equal(found, npy(path).T.astype(float))


def make_dlabel(folder: Path) -> Path:
    run = make_cifti(folder)
    models = nib.load(run).header.get_axis(1)  # type: ignore[attr-defined]
    labels = LabelAxis(
        ["areas"], {0: ("???", (0, 0, 0, 0)), 1: ("L_V1_ROI", (1, 0, 0, 1)), 2: ("V2", (0, 1, 0, 1))}
    )
    image = Cifti2Image(np.array([[1, 2, 1, 2, 0]], np.float32), header=(labels, models))
    nib.save(image, folder / "a.dlabel.nii")
    return folder / "a.dlabel.nii"


def read_dlabel(path: Path) -> None:
    voxels = RunReader(["all"]).open(path.with_name("a.dtseries.nii")).voxels
    found = read_regions(path, voxels)
    assert found.shape == (5,) and all(isinstance(name, str) and name for name in found.tolist())


def make_labels(folder: Path) -> Path:
    make_nifti(folder)
    nib.save(nib.Nifti1Image(np.arange(24).reshape(SHAPE).astype("i2") % 5, np.eye(4)), folder / "a_dseg.nii")
    (folder / "a_dseg.tsv").write_text("index\tname\n1\tV1\n2\tV2\n3\tMT\n")
    return folder / "a_dseg.nii"


def read_labels(path: Path) -> None:
    voxels = RunReader().open(path.with_name("run.nii"), mask=path.with_name("mask.nii")).voxels
    assert set(read_regions(path, voxels).tolist()) <= {"V1", "V2", "MT", "n/a"}


def make_npz(folder: Path) -> Path:
    vertices = {"grayl": np.arange(4), "grayr": np.arange(4)}
    np.savez(folder / "fMRI_vertex_info_32k.npz", **vertices)
    np.savez_compressed(
        folder / "mmp.npz", ids=np.arange(3), labels=np.array(["", "V1", "V2"]), map_all=np.arange(8) % 3
    )
    return folder / "mmp.npz"


def read_npz(path: Path) -> None:
    assert set(standard_regions(path).values()) <= {"", "V1", "V2"}
