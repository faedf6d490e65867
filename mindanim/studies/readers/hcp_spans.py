"""Where the excerpts of the HCP films begin and end: the user's table, held against what is known anyway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mindanim.errors import InputError
from mindanim.studies.base import Facts, Finding
from mindanim.studies.pickles import read_object_npy
from mindanim.studies.tables import number, read_table
from mindanim.vocabulary.words import names_and_more

FPS = 24
FILES = ("clip_times_24.npy", "clip_times.tsv")
KNOWN: Mapping[str, Sequence[tuple[int, int]]] = {
    "MOVIE1": ((624, 5544), (6936, 12120), (12744, 16920), (19776, 21600)),
    "MOVIE2": ((624, 5904), (6528, 12600), (13224, 19056), (19704, 21528)),
    "MOVIE3": ((624, 4776), (5448, 9672), (10344, 14760), (19632, 21456)),
    "MOVIE4": ((624, 6048), (6672, 12048), (12672, 18648), (19296, 21120)),
}
"""The first three excerpts and the last one of every run, frames."""

Frames = list[tuple[int, int]]
_HINT = "Give one row per excerpt, in order, with run (1 to 4), start_frame and end_frame at 24 per second."


@dataclass(frozen=True)
class Spans:
    """Excerpts by run, in frames; the last of each run is the repeated one. findings: what was noticed."""

    frames: Mapping[str, Frames]
    findings: tuple[Finding, ...] = ()

    def training(self, movie: str) -> list[tuple[float, float]]:
        """(start, end) of all but the last excerpt, seconds of film time."""
        return [(start / FPS, end / FPS) for start, end in self.frames[movie][:-1]]

    def repeated(self, movie: str) -> tuple[float, float]:
        """(start, end) of the last excerpt, seconds of film time."""
        start, end = self.frames[movie][-1]
        return start / FPS, end / FPS


def find_spans(root: Path, facts: Facts, allow_partial: bool) -> Spans:
    """The spans from a file of :data:`FILES` in the study's folder or one level below it.

    Without one, and where a part of the study is enough, the spans that are known are used.

    Raises:
        InputError: There is no file, or where it contradicts the facts: number of clips per run, spans in
            order and apart, one length of the repeated excerpt, and the known spans of the real study.
    """
    real = facts.name == "hcp"
    path = next(
        (path for depth in ("", "*/") for name in FILES for path in sorted(root.glob(depth + name))), None
    )
    if path is None:
        if not (real and allow_partial):
            raise InputError(
                f"The excerpts' times are not in {root}: neither {' nor '.join(FILES)} is there.",
                "Only the first three and the last excerpt of every run are known without them.",
                f"{_HINT} Or use only the known excerpts: --allow-partial",
            )
        text = "Without a table of the excerpts, only the first three and the last one of every run are used."
        hint = f"Put {FILES[0]} or {FILES[1]} into {root}."
        return Spans(
            {name: list(spans) for name, spans in KNOWN.items()},
            (Finding("problem", "spans-unknown", text, hint),),
        )
    frames = _from_npy(path) if path.suffix == ".npy" else _from_table(path)
    _check(path, frames, facts, real)
    return Spans(frames)


def _from_npy(path: Path) -> dict[str, Frames]:
    content = read_object_npy(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no dict of runs.", f"It holds {type(content).__name__}.", _HINT)
    frames = {}
    for key, value in content.items():
        spans = np.asarray(value)
        if spans.ndim != 2 or spans.shape[1] != 2 or spans.dtype.kind not in "iuf":
            raise InputError(f"{path}: run {key} is no (n, 2) array of frames.", hint=_HINT)
        if not np.isfinite(spans.astype(float)).all():
            raise InputError(f"{path}: run {key} has a frame that is not a number.", hint=_HINT)
        if fractions := spans[spans != np.round(spans)].tolist():
            raise InputError(
                f"{path}: run {key} has fractions of frames: {names_and_more(fractions)}.",
                "Excerpts begin and end with whole frames; are these seconds, or frames at another rate?",
                _HINT,
            )
        frames[f"MOVIE{key}"] = [(int(start), int(end)) for start, end in spans]
    return frames


def _from_table(path: Path) -> dict[str, Frames]:
    frames: dict[str, Frames] = {}
    for row in read_table(path, ("run", "start_frame", "end_frame"), _HINT):
        start, end = (int(number(path, row, name, whole=True)) for name in ("start_frame", "end_frame"))
        frames.setdefault(f"MOVIE{row['run'].removeprefix('MOVIE')}", []).append((start, end))
    return frames


def _check(path: Path, frames: Mapping[str, Frames], facts: Facts, real: bool) -> None:
    """Raise one InputError with everything that cannot be."""
    movies = {segment.name: segment.clips for segment in facts.segments if segment.split == "train"}
    repeated = next(segment.clips for segment in facts.segments if segment.split == "test")
    faults = []
    if missing := [name for name in movies if not frames.get(name)]:
        faults.append(f"no span of {', '.join(missing)}")
    if strange := [name for name in frames if name not in movies]:
        faults.append(f"runs that the study does not have: {', '.join(strange)}")
    for name, clips in movies.items():
        spans = frames.get(name, [])
        edges = [edge for span in spans for edge in span]
        if edges != sorted(set(edges)) or edges and edges[0] < 0:
            faults.append(f"the spans of {name} are not in order or overlap")
            continue
        last = sum((end - start) // FPS for start, end in spans[-1:])
        if spans and last != repeated:
            faults.append(f"the last span of {name} has {last} clips, not {repeated}")
        count = sum((end - start) // FPS for start, end in spans[:-1])
        if spans and count != clips:
            faults.append(f"{name} has {count} training clips, not {clips}")
        if real and spans and not set(KNOWN[name]) <= set(spans):
            faults.append(f"{name} lacks known spans")
    if faults:
        raise InputError(f"{path} does not fit the study.", f"{'; '.join(faults)}.", _HINT)
