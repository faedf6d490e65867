"""The simulated world against its own truth: what is drawn, how it moves, and nothing tells the motion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindanim.errors import InputError
from mindanim.simulation import world
from mindanim.simulation.backdrops import backdrop
from mindanim.simulation.shapes import EXTENT, shape_table
from mindanim.simulation.world import Scene, film, render, sample_scene

TIMES = np.arange(8) / 4


def scene(motion: str = "still", **changes: object) -> Scene:
    fixed = {"motion": world.MOTIONS.index(motion), "pan": (0.0, 0.0), "x": 0.0, "y": 0.0, "tilt": 0.0}
    return sample_scene(np.random.default_rng(5), **(fixed | changes))


def centroid(mask: np.ndarray) -> np.ndarray:
    """Centre of the covered pixels ``(frame, 2)``, x and y."""
    rows, columns = np.indices(mask.shape[1:])
    weight = mask.sum((1, 2))
    return np.stack([(mask * columns).sum((1, 2)) / weight, (mask * rows).sum((1, 2)) / weight], axis=1)


@pytest.mark.parametrize("size", [32, 48, 64, 100])
def test_arrays_have_the_promised_shapes_and_ranges(size: int) -> None:
    rendered = render(scene("right"), TIMES[:3], size=size)
    assert rendered.frames.shape == (3, size, size, 3) and rendered.frames.dtype == np.uint8
    assert rendered.flow.shape == (3, size, size, 2) and rendered.flow.dtype == np.float32
    assert rendered.mask.shape == (3, size, size) and rendered.mask.dtype == np.float32
    assert rendered.mask.min() == 0 and rendered.mask.max() == 1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_a_seed_decides_everything_and_the_object_stays_in_view(seed: int) -> None:
    shot = sample_scene(np.random.default_rng(seed))
    assert shot == sample_scene(np.random.default_rng(seed))
    first, second = render(shot, TIMES), render(shot, TIMES)
    assert np.array_equal(first.frames, second.frames)
    whole = render(
        Scene(**(vars(shot) | {"x": 0.0, "y": 0.0, "motion": 8, "pan": (0.0, 0.0)})), [1.0]
    ).mask.sum()
    growth = (
        1.8 if shot.motion >= 8 else 1.0
    )  # a shrinking or growing object is smaller than nominal for a while
    assert first.mask.sum((1, 2)).min() >= 0.45 * whole / growth


def test_single_frames_equal_those_of_the_clip() -> None:
    shot = scene("up-left", pan=(0.04, 0.0))
    clip = render(shot, TIMES).frames
    assert all(np.array_equal(render(shot, [t]).frames[0], clip[i]) for i, t in enumerate(TIMES))


@pytest.mark.parametrize("motion", world.DIRECTIONS)
def test_directions_move_the_object_their_way_at_the_true_flow(motion: str) -> None:
    rendered = render(scene(motion, size=0), TIMES)
    path = np.diff(centroid(rendered.mask), axis=0).mean(0) * 4  # px per second
    heading = world.DIRECTIONS.index(motion) * np.pi / 4
    expected = 0.6 * 32 / 2 * np.array([np.cos(heading), -np.sin(heading)])
    np.testing.assert_allclose(path, expected, atol=0.3)
    np.testing.assert_allclose(rendered.flow[0][rendered.mask[0] > 0.5].mean(0), expected, atol=1e-4)
    assert np.all(rendered.flow[0][rendered.mask[0] < 0.5] == 0)


def test_growing_and_shrinking_change_the_scale_and_meet_in_mid_clip() -> None:
    areas = {m: render(scene(m), [0.0, 1.0, 2.0]).mask.sum((1, 2)) for m in ("growing", "shrinking", "still")}
    assert areas["growing"][2] / areas["growing"][0] == pytest.approx(1.8**2, rel=0.03)
    assert areas["growing"][0] == pytest.approx(areas["shrinking"][2], rel=0.01)
    assert areas["growing"][1] == pytest.approx(areas["still"][1], rel=0.01)
    outward = render(scene("growing"), [1.0])
    covered = outward.mask[0] > 0.5
    rows, columns = np.indices((64, 64)) - 31.5
    assert np.all((outward.flow[0, ..., 0] * columns + outward.flow[0, ..., 1] * rows)[covered] > 0)


@pytest.mark.parametrize("thing", range(len(world.OBJECTS)))
def test_a_spin_shows_on_every_object_and_its_flow_is_a_clockwise_rotation(thing: int) -> None:
    rendered = render(scene("spinning", object=thing, size=1), [0.0, 0.25])
    inner = rendered.mask.min(0) == 1
    change = np.abs(np.diff(rendered.frames.astype(int), axis=0))[0][inner].mean()
    assert change > 2
    rows, columns = np.indices((64, 64)) - 31.5
    covered = rendered.mask[0] > 0.5
    spin = np.deg2rad(225) / 2
    np.testing.assert_allclose(rendered.flow[0, ..., 0][covered], (-spin * rows)[covered], atol=1e-3)
    np.testing.assert_allclose(rendered.flow[0, ..., 1][covered], (spin * columns)[covered], atol=1e-3)


@pytest.mark.parametrize("motion", ["up-right", "growing", "spinning"])
def test_the_true_flow_carries_each_frame_to_the_next(motion: str) -> None:
    """Frames warped by the flow agree with the next frame far better than frames left alone."""
    from scipy.ndimage import map_coordinates

    shot = scene(motion, pan=(0.04, 0.0), size=1)
    step = 0.1
    here, there = (render(shot, [moment], size=128) for moment in (0.5, 0.5 + step))
    now, then = (rendered.frames[0].astype(float).mean(-1) for rendered in (here, there))
    shift = there.flow[0] * step
    rows, columns = np.indices(now.shape)
    warped = map_coordinates(now, [rows - shift[..., 1], columns - shift[..., 0]], order=1, mode="nearest")
    inner = np.s_[4:-4, 4:-4]
    left_alone = np.abs(now - then)[inner].mean()
    assert np.abs(warped - then)[inner].mean() < 0.65 * left_alone


def test_a_pan_moves_the_landscape_against_the_camera() -> None:
    shot = scene(
        "still", pan=(0.5, 0.0), background=1, size=0
    )  # half a frame per second: 16 px in half a second
    rendered = render(shot, [0.0, 0.5])
    top = rendered.frames[:, :8].astype(int), rendered.frames[:, 56:].astype(int)
    for strip in top:
        assert np.abs(strip[1][:, :48] - strip[0][:, 16:]).max() <= 1
    assert np.all(rendered.flow[0, :8] == [-32, 0])
    np.testing.assert_allclose(np.diff(centroid(rendered.mask), axis=0)[0], [-16, 0], atol=0.5)


def test_attributes_are_uniform_and_the_start_tells_nothing_of_the_motion() -> None:
    shots = [sample_scene(np.random.default_rng(seed)) for seed in range(6000)]
    for name, names in (
        ("object", world.OBJECTS),
        ("colour", world.COLOURS),
        ("background", world.BACKGROUNDS),
        ("size", world.SIZES),
        ("motion", world.MOTIONS),
    ):
        counts = np.bincount([getattr(shot, name) for shot in shots], minlength=len(names))
        assert len(counts) == len(names)
        expected = len(shots) / len(names)
        # chi-squared, 99.9 % quantile bounded by mean + 4.5 standard deviations
        freedom = len(names) - 1
        assert ((counts - expected) ** 2 / expected).sum() < freedom + 4.5 * np.sqrt(2 * freedom)
    start = np.array([(shot.x, shot.y) for shot in shots])
    motion = np.array([shot.motion for shot in shots])
    means = np.array([start[motion == m].mean(0) for m in range(12)])
    assert np.abs(means).max() < 4.5 * start.std() / np.sqrt(len(shots) / 12)


def test_fixing_an_attribute_leaves_the_other_draws_alone() -> None:
    free, fixed = (sample_scene(np.random.default_rng(3), **kept) for kept in ({}, {"object": 7}))
    assert vars(free) | {"object": 7} == vars(fixed)


def test_captions_name_what_a_still_shows_and_never_the_motion() -> None:
    shot = scene(object=0, colour=0, background=1, size=1)
    assert shot.caption() == "a large red ball over a green field"
    captions = {sample_scene(np.random.default_rng(seed)).caption() for seed in range(400)}
    assert not any(word in caption.split() for caption in captions for word in world.MOTIONS)


def test_a_film_has_scenes_of_one_to_three_takes() -> None:
    shots = film(np.random.default_rng(0), 500)
    assert len(shots) == 500
    ids = np.array([shot.scene_id for shot in shots])
    assert np.array_equal(np.unique(ids), np.arange(ids[-1] + 1)) and np.all(np.diff(ids) >= 0)
    assert set(np.bincount(ids)[:-1]) == {1, 2, 3}
    same = np.flatnonzero(np.diff(ids) == 0)
    for index in same[:50]:
        one, two = vars(shots[index]) | {"x": 0, "y": 0}, vars(shots[index + 1]) | {"x": 0, "y": 0}
        assert one == two
        assert (shots[index].x, shots[index].y) != (shots[index + 1].x, shots[index + 1].y)


def test_objects_stand_out_from_every_landscape_in_every_colour() -> None:
    """The outline or the fill differs from what surrounds it by a clear step, also white on snow."""
    for ground in range(len(world.BACKGROUNDS)):
        for colour in range(len(world.COLOURS)):
            shot = scene(object=0, background=ground, colour=colour, size=0)
            rendered = render(shot, [0.0])
            frame, mask = rendered.frames[0].astype(float), rendered.mask[0]
            bare = backdrop(
                world.BACKGROUNDS[ground], shot.texture_seed, *[(np.arange(64) + 0.5) / 64] * 2, np.eye(3)
            )
            edge = (mask > 0.5) & (np.hypot(*(np.indices((64, 64)) - 31.5)) > 11)
            fill = (mask == 1) & ~edge
            contrast = max(np.abs(frame - 255 * bare)[where].max(-1).mean() for where in (edge, fill))
            assert contrast > 60, (world.BACKGROUNDS[ground], world.COLOURS[colour])


@pytest.mark.parametrize("name", world.OBJECTS)
def test_shapes_fill_their_unit_and_hold_a_true_distance(name: str) -> None:
    table = shape_table(name)
    distance = table[..., 0]
    axis = (np.arange(len(table)) + 0.5) / len(table) * 2 * EXTENT - EXTENT
    inside_rows, inside_columns = np.nonzero(distance < 0)
    reach = max(np.abs(axis[inside_rows]).max(), np.abs(axis[inside_columns]).max())
    assert 0.85 <= reach <= 1.12
    slope = np.hypot(*np.gradient(distance, axis[1] - axis[0]))
    near = np.abs(distance) < 0.1
    assert np.percentile(slope[near], 90) < 1.1, (
        "steeper than a distance: the outline would be thin and jagged"
    )
    with pytest.raises(ValueError, match="read-only"):
        table[0, 0, 0] = 1


@pytest.mark.parametrize("arguments", [{"size": 16}, {"duration_s": 0.0}])
def test_impossible_frames_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(InputError, match="Cannot render"):
        render(scene(), [0.0], **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("takes", [(0, 2), (3, 1)])
def test_impossible_films_are_refused(takes: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="A film cannot"):
        film(np.random.default_rng(0), 5, scene_clips=takes)
