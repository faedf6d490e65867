"""Algonauts 2021: ten subjects saw 1,102 clips of 3 s; what is published are responses, not runs.

A response is a GLM's estimate for one clip and one repeat. So a "run" here is one repeat of all clips, its
volume k is the response to clip k, and there is neither drift nor lag. Responses to the last 102 clips were
withheld for the challenge and never released. The split is the paper's: of the 1,000 clips with a response,
the first 900 for training and the last 100 for the test.

The clips are those of BOLD Moments (ds005165): never train on one of the two and test on the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.errors import InputError
from mindanim.studies.base import READERS, Facts, Finding, Segment
from mindanim.studies.checks.declared_vs_disk import Declared, Stranger
from mindanim.studies.readers.declared import Reader
from mindanim.studies.study_options import StudyOptions
from mindanim.vocabulary.clips import Clip, Split
from mindanim.vocabulary.runs import Film, Matrix, Run
from mindanim.vocabulary.subjects import Subject, label_of

ROIS = ("V1", "V2", "V3", "V4", "LOC", "EBA", "FFA", "STS", "PPA")
WHOLE_BRAIN = "WB"
GRID = (78, 93, 71)
"""Shape of the volume of the voxel mask in the whole-brain file."""
WITHHELD = 102
TRACKS = {"full": "full_track", "mini": "mini_track"}
FOLDER, FILMS = "participants_data_v2021", "AlgonautsVideos268_All_30fpsmax"
_OPTIONS = {
    "track": "mini (nine regions) or full (whole brain); the first that is there, full before mini",
    "test": "number of clips at the end kept for the test; 100 in the paper",
}

FACTS = Facts(
    name="algonauts2021",
    title="Algonauts 2021",
    layout="algonauts2021",
    subjects=tuple(range(1, 11)),
    tr_s=3.0,
    clip_s=3.0,
    lags_s=(0.0,),
    segments=(Segment("train", "train", 900, 3, 0.0, 1000), Segment("test", "test", 100, 3, 0.0, 1000)),
    citation=(
        "Cichy RM, Dwivedi K, Lahner B, Lascelles A, Iamshchinina P, Graumann M, Andonian A, Murty NAR, "
        "Kay K, Roig G, Oliva A (2021). The Algonauts Project 2021 Challenge: how the human brain makes "
        "sense of a world in motion. arXiv:2104.13714"
    ),
    licence="for research, according to the challenge's page (after filling in a form)",
    where="http://algonauts.csail.mit.edu/2021",
)


class Algonauts2021(Reader):
    """The study in the folder that holds ``participants_data_v2021`` and the folder of films.

    Args:
        facts: Those of the real study unless a simulated one uses this layout; the segments ``train`` and
            ``test`` say how many of the clips belong to either, in order.
    """

    def __init__(
        self,
        root: Path,
        *,
        facts: Facts = FACTS,
        allow_partial: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        asked = StudyOptions(facts.name, options or {}, _OPTIONS)
        self._track = asked.choice("track", tuple(TRACKS))
        super().__init__(root, _split(facts, asked.number("test", least=1, whole=True)), allow_partial)
        self._base = next((folder for folder in (root / FOLDER, root) if _holds_tracks(folder)), None)
        if self._base is None:
            raise InputError(
                f"{root} does not contain the study in the layout of Algonauts 2021.",
                f"Neither {FOLDER}/{TRACKS['mini']} nor {FOLDER}/{TRACKS['full']} in it.",
                f"Unpack the download there; the study is at {facts.where}.",
            )

    def clips(self) -> list[Clip]:
        """The clips with a response, in the order of their numbers: training first."""
        clips = []
        splits: list[Split] = [segment.split for segment in self.facts.segments for _ in range(segment.clips)]
        for number, split in enumerate(splits, start=1):
            name = f"{number:04d}"
            at_s = (number - 1) * self.facts.tr_s
            clips.append(Clip(f"video-{name}", split, split, name, number, 0.0, self.facts.clip_s, at_s))
        return clips

    def _films(self) -> list[Film]:
        folder = self._film_folder()
        found: dict[str, Path] = {}
        for path in sorted(folder.glob("[!.]*.mp4")):
            if name := re.match(r"(\d{4})[_.]", path.name):
                found.setdefault(name[1], path)
        return [
            Film(clip.film, found.get(clip.film, folder / f"{clip.film}_*.mp4"), clip.split, clip.segment)
            for clip in self.clips()
        ]

    def _film_folder(self) -> Path:
        assert self._base is not None
        places = [parent / FILMS for parent in (self.root, self._base, self._base.parent)]
        return next((place for place in places if place.is_dir()), places[0])

    def _declare(self, subject: Subject) -> Declared:
        assert self._base is not None
        folders = {
            track: self._base / name / f"sub{label_of(subject)}"
            for track, name in TRACKS.items()
            if (self._base / name).is_dir()
        }
        there = [track for track, folder in folders.items() if folder.is_dir()]
        track = self._track or next(iter(there), next(iter(folders)))
        folder = self._base / TRACKS[track] / f"sub{label_of(subject)}"
        names = (WHOLE_BRAIN,) if track == "full" else ROIS
        paths = tuple(folder / f"{name}.pkl" for name in names)
        if track == "mini" and self._allow_partial:  # some of the regions are enough
            paths = tuple(path for path in paths if path.is_file()) or paths
        clips = sum(segment.clips for segment in self.facts.segments)
        runs = [
            Run(
                subject,
                "",
                segment.split,
                segment.name,
                repeat,
                paths[0],
                0.0,
                self.facts.tr_s,
                segment.volumes,
                load=partial(_repeat, paths, clips, repeat),
                others=paths[1:],
            )
            for segment in self.facts.segments
            for repeat in range(1, segment.repeats + 1)
        ]
        strangers = [
            Stranger(path, "the name is not a region's")
            for path in sorted(folder.glob("[!.]*.pkl"))
            if path.stem not in (*ROIS, WHOLE_BRAIN)
        ]
        return Declared(runs, strangers, self._notes(subject, track, there, paths))

    def _notes(
        self, subject: Subject, track: str, there: list[str], paths: tuple[Path, ...]
    ) -> list[Finding]:
        notes = []
        if len(there) > 1 and self._track is None:
            text = f"Subject {subject}: both tracks are there; the {track} one is read."
            notes.append(Finding("note", "track", text, "Choose with: --study track=mini"))
        if track == "mini" and len(paths) < len(ROIS):
            lost = ", ".join(name for name in ROIS if name not in {path.stem for path in paths})
            text = f"Subject {subject}: regions without a file: {lost}."
            notes.append(Finding("problem", "missing-region", text, f"Get them from {self.facts.where}."))
        if self.facts.subjects == FACTS.subjects:
            text = (
                f"The responses to the last {WITHHELD} of 1102 clips were never released; they are not used."
            )
            notes.append(Finding("note", "withheld", text))
        return notes


def _split(facts: Facts, test: float | None) -> Facts:
    """The facts with another number of test clips."""
    from dataclasses import replace

    if test is None:
        return facts
    train, last = facts.segments
    clips = train.clips + last.clips
    if test >= clips:
        raise InputError(f"--study test={int(test)} leaves no clip of {clips} for training.")
    return replace(
        facts,
        segments=(replace(train, clips=clips - int(test)), replace(last, clips=int(test))),
    )


def _holds_tracks(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in TRACKS.values())


def _repeat(paths: tuple[Path, ...], clips: int, repeat: int) -> Matrix:
    """One repeat of all clips, ``(clip, voxel)``."""
    marks = tuple(path.stat().st_mtime_ns for path in paths if path.is_file())
    data, region, ijk = _read(paths, clips, marks)
    if repeat > data.shape[1]:
        raise InputError(f"There is no repeat {repeat} among the {data.shape[1]} of these responses.")
    return Matrix(data[:, repeat - 1], region, ijk)


@lru_cache(maxsize=1)  # the repeats of one subject; a whole brain is some hundred MB
def _read(
    paths: tuple[Path, ...], clips: int, marks: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.str_], NDArray[np.int64] | None]:
    """Responses ``(clip, repeat, voxel)``, region and, of the whole brain, place of every voxel.

    marks: times of the files' last change, so that a changed file is read again.
    """
    from mindanim.studies.pickles import read_pickle

    parts, names, ijk = [], [], None
    for path in paths:
        content = read_pickle(path)
        if not isinstance(content, dict) or "train" not in content:
            raise InputError(f"{path} has no entry 'train'.", "It is a dict of arrays in this study.", _AGAIN)
        array = content["train"]
        if not isinstance(array, np.ndarray) or array.ndim != 3 or array.dtype.kind not in "fiu":
            shape = getattr(array, "shape", type(array).__name__)
            raise InputError(f"The responses in {path} are {shape}, not (clip, repeat, voxel).", hint=_AGAIN)
        if len(array) != clips:
            raise InputError(f"{path} holds responses to {len(array)} clips instead of {clips}.", hint=_AGAIN)
        if path.stem == WHOLE_BRAIN:
            ijk = _places(path, content, array.shape[2])
        parts.append(array.astype(np.float32))
        names.append(np.full(array.shape[2], "n/a" if path.stem == WHOLE_BRAIN else path.stem))
    if len({part.shape[1] for part in parts}) > 1:
        counts = ", ".join(f"{path.stem} {part.shape[1]}" for path, part in zip(paths, parts, strict=True))
        raise InputError(f"The regions in {paths[0].parent} have different numbers of repeats: {counts}.")
    return np.concatenate(parts, axis=2), np.concatenate(names), ijk


def _places(path: Path, content: Mapping[str, Any], voxels: int) -> NDArray[np.int64]:
    """Indices ``(voxel, 3)`` of the whole-brain voxels, from the file's own mask."""
    mask = content.get("voxel_mask")
    if not isinstance(mask, np.ndarray) or mask.ndim != 3:
        raise InputError(
            f"{path} has no volume 'voxel_mask'.", "It gives the positions of its voxels.", _AGAIN
        )
    places = np.argwhere(mask.astype(bool))
    if len(places) != voxels:
        raise InputError(
            f"The voxel mask in {path} has {len(places)} voxels, its responses have {voxels}.", hint=_AGAIN
        )
    return places.astype(np.int64)


_AGAIN = "Download it again."


READERS.add("algonauts2021", Algonauts2021)
