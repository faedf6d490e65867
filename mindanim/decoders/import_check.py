"""Check an imported decoder on clips it was trained on: is it given the voxels it knows, in their order?

A checkpoint records how many voxels it reads, not which. Scores alone cannot tell: whatever all voxels share
lets a decoder with voxels in any order, or one that was never trained, predict something. So the decoder is
compared with itself, its voxels in random orders. If the true order is one of these, each is as likely to be
the best: the test is exact, for random weights as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mindanim.artifacts import Artifact
from mindanim.config.train import TrainMotionConfig
from mindanim.decoders.base import Decoder
from mindanim.decoders.decoding_scores import pooled_correlation
from mindanim.decoders.load_examples import load_examples, load_given, training_clips
from mindanim.decoders.models.motion import Motion, MotionNetwork
from mindanim.decoders.models.semantic import Semantic, SemanticMlp
from mindanim.decoders.models.structure import Structure
from mindanim.decoders.training_examples import (
    Examples,
    MotionExamples,
    SemanticExamples,
    StructureExamples,
)
from mindanim.decoders.validation_split import blocked_split

CHECKED = 512
"""Most training clips to score, spread evenly over the study."""
LEVEL = 0.05
JUDGED = {"semantic": (256, 99), "structure": (128, 99), "motion": (48, 39)}
"""Most clips by which orders are judged, and number of random orders. Every order decodes all of them."""


@dataclass(frozen=True)
class OrderTest:
    """The order of the voxels, compared with random orders.

    Attributes:
        r: Correlation with the targets, pooled over elements, with the voxels as given.
        best_other: The highest one with voxels in a random order.
        p: Share of orders, the given one included, that correlate as highly.
        orders: Number of random orders.
        clips: Number of clips.
    """

    r: float
    best_other: float
    p: float
    orders: int
    clips: int

    @property
    def passed(self) -> bool:
        """Whether the given order is better than nearly all others, and than nothing."""
        return self.p <= LEVEL and self.r > 0

    def in_words(self, kind: str) -> str:
        """What was compared, as a sentence."""
        what = {
            "semantic": "CLIP vectors of the captions",
            "structure": "first frames' latents",
            "motion": "latents of frames, each predicted from those before it,",
        }[kind]
        return (
            f"On {self.clips} training clips the imported {kind} decoder's r with the {what} is "
            f"{self.r:.4f}; with its voxels in {self.orders} random orders it is at most "
            f"{self.best_other:.4f} (p {self.p:.3f})."
        )


def complete_and_check(
    decoder: Decoder, fmri: Artifact, stimuli: Artifact, scratch: Path
) -> tuple[dict[str, float], OrderTest]:
    """Give the decoder what a checkpoint lacks (the constant first token), and score it on training clips.

    The scores are far above those on new clips.

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
    examples = load_examples(decoder.kind, given, config)
    if isinstance(decoder, Semantic) and isinstance(examples, SemanticExamples):
        decoder.first_token.copy_(examples.first_token)
    return _figures(decoder, examples, given.responses[rows]), order_test(decoder, examples)


@torch.no_grad()
def _figures(decoder: Decoder, examples: Examples, responses: np.ndarray) -> dict[str, float]:
    """The scores of an ordinary training on the validation rows, without the p value."""
    if isinstance(decoder, Semantic) and isinstance(examples, SemanticExamples):
        found = decoder.predict(responses)
        tokens = found["text_tokens"][:, 1:].flatten(1)
        figures = examples.judge(found["clip"], tokens, examples.text_mean())
    elif isinstance(decoder, Structure) and isinstance(examples, StructureExamples):
        figures = examples.judge(decoder.predict(responses).flatten(1))
    elif isinstance(decoder, Motion) and isinstance(examples, MotionExamples):
        figures = examples.judge(lambda rows, first: decoder.follow(examples.responses[rows], first))
    else:
        raise TypeError(f"no check for a {decoder.kind} decoder")
    return {name: value for name, value in figures.items() if name != "p"}


@torch.no_grad()
def order_test(decoder: Decoder, examples: Examples, seed: int = 0) -> OrderTest:
    """Compare the given order of voxels with random ones, by how well targets of training clips are decoded.

    Args:
        decoder: As imported.
        examples: Training clips; those that validate are judged, or as many of them as are needed.
        seed: Of the random orders.
    """
    decoder.eval()
    most, orders = JUDGED[decoder.kind]
    rows = examples.validation
    rows = rows[torch.linspace(0, len(rows) - 1, min(most, len(rows))).round().long()]
    lags, voxels = decoder.shapes.response
    responses = examples.responses[rows].reshape(len(rows), lags, voxels)
    statistic = _statistic(decoder, examples, rows)
    random = torch.Generator().manual_seed(seed)
    own = statistic(responses.flatten(1))
    others = [
        statistic(responses[:, :, torch.randperm(voxels, generator=random)].flatten(1)) for _ in range(orders)
    ]
    # What is no number counts as no better than any other order.
    as_good = sum(not (other < own) for other in others)
    return OrderTest(own, max(others), (1 + as_good) / (1 + orders), orders, len(rows))


def _statistic(decoder: Decoder, examples: Examples, rows: Tensor) -> Callable[[Tensor], float]:
    """From flattened responses to some clips to the correlation of what is decoded with what is true.

    Only what depends on the responses is computed: for semantic decoders not the head, which turns the CLIP
    vector into the text condition; for motion decoders one step from each true frame, not a whole clip from
    the first one.
    """
    if isinstance(decoder, SemanticMlp) and isinstance(examples, SemanticExamples):
        text, semantic = examples.text[rows, 0].float(), decoder
        return lambda responses: pooled_correlation(semantic.trunk(responses), text)
    if isinstance(decoder, Structure) and isinstance(examples, StructureExamples):
        first, structure = examples.latents[rows].float(), decoder
        return lambda responses: pooled_correlation(structure.decode(responses), first)
    if isinstance(decoder, MotionNetwork) and isinstance(examples, MotionExamples):
        latents, motion = examples.latents[rows].float(), decoder
        visible = motion.rollout_mask(latents.shape[1] - 1)

        def one_step(responses: Tensor) -> float:
            parts = zip(torch.split(responses, 16), torch.split(latents[:, :-1], 16), strict=True)
            following = [motion(frames, motion.memory(part), visible) for part, frames in parts]
            return pooled_correlation(torch.cat(following), latents[:, 1:])

        return one_step
    raise TypeError(f"no check for a {decoder.kind} decoder")
