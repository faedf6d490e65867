"""The large retrieval pool: the test clips and those of other studies, without what occurs in both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.artifacts import Artifact
from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.metrics.features import clip_correlations
from mindanim.metrics.scratch import Scratch
from mindanim.metrics.vectors import Vectors

SAME_CLIP = 0.98
"""Cosine of two middle frames' CLIP vectors from which on they count as frames of one clip; the audit of the
split has the same limit."""
_FEW = 512


@dataclass(frozen=True)
class Pool:
    """What joins the test clips.

    similarities: (decoded, other clip), to the captions' vectors. clips: of the whole pool, the test clips
    among them. duplicates: clips of the other studies that were left out. sha256: of the pool's clips.
    """

    similarities: NDArray[np.float64]
    clips: int
    duplicates: int
    sha256: str


def check_pool(stimuli: Artifact, others: Sequence[Artifact]) -> None:
    """InputError for what is no stimuli artifact, the study's own, or seen by another CLIP model."""
    problems: list[MindanimError] = []
    own = _clip_model(stimuli)
    for other in others:
        if other.kind != "stimuli":
            problems.append(
                InputError(
                    f"{other.path} cannot join the retrieval pool.",
                    why=f"It holds {other.kind}, not the stimuli of a study.",
                    mend="Name the folder that `mindanim encode-stimuli` wrote.",
                )
            )
        elif other.identity == stimuli.identity:
            problems.append(
                InputError(
                    f"{other.path} cannot join the retrieval pool.",
                    why="It holds the stimuli that are scored; the pool takes another study's.",
                )
            )
        elif own is None or _clip_model(other) != own:
            problems.append(
                InputError(
                    f"{other.path} cannot join the retrieval pool.",
                    why=f"Its vectors come from another CLIP model ({_named(other)}) than those of "
                    f"{stimuli.path} ({_named(stimuli)}).",
                    mend="Encode both with the same model: mindanim encode-stimuli --set clip=NAME.",
                )
            )
    raise_together(problems)


def read_pool(
    decoded: Vectors,
    stimuli: Artifact,
    rows: NDArray[np.intp],
    others: Sequence[Artifact],
    training_mean: NDArray[np.float64],
    scratch: Scratch,
) -> Pool:
    """The pool beside the test clips, `rows` of `stimuli`.

    A clip of another study is left out when its middle frame is that of a test clip, or of a clip of the pool
    already. training_mean: (feature,), of the captions' vectors, taken away as from the test clips'.
    """
    held = [_frames(stimuli, rows)[:]]
    digest = hashlib.sha256(stimuli.identity.encode())
    for clip in stimuli.table("clips.tsv")["clip_id"].iloc[rows]:
        digest.update(f"\0{clip}".encode())
    parts, duplicates = [], 0
    for other in others:
        names = other.table("clips.tsv")["clip_id"]
        kept: list[int] = []
        for start in range(0, len(names), _FEW):
            some = np.arange(start, min(start + _FEW, len(names)))
            frames = _frames(other, some)[:]
            new = np.ones(len(some), bool)
            for before in held:
                new &= (frames @ before.T).max(axis=1, initial=-1.0) < SAME_CLIP
            alike = np.tril(frames @ frames.T >= SAME_CLIP, -1)
            for row in np.flatnonzero(new):
                new[row] = not alike[row, new].any()
            held.append(frames[new])
            kept += some[new].tolist()
        duplicates += len(names) - len(kept)
        digest.update(other.identity.encode())
        for clip in names.iloc[kept]:
            digest.update(f"\0{clip}".encode())
        targets = Vectors(other.array("clip_text.npy"), kept)
        parts.append(clip_correlations(decoded, targets, training_mean, scratch))
    count = sum(part.shape[1] for part in parts)
    similarities: NDArray[np.float64] = scratch.array((len(decoded), count), np.float64)
    start = 0
    for part in parts:
        similarities[:, start : start + part.shape[1]] = part
        start += part.shape[1]
    return Pool(similarities, len(rows) + count, duplicates, digest.hexdigest())


def _frames(stimuli: Artifact, rows: NDArray[np.intp]) -> Vectors:
    return Vectors(stimuli.array("clip_image.npy"), rows)


def _clip_model(stimuli: Artifact) -> str | None:
    found: str | None = stimuli.manifest["inputs"].get("clip", {}).get("identity")
    return found


def _named(stimuli: Artifact) -> str:
    return (_clip_model(stimuli) or "not recorded")[:8]
