"""Bring training clips to the device: all at once, or batch by batch, one batch ahead."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mindanim import console
from mindanim.config.train import TrainConfig
from mindanim.decoders.training_examples import Examples

E = TypeVar("E", bound=Examples)


def placed(examples: E, decoder: nn.Module, config: TrainConfig, device: torch.device) -> E:
    """The examples on the device, or unmoved if they are to be fed batch by batch.

    ``stream_data`` decides; with "auto" they are moved if they fit (`fits`). A CPU reads mapped files in
    place.
    """
    if config.stream_data == "never" or (config.stream_data == "auto" and fits(examples, decoder, device)):
        return examples.to(device)
    console.say(f"{examples.nbytes / 1e9:.1f} GB of training clips are read batch by batch")
    return examples


def fits(examples: Examples, decoder: nn.Module, device: torch.device) -> bool:
    """Whether the clips take at most half of what gradients, moments and averages leave free on a GPU.

    The other half is for activations. True for other devices, which share memory with the file cache.
    """
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    weights = sum(parameter.nbytes for parameter in decoder.parameters())
    return examples.nbytes <= (free - 4 * weights) / 2


class Feed:
    """Batches of the clips that fit a decoder, on the device.

    Examples that are not on the device, or that are to be streamed, are read by a separate thread one batch
    ahead, via page-locked memory to a GPU while it computes; at most two batches are in memory. No random
    numbers are drawn here, so the batches are the same either way.

    Args:
        examples: All training clips.
        device: Where batches go.
        streamed: Read batch by batch even if the examples are on the device.
    """

    def __init__(self, examples: Examples, device: torch.device, streamed: bool) -> None:
        self.examples, self.device = examples, device
        streamed = streamed or examples.responses.device != device
        self.reader = ThreadPoolExecutor(1, "clips") if streamed else None
        on_gpu = streamed and device.type == "cuda"
        self.copies: Any = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        self.ahead: tuple[Tensor, Future[tuple[Examples, Any]]] | None = None

    def take(self, rows: Tensor, following: Tensor | None) -> Any:
        """A batch of the clips that fit the decoder.

        Args:
            rows: ``(clip,)``, places among these clips.
            following: The rows of the next call; None if there is none.
        """
        if self.reader is None:
            return self.examples.at(self.examples.fit[rows.to(self.device)])
        if self.ahead is not None and torch.equal(self.ahead[0], rows):
            future = self.ahead[1]
        else:
            future = self.reader.submit(self._read, rows)
        batch, copied = future.result()
        self.ahead = None if following is None else (following, self.reader.submit(self._read, following))
        if copied is not None:
            self._wait(batch, copied)
        return batch

    def _read(self, rows: Tensor) -> tuple[Examples, Any]:
        clips = self.examples.at(self.examples.fit[rows], pinned=self.copies is not None)
        if self.copies is None:
            return clips.to(self.device), None
        with torch.cuda.stream(self.copies):
            return clips.to(self.device, non_blocking=True), self.copies.record_event()

    def _wait(self, batch: Examples, copied: Any) -> None:
        """Make the GPU's computation wait for the copy, and keep the copy until it has been used."""
        stream = torch.cuda.current_stream(self.device)
        stream.wait_event(copied)
        for field in fields(batch):
            getattr(batch, field.name).record_stream(stream)

    def close(self) -> None:
        """End the thread."""
        if self.reader is not None:
            self.reader.shutdown(cancel_futures=True)
