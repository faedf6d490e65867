"""Learning rates and penalties as functions of the position, so that a resumed run needs no scheduler
state."""

from __future__ import annotations

import math

from mindanim.config.train import TrainConfig


def noam(step: int, model_size: int, warmup_steps: int, factor: float = 1.0) -> float:
    """Learning rate at ``step`` (1, 2, ...): linear warm-up, then the inverse square root (Vaswani et al.
    2017, eq. 3)."""
    rise: float = step * max(warmup_steps, 1) ** -1.5
    return factor / math.sqrt(model_size) * min(1 / math.sqrt(step), rise)


def learning_rate(
    config: TrainConfig, step: int, steps_per_epoch: int, model_size: int, noam_factor: float = 1.0
) -> float:
    """Learning rate of one step.

    The exponential schedule falls by ``decay`` once per epoch; cosine reaches 0 at the end of the last epoch.

    Args:
        config: Schedule and rates.
        step: Steps already taken.
        steps_per_epoch: Length of an epoch.
        model_size: Width of the tokens, for noam.
        noam_factor: Factor, for noam.
    """
    if config.schedule == "noam":
        return noam(step + 1, model_size, config.warmup_steps, noam_factor)
    rate = config.learning_rate
    if step < config.warmup_steps:
        return rate * (step + 1) / config.warmup_steps
    if config.schedule == "exponential":
        return rate * config.decay ** (step // steps_per_epoch)
    if config.schedule == "cosine":
        total = config.epochs * steps_per_epoch - config.warmup_steps
        return rate * 0.5 * (1 + math.cos(math.pi * (step - config.warmup_steps) / max(total, 1)))
    return rate


def l1_penalty(config: TrainConfig, epoch: int) -> float:
    """The L1 penalty during ``epoch`` (0, 1, ...).

    It decays as ``exp(-l1_decay * epoch)``. The released code multiplies the penalty in place every epoch,
    which compounds to ``exp(-l1_decay * epoch * (epoch + 1) / 2)``.
    """
    exponent = epoch * (epoch + 1) / 2 if config.l1_compounds else epoch
    return config.l1_penalty * math.exp(-config.l1_decay * exponent)
