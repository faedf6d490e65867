"""Load the training clips of one subject from the artifacts: responses and features, row by row."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from mindanim import console
from mindanim.artifacts import Artifact
from mindanim.config.train import TrainConfig
from mindanim.decoders.base import Shapes
from mindanim.decoders.ridge.fit_ridge import Ridge
from mindanim.decoders.ridge.targets import Target
from mindanim.decoders.training_examples import Examples, MotionExamples, SemanticExamples, StructureExamples
from mindanim.decoders.validation_split import Split
from mindanim.errors import InputError
from mindanim.vocabulary.words import names_and_more

_AT_ONCE = 64
"""Clips that are checked or copied at a time."""


@dataclass(frozen=True)
class Given:
    """The training clips of one subject.

    Attributes:
        responses: ``(clip, lag, voxel)``, mapped from their file.
        stimuli: The artifact with the features.
        rows: ``(clip,)``, the clips' rows in the stimuli's arrays.
        split: Which clips fit and which validate.
        scratch: Folder for copies that are not needed after the run.
    """

    responses: NDArray[np.float32]
    stimuli: Artifact
    rows: NDArray[np.int64]
    split: Split
    scratch: Path

    def common(self) -> dict[str, Tensor]:
        """The tensors that examples of every kind have."""
        return {
            "responses": torch.from_numpy(self.responses).flatten(1),
            "fit": torch.from_numpy(self.split.fit),
            "validation": torch.from_numpy(self.split.validation),
        }

    def feature(self, name: str) -> NDArray[Any]:
        """The clips' rows of one of the stimuli's arrays, mapped from its file if they are contiguous there.

        Otherwise they are copied to an unnamed file that is mapped and disappears with the process. Either
        way the system can reclaim their memory at any time.
        """
        array, rows = _mapped(self.stimuli, name), self.rows
        if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            return array[rows[0] : rows[0] + len(rows)]
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            copy = np.memmap(file, array.dtype, "w+", shape=(len(rows), *array.shape[1:]))
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            copy[part] = array[rows[part]]
        return copy


def training_clips(fmri: Artifact) -> pd.DataFrame:
    """The training rows of the responses' table."""
    clips = fmri.table("clips.tsv")
    return clips[clips["split"] == "train"].reset_index(drop=True)


def shapes_of(fmri: Artifact, stimuli: Artifact) -> Shapes:
    """Sizes of everything that a decoder of this subject reads or predicts.

    Raises:
        InputError: The latents are not those of clips of two or more frames.
    """
    there = {"clip": "clip_text.npy", "tokens": "text_tokens.npy", "latents": "latents.npy"}
    sizes = {name: stimuli.array(file).shape for name, file in there.items()}
    latents = sizes["latents"]
    if len(latents) != 5 or latents[1] < 2:
        raise InputError(
            f"latents.npy in {stimuli.path} has shape {latents}.",
            "Expected clip, frame, channel, height, width, with at least two frames per clip.",
        )
    return Shapes(
        response=fmri.array("train_responses.npy").shape[1:],
        clip=sizes["clip"][2:],
        tokens=sizes["tokens"][1:],
        latents=latents[1:],
    )


def load_given(fmri: Artifact, stimuli: Artifact, clips: pd.DataFrame, split: Split, scratch: Path) -> Given:
    """Responses, and the rows of their features; InputError naming clips that lack one."""
    return Given(_responses(fmri, clips), stimuli, _rows(stimuli, clips), split, scratch)


def _responses(fmri: Artifact, clips: pd.DataFrame) -> NDArray[np.float32]:
    """Training responses ``(clip, lag, voxel)``; InputError naming clips without a finite response."""
    responses = _mapped(fmri, "train_responses.npy")
    if len(responses) != len(clips):
        raise InputError(
            f"{fmri.path} has {len(responses)} training responses but {len(clips)} training clips.",
            "Rows of clips.tsv and train_responses.npy must correspond.",
            f"Preprocess again: {fmri.command}",
        )
    parts = (responses[start : start + _AT_ONCE] for start in range(0, len(responses), _AT_ONCE))
    broken = np.concatenate([~np.isfinite(part).all(axis=(1, 2)) for part in parts])
    if broken.any():
        raise InputError(
            f"Responses of {int(broken.sum())} clips in {fmri.path} are not finite: "
            f"{names_and_more(clips['clip_id'].to_numpy()[broken])}.",
            "A decoder cannot be fitted to missing values.",
            "Look at figures/qc.png and the findings in that folder, and preprocess again.",
        )
    return responses


def _rows(stimuli: Artifact, clips: pd.DataFrame) -> NDArray[np.int64]:
    """Each clip's row in the stimuli's arrays; InputError naming those without one."""
    rows = pd.Index(stimuli.table("clips.tsv")["clip_id"]).get_indexer(clips["clip_id"])
    if (rows < 0).any():
        raise InputError(
            f"{stimuli.path} lacks {int((rows < 0).sum())} of the clips that have responses: "
            f"{names_and_more(clips['clip_id'].to_numpy()[rows < 0])}.",
            "Responses and features come from different versions of the study.",
            f"Encode the stimuli again: {stimuli.command}",
        )
    return np.asarray(rows, np.int64)


def load_examples(kind: str, given: Given, config: TrainConfig) -> Examples:
    """The examples of a kind of decoder.

    Args:
        kind: semantic, structure or motion.
        given: The training clips.
        config: The ridge options, by which motion's first frames are decoded.

    Raises:
        InputError: For semantic decoders: the first text token is not constant.
    """
    return _LOADERS[kind](given, config)


def _semantic(given: Given, _: TrainConfig) -> SemanticExamples:
    stimuli, tokens = given.stimuli, given.feature("text_tokens.npy")
    first = np.asarray(tokens[:, 0], np.float32)
    _check_first_token(stimuli, first)
    return SemanticExamples(
        **given.common(),
        image=torch.from_numpy(given.feature("clip_image.npy")),
        text=torch.from_numpy(given.feature("clip_text.npy")),
        tokens=torch.from_numpy(tokens[:, 1:]).flatten(1),
        first_token=torch.from_numpy(first.mean(0)),
        captions=caption_labels(stimuli.table("clips.tsv")["caption"].iloc[given.rows]),
    )


def _check_first_token(stimuli: Artifact, first: NDArray[np.float32]) -> None:
    spread = float((first.max(0) - first.min(0)).max())
    if spread > 0.01 * float(abs(first).max()):
        raise InputError(
            f"The first text token in {stimuli.path} differs between captions (by up to {spread:.3g}).",
            "Semantic decoders predict the other tokens and prepend the first one as a constant.",
            "Use a diffusion model with a causal CLIP text encoder (Stable Diffusion 1.x or 2.x).",
        )


def caption_labels(captions: pd.Series) -> Tensor:
    """A number per caption ``(clip,) int64``, equal for captions that differ only in case and spaces."""
    plain = captions.astype(str).str.lower().str.split().str.join(" ")
    return torch.from_numpy(pd.factorize(plain)[0].astype(np.int64))


def _structure(given: Given, _: TrainConfig) -> StructureExamples:
    latents = torch.from_numpy(given.feature("latents.npy")[:, 0])
    return StructureExamples(**given.common(), latents=latents.flatten(1))


def _motion(given: Given, config: TrainConfig) -> MotionExamples:
    common, flat = given.common(), torch.from_numpy(given.feature("latents.npy")).flatten(2)
    console.say("motion: decoding first frames of held-out segments")
    decoded = decode_first_frames(config, common["responses"], flat[:, 0], given.split)
    return MotionExamples(**common, latents=flat, decoded=decoded)


def decode_first_frames(config: TrainConfig, responses: Tensor, latents: Tensor, split: Split) -> Tensor:
    """First frames ``(clip, latent)``, each decoded by a ridge regression that has not seen its segment.

    They stand for what a structure decoder predicts for new clips; its predictions for its own training clips
    would be far too good.

    Args:
        config: The ridge options.
        responses: ``(clip, feature)``.
        latents: True first frames ``(clip, latent)``.
        split: Which clips fit and which validate.
    """
    return Ridge(responses, split, config).regress("first_frame", Target.of(latents)).predicted()


_LOADERS: Mapping[str, Callable[[Given, TrainConfig], Examples]] = {
    "semantic": _semantic,
    "structure": _structure,
    "motion": _motion,
}


def _mapped(artifact: Artifact, name: str) -> NDArray[Any]:
    """An array of an artifact, mapped from its file."""
    # Copy on write: torch requires memory that it may write to, and nothing writes to it.
    array: NDArray[Any] = np.load(artifact.file(name), mmap_mode="c", allow_pickle=False)
    return array
