"""The course of a training for TensorBoard, beside the artifact, for those who want to watch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mindanim import runtime
from mindanim.errors import MissingError

Writer = Callable[[Mapping[str, float]], None]


@contextmanager
def board(folder: Path | None) -> Iterator[Writer]:
    """A function that writes one row of the history as event files into ``folder``; None writes nothing.

    A continued run adds to what is there. Raises MissingError when the package tensorboard is not installed.
    """
    if folder is None or runtime.rank() > 0:
        yield lambda row: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingError(
            "tensorboard = true needs the package tensorboard.",
            str(error),
            "Run: pip install 'mindanim[track]', or leave the option away.",
        ) from error
    with SummaryWriter(str(folder)) as events:  # type: ignore[no-untyped-call]

        def write(row: Mapping[str, float]) -> None:
            for name, value in row.items():
                if name not in ("epoch", "step"):
                    part, _, figure = name.partition("_")
                    title = f"{figure}/{part}" if part in ("train", "val") else name
                    events.add_scalar(title, value, int(row["epoch"]))  # type: ignore[no-untyped-call]
            events.flush()  # type: ignore[no-untyped-call]

        yield write
