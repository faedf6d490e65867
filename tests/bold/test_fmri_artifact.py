"""Voxels and maps of a finished fmri artifact, when the raw study is gone."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ParcelsAxis, SeriesAxis

from mindanim.artifacts import Artifact
from mindanim.bold.formats.fmri_artifact import on_all_voxels, read_voxels
from mindanim.bold.maps.brain_map import brain_map
from mindanim.bold.response_plan import make_plan
from mindanim.bold.voxels import Grid, Voxels
from mindanim.config.preprocess import PreprocessConfig
from mindanim.config.run_options import RunOptions
from mindanim.stages.preprocess import preprocess
from mindanim.vocabulary.runs import Matrix, Run
from tests.bold.studies import CLIPS, SEGMENTS, TR_S, Ready, write_volumes

MODELS = (
    BrainModelAxis.from_surface(np.arange(5, 35), 40, name="cortex_left")
    + BrainModelAxis.from_surface(np.arange(10), 40, name="cortex_right")
    + BrainModelAxis.from_mask(np.ones((2, 2, 3)), name="thalamus_left", affine=np.diag([2.0, 2, 2.3, 1]))
)
PARCELS = ParcelsAxis(
    [f"area {number}" for number in range(30)],
    [np.empty((0, 3), int)] * 30,
    [{"CIFTI_STRUCTURE_CORTEX_LEFT": np.arange(number, number + 2)} for number in range(30)],
    None,
    None,
    {"CIFTI_STRUCTURE_CORTEX_LEFT": 40},
)


def write_runs(root: Path, ending: str, columns: int, axis: Any = None) -> Ready:
    """Two runs per film, all of whose columns respond to it."""
    rng, runs = np.random.default_rng(0), []
    for name, split in SEGMENTS.items():
        shared = rng.standard_normal((CLIPS, columns))
        for repeat in (1, 2):
            signal = (100 + shared + rng.standard_normal((CLIPS, columns))).astype(np.float32)
            path, more = root / f"{name}_{repeat}{ending}", {}
            if axis is not None:
                image = Cifti2Image(signal, header=(SeriesAxis(0, TR_S, CLIPS), axis))
                image.nifti_header.set_intent("ConnDenseSeries" if "dts" in ending else "ConnParcelSries")
                image.to_filename(path)
            elif ending == ".npy":
                np.save(path, signal)
                more = {"axes": "volume voxel"}
            else:
                path.write_bytes(b"one of the study's own")
                more = {"load": partial(own, signal)}
            runs.append(Run(1, name, split, name, repeat, path, 0.0, TR_S, CLIPS, **more))  # type: ignore[arg-type]
    return Ready(root, runs)


def own(signal: np.ndarray) -> Matrix:
    columns = signal.shape[1]
    return Matrix(
        signal, np.array(["V1", "n/a"] * (columns // 2)), np.stack([np.arange(columns)] * 3, axis=1)
    )


STUDIES = {
    "grayordinates": lambda root: write_runs(root, ".dtseries.nii", len(MODELS), MODELS),
    "parcels": lambda root: write_runs(root, ".ptseries.nii", len(PARCELS), PARCELS),
    "volume": write_volumes,
    "columns": lambda root: write_runs(root, ".npy", 12),
    "named columns": lambda root: write_runs(root, ".pkl", 12),
}


@pytest.fixture(scope="module", params=STUDIES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Voxels, Artifact]:
    """The voxels of the runs, and the artifact, whose study has been deleted."""
    root = tmp_path_factory.mktemp("raw")
    study = STUDIES[request.param](root)
    options = RunOptions(dataset="ready", data=root, subject=1, work=tmp_path_factory.mktemp("work"))
    config = PreprocessConfig(structures=("all",), voxels=7, alpha=1.0)
    voxels = make_plan(study.runs(1), study.clips(), (0.0,), config).voxels
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[preprocess.__module__], "open_study", lambda *args: study)
        artifact = preprocess(config, options)
    shutil.rmtree(root)
    return voxels, artifact


def test_voxels_are_those_of_the_runs(made: tuple[Voxels, Artifact]) -> None:
    expected, artifact = made
    found = read_voxels(artifact)
    assert len(found) == len(expected) and found.same_as(expected)
    np.testing.assert_allclose(found.mm, expected.mm, atol=1e-5)
    assert type(found.space) is type(expected.space)
    if isinstance(found.space, Grid) and isinstance(expected.space, Grid):
        assert found.space.mni == expected.space.mni and found.space.shape == expected.space.shape
    elif found.space is not None:
        assert found.space == expected.space


def test_maps_of_new_values_are_the_same_files(made: tuple[Voxels, Artifact]) -> None:
    expected, artifact = made
    values = np.linspace(-1, 1, len(expected))
    again, first = (brain_map(voxels, {"new": values}) for voxels in (read_voxels(artifact), expected))
    assert (again is None) == (first is None) == (expected.kind == "columns")
    if again is not None and first is not None:
        assert again[0] == first[0]
        one, other = (read(artifact.path.parent, *content) for content in (again, first))
        np.testing.assert_array_equal(one, other)


def read(folder: Path, ending: str, content: bytes) -> np.ndarray:
    path = folder / f"map{ending}"
    path.write_bytes(content)
    return np.asarray(nib.load(path).dataobj)  # type: ignore[attr-defined]


def test_values_of_columns_go_to_their_voxels(made: tuple[Voxels, Artifact]) -> None:
    voxels, artifact = made
    columns = artifact.array("train_responses.npy").shape[-1]
    spread = on_all_voxels(artifact, np.arange(columns, dtype=float))
    table = artifact.table("voxels.tsv")
    assert spread.shape == (len(voxels),)
    assert np.isnan(spread[table.selected == 0]).all()
    np.testing.assert_array_equal(spread[table.selected == 1], table.column[table.selected == 1])
    assert np.isfinite(spread).sum() == columns == 7
