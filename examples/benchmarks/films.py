"""Films: what reading them costs, and by how many frames a reader that seeks and counts is wrong.

    python examples/benchmarks/films.py            # about 2 minutes of one core
    python examples/benchmarks/films.py --seconds 20 --sizes 360 --rounds 1

Cost: CPU seconds, best of several rounds in which the two sides take turns, one thread. Films of moving
texture (H.264, 30 Hz): 8 frames of every 2 s in order, as `encode-stimuli` takes them, and of 4 clips far
apart. "Opening" reads the times of all frames and decodes the first. It is part of every reading, and the
only part of the file that is read twice.

Errors: the frames carry their number. Each film is read at the 8 instants of every 2 s. The table gives the
largest difference to the frame on screen, by mindanim and by decord as it is commonly used (the number of the
frame is looked up in decord's own times, then read with `get_batch`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import decord
import numpy as np

from mindanim.films.playback import Playback
from mindanim.stimuli.frames import Sampling
from mindanim.stimuli.seeking import Seeker
from mindanim.stimuli.video import FilmFile

RATE, BITS = 30, 10
QUIET = "log-level=error"
KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    "H.264, closed groups": ("f.mp4", "libx264", {"g": "60"}),
    "H.264, open groups": (
        "f.mp4",
        "libx264",
        {"x264-params": "open-gop=1:keyint=30:min-keyint=30:bframes=4:b-adapt=0:scenecut=0"},
    ),
    "H.264, intra refresh": ("f.mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=30"}),
    "HEVC, x265's default": ("f.mp4", "libx265", {"x265-params": QUIET}),
    "MPEG transport stream": ("f.ts", "libx264", {"g": "60"}),
    "MPEG-2 program stream": ("f.mpg", "mpeg2video", {"bf": "2"}),
    "AVI with B frames": ("f.avi", "mpeg4", {"bf": "2", "q": "3"}),
}


def write(path: Path, codec: str, options: dict[str, str], frames: Sequence[np.ndarray]) -> Path:
    """A film of these frames (height, width, rgb) at 30 Hz."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for array in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(array))))
        container.mux(stream.encode())
    return path


def cut(source: Path, target: Path, at_s: float) -> Path:
    """As `ffmpeg -ss AT -c copy`: an edit list hides what precedes the cut."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.size:
                ticks = round(at_s / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - ticks, packet.dts - ticks, stream
                new.mux(packet)
    return target


def numbered(number: int) -> np.ndarray:
    bars = np.repeat([200 if number >> bit & 1 else 40 for bit in range(BITS)], 8)
    return np.broadcast_to(bars[None, :, None], (64, 8 * BITS, 3)).astype(np.uint8)


def number_of(frame: np.ndarray) -> int:
    return sum(1 << bit for bit in range(BITS) if frame[:, 8 * bit + 2 : 8 * bit + 6].mean() > 120)


def errors(folder: Path, seconds: int) -> None:
    """Print the table of errors."""
    frames = [numbered(number) for number in range(seconds * RATE)]
    instants = np.arange(0, seconds, 0.25) + 1e-3
    films = {
        name: write(folder / f"{place}-{file}", codec, options, frames)
        for place, (name, (file, codec, options)) in enumerate(KINDS.items())
    }
    films["mp4 cut at 1.5 s without decoding"] = cut(films["H.264, closed groups"], folder / "cut.mp4", 1.5)
    print("| film | mindanim, frames | decord, frames |\n| --- | --- | --- |")
    for name, path in films.items():
        first = round(1.5 * RATE) if "cut" in name else 0
        expected = (first + np.floor(instants * RATE)).astype(int)
        inside = expected < len(frames)
        film = FilmFile(path)
        places = np.searchsorted(film.times, instants[inside], side="right") - 1
        mine = np.array([number_of(frame) for frame in film.read(places.tolist())])
        theirs = by_decord(path, instants[inside], expected[inside])
        print(f"| {name} | {worst(mine, expected[inside])} | {theirs} |")


def worst(found: np.ndarray, expected: np.ndarray) -> str:
    return str(int(np.abs(found - expected).max()))


def by_decord(path: Path, instants: np.ndarray, expected: np.ndarray) -> str:
    """decord's largest error, or what it says."""
    try:
        reader = decord.VideoReader(str(path), num_threads=1)
        times = reader.get_frame_timestamp(range(len(reader)))[:, 0]
        places = np.searchsorted(times - times[0], instants, side="right") - 1
        return worst(np.array([number_of(frame) for frame in reader.get_batch(places).asnumpy()]), expected)
    except (decord.DECORDError, IndexError, ValueError, RuntimeError) as error:
        return f"not read: {type(error).__name__}"


def texture(height: int, seconds: int) -> list[np.ndarray]:
    """Frames (height, width, rgb), 16:9, of a texture that moves by (3, 5) px."""
    width = height * 16 // 9 // 2 * 2
    rng = np.random.default_rng(0)
    tile = rng.integers(0, 256, (height // 8 + 40, width // 8 + 60, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    return [tile[(n * 3) % 300 :][:height, (n * 5) % 400 :][:, :width] for n in range(seconds * RATE)]


def cost(path: Path, seconds: int, rounds: int) -> dict[str, float]:
    """CPU seconds of opening, and of reading all clips and 4 of them, by PyAV forward and by decord."""
    film = FilmFile(path)
    sampling = Sampling(8, 64)
    clips = [sampling.indices(film, str(onset), onset, 2.0) for onset in range(0, seconds - 1, 2)]
    every = [number for clip in clips for number in clip]
    few = [number for clip in clips[:: max(1, len(clips) // 4)][-4:] for number in clip]
    ways: dict[str, Callable[[], object]] = {
        "opening": lambda: Playback(path),
        "all, PyAV": lambda: sum(1 for _ in Playback(path).frames(every)),
        "all, decord": lambda: sum(1 for _ in Seeker(Playback(path)).frames(every)),
        "4 clips, PyAV": lambda: sum(1 for _ in Playback(path).frames(few)),
        "4 clips, decord": lambda: sum(1 for _ in Seeker(Playback(path)).frames(few)),
    }
    best = dict.fromkeys(ways, np.inf)
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - begin)
    return best


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--seconds", type=int, default=120, help="length of the films whose cost is measured")
    parser.add_argument("--sizes", type=int, nargs="+", default=[360, 720], help="heights, px")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    decord.logging.set_level(decord.logging.QUIET)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        errors(folder, 20)
        print("\n| film | opening | all, PyAV | all, decord | 4 clips, PyAV | 4 clips, decord |")
        print("| --- | --- | --- | --- | --- | --- |")
        for height in given.sizes:
            options = {"preset": "veryfast", "g": "60"}
            path = write(folder / f"{height}.mp4", "libx264", options, texture(height, given.seconds))
            times = cost(path, given.seconds, given.rounds)
            figures = " | ".join(f"{seconds:.2f} s" for seconds in times.values())
            print(f"| {height} px, {given.seconds} s | {figures} |")


if __name__ == "__main__":
    main()
