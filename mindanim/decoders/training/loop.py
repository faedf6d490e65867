"""The training loop: seeded per step, checkpointed, with early stopping; the best weights are kept.

All random numbers of a step (dropout, masks, views, zeroed entries) come from a seed derived from the run's
seed and the step's number; the order of an epoch, from the epoch's number. The state to save is then weights,
optimizer and position: a run that is killed at any time and restarted ends with the weights of an
uninterrupted one. On a CPU they are equal bit for bit with the same machine, torch build and number of
threads. With another number of threads torch sums in another order, and results agree only to rounding.
"""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from mindanim import console, runtime
from mindanim.artifacts.files import atomic_path
from mindanim.config.train import TrainConfig
from mindanim.decoders.base import Decoder
from mindanim.decoders.batch_sharing import agreed, part_of, sharing, summed, weighted
from mindanim.decoders.training.feed import Feed
from mindanim.decoders.training.optimizer_step import Stepper
from mindanim.decoders.training.schedules import l1_penalty, learning_rate
from mindanim.decoders.training.tensorboard import board
from mindanim.decoders.training_examples import Examples
from mindanim.errors import ConfigError

_CHECKPOINT_SHARE = 20

D = TypeVar("D", bound=Decoder)
X = TypeVar("X", bound=Examples)


class Task(nn.Module, Generic[D, X]):
    """What is trained: a decoder, parameters needed only in training, the data and the losses.

    Args:
        decoder: With fresh weights.
        examples: The clips, on the device or where `Feed` reads them.

    Attributes:
        model_size: Width of the noam schedule.
        noam_factor: Its factor.
        epoch: The current epoch, from 0.
        places: Places of the current batch's clips among those that fit the decoder.
    """

    model_size = 1
    noam_factor = 1.0

    def __init__(self, decoder: D, examples: X) -> None:
        super().__init__()
        self.decoder: D = decoder
        self.examples: X = examples
        self.rows = len(examples.fit)
        self.epoch, self.places = 0, torch.zeros(0, dtype=torch.int64)

    def fit_scalers(self) -> None:
        """Set what the decoder takes from the examples untrained: target scales, constants."""
        return

    @abstractmethod
    def losses(self, batch: X) -> dict[str, Tensor]:
        """Losses of a batch of training clips on the device; "loss" is minimised."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Figures on the validation clips: "loss", comparable with training's, and "score", higher is
        better."""

    def conclude(self) -> dict[str, float]:
        """Figures on the validation clips that are too costly for every epoch; computed once at the end."""
        return {}


@dataclass
class Progress:
    """State of a training besides weights and optimizer.

    Attributes:
        step: Steps taken.
        sums: Losses summed over the clips of the epoch so far.
        history: One row per validated epoch.
        best: The best weights so far, on the CPU.
        best_epoch: Their epoch, from 1.
        best_value: Their criterion; higher is better.
        waited: Validations since then.
        stopped: Whether to stop early.
    """

    step: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_epoch: int = 0
    best_value: float = -math.inf
    waited: int = 0
    stopped: bool = False


def train(
    task: Task[Any, Any],
    config: TrainConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    checkpoint: Path,
    events: Path | None = None,
    after_step: Callable[[int], None] | None = None,
) -> Progress:
    """Train ``task`` to the end and load the selected weights into it.

    Args:
        task: What to train.
        config: How.
        device: Where.
        dtype: Of the forward pass (autocast); weights stay float32.
        checkpoint: File to continue from, if it exists.
        events: Folder for TensorBoard, if any.
        after_step: Called with the number of steps taken.

    Raises:
        ConfigError: The loss is no longer finite, or no validation gives a number to select by.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        run = _Run(task.to(device), config, dtype, checkpoint)
        begun = run.at.step // run.steps_per_epoch
        title = f"epochs of the {task.decoder.kind} decoder"
        with (
            closing(run.stepper),
            closing(run.feed),
            board(events) as write,
            console.progress(config.epochs - begun, title) as progress,
        ):
            for epoch in range(begun, config.epochs):
                if run.at.stopped:
                    break
                for step in range(run.at.step, (epoch + 1) * run.steps_per_epoch):
                    run.take(step, epoch)
                    if after_step is not None:
                        after_step(run.at.step)
                progress.advance(1, **run.close(epoch))
                if run.at.history and run.at.history[-1]["epoch"] == epoch + 1:
                    write(run.at.history[-1])
    if run.at.best_value == -math.inf:
        raise ConfigError(
            f"No epoch of the {task.decoder.kind} decoder has a validation {config.select} that is a number.",
            "The training has diverged, or the targets of the validation clips are not finite.",
            "Lower learning_rate (or noam_factor), or set clip_norm, e.g. --set clip_norm=1",
        )
    task.load_state_dict(run.at.best)
    return run.at


class _Run:
    def __init__(
        self, task: Task[Any, Any], config: TrainConfig, dtype: torch.dtype, checkpoint: Path
    ) -> None:
        self.task, self.config, self.dtype, self.checkpoint = task, config, dtype, checkpoint
        self.device = task.decoder.device
        self.steps_per_epoch = math.ceil(task.rows / config.batch_size)
        self.parameters = [parameter for parameter in task.parameters() if parameter.requires_grad]
        self.averaged = [parameter.detach().clone() for parameter in self.parameters] if config.ema else []
        self.feed = Feed(task.examples, self.device, config.stream_data == "always")
        self.stepper = Stepper(self.parameters, config, self.device, dtype)
        self.at = Progress()
        self._resume()
        self.due_s = time.monotonic() + config.checkpoint_s

    def take(self, step: int, epoch: int) -> None:
        """One optimisation step; a checkpoint when one is due."""
        # All processes draw the same numbers. The last part of the name is kept so that seeds do not change.
        torch.manual_seed(runtime.derived_seed(self.config.seed, "step", str(step), "0"))
        rows = self._batch(step)
        self.task.train()
        with sharing(len(rows)) as own:
            batch = self.feed.take(rows[own], self._own_batch(step + 1))
            self.task.epoch, self.task.places = epoch, rows[own]
            lower = torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)
            with lower, self.stepper.forward():
                losses = {name: weighted(loss) for name, loss in self.task.losses(batch).items()}
            self.stepper.step(losses["loss"], self._rate(step), l1_penalty(self.config, epoch))
            losses = summed({name: loss.detach() for name, loss in losses.items()})
        self._average(step)
        for name, loss in losses.items():
            before = self.at.sums.get(name, torch.zeros((), device=self.device))
            self.at.sums[name] = before + loss * len(rows)
        self.at.step = step + 1
        # A checkpoint at the end of an epoch waits for its validation.
        if self.at.step % self.steps_per_epoch:
            self._save_when_due()

    def close(self, epoch: int) -> dict[str, float]:
        """End an epoch: validate, keep the weights if they are the best so far, decide whether to stop."""
        at, config = self.at, self.config
        row = {
            "epoch": float(epoch + 1),
            "step": float(at.step),
            "learning_rate": self._rate(at.step - 1),
        }
        row |= {f"train_{name}": float(total) / self.task.rows for name, total in at.sums.items()}
        at.sums = {}
        if not math.isfinite(row["train_loss"]):
            raise ConfigError(
                f"The {self.task.decoder.kind} decoder's loss is {row['train_loss']} in epoch {epoch + 1}.",
                "The training has diverged.",
                "Lower learning_rate (or noam_factor), or set clip_norm, e.g. --set clip_norm=1",
            )
        shown = {"loss": row["train_loss"]}
        if (epoch + 1) % config.validate_every == 0 or epoch + 1 == config.epochs:
            with self._averages_in_place():
                self.task.eval()
                with torch.no_grad():
                    figures = agreed(self.task.validate())
                self._select(figures, epoch + 1)
            row |= {f"val_{name}": value for name, value in figures.items()}
            at.history.append(row)
            shown |= {"val_loss": figures["loss"], "val_score": figures["score"]}
        self._save_when_due()
        return shown

    def _select(self, figures: dict[str, float], epoch: int) -> None:
        at, choice = self.at, self.config.select
        value = (
            float(epoch) if choice == "last" else figures["score"] if choice == "score" else -figures["loss"]
        )
        if math.isnan(value):
            value = -math.inf  # nothing is greater than NaN: a first epoch of NaN would be kept
        if not at.best or value > at.best_value:
            at.best_value, at.best_epoch, at.waited = value, epoch, 0
            at.best = {name: tensor.detach().cpu().clone() for name, tensor in self.task.state_dict().items()}
        else:
            at.waited += 1
            at.stopped = 0 < self.config.patience <= at.waited

    def _rate(self, step: int) -> float:
        return learning_rate(
            self.config, step, self.steps_per_epoch, self.task.model_size, self.task.noam_factor
        )

    def _batch(self, step: int) -> Tensor:
        """One step's clips ``(clip,)``, as places among those that fit the decoder."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = torch.Generator().manual_seed(runtime.derived_seed(self.config.seed, "epoch", str(epoch)))
        start = place * self.config.batch_size
        return torch.randperm(self.task.rows, generator=order)[start : start + self.config.batch_size]

    def _own_batch(self, step: int) -> Tensor | None:
        """This process's part of one step's batch; None after the last step."""
        if step == self.config.epochs * self.steps_per_epoch:
            return None
        rows = self._batch(step)
        return rows[part_of(len(rows))]

    @torch.no_grad()
    def _average(self, step: int) -> None:
        if self.averaged:
            decay = min(self.config.ema, (1 + step) / (10 + step))
            torch._foreach_lerp_(self.averaged, [p.detach() for p in self.parameters], 1 - decay)

    @contextmanager
    def _averages_in_place(self) -> Iterator[None]:
        if not self.averaged:
            yield
            return
        current = [parameter.detach().clone() for parameter in self.parameters]
        try:
            self._assign(self.averaged)
            yield
        finally:
            self._assign(current)

    @torch.no_grad()
    def _assign(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)

    def _save_when_due(self) -> None:
        begun = time.monotonic()
        if runtime.rank() == 0 and begun >= self.due_s:
            content = {
                "progress": vars(self.at),
                "weights": self.task.state_dict(),
                "averaged": self.averaged,
                "optimizer": self.stepper.state_dict(),
            }
            with atomic_path(self.checkpoint) as temporary:
                torch.save(content, temporary)
            # Several GB take long on a slow disk: spend at most about a twentieth of the time on it.
            spent, wished = time.monotonic() - begun, self.config.checkpoint_s
            self.due_s = begun + (max(wished, _CHECKPOINT_SHARE * spent) if wished else 0.0)

    def _resume(self) -> None:
        if self.checkpoint.exists():
            content = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            self.at = Progress(**content["progress"])
            self.at.best = {name: tensor.cpu() for name, tensor in self.at.best.items()}
            self.task.load_state_dict(content["weights"])
            self.averaged = content["averaged"]
            self.stepper.load_state_dict(content["optimizer"])
            console.say(f"continuing the {self.task.decoder.kind} decoder after step {self.at.step}")
        runtime.wait_for_all()
