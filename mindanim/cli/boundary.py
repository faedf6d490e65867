"""Where errors become messages and exit codes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from mindanim.errors import INTERRUPTED, InputError, MindanimError
from mindanim.vocabulary.visible import visible
from mindanim.vocabulary.words import in_bytes

T = TypeVar("T")

TERMINATED, HUNG_UP = 143, 129
_SIGNALS = {TERMINATED: "Terminated", HUNG_UP: "Hung up"}

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
    errno.ENAMETOOLONG: "Choose a shorter name, or another folder with --work or --data",
    errno.ELOOP: "A link leads to itself: correct or remove it.",
    errno.ENOTDIR: "A part of the path is a file: correct the path.",
    errno.EIO: "The disk or the connection to it failed: check it, then run the same command again.",
    errno.ESTALE: "The network file system lost the file: run the same command again.",
    errno.ENOLCK: "The file system has no locks left or none at all: choose another folder with --work",
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
    # A closed terminal ends the run like SIGTERM, unless nohup or the like said to go on.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _terminate)
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
        if leaving.code not in _SIGNALS:
            raise
        code = int(leaving.code)
        word = _SIGNALS[code]
        with suppress(OSError):  # the terminal may be gone
            _print(f"\n{word}. {_CONTINUES}")
        failed = error_record(MindanimError(f"{word}.", hint=_CONTINUES), word.replace(" ", ""), code)
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
        return InputError(str(error), _room(error), _OF_THE_SYSTEM[error.errno])
    if _lacks_memory(error):
        return MindanimError(_OUT_OF_MEMORY, " ".join(str(error).split())[:300], _NEED_LESS)
    return None


def _room(error: OSError) -> str:
    """How much room the disk of a full-disk error has left, where the error names a file."""
    if error.errno != errno.ENOSPC or not isinstance(error.filename, str | os.PathLike):
        return ""
    folder = Path(error.filename).absolute().parent
    while not folder.exists():
        folder = folder.parent
    return f"{folder} has {in_bytes(shutil.disk_usage(folder).free)} free."


def _lacks_memory(error: Exception) -> bool:
    """Whether numpy or torch ran out of memory."""
    torch = sys.modules.get("torch")
    return (
        isinstance(error, MemoryError)
        or (torch is not None and isinstance(error, torch.OutOfMemoryError))
        or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))
    )


def _terminate(number: int, frame: FrameType | None) -> None:
    """Leave as after an error, so that locks are released: clusters send SIGTERM before they kill.

    Once: a second signal while the first one unwinds would interrupt the cleaning up.
    """
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _show(error: MindanimError, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    _print(visible(error.what, lines=False), "Error: ")
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
    text = visible(text)
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True).print(Text.assemble((head, "bold red"), text), soft_wrap=True)
    else:
        print(head + text, file=sys.stderr)
