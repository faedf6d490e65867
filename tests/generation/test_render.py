"""Films and contact sheets read back."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mindanim.generation.clip_files import contact_sheet, enlarged, write_film


def clip(height: int = 64, width: int = 64, frames: int = 8) -> np.ndarray:
    """A bright square that moves over a coloured ground."""
    out = np.empty((frames, height, width, 3), np.uint8)
    out[:] = (40, 90, 160)
    for t in range(frames):
        out[t, 16:32, 8 + 4 * t : 24 + 4 * t] = (220, 200, 40)
    return out


def read(path: Path) -> tuple[np.ndarray, Fraction | None, float]:
    with av.open(path) as film:
        stream = film.streams.video[0]
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])
        return frames, stream.average_rate, float(stream.duration * stream.time_base)


@pytest.mark.parametrize("fps", [Fraction(4), Fraction(8, 3), Fraction(30000, 1001)])
def test_films_play_at_the_rate_at_which_they_were_sampled(tmp_path: Path, fps: Fraction) -> None:
    write_film(tmp_path / "film.mp4", clip(), fps)
    frames, rate, seconds = read(tmp_path / "film.mp4")
    assert rate == fps
    assert seconds == pytest.approx(8 / fps, abs=1e-3)
    assert frames.shape == (8, 256, 256, 3)
    error = np.abs(frames.astype(int) - enlarged(clip()))
    assert error.mean() < 3, "what people see is what was generated"


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_film(tmp_path / f"{name}.mp4", clip(), Fraction(4))
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


@pytest.mark.parametrize(("size", "expected"), [(64, 256), (32, 256), (100, 300), (256, 256), (513, 512)])
def test_small_frames_are_enlarged_pixel_by_pixel(size: int, expected: int) -> None:
    large = enlarged(clip(size, size))
    assert large.shape[1:3] == (expected, expected)
    factor = -(-256 // size)
    np.testing.assert_array_equal(
        large[:, ::factor, ::factor], clip(size, size)[:, : expected // factor, : expected // factor]
    )


def test_the_sheet_shows_the_truth_left_and_the_reconstruction_right(tmp_path: Path) -> None:
    truth, reconstruction = clip(), np.full((8, 64, 64, 3), (200, 30, 30), np.uint8)
    labels = ["test1-0001   a box over the sea", "word " * 500]
    contact_sheet(tmp_path / "sheet.png", [truth, truth], [reconstruction, reconstruction], labels)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    left, right = sheet[:, : sheet.shape[1] // 2], sheet[:, sheet.shape[1] // 2 :]
    yellow, red = (
        np.all(half == colour, axis=-1) for half, colour in ((left, (220, 200, 40)), (right, (200, 30, 30)))
    )
    assert yellow.sum() == 2 * 8 * 24 * 24, "eight squares of a quarter of 96 px, in each of two lines"
    assert red.sum() == 2 * 8 * 96 * 96
    assert not np.all(right == (220, 200, 40), axis=-1).any()
