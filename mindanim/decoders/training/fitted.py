"""Fitting one decoder, by gradient descent or by ridge, and what is reported of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mindanim import runtime
from mindanim.config.train import TrainConfig
from mindanim.decoders.base import Decoder
from mindanim.decoders.ridge.solver import LinearFit, LinearMap, RidgeFit, fit_ridge, solve
from mindanim.decoders.ridge.targets import Components, Matrix, Reduction, Rows, Target, numpy
from mindanim.decoders.splits import Mask, Split
from mindanim.decoders.training.loop import Task, train


@dataclass(frozen=True)
class Machine:
    """Where and in which precision networks are trained, where an interrupted training is kept, and where
    its course is written for TensorBoard, if at all."""

    device: torch.device
    dtype: torch.dtype
    checkpoint: Path
    events: Path | None = None


@dataclass(frozen=True)
class Fitted:
    """A fitted decoder.

    history: one row per validated epoch (one row for ridge). facts: figures of the selected epoch.
    penalties: for ridge, every candidate penalty of every target with its cross-validated error. warnings:
    (code, text).
    """

    decoder: Decoder
    history: pd.DataFrame
    facts: dict[str, Any]
    penalties: pd.DataFrame | None = None
    warnings: list[tuple[str, str]] = field(default_factory=list)


def fit_network(task: Task[Any, Any], config: TrainConfig, machine: Machine) -> Fitted:
    """Train a network; the facts are those of the epoch that was kept."""
    course = train(task, config, **vars(machine))
    history = pd.DataFrame(course.history).astype({"epoch": int, "step": int})
    best = history.loc[history["epoch"] == course.best_epoch].iloc[0]
    facts: dict[str, Any] = {"best_epoch": course.best_epoch, "epochs": int(history["epoch"].iloc[-1])}
    facts |= {name: float(best[name]) for name in history.columns if name.startswith(("train_", "val_"))}
    task.eval()
    with torch.no_grad():
        facts |= {f"val_{name}": value for name, value in task.conclude().items()}
    facts["parameters"] = sum(parameter.numel() for parameter in task.decoder.parameters())
    warnings = []
    # A cosine schedule comes to rest at its last epoch, which says nothing about a longer one.
    if course.best_epoch == config.epochs > 1 and config.select != "last" and config.schedule != "cosine":
        warnings.append(
            (
                "still-improving",
                f"The last of {config.epochs} epochs validated best: more epochs may do better.",
            )
        )
    return Fitted(task.decoder, history, facts, warnings=warnings)


@contextmanager
def fresh_weights(seed: int) -> Iterator[None]:
    """Weights made inside the block depend on the seed alone."""
    with torch.random.fork_rng([]):
        torch.manual_seed(runtime.derived_seed(seed, "weights"))
        yield


@dataclass(frozen=True)
class Regression:
    """Ridge regression of one target.

    choice: the fit to the rows that fit, with its cross-validation. scores ``(clip, component)``: every
    clip decoded by a fit that has not seen it, rows that fit without their segment, as scores of the
    components ``seen`` in the rows that fit; purged rows have the mean. losses: mean squared errors of what
    is decoded so. final, components: what the decoder is given.
    """

    name: str
    choice: RidgeFit
    scores: Matrix
    seen: Components
    losses: dict[str, float]
    final: LinearFit
    components: Components

    def predicted(self, rows: Rows | slice = slice(None)) -> Tensor:
        """The clips at ``rows``, decoded by fits that have not seen them, ``(clip, element) float32``."""
        return torch.from_numpy(self.seen.restore(self.scores[rows]))

    def fill(self, linear: LinearMap) -> None:
        """Give the final fit to a decoder's linear map."""
        linear.set(self.final, self.components)


class Ridge:
    """Ridge regressions from the same responses ``(clip, feature)``, with the penalty chosen over whole
    segments."""

    def __init__(self, responses: Tensor, split: Split, config: TrainConfig) -> None:
        self.responses, self.split, self.config = numpy(responses), split, config

    def regress(self, name: str, target: Target) -> Regression:
        """Fit a target; purged rows are not used.

        With `ridge_refit` the final fit uses the validation rows too, with the penalty that was chosen
        without them.
        """
        split, config, x = self.split, self.config, self.responses
        reduction = Reduction(target, config.ridge_components)
        seen = reduction.over(split.fit)

        def near(out: Mask) -> Mask:
            held = np.zeros(len(split.segments), np.bool_)
            held[split.fit[out]] = True
            return split.near(held)[split.fit]

        choice = fit_ridge(
            x[split.fit],
            seen.scores,
            split.segments[split.fit],
            alphas=config.ridge_alphas,
            folds=config.ridge_folds,
            relevance_power=config.ridge_relevance,
            near=near,
        )
        scores = np.zeros((target.clips, seen.scores.shape[1]))
        scores[split.validation] = choice.linear.predict(x[split.validation])
        scores[split.fit] = choice.out_of_fold  # last: an import is judged on clips that fit, too
        losses = {
            f"{part}_loss": _error(target, seen, scores, rows)
            for part, rows in (("train", split.fit), ("val", split.validation))
        }
        final, components = choice.linear, seen
        if config.ridge_refit:
            rows = np.concatenate([split.fit, split.validation])
            components = reduction.over(rows)
            final = solve(x[rows], components.scores, choice.alpha, config.ridge_relevance)
        return Regression(name, choice, scores, seen, losses, final, components)


def _error(target: Target, components: Components, scores: Matrix, rows: Rows) -> float:
    """Mean squared error of scores ``(clip, component)`` at some rows of a target."""
    parts = (
        np.square(components.restore(scores[rows], columns) - block[rows]).sum(dtype=np.float64)
        for columns, block in target.blocks()
    )
    return float(sum(parts)) / (len(rows) * target.elements)


def report_ridge(
    decoder: Decoder, regressions: list[Regression], losses: dict[str, float], figures: dict[str, float]
) -> Fitted:
    """What is reported of a decoder made of regressions; losses: train_loss (cross-validated) and
    val_loss."""
    row = {"epoch": 1, "step": 1, **losses, **{f"val_{name}": value for name, value in figures.items()}}
    facts = {"best_epoch": 1, "epochs": 1, **{name: value for name, value in row.items() if "_" in name}}
    facts["parameters"] = decoder.parameter_count()
    facts |= {f"alpha_{one.name}": one.choice.alpha for one in regressions}
    penalties = pd.concat(
        pd.DataFrame({
            "target": one.name,
            "alpha": one.choice.alphas,
            "error": one.choice.errors,
            "chosen": one.choice.alphas == one.choice.alpha,
        })
        for one in regressions
    )  # fmt: skip
    warnings = [
        (
            "penalty-at-the-edge",
            f"The best penalty for {one.name}, {one.choice.alpha:g}, is the smallest that was tried.",
        )
        for one in regressions
        if one.choice.alpha == one.choice.alphas.min()
    ]
    return Fitted(decoder, pd.DataFrame([row]), facts, penalties, warnings)
