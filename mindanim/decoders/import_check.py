"""Check an imported decoder on clips it was trained on: is it given the voxels it knows?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mindanim.artifacts import Artifact
from mindanim.config.train import TrainMotionConfig
from mindanim.decoders.base import Decoder
from mindanim.decoders.load_examples import load_examples, load_given, training_clips
from mindanim.decoders.models.motion import Motion
from mindanim.decoders.models.semantic import Semantic
from mindanim.decoders.models.structure import Structure
from mindanim.decoders.training_examples import MotionExamples, SemanticExamples, StructureExamples
from mindanim.decoders.validation_split import blocked_split

CHECKED = 512
"""Most training clips to check, spread evenly over the study."""


def complete_and_check(
    decoder: Decoder, fmri: Artifact, stimuli: Artifact, scratch: Path
) -> dict[str, float]:
    """Give the decoder what a checkpoint lacks (the constant first token), and score it on training clips.

    The scores are far above those on new clips; but a decoder that is given other voxels than its own, or its
    own in another order, is at chance here too.

    Args:
        decoder: Changed in place.
        fmri: Responses.
        stimuli: Features.
        scratch: Folder for temporary copies.
    """
    clips, config = training_clips(fmri), TrainMotionConfig()
    rows = np.unique(np.linspace(0, len(clips) - 1, CHECKED).round().astype(np.int64))
    # First frames are decoded across the folds of an ordinary training, which includes all clips here.
    split = blocked_split(clips, config.validation_fraction, config.purge_s, config.ridge_folds)
    split = replace(split, fit=np.arange(len(clips)), validation=rows, purged=rows[:0])
    given = load_given(fmri, stimuli, clips, split, scratch)
    examples, responses = load_examples(decoder.kind, given, config), given.responses[rows]
    if isinstance(decoder, Semantic) and isinstance(examples, SemanticExamples):
        decoder.first_token.copy_(examples.first_token)
        found = decoder.predict(responses)
        tokens = found["text_tokens"][:, 1:].flatten(1)
        return examples.judge(found["clip"], tokens, examples.text_mean())
    if isinstance(decoder, Structure) and isinstance(examples, StructureExamples):
        return examples.judge(decoder.predict(responses).flatten(1))
    if isinstance(decoder, Motion) and isinstance(examples, MotionExamples):
        return _motion(decoder, examples)
    raise TypeError(f"no check for a {decoder.kind} decoder")


@torch.no_grad()
def _motion(decoder: Motion, examples: MotionExamples) -> dict[str, float]:
    def follow(rows: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        return decoder.follow(examples.responses[rows], first)

    return examples.judge(follow) | {"p": examples.response_p(follow)}
