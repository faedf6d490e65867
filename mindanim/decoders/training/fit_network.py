"""Fit a network by gradient descent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from mindanim import runtime
from mindanim.config.train import TrainConfig
from mindanim.decoders.fit_result import Fitted
from mindanim.decoders.training.loop import Task, train


@dataclass(frozen=True)
class Machine:
    """Where and how networks are trained.

    Attributes:
        device: Where they are trained.
        dtype: Of the forward pass.
        checkpoint: File from which an interrupted training continues.
        events: Folder of TensorBoard events; None writes none.
    """

    device: torch.device
    dtype: torch.dtype
    checkpoint: Path
    events: Path | None = None


def fit_network(task: Task[Any, Any], config: TrainConfig, machine: Machine) -> Fitted:
    """Train a network; the facts are those of the epoch that was kept."""
    task.fit_scalers()
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
    # A cosine schedule ends at its last epoch, whose being best does not mean that more epochs would help.
    if course.best_epoch == config.epochs > 1 and config.select != "last" and config.schedule != "cosine":
        warnings.append(
            (
                "still-improving",
                f"The last of {config.epochs} epochs had the best validation: more epochs may help.",
            )
        )
    return Fitted(task.decoder, history, facts, warnings=warnings)


@contextmanager
def fresh_weights(seed: int) -> Iterator[None]:
    """Weights that are drawn inside the block depend on the seed alone."""
    with torch.random.fork_rng([]):
        torch.manual_seed(runtime.derived_seed(seed, "weights"))
        yield
