"""The machine: device, precision, seeds, processes, and a record of the environment."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim.errors import MissingError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

_RECORDED = (
    ("torch", "torchvision", "diffusers", "transformers", "open_clip_torch", "accelerate", "numpy", "scipy")
    + ("pandas", "nibabel", "nilearn", "opencv-python-headless")
    + ("av", "decord")
)

_ON_CPU = "ACCELERATE_USE_CPU"
_PRECISIONS = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def pick_device(name: str) -> torch.device:
    """The device called `name`: auto (the best available), cpu, cuda, cuda:N or mps.

    In a run with several processes, each uses the GPU of its local rank.

    Raises:
        UsageError: There is no such kind of device.
        MissingError: This machine does not have the device.
    """
    import torch

    kind, _, index = name.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise UsageError(f"--device {name} is not a device.", hint="Use auto, cpu, cuda, cuda:N or mps.")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if kind == "cpu":
        return torch.device("cpu")
    if kind == "mps":
        if not torch.backends.mps.is_available():
            raise MissingError("--device mps: this machine has no Apple GPU.", hint="Use --device auto")
        return torch.device("mps")
    if not torch.cuda.is_available():
        raise MissingError(
            f"--device {name}: no CUDA device is available.",
            why=f"torch {torch.__version__} sees none: no GPU, no driver for it, or a CPU build of torch.",
            hint="Use --device auto. What there is: mindanim doctor --only machine",
        )
    number = int(index) if index else int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
    if number >= torch.cuda.device_count():
        raise MissingError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA device(s).")
    return torch.device("cuda", number)


def pick_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The floating-point type of frozen networks.

    auto is float32 on a CPU, bfloat16 on a GPU that supports it, and float16 on other GPUs.
    """
    import torch

    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
            return torch.bfloat16 if native else torch.float16
        return torch.float16 if device.type == "mps" else torch.float32
    if precision not in _PRECISIONS:
        raise UsageError(f"--precision {precision} is not a precision.", hint="Use auto, fp32, bf16 or fp16.")
    dtype: torch.dtype = getattr(torch, _PRECISIONS[precision])
    return dtype


def precision_name(dtype: torch.dtype) -> str:
    """The name of a floating-point type in --precision."""
    return next(name for name, kind in _PRECISIONS.items() if str(dtype) == f"torch.{kind}")


def free_bytes(device: torch.device) -> int:
    """Free memory of the device, in bytes."""
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return main_memory_bytes()


def main_memory_bytes(root: Path = Path("/")) -> int:
    """Main memory that can still be allocated, in bytes.

    This is what the system calls available, which includes the file cache. On Linux it is at most what the
    limits of a container or of a cluster's job leave.

    Args:
        root: Root of the file system that contains /proc and /sys.
    """
    import psutil

    return max(0, min([int(psutil.virtual_memory().available), *_left_by_limits(root)]))


def _left_by_limits(root: Path) -> Iterator[int]:
    """What this process's control groups and those above them still allow, for both versions of cgroups."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, place = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            top = root / "sys/fs/cgroup" / controllers
            most, used = (
                ("memory.limit_in_bytes", "memory.usage_in_bytes")
                if controllers
                else ("memory.max", "memory.current")
            )
            folder = top / place.lstrip("/")
            for group in (folder, *folder.parents):
                with suppress(OSError, ValueError, KeyError):  # no such file, or "max": no limit here
                    limit, taken = (int((group / name).read_text()) for name in (most, used))
                    stat = dict(entry.split() for entry in (group / "memory.stat").read_text().splitlines())
                    yield limit - taken + int(stat["total_inactive_file" if controllers else "inactive_file"])
                if group == top:
                    break


def threads() -> int:
    """CPU threads this process may use: its affinity, or fewer if OMP_NUM_THREADS says so."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wished = os.environ.get("OMP_NUM_THREADS", "")
    return min(allowed, int(wished)) if wished.isdigit() and int(wished) > 0 else allowed


def derived_seed(seed: int, *names: str) -> int:
    """A 63-bit seed that depends only on `seed` and on every name."""
    text = "\x1f".join((str(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def clip_generator(seed: int, clip_id: str, purpose: str = "") -> torch.Generator:
    """The CPU generator of one clip: the same noise in any order, batch, resumed run or shard.

    Draw on the CPU, then move: generators on different devices give different numbers.
    """
    import torch

    return torch.Generator("cpu").manual_seed(derived_seed(seed, clip_id, purpose))


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """A numpy generator that depends only on `seed` and the names."""
    import numpy as np

    return np.random.default_rng(derived_seed(seed, *names))


def rank() -> int:
    """This process's number among those that `accelerate launch` started; process 0 writes."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """Number of processes that `accelerate launch` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join_on(device: str) -> None:
    """Connect the processes of a launch on the device they compute on: a CPU even if there are GPUs."""
    if device == "cpu" and world_size() > 1:
        os.environ[_ON_CPU] = "true"


def launched_alone() -> bool:
    """Whether `accelerate launch` was asked for several processes and started only this one.

    With fewer than two GPUs and without --multi_gpu it does so silently: it sets a rendezvous address for the
    processes, but gives none of them a rank. Ranks may also come from MPI.
    """
    sizes = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
    launched = "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_PORT" in os.environ
    return launched and not any(os.environ.get(size, "1") != "1" for size in sizes)


def wait_for_all() -> None:
    """Return when every process of the run has reached this call; immediately in a single process."""
    if world_size() > 1:
        import torch
        from accelerate import PartialState

        # One process may hash or plot for a long time while the others wait; the usual limit is ten minutes.
        on_cpu = not torch.cuda.is_available() or os.environ.get(_ON_CPU, "").lower() in ("1", "true", "yes")
        state = PartialState(cpu=on_cpu, timeout=timedelta(days=1))
        state.wait_for_everyone()


@cache
def version() -> str:
    """The installed version of mindanim."""
    return _installed("mindanim") or "unknown"


def environment() -> dict[str, Any]:
    """Versions and machine, for a manifest. Imports nothing that is not imported already."""
    record: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "threads": threads(),
        "processes": world_size(),
        "packages": {name: found for name in _RECORDED if (found := _installed(name))},
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        record["gpu"] = torch.cuda.get_device_name()
        record["cuda"] = torch.version.cuda
    return record


def _installed(name: str) -> str | None:
    import importlib.metadata

    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
