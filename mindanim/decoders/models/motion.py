"""Motion decoders: from a first frame and responses to the latents of the later frames."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import torch
from torch import Tensor

from mindanim.decoders.base import Decoder, Responses, Shapes
from mindanim.decoders.models.layers import Scaler
from mindanim.decoders.models.masks import causal, first_only
from mindanim.errors import InputError


class Motion(Decoder):
    """A motion decoder: `follow` is up to the subclass, prediction in batches is here."""

    kind = "motion"
    targets = "the latents of the later frames"

    @abstractmethod
    def follow(self, responses: Tensor, first: Tensor) -> Tensor:
        """The later frames ``(clip, frame - 1, latent)`` that follow ``first (clip, latent)``; responses are
        flattened."""

    @torch.no_grad()
    def predict(self, responses: Responses, *rest: Any) -> Tensor:
        """Decode clips from responses and first frames.

        Args:
            responses: ``(clip, lag, voxel)``, z-scored.
            rest: The first frames' scaled latents ``(clip, channel, height, width)``.

        Returns:
            Scaled latents ``(clip, frame, channel, height, width) float32`` on the CPU; frame 0 is the given
            one.

        Raises:
            InputError: The first frames do not fit the decoder.
        """
        (first,) = rest
        self.eval()
        first = torch.as_tensor(first, dtype=torch.float32)
        if tuple(first.shape) != (len(responses), *self.shapes.latent):
            raise InputError(
                f"The motion decoder needs first frames of shape {(len(responses), *self.shapes.latent)}, "
                f"not {tuple(first.shape)}.",
                "It was trained on latents of another diffusion model, or on other clips.",
            )
        clips = []
        for rows, batch in self.batches(responses):
            start = first[rows].to(self.device).flatten(1)
            following = self.follow(batch, start).float()
            clips.append(torch.cat([start[:, None], following], dim=1).cpu())
        return torch.cat(clips).reshape(-1, *self.shapes.latents)


class MotionNetwork(Motion):
    """A motion decoder that the training loop fits; a subclass defines `memory` and `forward`.

    It predicts each frame from the earlier ones: in training all at once under a mask, at inference one after
    another from the first frame.

    Args:
        shapes: Sizes of responses and latents.
        target: "frame": tokens are the frames' latents, and each output is the next one. "difference": tokens
            after the first, and outputs, are differences from the first frame, scaled per frame and element,
            so that only what moves has to be predicted.
        rollout_mask: What a frame attends to at inference: all earlier frames, or only the first from the
            third frame on.
        difference_gain: Factor on decoded differences.
    """

    def __init__(
        self,
        shapes: Shapes,
        *,
        target: Literal["frame", "difference"] = "frame",
        rollout_mask: Literal["causal", "first"] = "causal",
        difference_gain: float = 1.0,
    ) -> None:
        super().__init__(shapes)
        self.target, self.gain = target, difference_gain
        self.rollout_mask = causal if rollout_mask == "causal" else first_only
        self.first_scaler = Scaler(shapes.latent_size)
        self.later_scaler = Scaler(shapes.frames - 1, shapes.latent_size)

    @classmethod
    def target_words(cls, config: Any) -> str:
        """What one token after the first stands for, in words."""
        return "latents" if config.target == "frame" else "scaled latent differences from the first frame"

    @abstractmethod
    def memory(self, responses: Tensor) -> Tensor:
        """Flattened responses ``(clip, lag * voxel)`` to what `forward` reads besides the frames, ``(clip,
        token, feature)``."""

    @abstractmethod
    def forward(self, tokens: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        """The token that follows each of ``tokens (clip, frame, latent)``, in the scalers' units.

        Args:
            visible: ``(frame, frame) bool`` Row i may look at column j where true.
        """

    def fit_scalers(self, latents: Tensor, rows: Tensor) -> None:
        """Fit the scales of frames (or differences) to the clips at ``rows`` of ``latents (clip, frame,
        latent)``."""
        self.first_scaler.fit(lambda columns: latents[:, 0, columns][rows])
        self.later_scaler.fit(lambda columns: self.later(latents[..., columns][rows].float()))

    def later(self, latents: Tensor) -> Tensor:
        """What the tokens after the first stand for ``(clip, frame - 1, latent)``: frames or differences."""
        return latents[:, 1:] - latents[:, :1] if self.target == "difference" else latents[:, 1:]

    def follow(self, responses: Tensor, first: Tensor) -> Tensor:
        memory = self.memory(responses)
        tokens = self.first_scaler.apply_to(first)[:, None]
        for count in range(1, self.shapes.frames):
            visible = self.rollout_mask(count).to(self.device)
            tokens = torch.cat([tokens, self(tokens, memory, visible)[:, -1:]], dim=1)
        later = self.later_scaler.undo(tokens[:, 1:])
        return first[:, None] + self.gain * later if self.target == "difference" else later
