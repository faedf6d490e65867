"""From artifacts to what is scored: ground truths, reconstructions, decoded features, all in one order of
clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mindanim.artifacts import Artifact
from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.metrics.features import FeatureScorer, Latents, clip_correlations, different, mean_first_latent
from mindanim.metrics.scored import Contender

_NAMED = 10


@dataclass(frozen=True)
class ArrayClips:
    """Rows of an array (clip, frame, height, width, rgb) uint8, memory-mapped or not."""

    array: NDArray[np.uint8]
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return np.asarray(self.array[self.rows[index]])


@dataclass(frozen=True)
class FileClips:
    """One .npy file per clip, each (frame, height, width, rgb) uint8."""

    files: Sequence[Path]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        frames: NDArray[np.uint8] = np.load(self.files[index], allow_pickle=False)
        return frames


@dataclass(frozen=True)
class TestSet:
    """The clips that are scored, in film order.

    clips: one row per clip with clip_id, segment and caption. truth: their ground truths. stimulus: their
    rows in the stimuli's arrays. subset: how much of the test set this is, None for all of it.
    """

    clips: pd.DataFrame
    truth: ArrayClips
    stimulus: NDArray[np.intp]
    subset: str | None

    @property
    def clip_ids(self) -> list[str]:
        return list(self.clips["clip_id"])

    @property
    def captions(self) -> list[str]:
        return list(self.clips["caption"])

    @property
    def shape(self) -> tuple[int, ...]:
        """(frame, height, width, rgb) of every clip."""
        return self.truth.array.shape[1:]


def read_test_set(fmri: Artifact, stimuli: Artifact, videos: Artifact, subset: bool) -> TestSet:
    """The test clips of `fmri` that `videos` holds.

    Raises InputError when reconstructions are missing (unless `subset`), when there are some that are no test
    clips, when a test clip has no ground truth, or when the videos were made from other stimuli.
    """
    table, mine = stimuli.table("clips.tsv"), fmri.table("clips.tsv")
    test = mine.loc[mine["split"] == "test", ["clip_id", "segment"]].reset_index(drop=True)
    made = set(videos.table("clips.tsv")["clip_id"])
    problems: list[MindanimError] = []
    if made_from_others(videos, stimuli):
        problems.append(
            InputError(
                f"{videos.path} was made from other stimuli than {stimuli.path}.",
                why="Its clips cannot be compared with these ground truths.",
                mend="Choose stimuli that belong to it with --use stimuli=LABEL, or generate again.",
            )
        )
    if strangers := made - set(test["clip_id"]):
        problems.append(
            InputError(
                f"{len(strangers)} reconstructions are no test clips of this subject: {_some(strangers)}.",
                why=f"The test clips are those in {fmri.path}.",
            )
        )
    missing = [clip for clip in test["clip_id"] if clip not in made]
    if missing and not subset:
        problems.append(
            InputError(
                f"{len(missing)} of {len(test)} test clips have no reconstruction: {_some(missing)}.",
                why=f"{videos.path} holds {len(made)} clips.",
                mend="Generate the rest, or score this part with --subset; every table will say so.",
            )
        )
    rows = {clip: row for row, clip in enumerate(table["clip_id"])}
    if unknown := [clip for clip in test["clip_id"] if clip not in rows]:
        problems.append(InputError(f"{stimuli.path} has no ground truth of {_some(unknown)}."))
    raise_together(problems)

    chosen = test[test["clip_id"].isin(made)].reset_index(drop=True)
    stimulus = np.array([rows[clip] for clip in chosen["clip_id"]], dtype=np.intp)
    order = {clip: row for row, clip in enumerate(table.loc[table["split"] == "test", "clip_id"])}
    frames = ArrayClips(stimuli.array("test_frames.npy"), [order[clip] for clip in chosen["clip_id"]])
    part = f"{len(chosen)} of {len(test)} test clips" if missing else None
    captions = table["caption"].astype(str).to_numpy()[stimulus]
    return TestSet(chosen.assign(caption=captions), frames, stimulus, part)


def made_from_others(videos: Artifact, stimuli: Artifact) -> bool:
    """Whether the manifest of `videos` names stimuli other than these."""
    recorded = videos.manifest["inputs"].get("stimuli")
    return recorded is not None and recorded["identity"] != stimuli.identity


def read_videos(videos: Artifact, test: TestSet) -> FileClips:
    """The reconstructions of the test set's clips; InputError listing those of another size."""
    clips = FileClips([videos.file(f"clips/{clip}.npy") for clip in test.clip_ids])
    shapes = [np.load(file, mmap_mode="r", allow_pickle=False).shape for file in clips.files]
    wrong = [clip for clip, shape in zip(test.clip_ids, shapes, strict=True) if shape != test.shape]
    if wrong:
        found = shapes[test.clip_ids.index(wrong[0])]
        raise InputError(
            f"{len(wrong)} reconstructions in {videos.path} differ in size from the truth: {_some(wrong)}.",
            why=f"They are {found}, the ground truth is {test.shape} (frame, height, width, rgb).",
            mend="Encode the stimuli and generate with the same diffusion model and number of frames.",
        )
    return clips


def read_contender(videos: Artifact, test: TestSet, stimuli: Artifact) -> Contender | str:
    """Other videos of the test set's clips, or the reason why they cannot stand beside these."""
    if made_from_others(videos, stimuli):
        return f"{videos.path} was made from other stimuli"
    made = set(videos.table("clips.tsv")["clip_id"])
    if missing := [clip for clip in test.clip_ids if clip not in made]:
        return f"{videos.path} lacks {len(missing)} of the clips: {_some(missing)}"
    return Contender(read_videos(videos, test), read_features(videos, test, stimuli))


def read_features(videos: Artifact, test: TestSet, stimuli: Artifact) -> FeatureScorer:
    """The scorer of the features that `videos` was made from, against the true ones."""
    order = {clip: row for row, clip in enumerate(videos.table("clips.tsv")["clip_id"])}
    rows = [order[clip] for clip in test.clip_ids]
    train = np.flatnonzero(stimuli.table("clips.tsv")["split"] == "train")
    decoded = np.asarray(videos.array("decoded_clip.npy")[rows])
    similarities = {}
    for kind in ("clip_image", "clip_text"):
        # View 0 is the frame, or the caption, as it is; the others are augmented.
        targets = stimuli.array(f"{kind}.npy")[:, 0]
        mean = targets[train].mean(axis=0, dtype=np.float64)
        similarities[kind] = clip_correlations(decoded, targets[test.stimulus], mean)
    true = stimuli.array("latents.npy")
    latents = Latents(
        _Rows(videos.array("decoded_latents.npy"), rows),
        _Rows(true, test.stimulus),
        mean_first_latent(true, train),
    )
    return FeatureScorer(similarities, different(test.captions), latents)


@dataclass(frozen=True)
class _Rows:
    """Chosen rows of a memory-mapped array, read one at a time."""

    array: NDArray[np.floating]
    rows: Sequence[int] | NDArray[np.intp]

    def __getitem__(self, index: int, /) -> NDArray[np.floating]:
        return np.asarray(self.array[self.rows[index]])


def _some(names: Sequence[str] | set[str]) -> str:
    ordered = sorted(names)
    rest = len(ordered) - _NAMED
    return ", ".join(ordered[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
