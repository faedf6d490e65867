"""Folders of clips made elsewhere: found by their layout, cut at the border, read exactly."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mindanim.errors import InputError
from mindanim.metrics.inputs.folders import PartClips, check_alike, check_complete, find_clips
from mindanim.metrics.inputs.short_films import cut, read_film
from tests.metrics.films import noise, panned, texture

SIZE, FRAMES = 32, 4


def clip(seed, size=SIZE):
    return panned(texture(np.random.default_rng(seed), size, 10), (1, 0), FRAMES, size, 10)


def save(path, frames, **options):
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], **{"duration": 100, "loop": 0, **options})


def side_by_side(left, right, gap, around=0):
    parts = [left, np.full((*left.shape[:2], gap, 3), 255, np.uint8), right]
    joined = np.concatenate(parts if gap else [left, right], axis=2)
    rims = ((0, 0), (around, around), (around, around), (0, 0))
    return np.pad(joined, rims, constant_values=255)


@pytest.fixture
def few_colours():
    """Clips that a palette holds exactly."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (40, 3), dtype=np.uint8)
    return [colours[rng.integers(0, 40, (FRAMES, SIZE, SIZE))] for _ in range(4)]


@pytest.mark.parametrize(("gap", "around"), [(0, 0), (2, 0), (2, 2), (4, 4)])
def test_the_border_is_found_and_cut_so_that_the_halves_are_in_register(tmp_path, gap, around):
    left, right = clip(0), clip(1)
    found = cut(side_by_side(left, right, gap, around), tmp_path, None)
    np.testing.assert_array_equal(found[0], left)
    np.testing.assert_array_equal(found[1], right)


def test_a_border_that_is_none_is_refused(tmp_path):
    wide = noise(np.random.default_rng(2), 2, SIZE, 2 * SIZE + 2, 3)
    with pytest.raises(InputError, match="no even border of 2 px"):
        cut(wide, tmp_path, None)
    with pytest.raises(InputError, match="does not show two halves"):
        cut(noise(np.random.default_rng(2), 2, SIZE, SIZE, 3), tmp_path, None)
    tall = noise(np.random.default_rng(2), 2, 20, 30, 3)  # not square: the border must be said
    halves = cut(tall, tmp_path, 0)
    assert halves[0].shape == (2, 20, 15, 3) and np.array_equal(halves[1], tall[:, :, 15:])


def test_exact_formats_are_read_exactly(tmp_path, few_colours):
    frames = few_colours[0]
    np.save(tmp_path / "a.npy", frames)
    np.save(tmp_path / "first.npy", frames.transpose(0, 3, 1, 2).astype(np.float32) / 255)
    save(tmp_path / "a.gif", frames, optimize=False)
    save(tmp_path / "a.webp", frames, lossless=True)
    for name in ("a.npy", "first.npy", "a.gif", "a.webp"):
        np.testing.assert_array_equal(read_film(tmp_path / name), frames, err_msg=name)


def test_merged_equal_frames_of_a_gif_count_as_often_as_they_are_shown(tmp_path, few_colours):
    frames = few_colours[0][[0, 1, 1, 1]]
    save(tmp_path / "still.gif", frames, optimize=False)
    with Image.open(tmp_path / "still.gif") as image:
        assert image.n_frames == 2, "the writer merges equal frames"
    np.testing.assert_array_equal(read_film(tmp_path / "still.gif"), frames)


def test_an_mp4_is_read_nearly_as_it_was(tmp_path):
    from fractions import Fraction

    from mindanim.generation.clip_files import write_film

    frames = clip(3, 256)
    write_film(tmp_path / "a.mp4", frames, Fraction(4))
    found = read_film(tmp_path / "a.mp4")
    assert found.shape == frames.shape
    assert np.abs(found.astype(int) - frames).mean() < 4


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.gif", b"GIF89a nonsense"),
        ("a.mp4", b"nothing"),
        ("a.webp", b""),
        ("a.npy", b"\x93NUMPY"),
    ],
)
def test_a_broken_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_film(tmp_path / name)


def test_a_damaged_file_is_named_however_its_decoder_complains(tmp_path):
    np.save(tmp_path / "header.npy", clip(3))
    header = (tmp_path / "header.npy").read_bytes()
    (tmp_path / "header.npy").write_bytes(header.replace(b"), }", b"(, }", 1))
    np.savez(tmp_path / "several.npz", clip(3))
    (tmp_path / "several.npz").rename(tmp_path / "several.npy")
    for name in ("header.npy", "several.npy"):
        with pytest.raises(InputError, match=rf"{name} (.|\n)*Write the clip again"):
            read_film(tmp_path / name)


def test_a_gif_that_ends_anywhere_is_refused_or_shorter(tmp_path):
    save(tmp_path / "whole.gif", clip(3))
    whole = (tmp_path / "whole.gif").read_bytes()
    for end in range(20, len(whole) - 1, 97):
        (tmp_path / "cut.gif").write_bytes(whole[:end])
        try:
            assert len(read_film(tmp_path / "cut.gif")) < FRAMES, end
        except InputError as error:
            assert "cut.gif" in error.what and error.why and error.hint


def test_transparent_pixels_have_no_colour_to_score(tmp_path):
    frames = clip(4)
    for opacity in (255, 254):
        alpha = np.full((*frames.shape[:3], 1), 255, np.uint8)
        alpha[1, 5, 7] = opacity
        save(tmp_path / f"{opacity}.webp", np.concatenate([frames, alpha], axis=3), lossless=True, exact=True)
    np.testing.assert_array_equal(read_film(tmp_path / "255.webp"), frames)
    with pytest.raises(InputError, match=r"254\.webp(.|\n)*transparent(.|\n)*without transparency"):
        read_film(tmp_path / "254.webp")


def test_arrays_of_another_kind_are_refused_and_pickles_never_opened(tmp_path):
    for number, array in enumerate(
        (np.zeros((4, 8, 8)), np.full((2, 8, 8, 3), 7.0), np.zeros((2, 8, 8, 3), np.int64))
    ):
        np.save(tmp_path / f"{number}.npy", array)
        with pytest.raises(InputError, match=f"{number}.npy is not a readable film"):
            read_film(tmp_path / f"{number}.npy")
    np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="object.npy"):
        read_film(tmp_path / "object.npy")


def test_plain_folders_are_paired_by_name_in_natural_order(tmp_path):
    for folder in ("made", "true"):
        (tmp_path / folder).mkdir()
        for number, name in ((10, "clip10"), (9, "clip9"), (1, "clip1"), (2, "²")):
            np.save(tmp_path / folder / f"{name}.npy", clip(number))
    found = find_clips(tmp_path / "made", tmp_path / "true", "plain")
    assert list(found.pairs) == ["clip1", "clip9", "clip10", "²"] and check_complete(found, False) is None
    assert found.pairs["clip9"][0].file == tmp_path / "true" / "clip9.npy"
    (tmp_path / "made" / "clip9.npy").unlink()
    np.save(tmp_path / "made" / "clip77.npy", clip(0))
    found = find_clips(tmp_path / "made", tmp_path / "true", "plain")
    with pytest.raises(InputError, match="1 of 4 clips have no reconstruction: clip9(.|\n)*clip77"):
        check_complete(found, False)
    assert check_complete(found, True) == "3 of 4 clips; 1 reconstructions without ground truth"


def test_the_published_layouts(tmp_path):
    truths, recons = [clip(number) for number in range(3)], [clip(number + 50) for number in range(3)]
    folders = {name: tmp_path / name for name in ("mind-video", "mind-animator", "neuroclips")}
    for folder in folders.values():
        folder.mkdir()
    for number, (true, made) in enumerate(zip(truths, recons, strict=True)):
        np.save(folders["mind-video"] / f"{number}.npy", side_by_side(true, made, 2))
        np.save(folders["mind-animator"] / f"test{number}.npy", made)
        # Which side the truth is on is told by the reconstruction, not by the layout.
        sides = (true, made) if number % 2 else (made, true)
        np.save(folders["mind-animator"] / f"test_and_gt{number}.npy", side_by_side(*sides, 2))
        np.save(folders["neuroclips"] / f"{number}.npy", made)
        np.save(folders["neuroclips"] / f"gt_{number}.npy", true)
    for layout, folder in folders.items():
        found = find_clips(folder, None, layout)
        assert len(found.pairs) == 3 and not found.missing and not found.extra, layout
        for which, expected in enumerate((truths, recons)):
            clips = PartClips([pair[which] for pair in found.pairs.values()], None, None)
            for number in range(3):
                np.testing.assert_array_equal(clips[number], expected[number], err_msg=layout)


def test_a_folder_of_another_layout_says_what_was_found(tmp_path):
    np.save(tmp_path / "a.npy", clip(0))
    with pytest.raises(InputError, match="fits the layout neuroclips(.|\n)*Found there: a"):
        find_clips(tmp_path, None, "neuroclips")
    save(tmp_path / "a.gif", clip(0))
    with pytest.raises(InputError, match="has a twice"):
        find_clips(tmp_path, tmp_path, "plain")
    with pytest.raises(InputError, match="does not exist"):
        find_clips(tmp_path / "nowhere", None, "neuroclips")


def test_sizes_and_frames_must_agree_or_be_asked_for(tmp_path):
    (tmp_path / "made").mkdir()
    np.save(tmp_path / "a.npy", clip(0, 48))
    np.save(tmp_path / "made" / "a.npy", clip(0)[:3])
    found = find_clips(tmp_path / "made", tmp_path, "plain")

    def parts(**options):
        made = {"size": None, "frames": None, **options}
        return [PartClips([pair[which] for pair in found.pairs.values()], **made) for which in (0, 1)]

    with pytest.raises(
        InputError, match="a is 3 frames of 32 x 32 px, the first ground truth is 4 frames of 48"
    ):
        check_alike(["a"], *parts())
    assert check_alike(["a"], *parts(size=32, frames=3)) == (3, 32, 32, 3)
    with pytest.raises(InputError, match="3 frames, fewer than the 4"):
        check_alike(["a"], *parts(frames=4))


def test_a_gif_that_never_moves_has_as_many_frames_as_are_asked_for(tmp_path):
    still = np.repeat(np.full((1, SIZE, SIZE, 3), 90, np.uint8), FRAMES, axis=0)
    save(tmp_path / "a.gif", still)
    save(tmp_path / "gt_a.gif", still)
    (pair,) = find_clips(tmp_path, None, "neuroclips").pairs.values()
    truth, _ = pair
    assert PartClips([truth], None, None)[0].shape[0] == 1, "the writer kept one frame of all"
    np.testing.assert_array_equal(PartClips([truth], None, FRAMES)[0], still)
