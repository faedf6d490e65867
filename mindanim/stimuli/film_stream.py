"""Films as a stream of small batches of clips, each film read once from beginning to end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.stimuli.frames import Sampling
from mindanim.stimuli.video import FilmFile
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.runs import Film

T = TypeVar("T")

# Bytes of one batch's frames, as read from the film and as float32 for the models.
_BATCH_BYTES = 1 << 27
_MOST_CLIPS = 32


@dataclass(frozen=True)
class Batch:
    """Consecutive clips of one film. name: the same in every run that cuts the film into the same batches."""

    name: str
    clips: tuple[Clip, ...]

    @property
    def clip_ids(self) -> list[str]:
        return [clip.clip_id for clip in self.clips]


def check_films(films: Iterable[Film], clips: Sequence[Clip], sampling: Sampling) -> float:
    """Find the frames of every clip in every film.

    Returns:
        Frames per second of the first clip; all clips share it where films have one frame rate.

    Raises:
        InputError: Every film that cannot be read or lacks frames of a clip, together.
    """
    problems: list[MindanimError] = []
    rates = []
    for film in films:
        try:
            file = FilmFile(film.path)
            for clip in clips:
                if clip.film == film.name:
                    numbers = sampling.indices(file, clip.clip_id, clip.onset_s, clip.duration_s)
                    rates.append(sampling.fps(file, numbers, clip.duration_s))
        except InputError as problem:
            problems.append(problem)
    raise_together(problems)
    return rates[0]


def plan_batches(
    film: FilmFile, name: str, clips: Sequence[Clip], sampling: Sampling, batch: int | None
) -> list[Batch]:
    """Cut a film's clips into batches, in the order of their onsets.

    Args:
        batch: Clips at a time; None chooses by memory, the same on every machine.
    """
    height, width = film.size
    clip_bytes = sampling.frames * 3 * max(height * width, 4 * sampling.size**2)
    count = batch or min(_MOST_CLIPS, max(1, _BATCH_BYTES // clip_bytes))
    ordered = sorted(clips, key=lambda clip: clip.onset_s)
    groups = [tuple(ordered[start : start + count]) for start in range(0, len(ordered), count)]
    return [Batch(f"{name} {group[0].clip_id} {group[-1].clip_id}", group) for group in groups]


def read_batches(
    film: FilmFile, batches: Iterable[Batch], sampling: Sampling
) -> Iterator[tuple[Batch, NDArray[np.uint8]]]:
    """Batches with their frames (clip, frame, height, width, rgb) uint8 at the model's frame size.

    Raises:
        InputError: See `FilmFile` and `Sampling.indices`.
    """
    wanted = [
        (batch, [sampling.indices(film, clip.clip_id, clip.onset_s, clip.duration_s) for clip in batch.clips])
        for batch in batches
    ]
    # Clips may overlap: a frame is kept until the last batch that shows it.
    last_use = {number: place for place, (_, clips) in enumerate(wanted) for clip in clips for number in clip}
    numbers, kept, reached = sorted(last_use), {}, -1
    pictures = zip(numbers, film.frames(numbers), strict=True)
    for place, (batch, clips) in enumerate(wanted):
        while reached < max(max(clip) for clip in clips):
            reached, picture = next(pictures)
            kept[reached] = sampling.resize(picture[None])[0]
        yield batch, np.stack([[kept[number] for number in clip] for clip in clips])
        kept = {number: picture for number, picture in kept.items() if last_use[number] > place}


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in a thread while the one before it is being used."""
    with ThreadPoolExecutor(1) as thread:
        upcoming = thread.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = thread.submit(next, items, None)
            yield item
