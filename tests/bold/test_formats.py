"""Runs that are no dense surface series: volumes within a mask, parcels, arrays, responses of other files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ParcelsAxis, SeriesAxis

from mindanim.bold.atlas import read_regions
from mindanim.bold.formats.run_reader import RunReader
from mindanim.bold.maps.brain_map import brain_map
from mindanim.bold.response_plan import Plan, make_plan
from mindanim.config.preprocess import PreprocessConfig
from mindanim.errors import ConfigError, InputError
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Matrix, Run
from tests.cc2017_tree import CORTEX, SUBCORTICAL, brain_models, write_run

SHAPE, VOLUMES = (4, 5, 3), 9
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])


def volumes(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((*SHAPE, VOLUMES)).astype(np.float32)


def inside(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(100 + seed).random(SHAPE) < 0.4


def write_nifti(
    path: Path,
    values: np.ndarray,
    *,
    affine: np.ndarray = AFFINE,
    tr_s: float = 2.0,
    unit: str = "sec",
    code: int = 4,
) -> Path:
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm", unit)
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    if values.ndim == 4:
        image.header["pixdim"][4] = tr_s
    nib.save(image, path)
    return path


def write_mask(path: Path, mask: np.ndarray, **options: Any) -> Path:
    return write_nifti(path, mask.astype(np.uint8), **options)


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_volumes_are_read_within_the_mask(tmp_path: Path, name: str) -> None:
    run = write_nifti(tmp_path / name, volumes())
    mask = write_mask(tmp_path / "mask.nii.gz", inside())
    series = RunReader().open(run, mask=mask, tr_s=2.0, volumes=VOLUMES)
    i, j, k = series.voxels.ijk.T
    assert inside()[i, j, k].all()
    assert len(series.voxels) == inside().sum()
    np.testing.assert_array_equal(series.signal(slice(None)), volumes()[i, j, k])
    np.testing.assert_array_equal(
        series.signal(np.array([5, 1]), slice(2, 4)), volumes()[i, j, k][[5, 1], 2:4]
    )
    np.testing.assert_allclose(series.voxels.mm, nib.affines.apply_affine(AFFINE, series.voxels.ijk))


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_scaled_integer_volumes(tmp_path: Path, name: str) -> None:
    image = nib.Nifti1Image(volumes(), AFFINE, dtype=np.int16)
    nib.save(image, tmp_path / name)
    mask = write_mask(tmp_path / "mask.nii", inside())
    series = RunReader().open(tmp_path / name, mask=mask)
    expected = nib.load(tmp_path / name).get_fdata()[tuple(series.voxels.ijk.T)]
    np.testing.assert_allclose(series.signal(slice(None)), expected, atol=1e-6)
    assert series.tr_s is None  # the header gives no unit of time


def test_milliseconds(tmp_path: Path) -> None:
    run = write_nifti(tmp_path / "run.nii", volumes(), tr_s=1500.0, unit="msec")
    mask = write_mask(tmp_path / "mask.nii", inside())
    assert RunReader().open(run, mask=mask).tr_s == pytest.approx(1.5)


def damaged(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def run_and_mask(folder: Path) -> tuple[Path, Path]:
    return write_nifti(folder / "run.nii", volumes()), write_mask(folder / "mask.nii", inside())


MALFORMED: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "no mask": (lambda at: {"path": run_and_mask(at)[0]}, "has no mask"),
    "mask missing": (lambda at: {"mask": at / "nowhere.nii"}, "mask .* is missing"),
    "mask empty": (lambda at: {"mask": write_mask(at / "m.nii", inside() & False)}, "is empty"),
    "mask of shares": (lambda at: {"mask": write_nifti(at / "m.nii", inside() * 0.3)}, "is not a mask"),
    "mask with time": (lambda at: {"mask": write_nifti(at / "m.nii", volumes() * 0)}, "not .i, j, k."),
    "mask away": (lambda at: {"mask": write_mask(at / "m.nii", inside(), affine=2 * AFFINE)}, "on a differ"),
    "mask smaller": (lambda at: {"mask": write_mask(at / "m.nii", inside()[1:])}, "different grid"),
    "mask is text": (lambda at: {"mask": damaged(at / "m.nii", b"mask")}, "readable NIfTI mask"),
    "no time": (lambda at: {"path": write_nifti(at / "r.nii", volumes()[..., 0])}, "not .i, j, k, volume."),
    "text": (lambda at: {"path": damaged(at / "r.nii", b"run" * 500)}, "not a readable NIfTI run"),
    "empty": (lambda at: {"path": damaged(at / "r.nii.gz", b"")}, "not a readable NIfTI run"),
    "cut": (lambda at: {"path": damaged(at / "r.nii", run_and_mask(at)[0].read_bytes()[:-4])}, "truncated"),
    "packed cut": (
        lambda at: {"path": damaged(at / "r.nii.gz", gzip.compress(run_and_mask(at)[0].read_bytes())[:-900])},
        "truncated",
    ),
    "packed short": (
        lambda at: {"path": damaged(at / "r.nii.gz", gzip.compress(run_and_mask(at)[0].read_bytes()[:-4]))},
        "truncated",
    ),
    "other TR": (lambda at: {"tr_s": 1.0}, "repetition time of 2 s"),
    "other length": (lambda at: {"volumes": 7}, "has 9 volumes"),
    "other kind": (lambda at: {"path": damaged(at / "run.mat", b"")}, "is not a run"),
    "text as array": (lambda at: {"path": damaged(at / "r.npy", b"text")}, "not a readable array of a run"),
    "pickled array": (
        lambda at: {"path": saved(at, np.array([[{}]], dtype=object))},
        "holds Python objects",
    ),
    "3-d array": (lambda at: {"path": saved(at, np.zeros((2, 2, 2))), "axes": "volume voxel"}, "not a table"),
    "words": (lambda at: {"path": saved(at, np.array([["a"]])), "axes": "volume voxel"}, "not a table"),
    "cut array": (
        lambda at: {"path": damaged(at / "r.npy", saved(at, np.ones((9, 9))).read_bytes()[:-8])},
        "claims 648 bytes and holds 640",
    ),
    "axes not declared": (lambda at: {"path": saved(at, np.zeros((9, 9)))}, "axes of .* not declared"),
    "responses of text": (
        lambda at: {"load": lambda: Matrix(np.array([["a"]]))},
        "holds <U1",
    ),
    "too few regions": (
        lambda at: {"load": lambda: Matrix(np.zeros((9, 3)), region=np.array(["V1"]))},
        "3 voxels, and regions for 1",
    ),
}  # fmt: skip


def saved(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "array.npy", array)
    return folder / "array.npy"


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_input_says_what_is_wrong(tmp_path: Path, fault: str) -> None:
    make, why = MALFORMED[fault]
    run, mask = run_and_mask(tmp_path)
    given = make(tmp_path)
    options = {"path": run} | ({"mask": mask} if fault != "no mask" else {}) | given
    with pytest.raises(InputError, match=why) as caught:
        RunReader().open(**options)
    assert caught.value.hint


def test_runs_with_several_masks_share_what_all_hold(tmp_path: Path) -> None:
    """As fMRIPrep leaves them: one mask per run, one grid."""
    plan = volume_plan(tmp_path)
    both = inside(0) & inside(1)
    assert plan.outside_masks == (inside(0) | inside(1)).sum() - both.sum()
    assert sorted(map(tuple, plan.voxels.ijk.tolist())) == [
        tuple(place) for place in np.argwhere(both).tolist()
    ]
    for number, run in enumerate(plan.segments[0].runs):
        expected = volumes(number)[tuple(plan.voxels.ijk.T)]
        np.testing.assert_array_equal(run.bold.signal(slice(None)), expected)


def volume_plan(folder: Path, *, shift: float = 0.0) -> Plan:
    runs = []
    for number in (0, 1):
        affine = AFFINE + shift * number
        path = write_nifti(folder / f"{number}.nii.gz", volumes(number), affine=affine)
        mask = write_mask(folder / f"mask{number}.nii.gz", inside(number), affine=affine)
        runs.append(Run(1, "a", "train", "a", number + 1, path, 0.0, 2.0, VOLUMES, mask=mask))
    clips = [Clip(f"a-{index}", "train", "a", "a", index, 2.0 * index, 2.0) for index in range(VOLUMES)]
    return make_plan(runs, clips, (0.0,), PreprocessConfig(detrend_order=1))


def test_runs_on_different_grids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"have other voxels than 0.nii.gz"):
        volume_plan(tmp_path, shift=1.0)


def test_a_map_of_a_volume_lies_where_the_voxels_do(tmp_path: Path) -> None:
    run, mask = run_and_mask(tmp_path)
    voxels = RunReader().open(run, mask=mask).voxels
    written = brain_map(voxels, {"one": np.arange(len(voxels)), "two": -np.arange(len(voxels))})
    assert written is not None
    assert written[0] == ".nii.gz"
    (tmp_path / "map.nii.gz").write_bytes(written[1])
    image = nib.load(tmp_path / "map.nii.gz")
    np.testing.assert_array_equal(image.affine, AFFINE)
    np.testing.assert_array_equal(image.get_fdata()[(*voxels.ijk.T, 1)], -np.arange(len(voxels)))
    assert np.isnan(image.get_fdata()[..., 0]).sum() == (~inside()).sum()


@pytest.mark.parametrize("named", [True, False])
def test_an_atlas_of_a_volume(tmp_path: Path, named: bool) -> None:
    run, mask = run_and_mask(tmp_path)
    voxels = RunReader().open(run, mask=mask).voxels
    atlas = write_nifti(tmp_path / "mine_dseg.nii.gz", labels())
    if named:
        (tmp_path / "mine_dseg.tsv").write_text("index\tname\n1\tV1\n2\tL_MT_ROI\n")
    found = read_regions(atlas, voxels)
    names = np.array(["n/a", "V1", "MT"] if named else ["n/a", "1", "2"])
    np.testing.assert_array_equal(found, names[labels()[tuple(voxels.ijk.T)]])


def labels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 3, SHAPE).astype(np.int16)


ATLASES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "other grid": (lambda at: write_nifti(at / "a.nii", np.zeros(SHAPE), affine=AFFINE * 2), "on a differ"),
    "shares": (lambda at: write_nifti(at / "a.nii", np.full(SHAPE, 0.5)), "has no labels"),
    "text": (lambda at: damaged(at / "a.nii", b"V1"), "is not a readable atlas"),
    "bad names": (
        lambda at: (damaged(at / "a.tsv", b"index\tname\nV1\t1\n"), write_nifti(at / "a.nii", labels()))[1],
        "does not name the labels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", ATLASES)
def test_atlases_that_do_not_fit_a_volume(tmp_path: Path, fault: str) -> None:
    make, why = ATLASES[fault]
    run, mask = run_and_mask(tmp_path)
    with pytest.raises(InputError, match=why):
        read_regions(make(tmp_path), RunReader().open(run, mask=mask).voxels)


def test_parcels_keep_their_names(tmp_path: Path) -> None:
    axis = brain_models()
    parcels = ParcelsAxis.from_brain_models([("Thalamus", axis[:5]), ("V1", axis[5:45]), ("MT", axis[45:])])
    signal = np.random.default_rng(0).standard_normal((VOLUMES, 3)).astype(np.float32)
    path = tmp_path / "run.ptseries.nii"
    nib.save(Cifti2Image(signal, header=(SeriesAxis(0, 2.0, VOLUMES), parcels)), path)
    series = RunReader().open(path, tr_s=2.0)
    assert (series.voxels.kind, series.voxels.names.tolist()) == ("parcels", ["Thalamus", "V1", "MT"])
    assert series.voxels.structure.tolist() == [
        "n/a", "CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT",
    ]  # fmt: skip
    np.testing.assert_array_equal(series.signal(slice(None)), signal.T)
    ending, content = brain_map(series.voxels, {"x": np.arange(3.0)}) or ("", b"")
    assert ending == ".pscalar.nii"
    (tmp_path / "map.pscalar.nii").write_bytes(content)
    assert nib.load(tmp_path / "map.pscalar.nii").header.get_axis(1).name.tolist() == ["Thalamus", "V1", "MT"]
    with pytest.raises(InputError, match="parcels have no place"):
        read_regions(path, series.voxels)


@pytest.mark.parametrize("axes", ["volume voxel", "voxel volume"])
def test_arrays_of_either_order(tmp_path: Path, axes: str) -> None:
    signal = np.random.default_rng(0).standard_normal((VOLUMES, 6))
    np.save(tmp_path / "run.npy", signal if axes == "volume voxel" else signal.T)
    series = RunReader().open(tmp_path / "run.npy", axes=axes, volumes=VOLUMES, tr_s=0.8)
    np.testing.assert_array_equal(series.signal(np.array([1, 4]), slice(3)), signal[:3, [1, 4]].T)
    assert series.tr_s is None
    assert brain_map(series.voxels, {"x": np.zeros(6)}) is None


def test_responses_of_a_file_that_the_study_reads(tmp_path: Path) -> None:
    signal, names = (
        np.random.default_rng(0).standard_normal((VOLUMES, 4)),
        np.array(["V1", "V1", "LOC", "LOC"]),
    )
    path = damaged(tmp_path / "V1.pkl", b"")
    series = RunReader().open(
        path, volumes=VOLUMES, load=lambda: Matrix(signal, names, np.eye(4, 3, dtype=int))
    )
    np.testing.assert_array_equal(series.signal(slice(1, 3)), signal.T[1:3])
    np.testing.assert_array_equal(series.voxels.names, names)
    np.testing.assert_array_equal(series.voxels.ijk, np.eye(4, 3))


def grayordinates(folder: Path) -> Path:
    data = np.arange(2 * (SUBCORTICAL + CORTEX), dtype=np.float32).reshape(2, -1)
    return write_run(folder / "run.dtseries.nii", data)


@pytest.mark.parametrize(
    ("structures", "columns"),
    [
        (("cortex", "thalamus"), range(SUBCORTICAL + CORTEX)),
        (("thalamus_left",), range(SUBCORTICAL)),
        (("CIFTI_STRUCTURE_THALAMUS_LEFT",), range(SUBCORTICAL)),
        (("subcortex",), range(SUBCORTICAL)),
        (("all",), range(SUBCORTICAL + CORTEX)),
        (("cortex-left",), range(SUBCORTICAL, SUBCORTICAL + 40)),
    ],
)
def test_named_structures(tmp_path: Path, structures: tuple[str, ...], columns: range) -> None:
    series = RunReader(structures).open(grayordinates(tmp_path))
    np.testing.assert_array_equal(series.signal(slice(None))[:, 0], columns)
    below = series.voxels.ijk[:, 0] >= 0
    assert (below != series.voxels.surface).all()
    np.testing.assert_array_equal(series.voxels.mm[below], series.voxels.ijk[below])
    assert np.isnan(series.voxels.mm[~below]).all()


def test_a_structure_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no structure 'amygdala'(?s:.)*cortex_left, cortex_right, thalamus"
    ):
        RunReader(("amygdala",)).open(grayordinates(tmp_path))


def test_any_brain_models_in_any_number(tmp_path: Path) -> None:
    """60,951 grayordinates say, or 70: nothing is sliced by position."""
    axis = BrainModelAxis.from_surface(np.arange(7), 20, name="cortex_right")
    path = write_run(tmp_path / "run.dtseries.nii", np.ones((3, 7)), axis=axis)
    assert RunReader().open(path).voxels.vertex.tolist() == list(range(7))
