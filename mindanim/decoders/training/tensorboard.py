"""Training curves for TensorBoard, outside the artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mindanim import runtime
from mindanim.errors import MissingError

Writer = Callable[[Mapping[str, float]], None]


@contextmanager
def board(folder: Path | None) -> Iterator[Writer]:
    """A function that writes one row of the history as events; a continued run appends to them.

    Args:
        folder: Where to write; None writes nothing.

    Raises:
        MissingError: The package tensorboard is not installed.
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
            "Install it, or leave out the option: pip install 'mindanim[track]'",
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
