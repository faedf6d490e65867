"""Seeds, devices, precision, environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mindanim import runtime
from mindanim.errors import MissingError, UsageError

NAMES = st.text(max_size=12)


@given(st.integers(0, 2**62), NAMES, NAMES, NAMES)
def test_seeds_depend_on_every_part(seed: int, one: str, two: str, other: str) -> None:
    same = runtime.derived_seed(seed, one, two)
    assert same == runtime.derived_seed(seed, one, two) and 0 <= same < 2**63
    assert runtime.derived_seed(seed + 1, one, two) != same
    assert (runtime.derived_seed(seed, one, other) == same) == (two == other)
    assert runtime.derived_seed(seed, one) != same


def test_a_clips_noise_is_its_own() -> None:
    def draw(clip: str, purpose: str = "") -> torch.Tensor:
        return torch.randn(4, generator=runtime.clip_generator(3, clip, purpose))

    torch.testing.assert_close(draw("seg01-0001"), draw("seg01-0001"))
    assert not torch.equal(draw("seg01-0001"), draw("seg01-0002"))
    assert not torch.equal(draw("seg01-0001"), draw("seg01-0001", "mask"))
    numbers = runtime.named_rng(3, "a").normal(size=3)
    np.testing.assert_array_equal(numbers, runtime.named_rng(3, "a").normal(size=3))


def test_noise_is_the_same_for_ever() -> None:
    # A change here changes what users get from the seed that stands in their manifests.
    assert runtime.derived_seed(0, "seg01-0001", "noise") == 8564314648053765082


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runtime.pick_device("cpu").type == "cpu"
    for wrong in ("gpu", "cuda:x", "cpu:1", ""):
        with pytest.raises(UsageError, match="auto, cpu, cuda"):
            runtime.pick_device(wrong)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert runtime.pick_device("auto").type == "cpu"
    for absent in ("cuda", "mps"):
        with pytest.raises(MissingError):
            runtime.pick_device(absent)


def test_each_process_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert runtime.pick_device("auto") == torch.device("cuda", 1)
    assert runtime.pick_device("cuda:0") == torch.device("cuda", 0)
    with pytest.raises(MissingError, match="2 CUDA"):
        runtime.pick_device("cuda:5")


def test_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda", 0)
    assert runtime.pick_dtype("auto", cpu) == torch.float32
    assert runtime.pick_dtype("bf16", cpu) == torch.bfloat16
    for native, expected in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, native=native, **__: native)
        assert runtime.pick_dtype("auto", gpu) == expected
    with pytest.raises(UsageError, match="fp8"):
        runtime.pick_dtype("fp8", cpu)


def test_threads_heed_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert runtime.threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert runtime.threads() >= 1


def test_the_environment_is_recorded_without_importing_anything() -> None:
    script = "import json, sys; from mindanim import runtime; e = runtime.environment(); "
    script += "print(json.dumps([e, 'torch' in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    record, imported = json.loads(done.stdout)
    assert not imported and record["packages"]["torch"] and record["python"] and record["processes"] == 1


GIB = 1 << 30


def fill(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of which 40 GiB are available."""
    available = SimpleNamespace(total=64 * GIB, available=40 * GIB, free=2 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: available)


@pytest.mark.usefixtures("roomy")
def test_what_the_system_calls_available_is_free(tmp_path: Path) -> None:
    fill(tmp_path, {"proc/self/cgroup": "0::/\n"})
    assert runtime.main_memory_bytes(tmp_path) == 40 * GIB
    assert runtime.main_memory_bytes(tmp_path / "nowhere") == 40 * GIB, "no control groups: not Linux"


def test_some_memory_is_free() -> None:
    assert 0 < runtime.free_bytes(torch.device("cpu")) <= psutil.virtual_memory().total


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_precision_has_one_name(name: str) -> None:
    assert runtime.precision_name(runtime.pick_dtype(name, torch.device("cpu"))) == name


@pytest.mark.usefixtures("roomy")
@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_job_bounds_the_memory(version: int, tmp_path: Path) -> None:
    """A job of 16 GiB that has taken 6, of which 1 are files it could give back; its step has no limit."""
    if version == 2:
        job, most, used, files = "sys/fs/cgroup/job", "memory.max", "memory.current", "inactive_file"
        fill(tmp_path, {"proc/self/cgroup": "0::/job/step\n", f"{job}/step/{most}": "max\n"})
    else:
        job, most, used = "sys/fs/cgroup/memory/job", "memory.limit_in_bytes", "memory.usage_in_bytes"
        files, none = "total_inactive_file", str((1 << 63) - 4096)
        fill(tmp_path, {"proc/self/cgroup": "9:cpu:/\n4:memory:/job/step\n", f"{job}/step/{most}": none})
    fill(
        tmp_path,
        {f"{job}/{most}": f"{16 * GIB}\n", f"{job}/{used}": f"{6 * GIB}\n"}
        | {f"{job}/memory.stat": f"anon 0\n{files} {GIB}\n"},
    )
    assert runtime.main_memory_bytes(tmp_path) == 11 * GIB


@pytest.mark.parametrize(("device", "on_cpu"), [("cpu", True), ("auto", False), ("cuda", False)])
def test_processes_meet_where_they_compute(
    device: str, on_cpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with GPUs nccl would join processes whose tensors are in main memory."""
    import accelerate

    asked: list[bool] = []

    class State:
        def __init__(self, cpu: bool, **_: object) -> None:
            asked.append(cpu)

        def wait_for_everyone(self) -> None:
            return None

    monkeypatch.setattr(accelerate, "PartialState", State)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("ACCELERATE_USE_CPU", "false")
    runtime.join_on(device)
    runtime.wait_for_all()
    assert asked == [on_cpu]
