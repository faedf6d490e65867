"""Films as a stream of batches of clips."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mindanim.stimuli.film_stream import ahead, plan_batches, read_batches
from mindanim.stimuli.frames import Sampling
from mindanim.stimuli.video import FilmFile
from mindanim.vocabulary.clips import Clip
from tests.stimuli.filming import number_of, variable, write_film

CLIPS = [Clip(f"test1-{k + 1:04d}", "test", "test1", "test1", k + 1, 2.0 * k, 2.0) for k in range(3)]


def test_batches_hold_what_is_on_screen_at_each_instant(tmp_path: Path) -> None:
    film, sampling = FilmFile(write_film(tmp_path / "film.mp4", variable(6))), Sampling(4, 64, fit="squash")
    batches = plan_batches(film, "test1", CLIPS[::-1], sampling, batch=2)
    assert [batch.clip_ids for batch in batches] == [["test1-0001", "test1-0002"], ["test1-0003"]]
    found = list(read_batches(film, batches, sampling))
    assert [frames.shape for _, frames in found] == [(2, 4, 64, 64, 3), (1, 4, 64, 64, 3)]
    native = [
        [film.read([index])[0] for index in sampling.indices(film, clip.clip_id, clip.onset_s, 2.0)]
        for clip in CLIPS
    ]
    for k, frames in enumerate(native):
        instants = 2.0 * k + np.arange(4) / 2
        shown = [number_of(frame) for frame in frames]
        assert shown == [int(np.flatnonzero(film.times <= instant + 1e-3)[-1]) for instant in instants]
    np.testing.assert_array_equal(found[1][1][0], sampling.resize(np.stack(native[2])))


def test_batches_are_bounded_by_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = FilmFile(write_film(tmp_path / "film.mp4", variable(6)))
    assert len(plan_batches(film, "f", CLIPS, Sampling(8, 64), None)) == 1
    monkeypatch.setattr("mindanim.stimuli.film_stream._BATCH_BYTES", 2 * 8 * 3 * 4 * 64 * 64)
    assert [len(batch.clips) for batch in plan_batches(film, "f", CLIPS, Sampling(8, 64), None)] == [2, 1]
    assert [len(batch.clips) for batch in plan_batches(film, "f", CLIPS, Sampling(8, 512), None)] == [1, 1, 1]


def test_ahead_makes_the_next_item_while_this_one_is_used() -> None:
    made: list[int] = []
    second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(3):
            made.append(number)
            if number == 1:
                second.set()
            yield number

    stream = ahead(items())
    assert next(stream) == 0 and second.wait(10)
    assert list(stream) == [1, 2] and made == [0, 1, 2]


def test_ahead_passes_errors_on() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    stream = ahead(items())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="no more"):
        next(stream)
