"""Messages while a stage runs: to stderr, and to the log of the artifact being built."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TextIO, TypeVar, overload

from mindanim import runtime
from mindanim.vocabulary.visible import visible

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

T = TypeVar("T")

QUIET, NORMAL, VERBOSE = -1, 0, 1
LINE_EVERY_S = 10.0

_verbosity = NORMAL
_logs: list[TextIO] = []
_last_log: Path | None = None


def set_verbosity(level: int) -> None:
    """QUIET shows only warnings, NORMAL what is being done, VERBOSE also the details."""
    global _verbosity
    _verbosity = level


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Also write every message of the block to the file `path`, whatever the verbosity."""
    global _last_log
    with path.open("a", encoding="utf-8") as log:
        _logs.append(log)
        _last_log = path
        try:
            yield
        finally:
            _logs.remove(log)


def last_log() -> Path | None:
    """The most recent log file, for an error message to refer to."""
    return _last_log if _last_log is not None and _last_log.exists() else None


def say(text: str) -> None:
    """Print an ordinary message."""
    _tell(text, NORMAL)


def detail(text: str) -> None:
    """Print a message only with -v."""
    _tell(text, VERBOSE)


def step(title: str) -> None:
    """Print the heading of the next step."""
    _tell(title, NORMAL, style="bold")


def warn(text: str) -> None:
    """Print a message that also appears with -q."""
    _tell(f"warning: {text}", QUIET, style="yellow")


def log(text: str) -> None:
    """Write a text only to the log files."""
    stamp, text = datetime.now().astimezone().isoformat(timespec="seconds"), visible(text)
    for file in _logs:
        file.write(f"{stamp} {text}\n")
        file.flush()


@overload
def progress(work: Iterable[T], description: str) -> Progress[T]: ...
@overload
def progress(work: int | None, description: str) -> Progress[None]: ...
def progress(work: Iterable[Any] | int | None, description: str) -> Progress[Any]:
    """Show the progress of some work: iterate over the result, or enter it and call `advance`.

    It is a bar on a terminal, and otherwise a line every ten seconds.

    Args:
        work: What to iterate over, or the number of steps (None if unknown).
    """
    return Progress(work, description)


class Progress(Generic[T]):
    """The progress of one piece of work; see `progress`."""

    def __init__(self, work: Iterable[T] | int | None, description: str) -> None:
        self.description = description
        self._items: Iterable[T] | None = None if isinstance(work, int | None) else work
        self._total = len(work) if isinstance(work, Sized) else work if isinstance(work, int) else None
        self._done = 0
        self._note = ""
        self._bar: _Bar | None = None
        self._began = self._told = 0.0

    def __iter__(self) -> Iterator[T]:
        if self._items is None:
            raise TypeError("progress has a number of steps: enter it and call advance")
        with self:
            for item in self._items:
                yield item
                self.advance()

    def __enter__(self) -> Self:
        self._began = self._told = time.monotonic()
        if _verbosity >= NORMAL and sys.stderr.isatty():
            self._bar = _Bar(self.description, self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        elapsed = time.monotonic() - self._began
        if kind is None and elapsed > 1:
            _tell(f"{self.description}: {self._done} in {_duration(elapsed)}{self._note}", NORMAL)

    def advance(self, steps: int = 1, **shown: float | str) -> None:
        """Count `steps` more steps as done; `shown` are figures to print with them (loss=0.12)."""
        self._done += steps
        if shown:
            self._note = "".join(f", {name} {_figure(value)}" for name, value in shown.items())
        if self._bar is not None:
            self._bar.update(self._done, self._note)
        now = time.monotonic()
        if now - self._told >= LINE_EVERY_S:
            self._told = now
            line = self._line(now - self._began)
            if self._bar is not None:
                log(line)
            else:
                _tell(line, NORMAL)

    def _line(self, elapsed: float) -> str:
        if not self._total:
            return f"{self.description}: {self._done}{self._note}"
        left = elapsed / max(self._done, 1) * (self._total - self._done)
        share = 100 * self._done / self._total
        done = f"{self._done}/{self._total} ({share:.0f} %)"
        return f"{self.description}: {done}, about {_duration(left)} left{self._note}"


class _Bar:
    """One bar of the shared display; rich allows only one live display at a time."""

    _display: RichProgress | None = None
    _open = 0

    def __init__(self, description: str, total: int | None) -> None:
        if _Bar._display is None:
            _Bar._display = _rich_progress()
            _Bar._display.start()
        _Bar._open += 1
        self._task = _Bar._display.add_task(visible(description, lines=False), total=total, note="")

    def update(self, done: int, note: str) -> None:
        if _Bar._display is not None:
            _Bar._display.update(
                self._task, completed=done, note=visible(note.removeprefix(", "), lines=False)
            )

    def close(self) -> None:
        display = _Bar._display
        if display is None:
            return
        display.remove_task(self._task)
        _Bar._open -= 1
        if _Bar._open == 0:
            display.stop()
            _Bar._display = None


def _rich_progress() -> RichProgress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def _tell(text: str, level: int, style: str = "") -> None:
    text = visible(text)
    log(text)
    if _verbosity < level or (runtime.rank() > 0 and level > QUIET):
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        console = _Bar._display.console if _Bar._display is not None else Console(stderr=True)
        console.print(Text(text, style=style), soft_wrap=True)
    else:
        print(text, file=sys.stderr, flush=True)


def _figure(value: float | str) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
