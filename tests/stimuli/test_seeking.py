"""Where decord may seek: it gives the bytes of the pass forward, or it is not used."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from mindanim.films.playback import Playback
from mindanim.stimuli import seeking
from mindanim.stimuli.video import FilmFile
from tests.stimuli.filming import copy_film, number_of, variable, write_coded, write_film

pytest.importorskip("decord")

PLACES = [5, 40, 41, 62, 88]
SHORT = {"g": "20"}
OPEN = {"x264-params": "open-gop=1:keyint=20:min-keyint=20:bframes=4:b-adapt=0:scenecut=0"}


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short films stand for long ones."""
    monkeypatch.setattr(seeking, "_FAR", 10)


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("f.mp4", "libx264", "yuv444p"),  # what the simulator writes
        ("f.mp4", "libx264", "yuv420p"),
        ("f.mp4", "libx264", "yuvj420p"),
        ("f.mkv", "libx264", "yuv422p"),
        ("f.mkv", "mpeg4", "yuv420p"),
        ("f.webm", "libvpx-vp9", "yuv420p"),
    ],
)
@pytest.mark.parametrize(("height", "width"), [(64, 80), (66, 90)])
def test_decord_gives_the_same_bytes(
    name: str, codec: str, pixels: str, height: int, width: int, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (90, height // 8 + 1, width // 8 + 1, 3), np.uint8)
    frames = list(coarse.repeat(8, 1).repeat(8, 2)[:, :height, :width])
    path = write_coded(tmp_path / name, codec, SHORT, pixels=pixels, frames=frames)
    playback = Playback(path)
    reader = seeking.seeker(playback, PLACES)
    assert reader is not None
    np.testing.assert_array_equal([*reader.frames(PLACES)], [*playback.frames(PLACES)])


def test_decord_gives_the_same_bytes_at_a_varying_rate(tmp_path: Path) -> None:
    playback = Playback(write_film(tmp_path / "f.mp4", variable(4)))
    reader = seeking.seeker(playback, PLACES)
    assert reader is not None
    assert [number_of(frame) for frame in reader.frames(PLACES)] == PLACES


@pytest.mark.parametrize("options", [OPEN, {"x264-params": "intra-refresh=1:keyint=20"}])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_films_that_decord_would_miscount_are_read_forward(
    options: dict[str, str], suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = FilmFile(write_coded(tmp_path / f"f.{suffix}", options=options))
    for _ in range(2):
        assert [number_of(frame) for frame in film.frames(PLACES)] == PLACES
    assert capsys.readouterr().err.count("is decoded from its beginning to its last clip") == 1


def test_edit_lists_turned_pictures_and_other_containers_are_read_forward(tmp_path: Path) -> None:
    whole = write_coded(tmp_path / "whole.mp4", options=SHORT)

    def earlier(position: int, packet: object) -> bool:
        packet.pts -= 512 * 10  # type: ignore[attr-defined]
        packet.dts -= 512 * 10  # type: ignore[attr-defined]
        return True

    turned = write_coded(
        tmp_path / "turned.mp4", options=SHORT, prepare=lambda stream: stream.set_display_rotation(180)
    )
    stream = write_coded(tmp_path / "f.ts", options=SHORT)
    for path in (copy_film(whole, tmp_path / "cut.mp4", earlier), turned, stream):
        assert seeking.seeker(Playback(path), [5, 60]) is None
    assert seeking.seeker(Playback(whole), [5, 60]) is not None


def test_a_film_read_from_end_to_end_is_not_seeked_in(tmp_path: Path) -> None:
    playback = Playback(write_coded(tmp_path / "f.mp4", options=SHORT))
    assert seeking.seeker(playback, range(0, 90, 7)) is None
    assert seeking.seeker(playback, []) is None


def test_without_decord_films_are_read_forward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    film = FilmFile(write_coded(tmp_path / "f.mp4", options=SHORT))
    assert seeking.seeker(film._playback, PLACES) is None
    assert [number_of(frame) for frame in film.frames(PLACES)] == PLACES
