"""Sentences about a fitted decoder: for a methods section, and findings."""

from __future__ import annotations

from mindanim.config.train import TrainConfig
from mindanim.decoders.fit_result import ClosedForm, Fitted
from mindanim.decoders.validation_split import Split

CHANCE = 0.05
"""P value (shifted pairings; for motion, responses to other clips) above which a decoder is at chance."""


def methods(config: TrainConfig, fitted: Fitted, split: Split) -> list[str]:
    """How the decoder was fitted, in sentences for a methods section."""
    clips = f"{len(split.fit)} clips fitted the decoder and {len(split.validation)} ({split.held_out}) "
    method = fitted.decoder.method(config)
    if isinstance(fitted.decoder, ClosedForm) and fitted.penalties is None:
        return [method, f"{clips}validated it."]
    if fitted.penalties is not None:
        refit = ", after which it was refitted to all of them" if config.ridge_refit else ""
        return [method, _penalty(config), f"{clips}validated it{refit}."]
    criterion = {
        "loss": "with the lowest validation loss",
        "score": "with the highest validation score",
        "last": "that came last",
    }[config.select]
    return [
        method,
        f"It was trained with Adam ({config.schedule} schedule, batches of {config.batch_size}) for "
        f"{fitted.facts['epochs']} epochs; the epoch {criterion} ({fitted.facts['best_epoch']}) was kept.",
        f"{clips}chose the epoch.",
    ]


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


def findings(fitted: Fitted) -> list[tuple[str, str]]:
    """Codes and texts of what a user of the decoder must know."""
    found, kind = list(fitted.warnings), fitted.decoder.kind
    if chance := at_chance(kind, fitted.facts["val_score"], fitted.facts["val_p"]):
        found.append((f"{kind}-at-chance", f"On the validation clips the {kind} decoder {chance}."))
    return found


def at_chance(kind: str, score: float, p: float) -> str:
    """That a decoder is no better than chance, as a predicate; empty when it is better."""
    if p <= CHANCE and score > 0:
        return ""
    against = "responses to other clips" if kind == "motion" else "shifted pairings of clips"
    return f"is no better than chance (score {score:.3f}, p {p:.3f} against {against})"
