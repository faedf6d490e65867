"""Fit the three decoders: what each network or regression is given, and how it is judged."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor

from mindanim.config.train import TrainConfig, TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.base import Decoder, Shapes, build
from mindanim.decoders.decoding_scores import pooled_correlation
from mindanim.decoders.examples import MotionExamples, SemanticExamples, StructureExamples
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.decoders.models.semantic import SemanticNetwork, SemanticRidge
from mindanim.decoders.models.structure import StructureNetwork, StructureRidge
from mindanim.decoders.ridge.motion_transport import MotionRidge, MotionTransport, carry, motion_field
from mindanim.decoders.ridge.targets import Array, Target, numpy
from mindanim.decoders.splits import Split
from mindanim.decoders.training.feed import placed
from mindanim.decoders.training.fitted import (
    Fitted,
    Machine,
    Ridge,
    fit_network,
    fresh_weights,
    report_ridge,
)
from mindanim.decoders.training.tasks import MotionTask, SemanticTask, StructureTask
from mindanim.errors import InputError

GAINS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
"""Candidate factors on the decoded motion field."""
_GAIN_CLIPS = 512
"""Clips, spread evenly, on which the gain is chosen."""


_NETWORKS = {"semantic": SemanticNetwork, "structure": StructureNetwork, "motion": MotionNetwork}


def network(kind: str, config: TrainConfig, shapes: Shapes) -> Decoder:
    """The decoder that is to be trained by gradient descent, with fresh weights.

    Raises InputError where it cannot be built, or is a class that the training loop cannot fit.
    """
    decoder, needed = build(kind, config.spec(), shapes), _NETWORKS[kind]
    if not isinstance(decoder, needed):
        raise InputError(
            f"The {kind} decoder {config.decoder} is not trained by gradient descent.",
            f"It is not derived from {needed.__module__}.{needed.__name__}.",
            "Derive it from that class, and give it what the class asks for.",
        )
    return decoder


def fit_semantic(
    config: TrainSemanticConfig, examples: SemanticExamples, shapes: Shapes, split: Split, machine: Machine
) -> Fitted:
    """Fit the semantic decoder."""
    if config.decoder == "ridge":
        return _semantic_ridge(config, examples, shapes, split)
    with fresh_weights(config.seed):
        decoder = cast(SemanticNetwork, network("semantic", config, shapes)).to(machine.device)
    examples = placed(examples, decoder, config, machine.device)
    task = SemanticTask(decoder, examples, config)
    decoder.first_token.copy_(examples.first_token)
    if config.standardise:
        decoder.clip_scaler.fit(lambda columns: examples.text[:, 0, columns][examples.fit])
        decoder.token_scaler.fit(lambda columns: examples.tokens[:, columns][examples.fit])
    return fit_network(task, config, machine)


def _semantic_ridge(
    config: TrainSemanticConfig, examples: SemanticExamples, shapes: Shapes, split: Split
) -> Fitted:
    ridge = Ridge(examples.responses, split, config)
    clip, tokens = (
        ridge.regress("clip", Target.of(examples.text[:, 0])),
        ridge.regress("tokens", Target.of(examples.tokens)),
    )
    spec = {"decoder": "ridge", "ranks": {"clip": clip.components.rank, "tokens": tokens.components.rank}}
    decoder = cast(SemanticRidge, build("semantic", spec, shapes))
    decoder.first_token.copy_(examples.first_token)
    clip.fill(decoder.clip_map)
    tokens.fill(decoder.token_map)
    losses = {name: loss + config.token_weight * tokens.losses[name] for name, loss in clip.losses.items()}
    rows = split.validation
    figures = examples.judge(clip.predicted(rows), tokens.predicted(rows), examples.text_mean())
    return report_ridge(decoder, [clip, tokens], losses, figures)


def fit_structure(
    config: TrainStructureConfig, examples: StructureExamples, shapes: Shapes, split: Split, machine: Machine
) -> Fitted:
    """Fit the structure decoder."""
    if config.decoder == "ridge":
        return _structure_ridge(config, examples, shapes, split)
    with fresh_weights(config.seed):
        decoder = cast(StructureNetwork, network("structure", config, shapes)).to(machine.device)
    examples = placed(examples, decoder, config, machine.device)
    if config.standardise:
        decoder.scaler.fit(lambda columns: examples.latents[:, columns][examples.fit])
    return fit_network(StructureTask(decoder, examples, config), config, machine)


def _structure_ridge(
    config: TrainStructureConfig, examples: StructureExamples, shapes: Shapes, split: Split
) -> Fitted:
    latent = Ridge(examples.responses, split, config).regress("latent", Target.of(examples.latents))
    decoder = cast(
        StructureRidge, build("structure", {"decoder": "ridge", "rank": latent.components.rank}, shapes)
    )
    latent.fill(decoder.latent_map)
    figures = examples.judge(latent.predicted(split.validation))
    return report_ridge(decoder, [latent], latent.losses, figures)


def decode_first_frames(config: TrainConfig, responses: Tensor, latents: Tensor, split: Split) -> Tensor:
    """First frames ``(clip, latent)`` decoded by ridge from ``responses (clip, feature)`` without the
    clip's own segment.

    They stand for what a structure decoder makes of clips it has not seen; its predictions of its own
    training clips would be far too good.
    """
    return Ridge(responses, split, config).regress("first_frame", Target.of(latents)).predicted()


def fit_motion(
    config: TrainMotionConfig, examples: MotionExamples, shapes: Shapes, split: Split, machine: Machine
) -> Fitted:
    """Fit the motion decoder."""
    if config.decoder == "ridge":
        return _motion_ridge(config, examples, shapes, split)
    if config.decoder == "transport":
        return _motion_transport(config, examples, shapes, split)
    with fresh_weights(config.seed):
        decoder = cast(MotionNetwork, network("motion", config, shapes)).to(machine.device)
    examples = placed(examples, decoder, config, machine.device)
    if config.standardise or config.target == "difference":
        decoder.fit_scalers(examples.latents, examples.fit)
    return fit_network(MotionTask(decoder, examples, config), config, machine)


def _motion_ridge(
    config: TrainMotionConfig, examples: MotionExamples, shapes: Shapes, split: Split
) -> Fitted:
    later = _later(examples.latents, config.target)
    found = Ridge(examples.responses, split, config).regress("later_frames", later)
    decoder = cast(MotionRidge, build("motion", config.spec() | {"rank": found.components.rank}, shapes))
    found.fill(decoder.later_map)

    def follow(rows: Tensor, first: Tensor) -> Tensor:
        return decoder.place(found.predicted(rows.numpy()), first)

    figures = examples.judge(follow) | {"p": examples.response_p(follow)}
    return report_ridge(decoder, [found], found.losses, figures)


def _later(latents: Tensor, target: Literal["frame", "difference"]) -> Target:
    """The later frames of ``latents (clip, frame, element)`` side by side, or their differences to the
    first."""
    first, later = latents[:, 0], latents[:, 1:].flatten(1)
    if target == "frame":
        return Target.of(later)

    def read(columns: slice) -> Array:
        same = torch.arange(columns.start, columns.stop) % first.shape[1]
        return numpy(later[:, columns].float() - first[:, same].float())

    return Target(len(later), later.shape[1], read)


def _motion_transport(
    config: TrainMotionConfig, examples: MotionExamples, shapes: Shapes, split: Split
) -> Fitted:
    latents = examples.latents.reshape(-1, *shapes.latents)
    fields = motion_field(latents, config.flow_grid, config.flow_smoothing)
    found = Ridge(examples.responses, split, config).regress("motion_field", Target.of(fields.flatten(1)))
    predicted = found.predicted().view_as(fields)

    def follow(rows: Tensor, first: Tensor, gain: float) -> Tensor:
        moved = carry(first.reshape(-1, *shapes.latent), gain * predicted[rows], shapes.frames - 1)
        return moved.flatten(2)

    def difference_r(gain: float) -> float:
        rows = examples.fit[:: -(-len(examples.fit) // _GAIN_CLIPS)]
        true, first = examples.latents[rows].float(), examples.decoded[rows]
        return pooled_correlation(follow(rows, first, gain) - first[:, None], true[:, 1:] - true[:, :1])

    gain = config.flow_gain or max(GAINS, key=difference_r)
    spec = {
        "decoder": "transport",
        "grid": tuple(fields.shape[2:]),
        "rank": found.components.rank,
        "gain": gain,
    }
    decoder = cast(MotionTransport, build("motion", spec, shapes))
    found.fill(decoder.field_map)

    def move(rows: Tensor, first: Tensor) -> Tensor:
        return follow(rows, first, gain)

    figures = examples.judge(move) | {"p": examples.response_p(move)}
    figures["field_r"] = pooled_correlation(predicted[examples.validation], fields[examples.validation])
    fitted = report_ridge(decoder, [found], found.losses, figures)
    fitted.facts["gain"] = gain
    return fitted
