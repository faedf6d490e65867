"""The film reader: times and frames against PyAV's own, in any order, and damaged files."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from mindanim.errors import InputError
from mindanim.stimuli.video import FilmFile
from tests.stimuli.filming import constant, number_of, variable, write_coded, write_film

REAL = Path(__file__).parents[3] / "shared" / "data" / "films"


def decoded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times and frames as PyAV gives them, from the first frame on."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    times = np.array([frame.time for frame in frames])
    return times - times[0], np.stack([frame.to_ndarray(format="rgb24") for frame in frames])


@pytest.mark.parametrize(
    "times", [constant(30, 3), constant(60, 3), variable(4), [500 + t for t in constant(25, 2)]]
)
def test_times_and_frames_are_exact(tmp_path: Path, times: list[float]) -> None:
    film = FilmFile(write_film(tmp_path / "film.mp4", times))
    expected_times, expected = decoded(film.path)
    np.testing.assert_allclose(film.times, expected_times, atol=1e-4)
    np.testing.assert_allclose(film.times, (np.round(times) - round(times[0])) / 1000, atol=1e-4)
    frames = film.read(range(len(film)))
    assert [number_of(frame) for frame in frames] == list(range(len(times)))
    np.testing.assert_array_equal(frames, expected)
    assert film.size == (64, 80) and film.end_s == pytest.approx(
        film.times[-1] + np.median(np.diff(film.times))
    )


def test_random_access_in_any_order(tmp_path: Path) -> None:
    film = FilmFile(write_film(tmp_path / "film.mp4", variable(4)))
    wanted = np.random.default_rng(1).permutation(len(film))[:40].tolist()
    assert [number_of(frame) for frame in film.read(wanted)] == wanted
    assert [number_of(frame) for frame in film.read([5, 5, 6])] == [5, 5, 6]


def test_sound_is_ignored(tmp_path: Path) -> None:
    silent = write_film(tmp_path / "silent.mp4", constant(30, 2))
    loud = tmp_path / "loud.mp4"
    with av.open(str(silent)) as source, av.open(str(loud), "w") as container:
        picture = container.add_stream_from_template(source.streams.video[0])
        sound = container.add_stream("aac", rate=44_100)
        for part in range(0, 4 * 44_100, 1024):  # twice as long as the picture, and before it in the file
            noise = np.random.default_rng(part).standard_normal((1, 1024)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44_100, part
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                container.mux(packet)
    with_sound, without = FilmFile(loud), FilmFile(silent)
    np.testing.assert_allclose(with_sound.times, without.times, atol=1e-4)
    np.testing.assert_array_equal(with_sound.read([3, 40]), without.read([3, 40]))
    assert with_sound.end_s == pytest.approx(without.end_s)


@pytest.mark.parametrize("name", ["flower.mp4", "friday.mp4"])
def test_real_films(name: str) -> None:
    path = REAL / name
    if not path.is_file():
        pytest.skip(f"{path}: the CC0 films are not on this machine")
    film = FilmFile(path)
    times, frames = decoded(path)
    np.testing.assert_allclose(film.times, times, atol=1e-4)
    some = list(range(0, len(film), 7))
    np.testing.assert_array_equal(film.read(some), frames[some])


def test_truncated_after_the_index(tmp_path: Path) -> None:
    whole = write_film(tmp_path / "film.mp4", constant(30, 8))
    data = whole.read_bytes()
    whole.write_bytes(data[: int(0.6 * len(data))])
    with pytest.raises(
        InputError, match=r"film.mp4 is damaged or truncated after [1-5]\.\d\d s(.|\n)* of its 240"
    ):
        FilmFile(whole)


def test_damaged_in_the_middle(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", constant(30, 8))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"film.mp4 is damaged or truncated after \d\.\d\d s"):
        FilmFile(path).read(range(240))


@pytest.mark.parametrize("content", [b"", b"not a film at all" * 50])
def test_not_a_film(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match="film.mp4 is not a readable film"):
        FilmFile(path)


@pytest.mark.parametrize(("height", "width"), [(64, 48), (64, 72), (61, 97), (62, 97)])
def test_narrow_and_odd_sizes(tmp_path: Path, height: int, width: int) -> None:
    frames = [np.full((height, width, 3), 40 * number, np.uint8) for number in range(4)]
    film = FilmFile(write_coded(tmp_path / "f.webm", "libvpx-vp9", frames=frames))
    times, expected = decoded(film.path)
    np.testing.assert_allclose(film.times, times, atol=1e-7)
    np.testing.assert_array_equal(film.read(range(4)), expected)
    assert film.size == (height, width)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere.mp4 is missing"):
        FilmFile(tmp_path / "nowhere.mp4")
