"""Dense series whose structures come in another order, or whose scaling is no number."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis

from mindanim.bold.formats.run_reader import RunReader
from mindanim.bold.formats.series import common_voxels, on_voxels
from mindanim.bold.maps.brain_map import brain_map
from mindanim.errors import InputError
from tests.cc2017_tree import write_run

LEFT, RIGHT, THALAMUS = np.array([0, 2, 5]), np.array([1, 4]), 3
RNG = np.random.default_rng(0)
SIGNAL = {"left": RNG.standard_normal((9, 3)), "right": RNG.standard_normal((9, 2))}
SIGNAL["thalamus"] = RNG.standard_normal((9, THALAMUS))


def write(path: Path, order: Sequence[str], mesh: int = 10) -> Path:
    models = {
        "left": BrainModelAxis.from_surface(LEFT, mesh, name="cortex_left"),
        "right": BrainModelAxis.from_surface(RIGHT, mesh, name="cortex_right"),
        "thalamus": BrainModelAxis.from_mask(
            np.ones((1, 1, THALAMUS), bool), affine=np.eye(4), name="thalamus_left"
        ),
    }
    axis = models[order[0]]
    for name in order[1:]:
        axis = axis + models[name]
    return write_run(path, np.hstack([SIGNAL[name] for name in order]), axis=axis)


@pytest.mark.parametrize("order", ["right left thalamus", "thalamus right left", "left right thalamus"])
@pytest.mark.parametrize("structures", [("cortex",), ("all",)])
def test_runs_in_another_order_are_read_by_place(
    tmp_path: Path, order: str, structures: tuple[str, ...]
) -> None:
    reader = RunReader(structures)
    first = reader.open(write(tmp_path / "a.dtseries.nii", ["left", "right", "thalamus"]))
    other = reader.open(write(tmp_path / "b.dtseries.nii", order.split()))
    voxels, lost = common_voxels([first, other])
    assert lost == 0 and voxels.same_as(first.voxels)
    expected = on_voxels(first, voxels).signal(slice(None))
    np.testing.assert_array_equal(on_voxels(other, voxels).signal(slice(None)), expected)
    np.testing.assert_array_equal(on_voxels(other, voxels).signal(np.array([4, 0])), expected[[4, 0]])


def test_a_map_of_a_file_with_the_right_hemisphere_first(tmp_path: Path) -> None:
    run = RunReader().open(write(tmp_path / "a.dtseries.nii", ["right", "left"]))
    assert (
        run.voxels.structure.tolist()
        == ["CIFTI_STRUCTURE_CORTEX_RIGHT"] * 2 + ["CIFTI_STRUCTURE_CORTEX_LEFT"] * 3
    )
    assert run.voxels.vertex.tolist() == [*RIGHT, *LEFT]
    written = brain_map(run.voxels, {"place": np.arange(5.0)}, np.nan)
    assert written is not None and written[0].startswith(".dscalar")


@pytest.mark.parametrize("fault", ["another mesh", "fewer vertices"])
def test_other_places_are_still_refused(tmp_path: Path, fault: str) -> None:
    first = RunReader().open(write(tmp_path / "a.dtseries.nii", ["left", "right"]))
    path = tmp_path / "b.dtseries.nii"
    other = RunReader().open(
        write(path, ["right", "left"], mesh=12) if fault == "another mesh" else write(path, ["left"])
    )
    with pytest.raises(InputError, match=r"other grayordinates than a\.dtseries\.nii"):
        common_voxels([first, other])


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, np.nan), (2.0, np.inf), (np.inf, 0.0)])
def test_a_scaling_that_is_no_number(tmp_path: Path, slope: float, intercept: float) -> None:
    path = write(tmp_path / "a.dtseries.nii", ["left", "right"])
    content = bytearray(path.read_bytes())
    struct.pack_into("<dd", content, 176, slope, intercept)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.dtseries\.nii has no valid scaling"):
        RunReader().open(path)


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_no_scaling_is_a_scaling(tmp_path: Path, slope: float) -> None:
    path = write(tmp_path / "a.dtseries.nii", ["left", "right"])
    content = bytearray(path.read_bytes())
    struct.pack_into("<dd", content, 176, slope, np.nan)
    path.write_bytes(content)
    np.testing.assert_allclose(RunReader().open(path).signal(slice(0, 3)).T, SIGNAL["left"], rtol=1e-6)
