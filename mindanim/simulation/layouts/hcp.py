"""HCP 7T: four long films with rest between excerpts, one run each; all share the last excerpt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mindanim.simulation.cortex import Cortex
from mindanim.simulation.drive import Drive, spread, watch
from mindanim.simulation.film_plan import Shown, plan_films, write_film
from mindanim.simulation.layouts.cifti import write_series
from mindanim.simulation.layouts.layout import Array, Layout
from mindanim.studies.base import Segment
from mindanim.studies.readers.hcp import MOVIES, REPEAT, VARIANTS
from mindanim.studies.readers.hcp_spans import FPS

_REST_S = 16
"""Rest before, between and after the excerpts, seconds."""
_FIRST_SUBJECT = 900_001


class HCPLayout(Layout):
    """``900001/MNINonLinear/Results/...`` ``stimuli/7T_MOVIE1_CC1_v2.mp4``, and a pickle of spans."""

    def plan(self, purpose: str = "film") -> list[Shown]:
        """Two excerpts of training clips per film, then one of test clips, the same in all films."""
        *films, repeated = plan_films(self.config, purpose)
        shown = []
        for movie, item in zip(MOVIES, films, strict=False):
            onsets = _onsets(self._excerpts(len(item.scenes), len(repeated.scenes)))
            duration_s = onsets[-1] + 1 + _REST_S
            clips, volumes = len(item.scenes), int(duration_s / self.config.tr_s)
            names = [f"{movie.lower()}-{index:04d}" for index in range(1, clips + 1)]
            names += [f"{REPEAT}-{index:04d}" for index in range(1, len(repeated.scenes) + 1)]
            segment = Segment(movie, "train", clips, 1, 0.0, volumes)
            scenes = item.scenes + repeated.scenes
            shown.append(Shown(segment, scenes, tuple(map(float, onsets)), duration_s, tuple(names)))
        return shown

    def watch(self, item: Shown) -> Drive:
        """The drive of the clips at their onsets; zero during rest."""
        assert item.onsets_s is not None
        drive = watch(item.scenes, self.config.clip_s, frozen=self.config.no_motion)
        return spread(drive, item.onsets_s, item.duration_s)

    def subject(self, number: int) -> int:
        """Six digits that no subject of the real study has."""
        return _FIRST_SUBJECT + number - 1

    def film(self, item: Shown) -> Path:
        """Path of the film, named as in its later encoding."""
        return self.root / "stimuli" / f"{MOVIES[item.segment.name][1]}_v2.mp4"

    def write_film(self, item: Shown) -> None:
        """Write the excerpts with gray rests between them."""
        assert item.onsets_s is not None
        at = dict(zip(map(int, item.onsets_s), item.scenes, strict=True))
        config, path = self.config, self.film(item)
        path.parent.mkdir(parents=True, exist_ok=True)
        seconds = [at.get(second) for second in range(int(item.duration_s))]
        write_film(path, seconds, clip_s=1.0, fps=config.fps, frame_px=config.frame_px)

    def write_runs(self, subject: int, cortex: Cortex, item: Shown, signal: Array) -> None:
        """Write the MSMAll-aligned, cleaned series."""
        run = MOVIES[item.segment.name][0]
        folder = self.root / str(self.subject(subject)) / "MNINonLinear" / "Results" / run
        path = folder / f"{run}{VARIANTS['msmall'][0]}.dtseries.nii"
        write_series(path, self.noisy(subject, cortex, item, 1, signal), self.sheet, self.config.tr_s)

    def finish(self, shown: Sequence[Shown]) -> None:
        """Write ``clip_times_24.npy``, a pickled dictionary like the one that users share."""
        spans = {}
        for number, item in enumerate(shown, start=1):
            lengths = self._excerpts(item.segment.clips, self.config.test_clips)
            edges = []
            start = _REST_S
            for length in lengths:
                edges.append((start * FPS, (start + length) * FPS))
                start += length + _REST_S
            spans[str(number)] = np.array(edges)
        np.save(self.root / "clip_times_24.npy", spans, allow_pickle=True)  # type: ignore[arg-type]

    def facts(self, shown: Sequence[Shown]) -> dict[str, Any]:
        """Training clips and volumes per film, and the length of the repeated excerpt."""
        found = super().facts(shown)
        found["test"] = {REPEAT: self.config.test_clips}
        return found | {"volumes": {item.segment.name: item.segment.volumes for item in shown}}

    def _excerpts(self, training: int, test: int) -> list[int]:
        """Lengths of a film's excerpts, in clips of one second."""
        half = training // 2
        return [length for length in (half, training - half, test) if length]


def _onsets(excerpts: Sequence[int]) -> list[int]:
    onsets: list[int] = []
    start = _REST_S
    for length in excerpts:
        onsets += range(start, start + length)
        start += length + _REST_S
    return onsets
