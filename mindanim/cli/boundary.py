"""Where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from mindanim.errors import INTERRUPTED, InputError, MindanimError

T = TypeVar("T")

TERMINATED = 143

_OUT_OF_MEMORY = "Out of memory."
_NEED_LESS = (
    "Use a machine or GPU with more memory, or need less: --batch 1 or --low-memory if the command has them, "
    "a smaller batch_size in training. Finished work is kept; the same command continues where it stopped."
)

_AGAIN = "Free some space and run the same command again; it continues where it stopped."
_OF_THE_SYSTEM = {
    errno.EACCES: "Check the permissions, or choose another folder with --work.",
    errno.EROFS: "The file system is read-only: choose another folder with --work.",
    errno.ENOSPC: f"The disk is full. {_AGAIN}",
    errno.EDQUOT: f"Your quota is used up. {_AGAIN}",
}


def run_guarded(work: Callable[[], T], *, debug: bool = False) -> T:
    """Do the work; every error becomes a message on stderr and an exit code.

    Args:
        work: What to do.
        debug: Print tracebacks too.

    Raises:
        SystemExit: With the exit code of the error.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return work()
    except MindanimError as error:
        _show(error, debug)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        _print("\nInterrupted. The same command continues where it stopped.")
        raise SystemExit(INTERRUPTED) from None
    except SystemExit as leaving:
        if leaving.code == TERMINATED:
            _print("\nTerminated. The same command continues where it stopped.")
        raise
    except BrokenPipeError:
        # The reader of our output is gone; keep Python from reporting that again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        if error.errno not in _OF_THE_SYSTEM:
            _show_unexpected(error, debug)
            raise SystemExit(1) from None
        _show(InputError(str(error), hint=_OF_THE_SYSTEM[error.errno]), debug)
        raise SystemExit(InputError.exit_code) from None
    except Exception as error:
        if _lacks_memory(error):
            _show(MindanimError(_OUT_OF_MEMORY, " ".join(str(error).split())[:300], _NEED_LESS), debug)
        else:
            _show_unexpected(error, debug)
        raise SystemExit(1) from None


def _lacks_memory(error: Exception) -> bool:
    """Whether numpy or torch ran out of memory."""
    torch = sys.modules.get("torch")
    return (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
    )


def _terminate(number: int, frame: FrameType | None) -> None:
    """Leave as after an error, so that locks are released: clusters send SIGTERM before they kill."""
    raise SystemExit(TERMINATED)


def _show(error: MindanimError, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    _print(error.what, "Error: ")
    for text in (error.why, error.hint):
        for line in text.splitlines():
            _print(f"  {line}")


def _show_unexpected(error: Exception, debug: bool) -> None:
    from mindanim import console

    if debug:
        traceback.print_exception(error)
    _print(f"mindanim stopped on an unexpected error: {type(error).__name__}: {error}", "Error: ")
    log = console.last_log()
    if log is not None:
        _print(f"  Log: {log}")
    _print("  This is a bug in mindanim, not a problem with your input. Add --debug for a traceback.")


def _print(text: str, head: str = "") -> None:
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True).print(Text.assemble((head, "bold red"), text), soft_wrap=True)
    else:
        print(head + text, file=sys.stderr)
