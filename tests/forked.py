"""Processes that start at once, forked from a server that has already imported the large libraries.

A test that kills a program, or runs several at a time, needs processes of its own. Importing PyTorch and
diffusers in each takes seconds; the server does it once per worker. It imports nothing of mindanim, so that a
program starts as it would under ``python -c``.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

# On macOS a process that has loaded system libraries must not be forked.
_CONTEXT = multiprocessing.get_context("forkserver" if sys.platform == "linux" else "spawn")
_LIBRARIES = [
    "torch",
    "scipy.stats",
    "pandas",
    "open_clip",
    "diffusers.models.unets.unet_2d_condition",
    "diffusers.models.autoencoders.autoencoder_kl",
    "transformers.models.clip.modeling_clip",
]


class Forked:
    """A running program, with the part of `subprocess.Popen` that the tests use."""

    def __init__(
        self, program: str, arguments: tuple[str, ...], cwd: Path, environment: dict[str, str]
    ) -> None:
        reader, writer = os.pipe()
        self.stdout: IO[str] = os.fdopen(reader)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - read when the process has ended
        ends = [Connection(writer, readable=False), Connection(os.dup(self._errors.fileno()), readable=False)]
        if sys.platform == "linux":
            _CONTEXT.set_forkserver_preload(_LIBRARIES)
        self._process = _CONTEXT.Process(
            target=_run, args=(program, arguments, str(cwd), environment, *ends), daemon=True
        )
        self._process.start()
        for end in ends:
            end.close()

    @property
    def returncode(self) -> int | None:
        """Exit code, minus the number of the signal that ended it, or None while it runs."""
        return self._process.exitcode

    def kill(self) -> None:
        self._process.kill()

    def communicate(self) -> tuple[str, str]:
        """Wait for the end; what is left of its standard output, and its standard error."""
        out = self.stdout.read()
        self._process.join()
        self._errors.seek(0)
        with self.stdout, self._errors:
            return out, self._errors.read()


def start(program: str, *arguments: str, cwd: Path, **environment: str) -> Forked:
    """Run the text of a program as ``python -c program arguments`` would, on one thread."""
    return Forked(program, arguments, cwd, dict(os.environ) | {"OMP_NUM_THREADS": "1"} | environment)


def _run(
    program: str,
    arguments: tuple[str, ...],
    cwd: str,
    environment: dict[str, str],
    out: Connection,
    errors: Connection,
) -> None:
    os.dup2(out.fileno(), 1)
    os.dup2(errors.fileno(), 2)
    out.close()
    errors.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv, sys.path[:0] = ["-c", *arguments], [cwd]
    import torch

    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    exec(compile(program, "<program>", "exec"), {"__name__": "__main__"})
