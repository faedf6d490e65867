"""Ridge regression of each kind's targets on the responses: the linear baselines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.base import Shapes, register
from mindanim.decoders.fit_result import ClosedForm, Fitted
from mindanim.decoders.models.motion import Motion
from mindanim.decoders.models.semantic import Semantic
from mindanim.decoders.models.structure import Structure
from mindanim.decoders.ridge.fit_ridge import Ridge, report_ridge
from mindanim.decoders.ridge.solver import LinearMap
from mindanim.decoders.ridge.targets import Array, Target, numpy
from mindanim.decoders.training_examples import MotionExamples, SemanticExamples, StructureExamples
from mindanim.decoders.validation_split import Split


@register("ridge")
class SemanticRidge(Semantic, ClosedForm):
    """The linear semantic baseline: one ridge regression per target."""

    def __init__(self, shapes: Shapes, *, ranks: Mapping[str, int | None] | None = None) -> None:
        super().__init__(shapes)
        ranks = ranks or {}
        self.clip_map = LinearMap(shapes.features, shapes.clip[0], ranks.get("clip"))
        self.token_map = LinearMap(shapes.features, self.token_outputs, ranks.get("tokens"))

    @classmethod
    def fit(
        cls, config: TrainSemanticConfig, examples: SemanticExamples, shapes: Shapes, split: Split
    ) -> Fitted:
        ridge = Ridge(examples.responses, split, config)
        clip = ridge.regress("clip", Target.of(examples.text[:, 0]))
        tokens = ridge.regress("tokens", Target.of(examples.tokens))
        ranks = {"clip": clip.components.rank, "tokens": tokens.components.rank}
        decoder = cls.from_spec({"decoder": config.decoder, "ranks": ranks}, shapes)
        decoder.first_token.copy_(examples.first_token)
        clip.fill(decoder.clip_map)
        tokens.fill(decoder.token_map)
        losses = {
            name: loss + config.token_weight * tokens.losses[name] for name, loss in clip.losses.items()
        }
        rows = split.validation
        figures = examples.judge(clip.predicted(rows), tokens.predicted(rows), examples.text_mean())
        return report_ridge(decoder, [clip, tokens], losses, figures)

    def decode(self, responses: Tensor) -> tuple[Tensor, Tensor]:
        return self.clip_map(responses), self.token_map(responses)


@register("ridge")
class StructureRidge(Structure, ClosedForm):
    """The linear structure baseline."""

    def __init__(self, shapes: Shapes, *, rank: int | None = None) -> None:
        super().__init__(shapes)
        self.latent_map = LinearMap(shapes.features, shapes.latent_size, rank)

    @classmethod
    def fit(
        cls, config: TrainStructureConfig, examples: StructureExamples, shapes: Shapes, split: Split
    ) -> Fitted:
        latent = Ridge(examples.responses, split, config).regress("latent", Target.of(examples.latents))
        decoder = cls.from_spec({"decoder": config.decoder, "rank": latent.components.rank}, shapes)
        latent.fill(decoder.latent_map)
        figures = examples.judge(latent.predicted(split.validation))
        return report_ridge(decoder, [latent], latent.losses, figures)

    def decode(self, responses: Tensor) -> Tensor:
        return torch.as_tensor(self.latent_map(responses))


@register("ridge")
class MotionRidge(Motion, ClosedForm):
    """The linear motion baseline: all later frames, or their differences from the first, at once."""

    def __init__(
        self,
        shapes: Shapes,
        *,
        target: Literal["frame", "difference"] = "frame",
        difference_gain: float = 1.0,
        rank: int | None = None,
    ) -> None:
        super().__init__(shapes)
        self.target, self.gain = target, difference_gain
        self.later_map = LinearMap(shapes.features, (shapes.frames - 1) * shapes.latent_size, rank)

    @classmethod
    def fit(cls, config: TrainMotionConfig, examples: MotionExamples, shapes: Shapes, split: Split) -> Fitted:
        later = later_frames(examples.latents, config.target)
        found = Ridge(examples.responses, split, config).regress("later_frames", later)
        decoder = cls.from_spec(config.spec() | {"rank": found.components.rank}, shapes)
        found.fill(decoder.later_map)

        def follow(rows: Tensor, first: Tensor) -> Tensor:
            return decoder.place(found.predicted(rows.numpy()), first)

        figures = examples.judge(follow) | {"p": examples.response_p(follow)}
        return report_ridge(decoder, [found], found.losses, figures)

    @classmethod
    def method(cls, config: TrainMotionConfig) -> str:
        if config.target == "frame":
            return super().method(config)
        gain = config.difference_gain
        scaled = f", multiplied by {gain:g} when decoded" if gain != 1 else ""
        return (
            "The motion decoder is a ridge regression of the differences between the latents of the later "
            f"frames and the first frame on the responses{scaled}."
        )

    def place(self, decoded: Tensor, first: Tensor) -> Tensor:
        """The regression's output ``(clip, (frame - 1) * latent)`` as ``(clip, frame - 1, latent)``."""
        later = decoded.reshape(len(decoded), self.shapes.frames - 1, -1)
        return first[:, None] + self.gain * later if self.target == "difference" else later

    def follow(self, responses: Tensor, first: Tensor) -> Tensor:
        return self.place(self.later_map(responses), first)


def later_frames(latents: Tensor, target: Literal["frame", "difference"]) -> Target:
    """All later frames of a clip, flattened, or their differences from the first frame.

    Args:
        latents: ``(clip, frame, latent)``.
        target: Frames or differences.
    """
    first, later = latents[:, 0], latents[:, 1:].flatten(1)
    if target == "frame":
        return Target.of(later)

    def read(columns: slice) -> Array:
        same = torch.arange(columns.start, columns.stop) % first.shape[1]
        return numpy(later[:, columns].float() - first[:, same].float())

    return Target(len(later), later.shape[1], read)
