"""What decoders are fitted to and judged by: responses and features of the training clips, row by row."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim import console
from mindanim.config.train import TrainConfig
from mindanim.errors import InputError
from mindanim.vocabulary.words import names_and_more

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor

    from mindanim.artifacts import Artifact
    from mindanim.decoders.base import Shapes
    from mindanim.decoders.examples import MotionExamples, SemanticExamples, StructureExamples
    from mindanim.decoders.splits import Split


_AT_ONCE = 64
"""Clips that are looked at, or copied, together."""


@dataclass(frozen=True)
class Given:
    """The training clips of one subject.

    responses ``(clip, lag, voxel)``, mapped from their file. rows ``(clip,)``: where the clips stand in the
    stimuli's arrays. scratch: a folder for copies that are needed no longer than the run.
    """

    responses: NDArray[np.float32]
    stimuli: Artifact
    rows: NDArray[np.int64]
    split: Split
    scratch: Path


def training_clips(fmri: Artifact) -> pd.DataFrame:
    """The rows of the responses' table that train."""
    clips = fmri.table("clips.tsv")
    return clips[clips["split"] == "train"].reset_index(drop=True)


def shapes_of(fmri: Artifact, stimuli: Artifact) -> Shapes:
    """Sizes of everything that any decoder of this subject reads or gives.

    Raises InputError when the latents are not those of clips of two frames or more.
    """
    from mindanim.decoders.base import Shapes

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
    """Responses, and the rows of the features that belong to them; InputError naming clips that lack one."""
    return Given(_responses(fmri, clips), stimuli, _rows(stimuli, clips), split, scratch)


def _responses(fmri: Artifact, clips: pd.DataFrame) -> NDArray[np.float32]:
    """Training responses ``(clip, lag, voxel)``; InputError naming clips without a finite response."""
    import numpy as np

    responses = _mapped(fmri, "train_responses.npy")
    if len(responses) != len(clips):
        raise InputError(
            f"{fmri.path} holds {len(responses)} training responses for {len(clips)} training clips.",
            "Rows of clips.tsv and train_responses.npy belong together.",
            "Make it again: mindanim preprocess --force.",
        )
    parts = (responses[start : start + _AT_ONCE] for start in range(0, len(responses), _AT_ONCE))
    broken = np.concatenate([~np.isfinite(part).all(axis=(1, 2)) for part in parts])
    if broken.any():
        raise InputError(
            f"Responses of {int(broken.sum())} clips in {fmri.path} are not finite: "
            f"{names_and_more(clips['clip_id'].to_numpy()[broken])}.",
            "A decoder cannot be fitted to missing values.",
            "Look at figures/qc.png and the findings of that folder, and preprocess again.",
        )
    return responses


def _rows(stimuli: Artifact, clips: pd.DataFrame) -> NDArray[np.int64]:
    """Where each clip stands in the stimuli's arrays; InputError naming those that are not there."""
    import numpy as np
    import pandas as pd

    rows = pd.Index(stimuli.table("clips.tsv")["clip_id"]).get_indexer(clips["clip_id"])
    if (rows < 0).any():
        raise InputError(
            f"{stimuli.path} lacks {int((rows < 0).sum())} of the clips that have responses: "
            f"{names_and_more(clips['clip_id'].to_numpy()[rows < 0])}.",
            "Responses and features come from different versions of the study.",
            "Make it again: mindanim encode-stimuli --force.",
        )
    return np.asarray(rows, np.int64)


def semantic_examples(given: Given) -> SemanticExamples:
    """Targets of the semantic decoder; InputError where the first text token is not constant."""
    import numpy as np
    import torch

    from mindanim.decoders.examples import SemanticExamples
    from mindanim.decoders.splits import caption_labels

    stimuli, tokens = given.stimuli, _clips_of(given, "text_tokens.npy")
    first = np.asarray(tokens[:, 0], np.float32)
    _check_first_token(stimuli, first)
    return SemanticExamples(
        **_common(given),
        image=torch.from_numpy(_clips_of(given, "clip_image.npy")),
        text=torch.from_numpy(_clips_of(given, "clip_text.npy")),
        tokens=torch.from_numpy(tokens[:, 1:]).flatten(1),
        first_token=torch.from_numpy(first.mean(0)),
        captions=caption_labels(stimuli.table("clips.tsv")["caption"].iloc[given.rows]),
    )


def _check_first_token(stimuli: Artifact, first: NDArray[np.float32]) -> None:
    spread = float((first.max(0) - first.min(0)).max())
    if spread > 0.01 * float(abs(first).max()):
        raise InputError(
            f"The first text token in {stimuli.path} differs between captions (by up to {spread:.3g}).",
            "Semantic decoders predict tokens 1.. and put the constant first one back.",
            "Use a diffusion model with a causal CLIP text encoder (Stable Diffusion 1.x or 2.x).",
        )


def structure_examples(given: Given) -> StructureExamples:
    """Targets of the structure decoder."""
    from mindanim.decoders.examples import StructureExamples

    return StructureExamples(
        **_common(given), latents=_tensor(_clips_of(given, "latents.npy")[:, 0]).flatten(1)
    )


def motion_examples(given: Given, config: TrainConfig) -> MotionExamples:
    """Targets of the motion decoder, with first frames that ridge decodes as `config` says."""
    from mindanim.decoders.examples import MotionExamples
    from mindanim.decoders.fit import decode_first_frames

    common, flat = _common(given), _tensor(_clips_of(given, "latents.npy")).flatten(2)
    console.say("motion: decoding first frames of held-out segments")
    decoded = decode_first_frames(config, common["responses"], flat[:, 0], given.split)
    return MotionExamples(**common, latents=flat, decoded=decoded)


def _mapped(artifact: Artifact, name: str) -> NDArray[Any]:
    """An array of an artifact, mapped from its file."""
    import numpy as np

    # Copy on write: torch asks for memory that it may write to, and nothing writes to it.
    array: NDArray[Any] = np.load(artifact.file(name), mmap_mode="c", allow_pickle=False)
    return array


def _clips_of(given: Given, name: str) -> NDArray[Any]:
    """The clips' rows of one of the stimuli's arrays, mapped from its file if they lie in one stretch there.

    Otherwise they are copied to a nameless file, which is mapped and gone with the process: either way the
    system may take their memory back at any time.
    """
    import numpy as np

    array, rows = _mapped(given.stimuli, name), given.rows
    if len(rows) and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
        return array[rows[0] : rows[0] + len(rows)]
    with tempfile.TemporaryFile(dir=given.scratch) as file:
        copy = np.memmap(file, array.dtype, "w+", shape=(len(rows), *array.shape[1:]))
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        copy[part] = array[rows[part]]
    return copy


def _tensor(values: NDArray[Any]) -> Tensor:
    import torch

    return torch.from_numpy(values)


def _common(given: Given) -> dict[str, Tensor]:
    return {
        "responses": _tensor(given.responses).flatten(1),
        "fit": _tensor(given.split.fit),
        "validation": _tensor(given.split.validation),
    }
