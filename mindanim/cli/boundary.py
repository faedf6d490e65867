"""Where errors become messages and exit codes."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from mindanim.errors import INTERRUPTED, InputError, MindanimError

T = TypeVar("T")

TERMINATED = 143

_CONTINUES = "The same command continues where it stopped."
_A_BUG = "This is a bug in mindanim, not a problem with your input. Add --debug for a traceback."
_OUT_OF_MEMORY = "Out of memory."
_NEED_LESS = (
    "Use a machine or GPU with more memory, or need less: --batch 1 or --low-memory if the command has them, "
    "a smaller batch_size in training. Finished work is kept; the same command continues where it stopped."
)

_AGAIN = "Free some space and run the same command again; it continues where it stopped."
_OF_THE_SYSTEM = {
    errno.EACCES: "Check the permissions, or choose another folder with --work",
    errno.EROFS: "The file system is read-only: choose another folder with --work",
    errno.ENOSPC: f"The disk is full. {_AGAIN}",
    errno.EDQUOT: f"Your quota is used up. {_AGAIN}",
}


def run_guarded(work: Callable[[], T], *, debug: bool = False, as_json: bool = False) -> T:
    """Do the work; every error becomes a message on stderr and an exit code.

    Args:
        work: What to do.
        debug: Print tracebacks too.
        as_json: Also print the error to stdout, as a JSON object; see `error_record`.

    Raises:
        SystemExit: With the exit code of the error.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return work()
    except MindanimError as error:
        _show(error, debug)
        failed, code = error_record(error), error.exit_code
    except KeyboardInterrupt:
        _print(f"\nInterrupted. {_CONTINUES}")
        failed = error_record(MindanimError("Interrupted.", hint=_CONTINUES), "Interrupted", INTERRUPTED)
        code = INTERRUPTED
    except SystemExit as leaving:
        if leaving.code != TERMINATED:
            raise
        _print(f"\nTerminated. {_CONTINUES}")
        failed = error_record(MindanimError("Terminated.", hint=_CONTINUES), "Terminated", TERMINATED)
        code = TERMINATED
    except BrokenPipeError:
        # The reader of our output is gone; keep Python from reporting that again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except Exception as error:
        known = _explained(error)
        if known is None:
            _show_unexpected(error, debug)
            failed, code = error_record(MindanimError(str(error), _A_BUG), type(error).__name__), 1
        else:
            _show(known, debug)
            failed, code = error_record(known), known.exit_code
    if as_json:
        print(json.dumps({"error": failed}, indent=2))
    raise SystemExit(code)


def error_record(error: MindanimError, name: str = "", code: int | None = None) -> dict[str, Any]:
    """An error as ``--json`` prints it: type, exit_code, what, why and hint (texts, empty if unknown).

    Args:
        error: The error.
        name: Its type, if that is not its class.
        code: Its exit code, if that is not the one of its class.
    """
    return {
        "type": name or type(error).__name__,
        "exit_code": error.exit_code if code is None else code,
        "what": error.what,
        "why": error.why,
        "hint": error.hint,
    }


def _explained(error: Exception) -> MindanimError | None:
    """What the system or the machine lacks, in our words; None for an error that is a bug."""
    if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
        return InputError(str(error), hint=_OF_THE_SYSTEM[error.errno])
    if _lacks_memory(error):
        return MindanimError(_OUT_OF_MEMORY, " ".join(str(error).split())[:300], _NEED_LESS)
    return None


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
    _print(f"  {_A_BUG}")


def _print(text: str, head: str = "") -> None:
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True).print(Text.assemble((head, "bold red"), text), soft_wrap=True)
    else:
        print(head + text, file=sys.stderr)
