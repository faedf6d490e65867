"""The forward model: what drives the vertices, how they respond, and what can be read from which region."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import gamma

import mindanim.simulation.drive as drive_module
from mindanim.simulation.cortex import double_gamma, noiseless, record, standardise, tune
from mindanim.simulation.drive import (
    FLOW_CHANNELS,
    GRID,
    MEANING_CHANNELS,
    MOTION_CHANNELS,
    Drive,
    adaptation,
    watch,
)
from mindanim.simulation.regions import (
    REGIONS,
    cortex_axis,
    cortex_vertices,
    plant,
)
from mindanim.simulation.world import MOTIONS, film, render, sample_scene
from mindanim.vocabulary.limits import HEMISPHERES, MESH_VERTICES

STANDARD = Path("/work/shared/data/cifti/ones.dscalar.nii")


def scene(motion: str, **fixed: object):
    still = {"pan": (0.0, 0.0), "x": 0.0, "y": 0.0}
    return sample_scene(np.random.default_rng(0), **(still | {"motion": MOTIONS.index(motion)} | fixed))


def energy(drive: Drive) -> np.ndarray:
    maps = drive.motion.reshape(len(drive.motion), len(MOTION_CHANNELS), -1)
    return maps[:, :8].mean((0, 2))


def test_haemodynamic_response_is_the_difference_of_gamma_densities():
    times = np.arange(-5, 60, 0.01)
    expected = (gamma.pdf(times, 6) - gamma.pdf(times, 16) / 6) * 6 / 5
    np.testing.assert_allclose(double_gamma(times), expected, atol=1e-12)
    assert np.trapezoid(double_gamma(times), times) == pytest.approx(1, abs=1e-6)
    assert times[double_gamma(times).argmax()] == pytest.approx(5, abs=0.02)


@pytest.mark.parametrize("vertices", [30, 500, 5000, 20000])
def test_planted_vertices_are_distinct_vertices_of_the_cortex(vertices):
    sheet = plant(vertices)
    assert abs(len(sheet.vertex) - vertices) <= max(2 * len(REGIONS), 0.01 * vertices)
    for side, present in enumerate(cortex_vertices()):
        chosen = sheet.vertex[sheet.side == side]
        assert np.isin(chosen, present).all()
        assert len(np.unique(chosen)) == len(chosen)
        assert set(sheet.region[sheet.side == side]) == set(range(len(REGIONS)))
    assert np.all(np.diff(sheet.side) >= 0)


def test_planted_axis_lists_each_hemisphere_on_the_whole_mesh():
    sheet = plant(200)
    axis = sheet.axis()
    assert axis.nvertices == dict.fromkeys(HEMISPHERES, MESH_VERTICES)
    np.testing.assert_array_equal(axis.vertex, sheet.vertex)
    assert list(axis.name) == [HEMISPHERES[side] for side in sheet.side]


@pytest.mark.skipif(
    not STANDARD.exists(), reason="the standard 91,282-grayordinate file is not on this machine"
)
def test_cortex_is_that_of_the_standard_axis():
    import nibabel as nib

    standard = nib.load(STANDARD).header.get_axis(1)
    assert cortex_axis() == standard[np.isin(standard.name, HEMISPHERES)]


def test_cortex_has_the_known_number_of_vertices():
    assert [len(side) for side in cortex_vertices()] == [29_696, 29_716]


@pytest.mark.parametrize("heading", range(8))
def test_motion_energy_tells_the_direction(heading):
    drive = watch([scene(MOTIONS[heading])], 2.0)
    assert energy(drive).argmax() == heading
    assert drive.flow.mean(0)[:8].argmax() == heading


@pytest.mark.parametrize(
    ("motion", "channel"), [("growing", "expansion"), ("shrinking", "contraction"), ("spinning", "clockwise")]
)
def test_flow_tells_growing_shrinking_and_turning(motion, channel):
    flow = watch([scene(motion)], 2.0).flow.mean(0)
    assert FLOW_CHANNELS[flow.argmax()] == channel


def test_nothing_moves_in_a_still_scene():
    drive = watch([scene("still")], 2.0)
    assert not drive.motion.any()
    assert not drive.flow.any()


def test_camera_pan_is_motion_too():
    drive = watch([scene("still", pan=(0.1, 0.0))], 2.0)
    assert energy(drive).argmax() == 4  # the world moves left when the camera moves right
    assert drive.flow[:, FLOW_CHANNELS.index("panning")].min() > 0


def test_signed_change_adds_up_to_the_last_frame_minus_the_first(monkeypatch):
    monkeypatch.setattr(drive_module, "_ADAPTED", (1.0, 1e-9))  # no adaptation
    moving = scene("right")
    drive = watch([moving], 2.0)
    change = drive.motion.reshape(len(drive.motion), len(MOTION_CHANNELS), GRID, GRID)[:, 8:]
    frames = render(moving, [0.0, 2.0], 2.0, drive_module.VIEW).frames.astype(float)
    red, green, blue = np.moveaxis(frames[1] - frames[0], -1, 0) / 255
    block = drive_module.VIEW // GRID
    for channel, expected in enumerate((0.3 * red + 0.59 * green + 0.11 * blue, 0.7 * (red - green))):
        expected = expected.reshape(GRID, block, GRID, block).mean((1, 3))
        np.testing.assert_allclose(change[:, channel].sum(0) * drive.step_s, expected, atol=1e-4)


def test_responses_adapt_within_a_clip_and_keep_their_mean():
    motion, onset = adaptation(16, 0.125), adaptation(16, 0.125, 1 / 3, 0.3)
    for weight in (motion, onset):
        assert weight.mean() == pytest.approx(1, abs=1e-6)
        assert np.all(np.diff(weight) < 0)
    assert motion[8] / motion[0] == pytest.approx(np.exp(-1), rel=1e-5)
    assert onset[-1] / onset[0] == pytest.approx(1 / 4, abs=0.1)


def test_a_frozen_film_holds_its_first_frames_and_no_motion():
    rng = np.random.default_rng(3)
    scenes = film(rng, 6)
    frozen = watch(scenes, 2.0, frozen=True)
    assert not frozen.motion.any()
    assert not frozen.flow.any()
    np.testing.assert_array_equal(frozen.meaning, watch(scenes, 2.0).meaning)
    other = [replace(one, motion=MOTIONS.index("still"), pan=(0.0, 0.0)) for one in scenes]
    kept = [index for index, one in enumerate(scenes) if MOTIONS[one.motion] not in ("growing", "shrinking")]
    steps = len(frozen.layout) // len(scenes)
    first, still = (
        (d.layout.reshape(len(scenes), steps, -1) - d.layout.mean(0))[kept].mean(1)
        for d in (frozen, watch(other, 2.0))
    )
    assert np.corrcoef(first.ravel(), still.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("clip_s", [0.5, 1.0, 2.0, 4.0])
def test_drive_has_whole_steps_in_every_clip(clip_s):
    drive = watch(film(np.random.default_rng(0), 3, clip_s), clip_s)
    assert len(drive.layout) % 3 == 0
    assert len(drive.layout) * drive.step_s == pytest.approx(3 * clip_s)
    assert drive.layout.shape[1] == 4 * GRID**2
    assert {len(part) for part in (drive.layout, drive.motion, drive.flow, drive.meaning)} == {
        len(drive.layout)
    }


def impulse(sees: str, feature: int, at: int, steps: int = 400, step_s: float = 0.1) -> Drive:
    """A drive that is silent but for one sample of one feature."""
    sizes = {
        "layout": 4 * GRID**2,
        "motion": len(MOTION_CHANNELS) * GRID**2,
        "flow": len(FLOW_CHANNELS),
        "meaning": len(MEANING_CHANNELS),
    }
    parts = {name: np.zeros((steps, size), np.float32) for name, size in sizes.items()}
    parts[sees][at, feature] = 1 / step_s
    return Drive(step_s, **parts)


def test_response_to_an_impulse_is_the_delayed_haemodynamic_response():
    cortex = tune(plant(300), np.random.default_rng(0))
    times = np.arange(0, 30, 0.5)
    signal = noiseless(cortex, impulse("meaning", 0, at=20), times)
    rows, weights = cortex.weights["meaning"]
    silent = np.setdiff1d(np.arange(len(cortex.strength)), rows)
    assert not signal[:, silent].any()
    expected = double_gamma(times[:, None] - 2.05 - cortex.latency_s[rows]) * weights[0]
    assert (
        np.abs(signal[:, rows] - expected).max() < 0.12 * np.abs(expected).max()
    )  # first order in the latency
    exact = np.abs(cortex.latency_s[rows]).argmin()
    np.testing.assert_allclose(signal[:, rows[exact]], expected[:, exact], atol=2e-3)


def test_standardised_signals_have_unit_variance_in_training_and_silence_stays_silent():
    rng = np.random.default_rng(0)
    signals = [rng.normal(3, 5, (40, 4)).astype(np.float32) for _ in range(3)]
    for signal in signals:
        signal[:, 2] = 7
    train, _, test = standardise(signals, fit=2)
    both = np.concatenate(standardise(signals, fit=2)[:2])
    np.testing.assert_allclose(both.std(0), [1, 1, 0, 1], atol=1e-5)
    assert not test[:, 2].any()
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-5)


def detrended(run: np.ndarray, order: int = 60) -> np.ndarray:
    basis, _ = np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1, 1, len(run)), order))
    return run - basis @ (basis.T @ run)


def test_two_runs_correlate_as_strongly_as_the_vertex_is_reliable():
    rng = np.random.default_rng(0)
    cortex = tune(plant(120), rng)
    signal = rng.standard_normal((1200, len(cortex.strength))).astype(np.float32)
    runs = [detrended(record(signal, cortex, np.random.default_rng([1, k]), tr_s=2.0)) for k in range(2)]
    r = [np.corrcoef(one, two)[0, 1] for one, two in zip(runs[0].T, runs[1].T, strict=True)]
    np.testing.assert_allclose(r, cortex.strength, atol=0.2)  # single vertices: sampling error of r
    assert np.mean(r) == pytest.approx(cortex.strength.mean(), abs=0.03)
    assert np.corrcoef(r, cortex.strength)[0, 1] > 0.9


def test_noise_is_autocorrelated_shared_and_drifts():
    cortex = tune(plant(100), np.random.default_rng(0))
    nothing = np.zeros((1500, len(cortex.strength)), np.float32)
    run = record(nothing, cortex, np.random.default_rng(1), tr_s=2.0)
    assert run.dtype == np.float32
    np.testing.assert_allclose(run.mean(0), cortex.baseline, rtol=0.03)
    noise = detrended(run)
    one_later = np.mean([np.corrcoef(x[1:], x[:-1])[0, 1] for x in noise.T])
    assert 0.2 < one_later < 0.45  # (.45 + .20) * .5, less what the detrending took
    together = np.abs(np.corrcoef(noise.T)[np.triu_indices(len(cortex.strength), 1)])
    assert 0.05 < together.mean() < 0.25
    assert np.var(run, axis=0).mean() > 1.3 * np.var(noise, axis=0).mean()


def test_reliability_of_a_subject_is_that_of_real_runs():
    strength = tune(plant(4000), np.random.default_rng(0)).strength
    assert 0.12 < np.median(strength) < 0.2
    assert 0.3 < np.quantile(strength, 0.9) < 0.45
    assert 0.2 < np.mean(strength == 0) < 0.35


def test_snr_moves_reliability_but_not_tuning():
    quiet, loud = (tune(plant(100), np.random.default_rng(0), snr=snr) for snr in (0.5, 2.0))
    assert np.all(quiet.strength <= loud.strength)
    assert quiet.prefers == loud.prefers
    responsive = loud.strength > 0
    odds = loud.strength / (1 - loud.strength) / (quiet.strength / (1 - quiet.strength) + 1e-12)
    np.testing.assert_allclose(odds[responsive], 4, rtol=1e-3)


def test_receptive_fields_lie_mostly_in_the_opposite_half_field():
    sheet = plant(2000)
    field = tune(sheet, np.random.default_rng(0)).field
    retinotopic = np.isfinite(field[:, 0])
    opposite = np.where(sheet.side == 0, 1, -1) * field[:, 0] > 0
    assert 0.75 < opposite[retinotopic].mean() < 0.95
    seen = {REGIONS[index].name for index in np.unique(sheet.region[retinotopic])}
    assert seen == {"V1", "V2", "V3", "V4", "V3A", "MT"}


@pytest.mark.parametrize(("share", "expected"), [(0.0, "motion"), (1.0, "change")])
def test_signed_change_decides_what_motion_vertices_prefer(share, expected):
    sheet = plant(300)
    cortex = tune(sheet, np.random.default_rng(0), signed_change=share)
    rows = np.isin([REGIONS[index].name for index in sheet.region], ["MT", "V3A"]) & (cortex.strength > 0)
    assert {cortex.prefers[index].split()[0] for index in np.flatnonzero(rows)} == {expected}


def test_each_region_tells_its_own_part_and_not_the_others():
    """Ridge on one film, read on another: layout, motion and meaning each have their place."""
    sheet = plant(400)
    cortex = tune(sheet, np.random.default_rng(0), snr=3.0)
    scenes = [
        film(np.random.default_rng([5, part]), clips, scene_clips=(2, 3))
        for part, clips in enumerate((260, 120))
    ]
    drives = [watch(part, 2.0) for part in scenes]
    times = [2.0 * np.arange(len(part)) + 6.0 for part in scenes]
    signals = standardise([noiseless(cortex, d, at) for d, at in zip(drives, times, strict=True)], fit=1)
    x, new = (
        np.mean(
            [detrended(record(s, cortex, np.random.default_rng([k, r]), 2.0), 6) for r in range(4)], axis=0
        )
        for k, s in enumerate(signals)
    )
    x, new = (x - x.mean(0)) / x.std(0), (new - new.mean(0)) / new.std(0)
    roles = np.array([REGIONS[index].role if REGIONS[index].name else "outside" for index in sheet.region])

    def decode(role: str, attribute: str, classes: int, keep=lambda one: True) -> float:
        fit, read = ([i for i, one in enumerate(part) if keep(one)] for part in scenes)
        target = np.eye(classes)[[getattr(scenes[0][i], attribute) for i in fit]]
        a, b = x[np.ix_(fit, roles == role)], new[np.ix_(read, roles == role)]
        weights = np.linalg.solve(
            a.T @ a + 0.3 * len(a) * np.eye(a.shape[1]), a.T @ (target - target.mean(0))
        )
        found = (b @ weights + target.mean(0)).argmax(1)
        return float((found == [getattr(scenes[1][i], attribute) for i in read]).mean())

    def moves(one) -> bool:
        return one.motion < 8

    assert decode("meaning", "object", 10) > 0.5
    assert decode("motion", "motion", 8, moves) > 0.4
    assert decode("layout", "background", 6) > 0.45
    for role in ("layout", "motion", "none"):
        assert decode(role, "object", 10) < 0.3
    for role in ("layout", "meaning", "none"):
        assert decode(role, "motion", 8, moves) < 0.35
    assert decode("motion", "background", 6) < 0.4
    assert decode("none", "background", 6) < 0.4
