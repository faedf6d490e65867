"""Short films as people write them: pauses, varying rates, phones, claims beyond memory, damaged bytes."""

from __future__ import annotations

import os
import resource
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from mindanim.errors import InputError
from mindanim.metrics.inputs.folders import PartClips, find_clips, frames_of
from mindanim.metrics.inputs.short_films import open_short, read_film

COLOURS = np.random.default_rng(0).integers(0, 256, (8, 3), dtype=np.uint8)
CLIP = np.broadcast_to(COLOURS[:, None, None], (8, 16, 16, 3)).copy()


def save(path: Path, frames: np.ndarray, durations: int | list[int]) -> Path:
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, lossless=True)
    return path


def shown(frames: np.ndarray) -> list[int]:
    """Which frames of CLIP these are."""
    return [int(np.abs(COLOURS.astype(int) - frame[8, 8]).sum(axis=1).argmin()) for frame in frames]


def write_mp4(path: Path, times: list[int], degrees: int = 0) -> Path:
    """Frames of CLIP, each shown from a time in ms on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"qp": "0"})
        stream.width = stream.height = 16
        stream.pix_fmt, stream.codec_context.time_base = "yuv444p", Fraction(1, 1000)
        stream.set_display_rotation(degrees)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(CLIP[number], format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["gif", "webp"])
@pytest.mark.parametrize(
    ("durations", "whole", "expected"),
    [
        ([125] * 7 + [1000], 8, list(range(8))),  # the last frame is held as a pause between loops
        ([125] * 7 + [1000], None, [*range(8), *[7] * 7]),
        ([125] * 7 + [1000], 10, [*range(8), 7, 7]),  # two frames of it belong to the clip
        ([125] * 7 + [1000], 99, [*range(8), *[7] * 7]),  # no count that it can have
        ([100, 300, 100, 100, 100, 100, 100, 600], 10, [0, 1, 1, 1, 2, 3, 4, 5, 6, 7]),
        ([40, 60] * 4, None, [0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7]),
    ],
)
def test_frames_by_their_durations(
    suffix: str, durations: list[int], whole: int | None, expected: list[int], tmp_path: Path
) -> None:
    path = save(tmp_path / f"a.{suffix}", CLIP, durations)
    assert shown(read_film(path, whole)) == expected


def test_frames_are_taken_by_time_and_not_by_count(tmp_path: Path) -> None:
    gif = save(tmp_path / "a.gif", CLIP, [400, *[100] * 7])
    assert shown(read_film(gif, wanted=4)) == [0, 0, 2, 5]  # at 0, 275, 550 and 825 of 1,100 ms
    assert shown(read_film(save(tmp_path / "b.gif", CLIP, [125] * 7 + [1000]), 8, 4)) == [0, 2, 4, 6]
    varying = write_mp4(tmp_path / "a.mp4", [0, 1000, 1100, 1200, 1300, 1400, 1500, 1600])
    assert shown(read_film(varying)) == list(range(8))
    assert shown(read_film(varying, wanted=4)) == [0, 0, 0, 3]  # at 0, 425, 850 and 1,275 ms
    with pytest.raises(InputError, match="has 8 frames, fewer than the 9"):
        read_film(varying, wanted=9)


def test_the_counterpart_says_how_many_frames_a_clip_has(tmp_path: Path) -> None:
    for folder in ("truth", "made"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        np.save(tmp_path / f"truth/{number}.npy", CLIP)
        save(tmp_path / f"made/{number}.gif", CLIP, [125] * 7 + [1000])
    for videos, truth in (("made", "truth"), ("truth", "made")):
        found = find_clips(tmp_path / videos, tmp_path / truth, "plain")
        assert frames_of(found) == 8
    clips = PartClips([pair[0] for pair in found.pairs.values()], None, None, whole=8)
    assert shown(clips[1]) == list(range(8))


def test_a_still_gif_has_as_many_frames_as_its_counterpart(tmp_path: Path) -> None:
    for folder in ("truth", "made", "still"):
        (tmp_path / folder).mkdir()
    np.save(tmp_path / "truth/0.npy", CLIP)
    Image.fromarray(CLIP[3]).save(tmp_path / "made/0.gif")
    Image.fromarray(CLIP[3]).save(tmp_path / "still/0.gif")
    for videos, truth, count in (("made", "truth", 8), ("truth", "made", 8), ("made", "still", None)):
        assert frames_of(find_clips(tmp_path / videos, tmp_path / truth, "plain")) == count
    assert shown(read_film(tmp_path / "made/0.gif", 8)) == [3] * 8
    assert shown(read_film(tmp_path / "made/0.gif")) == [3]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_films_of_phones_are_upright(degrees: int, tmp_path: Path) -> None:
    upright = read_film(write_mp4(tmp_path / "a.mp4", list(range(0, 800, 100))))
    turned = read_film(write_mp4(tmp_path / "b.mp4", list(range(0, 800, 100)), degrees))
    np.testing.assert_array_equal(turned, np.rot90(upright, degrees // 90, (1, 2)))


@contextmanager
def at_most(bytes_more: int) -> Iterator[None]:
    """Limit the memory that may be taken, so that taking much more is an error at once."""
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + bytes_more, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def long_gif(path: Path) -> None:
    save(path, CLIP.repeat(4, 1).repeat(4, 2), [10, *[655_350] * 7])


def screen(path: Path, side: int) -> None:
    """A GIF whose header alone says how large its pictures are."""
    save(path, CLIP, 100)
    data = bytearray(path.read_bytes())
    struct.pack_into("<HH", data, 6, side, side)
    path.write_bytes(data)


def large_gif(path: Path) -> None:
    screen(path, 65_535)


def many_large(path: Path) -> None:
    screen(path, 7_000)


def large_webp(path: Path) -> None:
    save(path, CLIP, 100)
    data = bytearray(path.read_bytes())
    data[24:30] = b"\xff\x3f\x00\xff\x3f\x00"
    path.write_bytes(data + bytes(1000))


def npy_header(path: Path) -> None:
    with path.open("wb") as file:
        claim = {"descr": "|u1", "fortran_order": False, "shape": (1000, 1024, 1024, 3)}
        np.lib.format.write_array_header_1_0(file, claim)


@pytest.mark.parametrize(
    ("make", "suffix", "claim"),
    [
        (long_gif, "gif", r"\d{6} frames of 64 x 64 px(.|\n)*GB of pixels; a clip has at most 1\.1 GB"),
        (large_gif, "gif", r"65535 x 65535 px(.|\n)*12\.9 GB of pixels; a clip has at most 1\.1 GB"),
        (many_large, "gif", r"8 frames of 7000 x 7000 px(.|\n)*1\.2 GB of pixels; a clip has at most"),
        (large_webp, "webp", r"16384 x 16384 px|is not a readable film"),
        (npy_header, "npy", r"claims 3,145,728,000 bytes and holds 0"),
    ],
)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_claim_is_refused_before_memory_is_taken(
    make: Callable[[Path], None], suffix: str, claim: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{suffix}"
    make(path)
    with at_most(400 << 20), pytest.raises(InputError, match=claim):
        read_film(path)


def test_an_array_that_is_there_but_too_large(tmp_path: Path) -> None:
    npy_header(tmp_path / "a.npy")
    os.truncate(tmp_path / "a.npy", (3000 << 20) + 128)  # sparse: takes no room on the disk
    with pytest.raises(InputError, match=r"1000 frames of 1024 x 1024 px(.|\n)*3\.1 GB of pixels; a clip"):
        read_film(tmp_path / "a.npy")


def test_a_long_pause_is_no_claim_where_the_count_is_known(tmp_path: Path) -> None:
    gif = save(tmp_path / "a.gif", CLIP, [*[10] * 7, 655_350])
    assert open_short(gif).counts[-1] > 60_000 and shown(read_film(gif, 8)) == list(range(8))


@pytest.mark.parametrize("suffix", ["gif", "mp4", "npy", "webp"])
def test_a_fifo_is_refused_at_once(suffix: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"a.{suffix}")
    with pytest.raises(InputError, match="not a regular file"):
        read_film(tmp_path / f"a.{suffix}")


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with some bytes changed, cut out or cut off."""
    changed, at = bytearray(data), int(rng.integers(0, len(data) - 8))
    match rng.integers(4):
        case 0:
            changed[at] ^= 1 << int(rng.integers(8))
        case 1:
            changed[at : at + 4] = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff")[rng.integers(3)]
        case 2:
            del changed[at : at + int(rng.integers(1, 40))]
        case _:
            del changed[at:]
    return bytes(changed)


@pytest.mark.parametrize("suffix", ["gif", "mp4", "npy", "webp"])
def test_damaged_files_are_read_or_refused_and_never_anything_else(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, CLIP)
    elif suffix == "mp4":
        write_mp4(path, list(range(0, 800, 100)))
    else:
        save(path, CLIP, 125)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    with at_most(2 << 30):
        for _ in range(60):
            path.write_bytes(damaged(data, rng))
            try:
                frames = read_film(path)
            except InputError as error:
                assert path.name in error.what
                refused += 1
            else:
                assert frames.dtype == np.uint8 and frames.ndim == 4 and frames.shape[3] == 3
                assert suffix != "mp4" or len(frames) == 8, "frames are lost in silence"
    assert refused > 5
