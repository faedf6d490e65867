"""Ridge regression of one or more targets, penalties chosen over whole segments, and the report on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from mindanim.config.train import TrainConfig
from mindanim.decoders.base import Decoder
from mindanim.decoders.fit_result import Fitted
from mindanim.decoders.ridge.solver import LinearFit, LinearMap, RidgeFit, choose_penalty, solve
from mindanim.decoders.ridge.targets import Components, Matrix, Reduction, Target, numpy
from mindanim.decoders.validation_split import Mask, Rows, Split


@dataclass(frozen=True)
class Regression:
    """Ridge regression of one target.

    Attributes:
        name: Of the target.
        choice: The fit to the rows that fit, with its cross-validation.
        scores: ``(clip, component)``: every clip decoded by a fit that has not seen it (rows that fit:
            without their segment; purged rows: the mean), as scores of the components ``seen``.
        seen: Components of the rows that fit.
        losses: Mean squared errors of these predictions, train_loss and val_loss.
        final: The fit that the decoder gets.
        components: The components that the decoder gets.
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
        """Copy the final fit to a decoder's linear map."""
        linear.set(self.final, self.components)


class Ridge:
    """Ridge regressions of any number of targets on the same responses.

    Args:
        responses: ``(clip, feature)``.
        split: Which clips fit and which validate; penalties are chosen over its segments.
        config: The ridge options.
    """

    def __init__(self, responses: Tensor, split: Split, config: TrainConfig) -> None:
        self.responses, self.split, self.config = numpy(responses), split, config

    def regress(self, name: str, target: Target) -> Regression:
        """Fit a target; purged rows are not used.

        With `ridge_refit` the final fit includes the validation rows, with the penalty chosen without them.
        """
        split, config, x = self.split, self.config, self.responses
        reduction = Reduction(target, config.ridge_components)
        seen = reduction.over(split.fit)

        def near(out: Mask) -> Mask:
            held = np.zeros(len(split.segments), np.bool_)
            held[split.fit[out]] = True
            return split.near(held)[split.fit]

        choice = choose_penalty(
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
        scores[split.fit] = choice.out_of_fold  # last: imports validate on clips that fit
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
    """The result of fitting a decoder that consists of regressions.

    Args:
        decoder: With its linear maps filled.
        regressions: One per target.
        losses: train_loss (cross-validated) and val_loss.
        figures: Scores on the validation clips.
    """
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
            f"The best penalty for {one.name}, {one.choice.alpha:g}, is the smallest candidate.",
        )
        for one in regressions
        if one.choice.alpha == one.choice.alphas.min()
    ]
    return Fitted(decoder, pd.DataFrame([row]), facts, penalties, warnings)
