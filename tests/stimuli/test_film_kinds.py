"""Films as people have them: what is read is what a player shows, or the film is refused with a way on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mindanim.errors import InputError
from mindanim.stimuli.frames import Sampling
from mindanim.stimuli.video import FilmFile
from tests.stimuli.filming import copy_film, number_of, picture, write_coded, write_film

QUIET = "log-level=error"
KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "closed groups": ("f.mp4", "libx264", {"g": "30"}),
    "open groups": (
        "f.mp4",
        "libx264",
        {"x264-params": "open-gop=1:keyint=20:min-keyint=20:bframes=4:scenecut=0"},
    ),
    "x265's default": ("f.mp4", "libx265", {"x265-params": f"keyint=25:{QUIET}"}),
    "intra refresh": ("f.mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=20"}),
    "intra refresh in a stream": ("f.ts", "libx264", {"x264-params": "intra-refresh=1:keyint=20"}),
    "open groups in Matroska": ("f.mkv", "libx264", {"x264-params": "open-gop=1:keyint=20:bframes=4"}),
    "transport stream": ("f.ts", "libx264", {"g": "20"}),
    "transport stream, MPEG-2": ("f.ts", "mpeg2video", {"bf": "2"}),
    "program stream, MPEG-1": ("f.mpg", "mpeg1video", {"bf": "2"}),
    "program stream, MPEG-2": ("f.vob", "mpeg2video", {"bf": "2"}),
    "AVI with B frames": ("f.avi", "mpeg4", {"bf": "2", "q": "3"}),
    "AVI of H.264": ("f.avi", "libx264", {"bf": "3"}),
    "AV1": ("f.mkv", "libsvtav1", {"preset": "8"}),
    "VP8": ("f.webm", "libvpx", {"deadline": "realtime"}),
    "Windows media": ("f.wmv", "wmv2", {"q": "3"}),
    "Flash": ("f.flv", "flv", {"q": "3"}),
    "MPEG-4": ("f.mp4", "mpeg4", {"bf": "2", "q": "3"}),
    "single pictures": ("f.avi", "mjpeg", {"q": "3"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_at_its_time(kind: str, tmp_path: Path) -> None:
    name, codec, options = KINDS[kind]
    if codec not in av.codecs_available:
        pytest.skip(f"this build of PyAV has no encoder {codec}")
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    film = FilmFile(write_coded(tmp_path / name, codec, options, pixels=pixels))
    np.testing.assert_allclose(film.times, np.arange(90) / 30, atol=1e-3)
    assert film.end_s == pytest.approx(3, abs=0.04)
    assert [number_of(frame) for frame in film.frames(range(90))] == list(range(90))
    some = [3, 29, 30, 41, 61, 88]
    assert [number_of(frame) for frame in film.read(some[::-1])] == some[::-1]


def test_a_program_stream_gives_some_frames_no_time_of_their_own(tmp_path: Path) -> None:
    """Such frames get times that are some frames off, and two the same; what is on screen is known."""
    path = write_coded(tmp_path / "f.mpg", "mpeg2video", {"bf": "2"}, count=600)
    with av.open(str(path)) as container:
        given = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert len(set(given)) < 600, "otherwise this film tests nothing"
    film = FilmFile(path)
    np.testing.assert_allclose(film.times, np.arange(600) / 30, atol=1e-4)
    assert [number_of(frame) for frame in film.frames(range(600))] == list(range(600))


@pytest.mark.parametrize("options", [{"g": "60", "bf": "3"}, {"g": "60", "bf": "0"}])
def test_a_film_cut_without_decoding_starts_at_the_cut(options: dict[str, str], tmp_path: Path) -> None:
    """As `ffmpeg -ss 1.5 -c copy`: packets before the cut are kept, and an edit list hides their frames."""
    whole = write_coded(tmp_path / "whole.mp4", options=options)

    def earlier(_: int, packet: av.Packet) -> bool:
        assert packet.time_base is not None and packet.pts is not None and packet.dts is not None
        packet.pts -= round(1.5 / packet.time_base)
        packet.dts -= round(1.5 / packet.time_base)
        return True

    film = FilmFile(copy_film(whole, tmp_path / "cut.mp4", earlier))
    assert len(film) == 45 and film.times[0] == 0 and film.end_s == pytest.approx(1.5)
    assert [number_of(frame) for frame in film.frames(range(45))] == list(range(45, 90))


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_a_stream_cut_between_key_frames_starts_with_the_first_whole_picture(
    suffix: str, tmp_path: Path
) -> None:
    whole = write_coded(tmp_path / f"whole.{suffix}", options={"g": "20", "bf": "2", "sc_threshold": "0"})
    film = FilmFile(copy_film(whole, tmp_path / f"cut.{suffix}", lambda position, _: position >= 7))
    numbers = [number_of(frame) for frame in film.frames(range(len(film)))]
    assert numbers == list(range(20, 90)) and film.times[0] == 0


def test_what_stays_on_screen_is_a_still(tmp_path: Path) -> None:
    """Screen recorders leave out frames that do not change."""
    shown = [*range(15), 75, 76, 77]
    film = FilmFile(
        write_film(tmp_path / "f.mp4", [1000 * n / 30 for n in shown], [picture(n) for n in shown])
    )
    chosen = Sampling(8, 64).indices(film, "c", 0.0, 2.0)
    assert [number_of(frame) for frame in film.read(chosen)] == [0, 7, 14, 14, 14, 14, 14, 14]


def test_a_last_frame_that_is_held_is_part_of_the_film(tmp_path: Path) -> None:
    whole = write_coded(tmp_path / "f.mp4", options={"bf": "0"}, count=30)

    def held(position: int, packet: av.Packet) -> bool:
        if position == 29:
            assert packet.time_base is not None
            packet.duration = round(2 / packet.time_base)
        return True

    film = FilmFile(copy_film(whole, tmp_path / "held.mkv", held))
    assert film.times[-1] == pytest.approx(29 / 30, abs=1e-3) and film.end_s == pytest.approx(
        29 / 30 + 2, abs=1e-3
    )


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_film_starts_with_its_sound(
    suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = FilmFile(write_coded(tmp_path / f"late.{suffix}", first=15, sound=(0, 3)))
    assert late.times[0] == pytest.approx(0.5, abs=0.03) and len(late) == 90
    assert "the picture starts 0.5" in " ".join(capsys.readouterr().err.split())
    first = Sampling(8, 64).indices(late, "c", 0.0, 2.0)
    shown = int(30 * (0.75 - late.times[0]) + 0.03)  # AAC begins 21 ms early in a transport stream
    assert shown in (6, 7) and [number_of(frame) for frame in late.read(first[:4])] == [0, 0, 0, shown]
    for sound in ((0.0, 3.0), (0.4, 3.0)):
        film = FilmFile(write_coded(tmp_path / f"{sound[0]}.{suffix}", sound=sound))
        assert film.times[0] == 0, "sound that starts with the picture, or after it"
    assert "the picture starts" not in capsys.readouterr().err


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pictures_are_upright(degrees: int, mirrored: bool, tmp_path: Path) -> None:
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:32, :48, 0] = stored[32:, :48, 1] = stored[:, 48:, 2] = 220
    path = write_coded(
        tmp_path / "f.mp4",
        pixels="yuv444p",
        options={"crf": "1"},
        prepare=lambda stream: stream.set_display_rotation(degrees, hflip=mirrored),
        frames=[stored] * 3,
    )
    film = FilmFile(path)
    (shown,) = film.read([1])
    expected = np.rot90(stored, degrees // 90)  # as ffmpeg turns it: counterclockwise, then mirrored
    expected = expected[:, ::-1] if mirrored else expected
    assert film.size == shown.shape[:2] == expected.shape[:2]
    assert np.abs(shown.astype(int) - expected).mean() < 4


@pytest.mark.parametrize(
    ("aspect", "width"), [(Fraction(64, 45), 114), (Fraction(8, 9), 71), (Fraction(1), 80)]
)
def test_pixels_are_square(aspect: Fraction, width: int, tmp_path: Path) -> None:
    def prepare(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = aspect

    film = FilmFile(write_coded(tmp_path / "f.mp4", count=10, prepare=prepare))
    (frame,) = film.read([5])
    assert film.size == frame.shape[:2] == (64, width)


@pytest.mark.parametrize(
    ("codec", "pixels"),
    [("libx264", "yuv420p10le"), ("ffv1", "gray"), ("ffv1", "gray10le"), ("ffv1", "bgr0"), ("ffv1", "bgra")]
    + [("ffv1", "yuva420p"), ("libx264", "yuvj420p"), ("prores_ks", "yuv422p10le")],
)
def test_all_kinds_of_pixels(codec: str, pixels: str, tmp_path: Path) -> None:
    suffix = "mov" if codec == "prores_ks" else "mkv"
    film = FilmFile(write_coded(tmp_path / f"f.{suffix}", codec, count=10, pixels=pixels))
    frames = film.read(range(10))
    assert [number_of(frame) for frame in frames] == list(range(10))
    assert np.abs(frames[5].astype(int) - picture(5)).mean() < 6


@pytest.mark.parametrize(("space", "code"), [("itu709", 1), ("itu601", 6)])
@pytest.mark.parametrize("extent", [1, 2])
def test_colours_follow_what_the_film_says(space: str, code: int, extent: int, tmp_path: Path) -> None:
    colour = np.full((64, 64, 3), (200, 40, 90), np.uint8)
    frame = av.VideoFrame.from_ndarray(colour, format="rgb24")
    frame = frame.reformat(format="yuv444p", dst_colorspace=space, dst_color_range=extent)
    with av.open(str(tmp_path / "f.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = code, extent
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert np.abs(FilmFile(tmp_path / "f.mp4").read([0])[0].astype(int) - colour).max() <= 3


def with_cover(path: Path) -> None:
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = container.add_stream("libx264", rate=30)
        stream.height, stream.width, stream.pix_fmt = 64, 80, "yuv420p"
        still = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        still.pts = 0
        packets = cover.encode(still) + cover.encode()
        for number in range(20):
            packets += stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24"))
        for packet in packets + stream.encode():
            container.mux(packet)


def test_a_cover_is_not_the_film(tmp_path: Path) -> None:
    with_cover(tmp_path / "f.mp4")
    film = FilmFile(tmp_path / "f.mp4")
    assert film.size == (64, 80)
    assert [number_of(frame) for frame in film.frames(range(20))] == list(range(20))


def test_an_interlaced_film_is_said_to_be_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_coded(tmp_path / "f.mpg", "mpeg2video", {"flags": "+ildct+ilme", "top": "1"})
    assert len(FilmFile(path)) == len(FilmFile(path)) == 90
    assert capsys.readouterr().err.count("is interlaced") == 1


def joined(first: Path, second: Path, target: Path) -> Path:
    target.write_bytes(first.read_bytes() + second.read_bytes())
    return target


def test_films_joined_by_their_bytes_are_refused_with_a_way_on(tmp_path: Path) -> None:
    one = write_coded(tmp_path / "one.ts")
    late = write_coded(tmp_path / "late.ts", first=3600)
    for film, why in ((one, "clock jumps back"), (late, r"clock jumps by 117 s after 2\.97 s")):
        with pytest.raises(InputError, match=rf"does not say when(.|\n)*{why}"):
            FilmFile(joined(one, film, tmp_path / "both.ts"))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("h264", "libx264"), ("m2v", "mpeg2video"), ("hevc", "libx265")]
)
def test_a_bare_stream_is_refused_with_a_way_on(suffix: str, codec: str, tmp_path: Path) -> None:
    format = {"h264": "h264", "m2v": "mpeg2video", "hevc": "hevc"}[suffix]
    options = {"x265-params": QUIET} if codec == "libx265" else {}
    path = write_coded(tmp_path / f"a film.{suffix}", codec, options, format=format)
    with pytest.raises(InputError, match="bare stream") as caught:
        FilmFile(path)
    line = caught.value.hint.split(": ", 1)[1]
    assert shlex.split(line)[:5] == ["ffmpeg", "-r", "30", "-i", str(path)]
    assert "ownload" not in str(caught.value) and not line.endswith(".")


def sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def playlist(path: Path) -> None:
    """It would open other files, or addresses."""
    write_coded(path.with_name("other.ts"))
    path.write_text("#EXTM3U\n#EXTINF:3,\nother.ts\n#EXT-X-ENDLIST\n", encoding="utf-8")


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (sound_only, r"no moving picture"),
        (playlist, r"is not a readable film"),
        (lambda path: os.mkfifo(path), r"not a regular file"),
        (lambda path: path.mkdir(), r"not a regular file"),
    ],
)
def test_what_is_no_film_is_refused(make: Callable[[Path], None], what: str, tmp_path: Path) -> None:
    make(tmp_path / "f.mp4")
    with pytest.raises(InputError, match=what):
        FilmFile(tmp_path / "f.mp4")


def test_transparent_pictures_have_no_colour_of_their_own(tmp_path: Path) -> None:
    clear = np.full((64, 64, 4), 200, np.uint8)
    with av.open(str(tmp_path / "f.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width = stream.height = 64
        stream.pix_fmt = "bgra"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(clear, format="rgba").reformat(format="bgra")))
        container.mux(stream.encode())
    with pytest.raises(InputError, match="transparent(.|\n)*overlay"):
        FilmFile(tmp_path / "f.mkv")


def test_transparency_that_webm_hides_from_its_decoder(tmp_path: Path) -> None:
    def prepare(stream: Any) -> None:
        stream.metadata["alpha_mode"] = "1"

    path = write_coded(tmp_path / "f.webm", "libvpx-vp9", count=5, prepare=prepare)
    with pytest.raises(InputError, match="is transparent(.|\n)*ffmpeg -c:v libvpx-vp9 -i (.|\n)*overlay"):
        FilmFile(path)


@pytest.mark.parametrize("name", ["-x.mp4", "12:30.mp4", "a b's.mp4"])
def test_films_of_any_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Players take some of these for options or addresses."""
    monkeypatch.chdir(tmp_path)
    write_coded(tmp_path / name, count=5)
    assert len(FilmFile(Path(name))) == 5
    (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(InputError) as caught:
        FilmFile(Path(name))
    words = shlex.split(caught.value.hint.split(": ", 1)[1])
    assert words[0] == "ffmpeg" and Path(words[2]) == Path(name)
    assert not words[2].startswith("-") and not words[-1].startswith("-")


def test_a_picture_of_another_size_is_shown_at_the_first_ones(tmp_path: Path) -> None:
    parts = [
        write_coded(
            tmp_path / f"{first}-{height}-{width}.ts",
            options={"bf": "0"},
            first=first,
            frames=[picture(number, height, width) for number in range(30)],
        )
        for first, height, width in ((0, 64, 80), (30, 128, 160), (30, 64, 160))
    ]
    film = FilmFile(joined(parts[0], parts[1], tmp_path / "grows.ts"))
    assert [number_of(frame) for frame in film.frames([3, 29, 30, 59])] == [3, 29, 0, 29]
    with pytest.raises(InputError, match="changes from 80 x 64 to 160 x 64 px"):
        FilmFile(joined(parts[0], parts[2], tmp_path / "widens.ts")).read([3, 40])
