"""Ground truths, reconstructions and decoded features from artifacts, all in one order of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mindanim.artifacts import Artifact
from mindanim.artifacts.tsv import read_tsv
from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.metrics.inputs.correlations import clip_correlations
from mindanim.metrics.inputs.decoded_features import DecodedFeatures, Latents, mean_first_latent
from mindanim.metrics.inputs.folders import Folders
from mindanim.metrics.inputs.retrieval_pool import read_pool
from mindanim.metrics.inputs.vectors import Vectors
from mindanim.vocabulary.arrays import numbered
from mindanim.vocabulary.clips import Clips
from mindanim.vocabulary.scratch import IN_TEMPORARY, Scratch
from mindanim.vocabulary.words import names_and_more

_CLIP_TABLE = "Write it as text separated by tabs, with a header: clip_id, and segment or caption or both."


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

    Attributes:
        clips: One row per clip with clip_id, segment, film and caption.
        truth: Their ground truths.
        shape: (frame, height, width, rgb) of every clip.
        subset: How much of the test set this is; None for all of it.
    """

    clips: pd.DataFrame
    truth: Clips
    shape: tuple[int, ...]
    subset: str | None

    @property
    def clip_ids(self) -> list[str]:
        return list(self.clips["clip_id"])

    @property
    def films(self) -> list[str]:
        return list(self.clips["film"])

    @property
    def captions(self) -> list[str]:
        return list(self.clips["caption"])


@dataclass(frozen=True)
class Contender:
    """Other videos of the same clips (an oracle, a generator without a brain), in the same order."""

    clips: Clips
    features: DecodedFeatures | None


def read_test_set(fmri: Artifact, stimuli: Artifact, videos: Artifact, subset: bool) -> TestSet:
    """The test clips of `fmri` that are in `videos`.

    Raises:
        InputError: Reconstructions are missing (unless `subset`) or are not of test clips, a test clip has no
            ground truth, or the videos were made from other stimuli.
    """
    table, mine = stimuli.table("clips.tsv"), fmri.table("clips.tsv")
    test = mine.loc[mine["split"] == "test", ["clip_id", "segment", "film"]].reset_index(drop=True)
    made = set(videos.table("clips.tsv")["clip_id"])
    problems: list[MindanimError] = []
    if made_from_others(videos, stimuli):
        problems.append(
            InputError(
                f"{videos.path} was made from stimuli other than {stimuli.path}.",
                why="Its clips cannot be compared with these ground truths.",
                hint="Choose stimuli that belong to it with --use stimuli=LABEL, or generate again.",
            )
        )
    if strangers := made - set(test["clip_id"]):
        problems.append(
            InputError(
                f"{len(strangers)} reconstructions are not of test clips of this subject: "
                f"{names_and_more(sorted(strangers))}.",
                why=f"The test clips are listed in {fmri.path}.",
            )
        )
    missing = [clip for clip in test["clip_id"] if clip not in made]
    if missing and not subset:
        problems.append(
            InputError(
                f"{len(missing)} of {len(test)} test clips have no reconstruction: "
                f"{names_and_more(sorted(missing))}.",
                why=f"{videos.path} has {len(made)} clips.",
                hint="To score only these clips, as every table will say: add --subset\n"
                "To generate the rest: " + videos.command_with("--limit", "none", "--clips", ""),
            )
        )
    rows = {clip: row for row, clip in enumerate(table["clip_id"])}
    if unknown := [clip for clip in test["clip_id"] if clip not in rows]:
        problems.append(InputError(f"{stimuli.path} has no ground truth for {names_and_more(unknown)}."))
    raise_together(problems)

    chosen = test[test["clip_id"].isin(made)].reset_index(drop=True)
    stimulus = [rows[clip] for clip in chosen["clip_id"]]
    order = {clip: row for row, clip in enumerate(table.loc[table["split"] == "test", "clip_id"])}
    frames = ArrayClips(stimuli.array("test_frames.npy"), [order[clip] for clip in chosen["clip_id"]])
    part = f"{len(chosen)} of {len(test)} test clips" if missing else None
    captions = table["caption"].astype(str).to_numpy()[stimulus]
    return TestSet(chosen.assign(caption=captions), frames, frames.array.shape[1:], part)


def read_foreign(
    found: Folders, shape: tuple[int, ...], truth: Clips, part: str | None, table: Path | None
) -> TestSet:
    """The clips of two folders as a test set, in the order of `table`, or of their names without one.

    table: TSV with a column clip_id and, if known, segment and caption. Without segments the clips count as
    one stretch of film, without captions as all different.

    Raises:
        InputError: The table lacks a clip, or a segment or caption.
    """
    names = list(found.pairs)
    if table is None:
        clips = pd.DataFrame({"clip_id": names})
    else:
        given = _clip_table(table)
        if strangers := [name for name in names if name not in set(given["clip_id"])]:
            raise InputError(
                f"{table} lacks {len(strangers)} of the clips: {names_and_more(strangers)}.",
                hint="Add a row for each; clip_id is the file's name without its suffix.",
            )
        clips = given.set_index("clip_id").loc[names].reset_index()
    unknown = {"segment": ["all"] * len(names), "caption": names}
    for column, values in unknown.items():
        if column not in clips:
            clips[column] = values
        elif empty := [name for name, text in zip(names, clips[column], strict=True) if not text.strip()]:
            raise InputError(
                f"{table} has no {column} for {len(empty)} of the clips: {names_and_more(empty)}.",
                why=f"Clips without one would count as clips of the same {column}.",
                hint=f"Fill in the column, or leave it out if no {column} is known.",
            )
    clips = clips.assign(film=clips["segment"])[["clip_id", "segment", "film", "caption"]]
    return TestSet(clips, truth, shape, part)


def order_of(found: Folders, table: Path | None) -> Folders:
    """The same folders with their clips in the order of the table."""
    if table is None:
        return found
    place = {name: row for row, name in enumerate(_clip_table(table)["clip_id"])}
    names = sorted(found.pairs, key=lambda name: place.get(name, len(place)))
    return replace(found, pairs={name: found.pairs[name] for name in names})


def _clip_table(path: Path) -> pd.DataFrame:
    read = read_tsv(path, ("clip_id",), _CLIP_TABLE)
    table = pd.DataFrame(read.rows, columns=read.columns, dtype=str)
    if twice := sorted(set(table.loc[table["clip_id"].duplicated(), "clip_id"])):
        raise InputError(
            f"{path} has clips more than once: {names_and_more(twice)}.",
            hint="Keep one row of each.",
        )
    return table


def made_from_others(videos: Artifact, stimuli: Artifact) -> bool:
    """Whether the manifest of `videos` names stimuli other than these."""
    recorded = videos.manifest["inputs"].get("stimuli")
    return recorded is not None and recorded["identity"] != stimuli.identity


def read_videos(videos: Artifact, test: TestSet) -> FileClips:
    """The reconstructions of the test set's clips.

    Raises:
        InputError: Some have another size; lists them.
    """
    clips = FileClips([videos.file(f"clips/{clip}.npy") for clip in test.clip_ids])
    shapes = [np.load(file, mmap_mode="r", allow_pickle=False).shape for file in clips.files]
    wrong = [clip for clip, shape in zip(test.clip_ids, shapes, strict=True) if shape != test.shape]
    if wrong:
        found = shapes[test.clip_ids.index(wrong[0])]
        raise InputError(
            f"{len(wrong)} reconstructions in {videos.path} differ in size from the truth: "
            f"{names_and_more(wrong)}.",
            why=f"They are {found}, the ground truth is {test.shape} (frame, height, width, rgb).",
            hint="Encode the stimuli and generate with the same diffusion model and number of frames.",
        )
    return clips


def read_contender(
    videos: Artifact,
    test: TestSet,
    stimuli: Artifact,
    scratch: Scratch = IN_TEMPORARY,
    others: Sequence[Artifact] = (),
) -> Contender | str:
    """Other videos of the test set's clips, or why they cannot be compared with these."""
    if made_from_others(videos, stimuli):
        return f"{videos.path} was made from other stimuli."
    made = set(videos.table("clips.tsv")["clip_id"])
    if missing := [clip for clip in test.clip_ids if clip not in made]:
        return f"{videos.path} lacks {len(missing)} of the clips: {names_and_more(missing)}."
    return Contender(read_videos(videos, test), read_features(videos, test, stimuli, scratch, others))


def read_features(
    videos: Artifact,
    test: TestSet,
    stimuli: Artifact,
    scratch: Scratch = IN_TEMPORARY,
    others: Sequence[Artifact] = (),
) -> DecodedFeatures:
    """The features that `videos` was made from, with the true ones.

    Args:
        others: Stimuli of other studies, for the large retrieval pool.
    """
    order = {clip: row for row, clip in enumerate(videos.table("clips.tsv")["clip_id"])}
    rows = [order[clip] for clip in test.clip_ids]
    table = stimuli.table("clips.tsv")
    train = np.flatnonzero(table["split"] == "train")
    place = {clip: row for row, clip in enumerate(table["clip_id"])}
    stimulus = np.array([place[clip] for clip in test.clip_ids], dtype=np.intp)
    decoded = Vectors(videos.array("decoded_clip.npy"), rows)
    similarities = {}
    for kind in ("clip_image", "clip_text"):
        targets = stimuli.array(f"{kind}.npy")
        mean = Vectors(targets, train).mean()
        similarities[kind] = clip_correlations(decoded, Vectors(targets, stimulus), mean, scratch)
    # `mean` is now that of the captions, which retrieval searches.
    pool = read_pool(decoded, stimuli, stimulus, others, mean, scratch) if others else None
    true = stimuli.array("latents.npy")
    latents = Latents(
        _Rows(videos.array("decoded_latents.npy"), rows),
        _Rows(true, stimulus),
        mean_first_latent(true, train),
        scratch,
    )
    return DecodedFeatures(similarities, numbered(test.captions), latents, pool)


@dataclass(frozen=True)
class _Rows:
    """Chosen rows of a memory-mapped array, read one at a time."""

    array: NDArray[np.floating]
    rows: Sequence[int] | NDArray[np.intp]

    def __getitem__(self, index: int, /) -> NDArray[np.floating]:
        return np.asarray(self.array[self.rows[index]])
