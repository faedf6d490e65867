"""What is said of a fitted decoder: sentences for a methods section, and findings."""

from __future__ import annotations

import torch

from mindanim.config.train import (
    TrainConfig,
    TrainMotionConfig,
    TrainSemanticConfig,
    TrainStructureConfig,
)
from mindanim.decoders.base import Shapes
from mindanim.decoders.fit import network
from mindanim.decoders.splits import Split
from mindanim.decoders.training.fitted import Fitted, fresh_weights

_TARGETS = {
    "semantic": "the caption's CLIP vector and the hidden states of the diffusion model's text encoder",
    "structure": "the latent of the first frame",
    "motion": "the latents of the later frames",
}
CHANCE = 0.05
"""Probability under shifted pairings (for motion: with other clips' responses) above which a decoder's score
counts as chance."""


def expected_bytes(kind: str, config: TrainConfig, shapes: Shapes) -> int:
    """What a fit will about take on disk.

    A network in training holds, beside its weights, Adam's two moments, the best weights so far and, with
    averaging, a fifth copy; a checkpoint is written beside the one before. It is built to be counted, so
    that one that cannot be built or trained is refused here, before any work: InputError or ConfigError.
    """
    if config.decoder in ("ridge", "transport"):
        outputs = {
            "semantic": shapes.clip[0] + shapes.tokens[0] * shapes.tokens[1],
            "structure": shapes.latent_size,
            "motion": (shapes.frames - 1) * shapes.latent_size,
        }[kind]
        rank = min(outputs, config.ridge_components)
        return 4 * (shapes.features * rank + rank * outputs)
    # Ours need no memory for it; a class from outside may ask its tensors for their values.
    with torch.device("cpu" if ":" in config.decoder else "meta"), fresh_weights(config.seed):
        weights = network(kind, config, shapes).parameter_count()
    return 4 * weights * (1 + 2 * (5 if config.ema else 4))


def methods(kind: str, config: TrainConfig, fitted: Fitted, split: Split) -> list[str]:
    """The fit in sentences."""
    clips = f"{len(split.fit)} clips fitted the decoder and {len(split.validation)} ({split.held_out}) chose "
    if fitted.penalties is not None:
        refit = ", after which all of them fitted it once more" if config.ridge_refit else ""
        checked = clips.removesuffix("chose ") + f"checked it{refit}."
        return [_regression(config, kind), _penalty(config), checked]
    criterion = {
        "loss": "with the lowest validation loss",
        "score": "with the highest validation score",
        "last": "that came last",
    }[config.select]
    return [
        _network(config),
        f"It was trained with Adam ({config.schedule} schedule, batches of {config.batch_size}) for "
        f"{fitted.facts['epochs']} epochs; the epoch {criterion} ({fitted.facts['best_epoch']}) was kept.",
        f"{clips}the epoch.",
    ]


def _regression(config: TrainConfig, kind: str) -> str:
    if isinstance(config, TrainMotionConfig) and config.decoder == "transport":
        return (
            "Motion was decoded by ridge regression of the latents' optical flow (Lucas and Kanade 1981, all "
            "channels and frame pairs of a clip together) on the responses; the decoded flow carries the "
            "first frame along."
        )
    if isinstance(config, TrainMotionConfig) and config.target == "difference":
        gain = config.difference_gain
        scaled = f", multiplied by {gain:g} when decoded" if gain != 1 else ""
        return (
            "The motion decoder is a ridge regression of the differences between the latents of later frames "
            f"and of the first one on the responses{scaled}."
        )
    return f"The {kind} decoder is a ridge regression of {_TARGETS[kind]} on the responses."


def _penalty(config: TrainConfig) -> str:
    weighting = (
        "Voxels were scaled by the variance of the target that each explains alone, and the "
        if config.ridge_relevance
        else "The "
    )
    return (
        f"{weighting}penalty was chosen by {config.ridge_folds}-fold cross-validation over whole segments "
        f"of the training data."
    )


def _network(config: TrainConfig) -> str:
    paper = "(Mind-Animator, arXiv 2405.03280)"
    if ":" in config.decoder:
        return (
            f"The decoder is a class from outside the package, {config.decoder}, trained on the same losses."
        )
    if isinstance(config, TrainSemanticConfig):
        return (
            f"The semantic decoder is a residual network {paper} trained on the squared errors of "
            f"{_TARGETS['semantic']}, and a contrastive loss with CLIP text and image vectors."
        )
    if isinstance(config, TrainStructureConfig):
        return (
            f"The structure decoder is a residual network {paper} trained on the squared error of "
            f"{_TARGETS['structure']}."
        )
    if isinstance(config, TrainMotionConfig):
        side = config.patch_size
        tokens = "frames" if config.decoder == "cmg" else f"patches of {side} x {side} latent pixels"
        of = "latents" if config.target == "frame" else "scaled differences of latents to the first frame"
        if config.decoder == "mlp":
            return (
                "The motion decoder is a residual network that reads each later frame off the response "
                f"without any other frame, trained on the squared error of {of}."
            )
        return (
            f"The motion decoder is a consistency motion generator {paper}, a causal transformer over "
            f"{tokens} guided by the responses, trained on the squared error of {of}."
        )
    raise TypeError(f"no methods text for {type(config).__name__}")


def findings(kind: str, fitted: Fitted) -> list[tuple[str, str]]:
    """Code and text of what a user of the decoder must know."""
    found = list(fitted.warnings)
    if chance := at_chance(kind, fitted.facts["val_score"], fitted.facts["val_p"]):
        found.append((f"{kind}-at-chance", f"On the validation clips the {kind} decoder {chance}."))
    return found


def at_chance(kind: str, score: float, p: float) -> str:
    """That a decoder does no better than chance, in words; empty when it does better."""
    if p <= CHANCE and score > 0:
        return ""
    against = "the responses of other clips" if kind == "motion" else "shifted pairings of clips"
    return f"does no better than chance (score {score:.3f}, p {p:.3f} against {against})"
