"""The film reader: its two decoders against each other and against PyAV, and damaged files."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mindanim.errors import InputError
from mindanim.stimuli import video
from mindanim.stimuli.video import BackendName, FilmFile
from tests.stimuli.filming import constant, number_of, variable, write_film

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


@pytest.mark.parametrize("backend", [None, "pyav"])
def test_random_access_in_any_order(tmp_path: Path, backend: BackendName | None) -> None:
    film = FilmFile(write_film(tmp_path / "film.mp4", variable(4)), backend)
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


@pytest.mark.parametrize("backend", [None, "pyav"])
def test_truncated_after_the_index(tmp_path: Path, backend: BackendName | None) -> None:
    whole = write_film(tmp_path / "film.mp4", constant(30, 8))
    data = whole.read_bytes()
    whole.write_bytes(data[: int(0.6 * len(data))])
    with pytest.raises(InputError, match=r"film.mp4 is damaged or truncated after [1-5]\.\d\d s"):
        FilmFile(whole, backend)


@pytest.mark.parametrize("backend", [None, "pyav"])
def test_damaged_in_the_middle(tmp_path: Path, backend: BackendName | None) -> None:
    path = write_film(tmp_path / "film.mp4", constant(30, 8))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"film.mp4 is damaged or truncated after \d\.\d\d s"):
        FilmFile(path, backend).read(range(240))


@pytest.mark.parametrize("backend", [None, "pyav"])
@pytest.mark.parametrize("content", [b"", b"not a film at all" * 50])
def test_not_a_film(tmp_path: Path, content: bytes, backend: BackendName | None) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match="film.mp4 is not a readable film"):
        FilmFile(path, backend)


@pytest.mark.parametrize("width", [48, 72])
def test_pyav_reads_the_widths_that_decord_cannot(
    tmp_path: Path, width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [np.full((64, width, 3), 40 * number, np.uint8) for number in range(4)]
    path = write_film(tmp_path / "narrow.mp4", [0, 40, 80, 120], frames)
    with pytest.raises(InputError, match="decord cannot read"):
        FilmFile(path, "decord")
    film, again = FilmFile(path), FilmFile(path)
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("decord cannot read") == 1 and "PyAV reads it instead" in said
    times, expected = decoded(path)
    np.testing.assert_allclose(film.times, times, atol=1e-7)
    np.testing.assert_array_equal(film.read(range(4)), expected)
    np.testing.assert_array_equal(again.read([2]), expected[2:3])


def scenes(height: int, width: int, count: int = 30) -> list[np.ndarray]:
    """Coarse coloured noise, which shows any difference in colour conversion or chroma interpolation."""
    rng = np.random.default_rng(height * width)
    coarse = rng.integers(0, 256, (count, height // 8 + 1, width // 8 + 1, 3))
    fine = coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width] + rng.integers(-20, 21, (1, height, width, 3))
    return list(fine.clip(0, 255).astype(np.uint8))


def encode(path: Path, codec: str, pixels: str, height: int, width: int, first: int = 0) -> Path:
    rate = Fraction(30000, 1001)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"g": "7"})
        stream.height, stream.width, stream.pix_fmt = height, width, pixels
        for number, array in enumerate(scenes(height, width), start=first):
            frame = av.VideoFrame.from_ndarray(array, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


FORMATS = [
    ("mp4", "libx264", "yuv444p"),  # what the simulator writes
    ("mp4", "libx264", "yuv420p"),
    ("mp4", "libx264", "yuvj420p"),
    ("mkv", "libx264", "yuv422p"),
    ("mkv", "mpeg4", "yuv420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
]


@pytest.mark.parametrize(("suffix", "codec", "pixels"), FORMATS)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (66, 82), (120, 160)])
def test_both_decoders_give_the_same_bytes_and_times(
    tmp_path: Path, suffix: str, codec: str, pixels: str, height: int, width: int
) -> None:
    pytest.importorskip("decord")
    path = encode(tmp_path / f"film.{suffix}", codec, pixels, height, width)
    one, other = FilmFile(path, "decord"), FilmFile(path, "pyav")
    assert_same(one, other)


@pytest.mark.parametrize("times", [constant(30, 3), variable(4), [500 + t for t in constant(25, 2)], [0]])
def test_both_decoders_agree_on_times_that_vary(tmp_path: Path, times: list[float]) -> None:
    pytest.importorskip("decord")
    path = write_film(tmp_path / "film.mp4", times)
    assert_same(FilmFile(path, "decord"), FilmFile(path, "pyav"))


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "libx264"), ("avi", "mpeg4"), ("mpg", "mpeg2video")])
def test_films_that_start_late_are_read_alike(
    tmp_path: Path, suffix: str, codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """decord gives the frames of MPEG program streams no times: it must not be used for them."""
    path = encode(tmp_path / f"late.{suffix}", codec, "yuv420p", 64, 80, first=13)
    usual = FilmFile(path)
    monkeypatch.setattr("mindanim.stimuli.video._has_decord", lambda: False)
    assert_same(usual, FilmFile(path))
    assert usual.times[0] == 0 and 1 < usual.end_s < 2


def assert_same(one: FilmFile, other: FilmFile) -> None:
    assert (len(one), one.size, one.end_s) == (len(other), other.size, other.end_s)
    np.testing.assert_array_equal(one.times, other.times)
    np.testing.assert_array_equal(one.read(range(len(one))), other.read(range(len(one))))
    shuffled = np.random.default_rng(0).permutation(len(one))[:12].tolist()
    np.testing.assert_array_equal(one.read(shuffled), other.read(shuffled))
    np.testing.assert_array_equal(one.read([len(one) - 1, 0, 0]), other.read([len(one) - 1, 0, 0]))


@pytest.mark.parametrize(("height", "width"), [(61, 97), (61, 96), (62, 97)])
def test_odd_sizes_are_read_alike_with_and_without_decord(
    tmp_path: Path, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "odd.webm", "libvpx-vp9", "yuv420p", height, width)
    usual = FilmFile(path)
    monkeypatch.setattr("mindanim.stimuli.video._has_decord", lambda: False)
    assert_same(usual, FilmFile(path))


def test_without_decord_films_are_read_by_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    video._has_decord.cache_clear()
    try:
        film = FilmFile(write_film(tmp_path / "film.mp4", variable(4)))
        wanted = np.random.default_rng(1).permutation(len(film))[:40].tolist()
        assert [number_of(frame) for frame in film.read(wanted)] == wanted
    finally:
        video._has_decord.cache_clear()


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere.mp4 is missing"):
        FilmFile(tmp_path / "nowhere.mp4")
