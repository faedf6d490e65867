"""Fit a decoder of any kind: by gradient descent if it is a network, otherwise as its class says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from mindanim.config.train import TrainConfig
from mindanim.decoders.base import Decoder, Shapes
from mindanim.decoders.build import decoder_class
from mindanim.decoders.fit_result import ClosedForm, Fitted
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.decoders.models.semantic import SemanticNetwork
from mindanim.decoders.models.structure import StructureNetwork
from mindanim.decoders.plugin_check import check_fitted, check_network
from mindanim.decoders.training.feed import placed
from mindanim.decoders.training.fit_network import Machine, fit_network, fresh_weights
from mindanim.decoders.training.loop import Task
from mindanim.decoders.training.tasks import MotionTask, SemanticTask, StructureTask
from mindanim.decoders.training_examples import Examples
from mindanim.decoders.validation_split import Split
from mindanim.errors import InputError

_NETWORKS = {"semantic": SemanticNetwork, "structure": StructureNetwork, "motion": MotionNetwork}
_TASKS: Mapping[str, Callable[[Any, Any, Any], Task[Any, Any]]] = {
    "semantic": SemanticTask,
    "structure": StructureTask,
    "motion": MotionTask,
}


def closed_form(kind: str, config: TrainConfig) -> type[ClosedForm] | None:
    """The class of a decoder that is fitted in closed form; None for one that the training loop fits."""
    made = decoder_class(kind, config.decoder)
    return made if issubclass(made, ClosedForm) else None


def fit_decoder(
    config: TrainConfig, examples: Examples, shapes: Shapes, split: Split, machine: Machine
) -> Fitted:
    """Fit the decoder that `config` names to examples of its kind."""
    kind = examples.kind
    if linear := closed_form(kind, config):
        fitted = linear.fit(config, examples, shapes, split)
        if not is_own(linear):
            check_fitted(fitted, linear, config.decoder)
        return fitted
    with fresh_weights(config.seed):
        decoder = _network(kind, config, shapes).to(machine.device)
    examples = placed(examples, decoder, config, machine.device)
    return fit_network(_TASKS[kind](decoder, examples, config), config, machine)


def is_own(made: type[Decoder]) -> bool:
    """Whether a decoder is part of this package."""
    return made.__module__.startswith("mindanim.decoders.")


def expected_bytes(kind: str, config: TrainConfig, shapes: Shapes) -> int:
    """About how much disk space fitting a decoder takes.

    A network in training needs, besides its weights, Adam's two moments, the best weights so far and, with
    averaging, a fifth copy; a new checkpoint is written before the last one is removed. The network is built
    to be counted, and one of another package is tried on two clips, which refuses one that cannot be built or
    trained before any work.

    Raises:
        InputError, ConfigError: The decoder cannot be built or trained.
    """
    if closed_form(kind, config):
        outputs = {
            "semantic": shapes.clip[0] + shapes.tokens[0] * shapes.tokens[1],
            "structure": shapes.latent_size,
            "motion": (shapes.frames - 1) * shapes.latent_size,
        }[kind]
        rank = min(outputs, config.ridge_components)
        return 4 * (shapes.features * rank + rank * outputs)
    # Ours need no memory to be counted; a class from elsewhere may read the values of its tensors.
    own = is_own(decoder_class(kind, config.decoder))
    with torch.device("meta" if own else "cpu"), fresh_weights(config.seed):
        network = _network(kind, config, shapes)
        if not own:
            check_network(network, config.decoder)
        weights = network.parameter_count()
    return 4 * weights * (1 + 2 * (5 if config.ema else 4))


def _network(kind: str, config: TrainConfig, shapes: Shapes) -> Decoder:
    """The decoder to be trained by gradient descent, with fresh weights."""
    made, needed = decoder_class(kind, config.decoder), _NETWORKS[kind]
    if not issubclass(made, needed):
        raise InputError(
            f"The {kind} decoder {config.decoder} cannot be trained.",
            f"It is derived neither from {needed.__module__}.{needed.__name__} nor from "
            f"{ClosedForm.__module__}.{ClosedForm.__name__}.",
            "Derive it from one of them.",
        )
    return made.from_spec(config.spec(), shapes)
