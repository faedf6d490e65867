"""Reading CIFTI runs, well-formed and otherwise, and regions and maps on the cortex."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ScalarAxis, SeriesAxis
from nibabel.cifti2.parse_cifti2 import Cifti2Parser

from mindanim.bold.atlas import NO_REGION, in_regions, read_regions
from mindanim.bold.formats.run_reader import RunReader
from mindanim.bold.maps.brain_map import brain_map
from mindanim.errors import ConfigError, InputError
from mindanim.studies.files import peek
from tests.cc2017_tree import CORTEX, LEFT, MESH, RIGHT, SUBCORTICAL, brain_models, write_atlas, write_run

ONES = Path("/work/shared/data/cifti/ones.dscalar.nii")


def data(volumes: int = 12) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((volumes, SUBCORTICAL + CORTEX)).astype(np.float32)


def test_the_cortex_is_taken_by_the_brain_models_not_by_position(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.dtseries.nii", data())
    run = RunReader().open(path, volumes=12, tr_s=2.0)
    assert (run.volumes, run.tr_s, len(run.voxels)) == (12, 2.0, CORTEX)
    np.testing.assert_array_equal(run.signal(slice(None)), data()[:, SUBCORTICAL:].T)
    np.testing.assert_array_equal(
        run.signal(np.array([3, 9, 50]), slice(2, 7)), data()[2:7, SUBCORTICAL:][:, [3, 9, 50]].T
    )
    np.testing.assert_array_equal(run.voxels.vertex, np.concatenate([LEFT, RIGHT]))
    assert set(run.voxels.structure[: len(LEFT)]) == {"CIFTI_STRUCTURE_CORTEX_LEFT"}


def test_cortex_between_and_after_other_structures(tmp_path: Path) -> None:
    """Hemispheres that do not lie side by side."""
    axis = brain_models()
    mixed = axis[SUBCORTICAL : SUBCORTICAL + len(LEFT)] + axis[:SUBCORTICAL] + axis[SUBCORTICAL + len(LEFT) :]
    run = RunReader().open(write_run(tmp_path / "run.dtseries.nii", data(), axis=mixed))
    keep = np.r_[0 : len(LEFT), len(LEFT) + SUBCORTICAL : len(mixed)]
    np.testing.assert_array_equal(run.signal(slice(None)), data()[:, keep].T)


def test_brain_models_are_parsed_once_whatever_the_other_metadata(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [
        write_run(tmp_path / f"{n}.dtseries.nii", data(volumes)) for n, volumes in enumerate((12, 12, 9))
    ]
    parsed = []
    parse = Cifti2Parser.parse
    monkeypatch.setattr(
        Cifti2Parser, "parse", lambda self, **given: (parsed.append(1), parse(self, **given))[1]
    )
    reader = RunReader()
    runs = [reader.open(path) for path in paths]
    assert len(parsed) == 1
    assert runs[0].voxels is runs[2].voxels
    reader.open(
        write_run(tmp_path / "other.dtseries.nii", data()[:, SUBCORTICAL:], axis=brain_models()[SUBCORTICAL:])
    )
    assert len(parsed) == 2


def test_scaled_integers_are_read_in_their_unit(tmp_path: Path) -> None:
    series = SeriesAxis(0, 2.0, 12)
    image = Cifti2Image(data() * 100, header=(series, brain_models()), dtype=np.int16)
    path = tmp_path / "run.dtseries.nii"
    nib.save(image, path)
    run = RunReader().open(path)
    assert run.data().dtype == np.int16
    np.testing.assert_allclose(
        run.signal(slice(None)), nib.load(path).get_fdata()[:, SUBCORTICAL:].T, rtol=1e-12
    )
    np.testing.assert_allclose(run.signal(slice(None)), 100 * data()[:, SUBCORTICAL:].T, atol=0.02)


def test_a_time_step_in_milliseconds_by_its_exponent(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.dtseries.nii", data())
    content = path.read_bytes()
    path.write_bytes(content.replace(b'SeriesExponent="0"', b'SeriesExponent="1"'))
    assert RunReader().open(path).tr_s == 20.0


def rewrite(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    return lambda path: (path.write_bytes(change(path.read_bytes())), None)[1]


def volume_only(path: Path) -> None:
    write_run(path, data()[:, :SUBCORTICAL], axis=brain_models()[:SUBCORTICAL])


def scalar_map(path: Path) -> None:
    nib.save(Cifti2Image(data(1), header=(ScalarAxis(["x"]), brain_models())), path)


def plain_nifti(path: Path) -> None:
    nib.save(nib.Nifti2Image(np.zeros((4, 4, 4, 5)), np.eye(4)), path)


def nifti_1(path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4, 5)), np.eye(4)), path)


MALFORMED = {
    "empty": (rewrite(lambda content: b""), "not a readable CIFTI-2 series"),
    "text": (rewrite(lambda content: b"<html>" * 200), "not a readable CIFTI-2 series"),
    "nifti-1": (nifti_1, "not a readable CIFTI-2 series"),
    "nifti-2": (plain_nifti, "no CIFTI header"),
    "cut in the axes": (rewrite(lambda content: content[:700]), "not a readable CIFTI-2 series"),
    "cut in the data": (rewrite(lambda content: content[:-4]), "truncated"),
    "cifti-1": (rewrite(lambda content: content.replace(b'Version="2.0"', b'Version="1.0"')), "CIFTI-1 file"),
    "broken xml": (rewrite(lambda content: content.replace(b"</Matrix>", b"</Matrux>")), "ParseError"),
    "no brain models": (
        rewrite(lambda content: content.replace(b"INDEX_TYPE_BRAIN_MODELS", b"INDEX_TYPE_BRAIN_MUDDLE")),
        "neither brain models nor parcels",
    ),
    "other brain model text": (
        rewrite(lambda content: content.replace(b"STRUCTURE_CORTEX_LEFT", b"STRUCTURE_CORTEX_LOFT")),
        "not a readable CIFTI-2 series",
    ),
    "volume only": (volume_only, "no cortical surface"),
    "scalar map": (scalar_map, "not a series"),
    "not in seconds": (rewrite(lambda content: content.replace(b'"SECOND"', b'"METER" ')), "not seconds"),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_runs_say_what_is_wrong(tmp_path: Path, fault: str) -> None:
    damage, why = MALFORMED[fault]
    path = write_run(tmp_path / "run.dtseries.nii", data())
    damage(path)
    with pytest.raises(InputError, match=why) as caught:
        RunReader().open(path)
    assert str(path) in caught.value.what
    assert caught.value.hint or "structures are" in caught.value.why


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"volumes": 13}, "has 12 volumes"),
        ({"tr_s": 1.0}, "repetition time of 2 s"),
        ({"tr_s": 2.01}, "repetition time"),
    ],
)
def test_runs_that_differ_from_the_study(tmp_path: Path, options: dict[str, float], why: str) -> None:
    path = write_run(tmp_path / "run.dtseries.nii", data())
    with pytest.raises(InputError, match=why):
        RunReader().open(path, **options)  # type: ignore[arg-type]


def test_missing_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is missing"):
        RunReader().open(tmp_path / "run.dtseries.nii")


def packed(path: Path) -> Path:
    target = path.with_name(f"{path.name}.gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    return target


def test_a_compressed_run_is_the_run(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.dtseries.nii", data())
    plain, unpacked = RunReader().open(path), RunReader().open(packed(path), volumes=len(data()))
    assert (unpacked.tr_s, unpacked.volumes) == (plain.tr_s, plain.volumes)
    assert unpacked.voxels.same_as(plain.voxels)
    which = np.array([0, 3, 4])
    for voxels in (slice(None), which):
        np.testing.assert_array_equal(unpacked.signal(voxels), plain.signal(voxels))
    assert peek(packed(path)).volumes == plain.volumes


@pytest.mark.parametrize("kept", [0, 10, 300, 0.5, 0.98])
def test_a_compressed_run_cut_short_is_said(tmp_path: Path, kept: float) -> None:
    whole = packed(write_run(tmp_path / "run.dtseries.nii", data())).read_bytes()
    path = tmp_path / "cut.dtseries.nii.gz"
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(InputError, match=r"cut\.dtseries\.nii\.gz"):
        RunReader().open(path)


def test_a_file_that_only_says_it_is_compressed(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.dtseries.nii", data())
    named = path.rename(tmp_path / "run.dtseries.nii.gz")
    for look in (RunReader().open, peek):
        with pytest.raises(InputError, match=r"[Nn]ot a gzipped file"):
            look(named)


@pytest.mark.skipif(not ONES.exists(), reason="the standard axis file is not on this machine")
def test_the_standard_axis_has_the_standard_cortex(tmp_path: Path) -> None:
    axis = nib.load(ONES).header.get_axis(1)
    run = RunReader().open(write_run(tmp_path / "run.dtseries.nii", np.ones((2, len(axis))), axis=axis))
    assert len(axis) == 91_282
    assert (run.voxels.structure == "CIFTI_STRUCTURE_CORTEX_LEFT").sum() == 29_696
    assert (run.voxels.structure == "CIFTI_STRUCTURE_CORTEX_RIGHT").sum() == 29_716


def cortex(tmp_path: Path):  # type: ignore[no-untyped-def]
    return RunReader().open(write_run(tmp_path / "run.dtseries.nii", data())).voxels


def test_maps_open_as_dense_scalars_with_their_names(tmp_path: Path) -> None:
    values = np.arange(CORTEX, dtype=float)
    values[3] = np.nan
    path = tmp_path / "map.dscalar.nii"
    ending, content = brain_map(cortex(tmp_path), {"reliability": values, "other": -values}) or ("", b"")
    assert ending == ".dscalar.nii"
    path.write_bytes(content)
    image = nib.load(path)
    assert image.nifti_header.get_intent()[0] == "ConnDenseScalar"
    scalars, models = image.header.get_axis(0), image.header.get_axis(1)
    assert scalars.name.tolist() == ["reliability", "other"]
    np.testing.assert_array_equal(np.asarray(image.dataobj)[0], values)
    np.testing.assert_array_equal(models.vertex, np.concatenate([LEFT, RIGHT]))
    assert models.nvertices == {"CIFTI_STRUCTURE_CORTEX_LEFT": MESH, "CIFTI_STRUCTURE_CORTEX_RIGHT": MESH}


@pytest.fixture
def regions(tmp_path: Path) -> np.ndarray:
    keys = np.repeat([1, 2, 3, 0], [20, 20, 20, CORTEX - 60])
    atlas = write_atlas(tmp_path / "atlas.dlabel.nii", {1: "L_V1_ROI", 2: "R_V3A_ROI", 3: "MT"}, keys)
    return read_regions(atlas, cortex(tmp_path))


def test_regions_are_matched_by_vertex_and_named_plainly(regions: np.ndarray) -> None:
    assert regions.tolist() == ["V1"] * 20 + ["V3A"] * 20 + ["MT"] * 20 + [NO_REGION] * (CORTEX - 60)


def test_an_atlas_over_other_vertices_of_the_mesh(tmp_path: Path) -> None:
    left = BrainModelAxis.from_surface(np.arange(MESH), MESH, name="cortex_left")
    label = nib.cifti2.LabelAxis(["map"], [{0: ("???", (0, 0, 0, 0)), 1: ("A", (1, 0, 0, 1))}])
    image = Cifti2Image((np.arange(MESH) < 10)[None].astype(np.float32), header=(label, left))
    nib.save(image, tmp_path / "atlas.dlabel.nii")
    found = read_regions(tmp_path / "atlas.dlabel.nii", cortex(tmp_path))
    assert found.tolist() == ["A"] * 8 + [NO_REGION] * (
        CORTEX - 8
    )  # the runs' left hemisphere begins at vertex 2


@pytest.mark.parametrize("names", [("V1", "MT"), ("l_v1_roi", "mt"), ("R_V1_ROI", "MT")])
def test_regions_by_any_of_their_names(regions: np.ndarray, names: tuple[str, ...]) -> None:
    assert np.flatnonzero(in_regions(regions, names)).tolist() == [*range(20), *range(40, 60)]


def test_an_unknown_region_lists_the_known_ones(regions: np.ndarray) -> None:
    with pytest.raises(ConfigError, match=r"no region V3B(?s:.)*did you mean V3A(?s:.)*MT, V1, V3A"):
        in_regions(regions, ["V1", "V3B"])


def test_atlases_that_do_not_fit(tmp_path: Path) -> None:
    found = cortex(tmp_path)
    with pytest.raises(InputError, match="is missing"):
        read_regions(tmp_path / "nowhere.dlabel.nii", found)
    (tmp_path / "text.dlabel.nii").write_text("V1")
    with pytest.raises(InputError, match="is not a readable atlas"):
        read_regions(tmp_path / "text.dlabel.nii", found)
    scalar_map(tmp_path / "map.dscalar.nii")
    with pytest.raises(InputError, match="not a dlabel"):
        read_regions(tmp_path / "map.dscalar.nii", found)
    left = BrainModelAxis.from_surface(np.arange(5), MESH + 1, name="cortex_left")
    label = nib.cifti2.LabelAxis(["map"], [{0: ("???", (0, 0, 0, 0))}])
    nib.save(Cifti2Image(np.zeros((1, 5), np.float32), header=(label, left)), tmp_path / "atlas.dlabel.nii")
    with pytest.raises(InputError, match="a different mesh"):
        read_regions(tmp_path / "atlas.dlabel.nii", found)


def test_a_named_list_of_regions() -> None:
    """The 24 visual areas of the multi-modal parcellation, by their numbers in its published order."""
    order = [
        "V1",
        "MST",
        "V6",
        "V2",
        "V3",
        "V4",
        "V8",
        "4",
        "3b",
        "FEF",
        "PEF",
        "55b",
        "V3A",
        "RSC",
        "POS2",
        "V7",
        "IPS1",
        "FFC",
        "V3B",
        "LO1",
        "LO2",
        "PIT",
        "MT",
    ]
    published = [order[number - 1] for number in (1, 2, 4, 5, 6, 13, 19, 20, 21, 23)] + ["TPOJ1", "TPOJ2"]
    regions = np.array([*order, "TPOJ1", "TPOJ2", "TPOJ3"] * 2)
    assert set(regions[in_regions(regions, ["mmp-visual"])]) == set(published)
    assert in_regions(regions, ["MMP-visual"]).sum() == 24
    assert in_regions(regions, ["mmp-visual", "FFC"]).sum() == 26
