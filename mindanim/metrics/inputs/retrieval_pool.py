"""The large retrieval pool: the test clips and the clips of other studies, without duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.artifacts import Artifact
from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.metrics.inputs.correlations import clip_correlations
from mindanim.metrics.inputs.vectors import Vectors
from mindanim.vocabulary.limits import SAME_EMBEDDING, SAME_LOOK
from mindanim.vocabulary.scratch import Scratch

_FEW = 512
_HASH = "frame_hash.npy"


@dataclass(frozen=True)
class Pool:
    """The clips that join the test clips.

    Attributes:
        similarities: (decoded, other clip), to the captions' vectors.
        clips: Number of clips in the whole pool, including the test clips.
        duplicates: Clips of the other studies that were left out.
        by_hash: How many of them were found by their perceptual hash.
        by_clip: How many were found by their CLIP vector; some by both.
        sha256: Of the identities of the studies and the names of the clips.
    """

    similarities: NDArray[np.float64]
    clips: int
    duplicates: int
    by_hash: int
    by_clip: int
    sha256: str


@dataclass(frozen=True)
class _Looks:
    """Middle frames of clips. vectors: (clip, feature) of CLIP, length 1. bits: (clip, bit), -1 or 1."""

    vectors: NDArray[np.float32]
    bits: NDArray[np.float32]

    @classmethod
    def of(cls, stimuli: Artifact, rows: NDArray[np.intp]) -> _Looks:
        bits = np.asarray(stimuli.array(_HASH)[rows], dtype=np.float32)
        return cls(Vectors(stimuli.array("clip_image.npy"), rows)[:], 2 * bits - 1)

    def take(self, rows: NDArray[np.bool_]) -> _Looks:
        return _Looks(self.vectors[rows], self.bits[rows])

    def alike(self, others: _Looks) -> NDArray[np.bool_]:
        """Which are frames of one clip, by hash and by CLIP: (2, clip, other clip)."""
        agreement = self.bits @ others.bits.T / self.bits.shape[1]
        return np.stack([agreement >= 1 - 2 * SAME_LOOK, self.vectors @ others.vectors.T >= SAME_EMBEDDING])


def check_pool(stimuli: Artifact, others: Sequence[Artifact]) -> None:
    """Check that the stimuli of other studies can join the pool.

    Raises:
        InputError: One is not a stimuli artifact, is the study's own, was encoded with another CLIP model, or
            has no hashes of its frames.
    """
    problems: list[MindanimError] = [
        InputError(
            f"{one.path} has no {_HASH}, by which clips that occur in both studies are found.",
            why="It was written by an earlier version of mindanim.",
            hint=f"Encode again: {one.command}",
        )
        for one in (stimuli, *others)
        if one.kind == "stimuli" and _HASH not in one.outputs
    ]
    own = _clip_model(stimuli)
    for other in others:
        if other.kind != "stimuli":
            problems.append(
                InputError(
                    f"{other.path} cannot join the retrieval pool.",
                    why=f"It is the artifact {other.kind}, not the stimuli of a study.",
                    hint="Give the stimuli of another study. To list all artifacts: mindanim show",
                )
            )
        elif other.identity == stimuli.identity:
            problems.append(
                InputError(
                    f"{other.path} cannot join the retrieval pool.",
                    why="It has the stimuli that are scored; the pool needs those of another study.",
                )
            )
        elif own is None or _clip_model(other) != own:
            problems.append(
                InputError(
                    f"{other.path} cannot join the retrieval pool.",
                    why=f"Its vectors come from another CLIP model ({_named(other)}) than those of "
                    f"{stimuli.path} ({_named(stimuli)}).",
                    hint="Encode both studies with the same model: add --clip NAME to encode-stimuli",
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
    """The pool around the test clips, which are `rows` of `stimuli`.

    A clip of another study is left out when its middle frame is that of a test clip, or of a clip of the pool
    already, by its perceptual hash (re-encoded, resized) or by its CLIP vector (cropped, overlaid).

    Args:
        training_mean: (feature,), of the captions' vectors, subtracted as for the test clips.
    """
    held = [_Looks.of(stimuli, rows)]
    digest = hashlib.sha256(stimuli.identity.encode())
    for clip in stimuli.table("clips.tsv")["clip_id"].iloc[rows]:
        digest.update(f"\0{clip}".encode())
    parts, found_by = [], np.zeros(3, dtype=np.intp)
    for other in others:
        names = other.table("clips.tsv")["clip_id"]
        kept: list[int] = []
        for start in range(0, len(names), _FEW):
            some = np.arange(start, min(start + _FEW, len(names)))
            looks = _Looks.of(other, some)
            found = np.zeros((2, len(some)), bool)
            for before in held:
                found |= looks.alike(before).any(axis=2)
            earlier = np.tril(looks.alike(looks), -1)
            for row in range(len(some)):
                found[:, row] |= earlier[:, row, ~found.any(axis=0)].any(axis=1)
            new = np.logical_not(found.any(axis=0))
            held.append(looks.take(new))
            kept += some[new].tolist()
            found_by += [int((~new).sum()), *found.sum(axis=1).tolist()]
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
    duplicates, by_hash, by_clip = (int(number) for number in found_by)
    return Pool(similarities, len(rows) + count, duplicates, by_hash, by_clip, digest.hexdigest())


def _clip_model(stimuli: Artifact) -> str | None:
    found: str | None = stimuli.manifest["inputs"].get("clip", {}).get("identity")
    return found


def _named(stimuli: Artifact) -> str:
    return (_clip_model(stimuli) or "not recorded")[:8]
