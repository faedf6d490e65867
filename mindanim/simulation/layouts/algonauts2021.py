"""Algonauts 2021: a film file per clip, and pickles of responses (clip, repeat, voxel) per region."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np

from mindanim.runtime import named_rng
from mindanim.simulation.cortex import Cortex, estimate, noiseless
from mindanim.simulation.drive import Drive, clip_drives
from mindanim.simulation.film_plan import Shown, plan_films, write_film
from mindanim.simulation.layouts.layout import Array, Layout
from mindanim.studies.base import Segment
from mindanim.studies.readers.algonauts2021 import FILMS, FOLDER, GRID, ROIS, TRACKS, WHOLE_BRAIN

_PEAK_S = 6.0
"""Time after a clip's onset at which its response is read, seconds."""
_PLANTED = {
    "V1": ("V1",),
    "V2": ("V2",),
    "V3": ("V3",),
    "V4": ("V4",),
    "LOC": ("LO1", "LO2"),
    "EBA": ("MT", "V3A"),
    "FFA": ("FFC", "V8"),
    "STS": ("MST", "A1"),
    "PPA": ("PHA1", "PHA2"),
}
"""Planted regions in place of the study's; see mindanim/simulation/regions.py for what they respond to."""


class Algonauts2021Layout(Layout):
    """``participants_data_v2021/{mini_track,full_track}/sub01/*.pkl`` and one mp4 per clip."""

    atlas = None

    def plan(self, purpose: str = "film") -> list[Shown]:
        """The training clips and the test clips, numbered consecutively."""
        shown: list[Shown] = []
        first = 1
        for item, split in zip(plan_films(self.config, purpose), ("train", "test"), strict=True):
            clips = len(item.scenes)
            names = tuple(f"video-{number:04d}" for number in range(first, first + clips))
            segment = Segment(split, split, clips, item.segment.repeats, 0.0, clips)  # type: ignore[arg-type]
            shown.append(replace(item, segment=segment, names=names))
            first += clips
        return shown

    def signal(self, cortex: Cortex, item: Shown, drive: Drive) -> Array:
        """The response to each clip alone, at its peak."""
        clips = clip_drives(drive, len(item.scenes))
        return np.concatenate([noiseless(cortex, clip, np.array([_PEAK_S])) for clip in clips])

    def film(self, item: Shown) -> Path:
        """The folder of all clips."""
        return self.root / FILMS

    def write_film(self, item: Shown) -> None:
        """Write ``0001_simulated.mp4`` and so on."""
        config, folder = self.config, self.film(item)
        folder.mkdir(exist_ok=True)
        for name, scene in zip(item.clip_ids(), item.scenes, strict=True):
            path = folder / f"{name.removeprefix('video-')}_simulated.mp4"
            write_film(path, [scene], clip_s=config.clip_s, fps=config.fps, frame_px=config.frame_px)

    def write_runs(self, subject: int, cortex: Cortex, item: Shown, signal: Array) -> None:
        """Keep the training responses until the test responses exist, then write both tracks."""
        repeats = [
            estimate(
                signal,
                cortex,
                named_rng(self.config.seed, "noise", str(subject), item.segment.name, str(repeat)),
            )
            for repeat in range(1, item.segment.repeats + 1)
        ]
        part = self.root / f".responses-{subject}.npy"
        responses = np.stack(repeats, axis=1)
        if item.segment.split == "train":
            np.save(part, responses)
            return
        responses = np.concatenate([np.load(part), responses])
        part.unlink()
        self._write(subject, responses)

    def _write(self, subject: int, responses: Array) -> None:
        base = self.root / FOLDER
        folders = {track: base / name / f"sub{subject:02d}" for track, name in TRACKS.items()}
        for folder in folders.values():
            folder.mkdir(parents=True)
        mask = np.zeros(GRID, bool)
        middle = np.argwhere(np.ones(GRID, bool))[np.prod(GRID) // 2 :][: responses.shape[2]]
        mask[tuple(middle.T)] = True
        whole = {"train": responses, "voxel_mask": mask}
        _dump(folders["full"] / f"{WHOLE_BRAIN}.pkl", whole)
        names = np.array([label[2:].removesuffix("_ROI") for label in self.sheet.labels()])
        for roi in ROIS:
            _dump(folders["mini"] / f"{roi}.pkl", {"train": responses[:, :, np.isin(names, _PLANTED[roi])]})


def _dump(path: Path, content: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        pickle.dump(content, file, protocol=4)
