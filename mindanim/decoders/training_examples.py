"""The clips a decoder is trained on, by kind, and its scores on those held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

from mindanim.decoders.decoding_scores import (
    element_correlation,
    identification,
    pooled_correlation,
    shift_p_value,
)
from mindanim.vocabulary.identification import MOST_WAYS

BATCH = 256
SHIFTS, SHIFTED = 19, 128


@dataclass(frozen=True)
class Examples:
    """Training clips of one subject; the first axis of every tensor except those in ``shared`` is the clip.

    Tensors may be mapped from files larger than memory.

    Attributes:
        kind: Kind of decoder.
        shared: Names of the tensors that do not have one row per clip.
        responses: ``(clip, lag * voxel) float32``.
        fit: Rows that fit the decoder, ``(row,) int64``.
        validation: Rows that validate it.
    """

    kind: ClassVar[str]
    shared: ClassVar[tuple[str, ...]] = ("fit", "validation")

    responses: Tensor
    fit: Tensor
    validation: Tensor

    def to(self, device: torch.device, non_blocking: bool = False) -> Self:
        """The same on a device."""
        return replace(
            self,
            **{
                field.name: getattr(self, field.name).to(device, non_blocking=non_blocking)
                for field in fields(self)
            },
        )

    def at(self, rows: Tensor, pinned: bool = False) -> Self:
        """Only the clips at ``rows (clip,)``, all of them for validation.

        Args:
            rows: Which clips.
            pinned: Copy them to page-locked memory, from which a GPU can read while it computes.
        """

        def pick(values: Tensor) -> Tensor:
            if not pinned:
                return values[rows]
            place = torch.empty((len(rows), *values.shape[1:]), dtype=values.dtype, pin_memory=True)
            return torch.index_select(values, 0, rows, out=place)

        names = [field.name for field in fields(self) if field.name not in self.shared]
        numbers = {"fit": rows[:0], "validation": torch.arange(len(rows), device=rows.device)}
        return replace(self, **numbers, **{name: pick(getattr(self, name)) for name in names})

    def held_out(self, device: torch.device) -> Self:
        """Only the validation clips, on a device."""
        return self.at(self.validation).to(device)

    @property
    def nbytes(self) -> int:
        """Size of all tensors."""
        return sum(getattr(self, field.name).nbytes for field in fields(self))


@dataclass(frozen=True)
class SemanticExamples(Examples):
    """Targets of the semantic decoder.

    Attributes:
        image: CLIP embeddings ``(clip, view, feature)``; view 0 is not augmented.
        text: Likewise, of the captions.
        tokens: ``(clip, token * feature)`` without the first token.
        first_token: The constant first token ``(feature,)``.
        captions: ``(clip,) int64``, equal for equal captions.
    """

    kind = "semantic"
    shared = (*Examples.shared, "first_token")

    image: Tensor
    text: Tensor
    tokens: Tensor
    first_token: Tensor
    captions: Tensor

    def text_mean(self) -> Tensor:
        """The mean caption embedding ``(feature,)`` of the clips that fit the decoder."""
        return self.text[self.fit, 0].mean(0)

    def judge(self, vectors: Tensor, tokens: Tensor, mean: Tensor) -> dict[str, float]:
        """Scores of predictions for the validation rows; "score" is the mean correlation of both targets.

        Args:
            vectors: Predicted CLIP vectors ``(clip, feature)``.
            tokens: Predicted tokens ``(clip, token * feature)``.
            mean: The training mean ``(feature,)``, subtracted before identification: all captions share it,
                and it would mask their differences.
        """
        rows = self.validation
        text, image = self.text[rows, 0], self.image[rows, 0]
        found = identification(vectors - mean, text - mean, MOST_WAYS, self.captions[rows])
        clip_r, token_r = (
            pooled_correlation(vectors, text),
            pooled_correlation(tokens, self.tokens[rows].float()),
        )
        return {
            "score": (clip_r + token_r) / 2,
            "p": shift_p_value(vectors, text),
            "clip_text_r": clip_r,
            "clip_image_r": pooled_correlation(vectors, image),
            "tokens_r": token_r,
            "identification": found.accuracy,
            "identification_chance": found.chance,
        }


@dataclass(frozen=True)
class StructureExamples(Examples):
    """Targets of the structure decoder: latents ``(clip, latent)`` of the first frames."""

    kind = "structure"

    latents: Tensor

    def judge(self, latents: Tensor) -> dict[str, float]:
        """Scores of predicted ``latents (clip, latent)`` for the validation rows; "score" is their pooled
        correlation."""
        true = self.latents[self.validation].float()
        found = identification(latents - latents.mean(0), true - true.mean(0), MOST_WAYS)
        return {
            "score": pooled_correlation(latents, true),
            "p": shift_p_value(latents, true),
            "element_r": element_correlation(latents, true),
            "identification": found.accuracy,
            "identification_chance": found.chance,
        }


@dataclass(frozen=True)
class MotionExamples(Examples):
    """Targets of the motion decoder.

    Attributes:
        latents: ``(clip, frame, latent)``.
        decoded: First frames ``(clip, latent)``, decoded by ridge without the clip's own segment, so about
            as inaccurate as a structure decoder's for new clips.
    """

    kind = "motion"

    latents: Tensor
    decoded: Tensor

    def judge(self, follow: Callable[[Tensor, Tensor], Tensor]) -> dict[str, float]:
        """Scores on the validation rows, except p (see `response_p`).

        Args:
            follow: ``follow(rows, first frames)`` predicts the later frames.

        Returns:
            difference_r: correlation of differences from the first frame, starting at the decoded first frame
            as at inference; true_start_difference_r: starting at the true one, which overestimates;
            other_responses_difference_r: with responses to other clips, i.e. what the first frame alone
            predicts; score: difference_r minus the latter; amplitude: standard deviation of decoded
            differences relative to true ones.
        """
        rows = self.validation
        true = self.latents[rows].float()
        change = true[:, 1:] - true[:, :1]
        figures: dict[str, float] = {}
        for prefix, starts in (("", self.decoded), ("true_start_", self.latents[:, 0])):
            first = starts[rows].float()
            # Whole clips take much memory: the differences overwrite the frames.
            moved = _in_batches(follow, rows, first, change)
            frame_r = pooled_correlation(moved, true[:, 1:])
            moved -= first[:, None]
            figures[f"{prefix}difference_r"] = pooled_correlation(moved, change)
            figures[f"{prefix}difference_element_r"] = element_correlation(moved, change)
            figures[f"{prefix}frame_r"] = frame_r
            figures[f"{prefix}amplitude"] = float(moved.std() / change.std().clamp_min(1e-12))
            del moved
        first = self.decoded[rows].float()
        moved = _in_batches(follow, rows.roll(len(rows) // 2), first, change) - first[:, None]
        alone = pooled_correlation(moved, change)
        score = figures["difference_r"] - alone
        return {"score": score, **figures, "other_responses_difference_r": alone}

    def response_p(self, follow: Callable[[Tensor, Tensor], Tensor]) -> float:
        """P value of difference_r: how often it is as high with responses shifted by some clips.

        The first frames are not shifted: they predict some of the motion whatever the response, which
        shifting whole predictions would count as decoding. With 19 shifts and the true pairing the minimum
        is 0.05. Every shift decodes all clips again, so at most 128 validation clips, evenly spread, are
        used.

        Args:
            follow: ``follow(rows, first frames)`` predicts the later frames.
        """
        rows = self.validation[:: -(-len(self.validation) // SHIFTED)]
        true, first = self.latents[rows].float(), self.decoded[rows].float()
        change = true[:, 1:] - true[:, :1]
        shifts = sorted({place * len(rows) // (SHIFTS + 1) for place in range(SHIFTS + 1)})
        own, *others = (
            pooled_correlation(_in_batches(follow, rows.roll(-shift), first, change) - first[:, None], change)
            for shift in shifts
        )
        return sum(one >= own for one in (own, *others)) / len(shifts)


def _in_batches(
    follow: Callable[[Tensor, Tensor], Tensor], rows: Tensor, first: Tensor, like: Tensor
) -> Tensor:
    """The later frames, in a new tensor of the shape of ``like (clip, frame - 1, latent)``."""
    later = torch.empty_like(like)
    for start in range(0, len(rows), BATCH):
        part = slice(start, start + BATCH)
        later[part] = follow(rows[part], first[part])
    return later
