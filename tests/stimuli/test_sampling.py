"""Which frames stand for a clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mindanim.errors import InputError
from mindanim.stimuli.frames import Sampling, middle
from tests.stimuli.filming import variable


@dataclass
class Times:
    """A film of which only the times matter."""

    times: np.ndarray
    end_s: float = field(init=False)
    path: Path = Path("film.mp4")

    def __post_init__(self) -> None:
        self.end_s = float(self.times[-1] + np.median(np.diff(self.times)))


def film(fps: float, seconds: float) -> Times:
    return Times(np.arange(round(fps * seconds)) / fps)


def test_released_spacing_is_the_papers() -> None:
    sampling = Sampling(8, 64, "released")
    assert sampling.indices(film(30, 10), "c", 0.0, 2.0) == [0, 8, 16, 24, 32, 40, 48, 56]
    assert sampling.indices(film(30, 10), "c", 4.0, 2.0) == [120 + 8 * k for k in range(8)]
    assert sampling.fps(film(30, 10), [0, 8, 16, 24, 32, 40, 48, 56], 2.0) == pytest.approx(3.75)
    assert middle(8) == 3  # frame 24 of 60


def test_even_spacing_is_what_is_on_screen() -> None:
    sampling = Sampling(8, 64)
    assert sampling.indices(film(30, 10), "c", 2.0, 2.0) == [60 + k for k in (0, 7, 15, 22, 30, 37, 45, 52)]
    assert sampling.indices(film(24, 10), "c", 3.0, 1.0) == [72 + 3 * k for k in range(8)]
    assert sampling.indices(film(4, 10), "c", 2.0, 2.0) == list(range(8, 16))
    assert sampling.fps(film(30, 10), [0, 7], 2.0) == 4.0


def test_released_spacing_stays_inside_short_clips() -> None:
    assert Sampling(8, 64, "released").indices(film(5, 10), "c", 0.0, 2.0) == list(range(8))


@given(
    onset=st.floats(0, 6),
    frames=st.integers(2, 12),
    seed=st.integers(0, 20),
    spacing=st.sampled_from(["even", "released"]),
)
def test_frames_rise_and_lie_in_the_clip(onset: float, frames: int, seed: int, spacing: str) -> None:
    some = Times(np.array(variable(10, seed)) / 1000)
    chosen = Sampling(frames, 64, spacing).indices(some, "c", onset, 2.0)  # type: ignore[arg-type]
    times = some.times[chosen]
    assert len(chosen) == frames and (np.diff(chosen) > 0).all()
    assert times[-1] < onset + 2.0
    if spacing == "released":
        assert times[0] >= onset - 1e-3 and len(set(np.diff(chosen))) == 1
    else:
        instants = onset + np.arange(frames) * 2.0 / frames
        following = np.append(some.times, some.end_s)[np.array(chosen) + 1]
        assert (times <= instants + 1e-3).all() and (following > instants).all()


@pytest.mark.parametrize("spacing", ["even", "released"])
def test_film_shorter_than_the_study_says(spacing: str) -> None:
    with pytest.raises(InputError, match=r"film.mp4 ends at 3.00 s") as caught:
        Sampling(8, 64, spacing).indices(film(30, 3), "seg01-0002", 2.0, 2.0)  # type: ignore[arg-type]
    assert "seg01-0002" in caught.value.why and "3.75 s" in caught.value.why


def test_a_frame_wanted_at_the_very_end_of_the_film_is_not_there() -> None:
    """At 4 frames per second a film of 2 s shows its last frame from 1.75 s to, not including, 2 s."""
    assert Sampling(8, 64).indices(film(4, 2), "c", 0.0, 2.0)[-1] == 7
    with pytest.raises(InputError, match=r"ends at 2.00 s"):
        Sampling(8, 64).indices(film(4, 2), "c", 0.25, 2.0)


def test_a_film_of_few_frames_is_sampled_as_it_was_seen() -> None:
    """At 2 Hz, each frame is on screen at two of the eight instants. `released` wants eight frames."""
    assert Sampling(8, 64).indices(film(2, 10), "c", 2.0, 2.0) == [4, 4, 5, 5, 6, 6, 7, 7]
    with pytest.raises(InputError, match=r"4 frames from 2 s on, in clip c(.|\n)*--set spacing=even"):
        Sampling(8, 64, "released").indices(film(2, 10), "c", 2.0, 2.0)


def test_last_frame_may_end_a_little_early() -> None:
    """Films often end a frame or two before the round number of seconds."""
    assert len(Sampling(8, 64).indices(film(30, 3.9), "c", 2.0, 2.0)) == 8


def test_resize_is_pillows() -> None:
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (9, 16, 3), dtype=np.uint8))
    frame = np.array(small.resize((160, 90), Image.Resampling.BICUBIC))
    cropped = Sampling(2, 32).resize(frame[None])[0]
    expected = Image.fromarray(frame[:, 35:125]).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(cropped.astype(int) - np.asarray(expected)).max() <= 1
    squashed = Sampling(2, 32, fit="squash").resize(frame[None])[0]
    expected = Image.fromarray(frame).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(squashed.astype(int) - np.asarray(expected)).max() <= 1
    zoomed = Sampling(2, 32, centre=0.5).resize(frame[None])[0]
    expected = Image.fromarray(frame[22:67, 57:102]).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(zoomed.astype(int) - np.asarray(expected)).max() <= 1


def test_the_centre_of_hcp_films() -> None:
    """420 of 512 px, kept around the centre and scaled back."""
    frame = np.random.default_rng(0).integers(0, 256, (1, 512, 512, 3), dtype=np.uint8)
    assert np.array_equal(Sampling(2, 420, centre=420 / 512).resize(frame)[0], frame[0, 46:466, 46:466])


def test_frames_of_the_right_size_are_left_alone() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    assert np.array_equal(Sampling(2, 64).resize(frames), frames)
