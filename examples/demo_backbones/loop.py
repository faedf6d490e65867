"""The training loop of all networks: warm-up, cosine decay, averaged weights, resumable checkpoints."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from mindanim.console import say

Network = TypeVar("Network", bound=nn.Module)
Loss = Callable[[np.random.Generator], torch.Tensor]


@dataclass(frozen=True)
class Schedule:
    """Steps, peak learning rate and weight decay of AdamW, and decay of the weight average per step."""

    steps: int
    rate: float
    decay: float = 0.02
    warmup: int = 100
    average: float = 0.998
    final: float = 0.02

    def factor(self, step: int) -> float:
        """Learning rate relative to its peak: linear warm-up, then cosine decay to `final`."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.final + (1 - self.final) * 0.5 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class Record:
    """Record of a training: steps, minutes of wall time over all sessions, last smoothed loss."""

    steps: int
    minutes: float
    loss: float


def fit(
    network: Network,
    loss: Loss,
    schedule: Schedule,
    *,
    seed: int,
    checkpoint: Path | None = None,
    share: float = 1.0,
    every_s: float = 120.0,
    on_checkpoint: Callable[[Network, Record], None] | None = None,
) -> tuple[Network, Record]:
    """Train `network` in place; return a copy with averaged weights, and the record.

    Args:
        network: The network to train.
        loss: Draws its batch from the generator it is given, which depends on `seed` and the step only, and
            evaluates `network`.
        schedule: Steps and rates.
        seed: Seed of batches, dropout and sampling.
        checkpoint: File of the training state, written every `every_s` seconds; a later call resumes from it.
        share: Fraction of the steps; below 1 for a trial run, which leaves the network untrained.
        every_s: Seconds between checkpoints.
        on_checkpoint: Called with the averaged network at each checkpoint.
    """
    schedule = replace(schedule, steps=max(1, round(share * schedule.steps)))
    averaged = copy.deepcopy(network).requires_grad_(False)
    optimiser = torch.optim.AdamW(_groups(network, schedule.decay), lr=schedule.rate, betas=(0.9, 0.97))
    step, spent, smooth = 0, 0.0, math.nan
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent, smooth = state["step"], state["spent"], state["smooth"]
    began = saved = time.monotonic()
    network.train()
    while step < schedule.steps:
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate * schedule.factor(step)
        rng = np.random.default_rng([seed, step])
        torch.manual_seed(
            int(rng.integers(2**31))
        )  # dropout and sampling, too, depend on seed and step alone
        value = loss(rng)
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        _average(averaged, network, min(schedule.average, (1 + step) / (10 + step)))
        step += 1
        now = value.item()
        smooth = now if math.isnan(smooth) else 0.98 * smooth + 0.02 * now
        if step == schedule.steps or time.monotonic() - saved >= every_s:
            record = Record(step, (spent + time.monotonic() - began) / 60, smooth)
            say(f"step {step} of {schedule.steps}: loss {smooth:.4f}, {record.minutes:.1f} minutes")
            if checkpoint is not None:
                _save(checkpoint, network, averaged, optimiser, step, record.minutes * 60, smooth)
            if on_checkpoint is not None:
                on_checkpoint(averaged, record)
                network.train()
            saved = time.monotonic()
    return averaged.eval(), Record(step, (spent + time.monotonic() - began) / 60, smooth)


def _groups(network: nn.Module, decay: float) -> list[dict[str, object]]:
    """Weight decay for matrices only: not for biases, norms, positions and scales."""
    matrices = [p for p in network.parameters() if p.requires_grad and p.ndim >= 2 and min(p.shape) > 1]
    chosen = {id(p) for p in matrices}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in chosen]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, keep: float) -> None:
    for old, new in zip(averaged.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def _save(
    path: Path,
    network: nn.Module,
    averaged: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    spent: float,
    smooth: float,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    state = {
        "network": network.state_dict(),
        "averaged": averaged.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    torch.save(state | {"step": step, "spent": spent, "smooth": smooth}, partial)
    os.replace(partial, path)
