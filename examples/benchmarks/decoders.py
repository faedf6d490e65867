"""Cost of one training step of each decoder: this package against the published computation.

    python examples/benchmarks/decoders.py      # 4,500 voxels, batch 64, float32, CPU; minutes, 9 GB
    python examples/benchmarks/decoders.py --device cuda --dtype bf16

Both sides have the same shapes and see the same random data; time and memory do not depend on what is
learned. The published side is re-created from its description (`published.py`): Adam, an L1 penalty summed in
a Python loop over all parameters inside the graph, the tri-modal loss with two contrastive terms, and a
motion generator whose attention to a single memory token has all four projections. This package's side is
its own training loop. Each measurement runs in its own process. Times are medians over steps, of CPU time on
a CPU. Memory is the peak of the process minus what it held before the network was built, with all parts of
torch that a step needs already loaded.

A step cannot do without its matrix products. They are counted (2 operations per multiplication and addition);
the rate that they would need to account for the whole step is printed as a share of the rate that one large
product reaches in the same process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from published import PublishedMotion, PublishedSemantic, PublishedStructure
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.base import Shapes
from mindanim.decoders.build import build
from mindanim.decoders.models.masks import sparse_causal
from mindanim.decoders.training.loop import Task, train
from mindanim.decoders.training.tasks import MotionTask, SemanticTask, StructureTask
from mindanim.decoders.training_examples import MotionExamples, SemanticExamples, StructureExamples

KINDS = ("semantic", "structure", "motion")
CONFIGS = {"semantic": TrainSemanticConfig, "structure": TrainStructureConfig, "motion": TrainMotionConfig}
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
ZEROED = {"semantic": 0.1, "structure": 0.2, "motion": 0.0}
GIVE_UP_S = 3600


def data(kind: str, shapes: Shapes, clips: int) -> dict[str, Tensor]:
    """Random responses and targets."""
    made = {"responses": torch.randn(clips, shapes.features)}
    if kind == "semantic":
        made["text"] = torch.randn(clips, 1, shapes.clip[0])
        made["image"] = torch.randn(clips, 1, shapes.clip[0])
        made["tokens"] = torch.randn(clips, (shapes.tokens[0] - 1) * shapes.tokens[1])
    else:
        size = (
            (clips, shapes.latent_size) if kind == "structure" else (clips, shapes.frames, shapes.latent_size)
        )
        made["latents"] = torch.randn(size).half()
    return made


def published_network(kind: str, shapes: Shapes) -> torch.nn.Module:
    """The published network of a kind."""
    if kind == "semantic":
        tokens = (shapes.tokens[0] - 1) * shapes.tokens[1]
        return PublishedSemantic(shapes.features, shapes.clip[0], tokens)
    if kind == "structure":
        return PublishedStructure(shapes.features, shapes.latent_size)
    return PublishedMotion(shapes.features, shapes.latent_size)


def published_loss(
    kind: str, network: torch.nn.Module, part: dict[str, Tensor], mask: Tensor | None
) -> Tensor:
    """The published loss of a batch, without the penalty."""

    def contrast(vectors: Tensor, other: Tensor) -> Tensor:
        cosine = functional.normalize(vectors, dim=1) @ functional.normalize(other, dim=1).T
        logits, own = network.logit_scale.exp() * cosine, torch.arange(len(vectors), device=vectors.device)
        return (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2

    responses = part["responses"] * (torch.rand_like(part["responses"]) >= ZEROED[kind])
    if kind == "semantic":
        vectors, tokens = network(responses)
        text, image = part["text"][:, 0], part["image"][:, 0]
        both = 0.5 * contrast(vectors, text) + 0.5 * contrast(vectors, image)
        near = functional.mse_loss(vectors, text) + 0.01 * both
        return near + 0.5 * functional.mse_loss(tokens, part["tokens"])
    if kind == "structure":
        return functional.mse_loss(network(responses), part["latents"])
    latents = part["latents"]
    return functional.mse_loss(network(latents[:, :-1], responses, mask), latents[:, 1:])


def published_steps(
    kind: str, shapes: Shapes, given: dict[str, Tensor], device: torch.device, dtype: torch.dtype
) -> tuple[torch.nn.Module, Callable[[Tensor], None]]:
    """The published network, and a function that does one step on the given rows."""
    network = published_network(kind, shapes)
    network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-6)
    mask = sparse_causal(shapes.frames - 1, 0.6).to(device) if kind == "motion" else None

    def step(rows: Tensor) -> None:
        network.train()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            part = {name: values[rows].to(device).float() for name, values in given.items()}
            loss = published_loss(kind, network, part, mask)
            penalty = torch.zeros((), device=device)
            for parameter in network.parameters():
                penalty = penalty + parameter.abs().sum()
            if kind != "semantic":  # the published code computes and discards it
                loss = loss + 4e-6 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return network, step


def own_task(kind: str, shapes: Shapes, given: dict[str, Tensor], device: torch.device) -> Task[Any, Any]:
    """This package's network with its losses; one clip for validation."""
    clips = len(given["responses"])
    common = {"fit": torch.arange(clips), "validation": torch.arange(2)}
    config = CONFIGS[kind]()
    with device if device.type == "meta" else nullcontext():
        decoder = build(kind, config.spec(), shapes).to(device)
    if kind == "semantic":
        more = {"first_token": torch.zeros(shapes.tokens[1]), "captions": torch.arange(clips)}
        return SemanticTask(decoder, SemanticExamples(**common, **given, **more).to(device), config)
    if kind == "structure":
        return StructureTask(decoder, StructureExamples(**common, **given).to(device), config)
    decoded = torch.zeros(clips, shapes.latent_size)
    return MotionTask(decoder, MotionExamples(**common, **given, decoded=decoded).to(device), config)


def operations(side: str, kind: str, shapes: Shapes, batch: int) -> int:
    """Floating-point operations of one step's matrix products, counted without running them."""
    given, nowhere = data(kind, shapes, batch), torch.device("meta")
    with FlopCounterMode(display=False) as counter:
        if side == "published":
            with nowhere:
                network = published_network(kind, shapes)
            part = {name: values.to(nowhere).float() for name, values in given.items()}
            mask = sparse_causal(shapes.frames - 1, 0.6).to(nowhere) if kind == "motion" else None
            published_loss(kind, network, part, mask).backward()
        else:
            task = own_task(kind, shapes, given, nowhere).to(nowhere)
            task.losses(task.examples)["loss"].backward()
    return counter.get_total_flops()


def clock(device: torch.device) -> float:
    """CPU seconds of this process, or wall-clock seconds once the GPU has finished."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int = 2048) -> float:
    """Floating-point operations per second of a product of two large square matrices, the best of ten."""
    size *= 4 if device.type == "cuda" else 1
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(10):
        begun = clock(device)
        one @ other
        times.append(clock(device) - begun)
    return 2 * size**3 / min(times)


class Done(Exception):  # noqa: N818 - not an error: it ends the training early
    """Raised after the last step that is timed."""


def measure(given: argparse.Namespace) -> dict[str, float]:
    """Measure one side in this process: parameters, seconds per step, peak bytes."""
    torch.manual_seed(0)
    device, dtype = torch.device(given.device), DTYPES[given.dtype]
    shapes = Shapes((1, given.voxels), (512,), (20, 768), (8, 4, 64, 64))
    examples = data(given.kind, shapes, given.batch * (given.steps + 1))
    warm_up(device)
    before, ends = held(device), [0.0]

    def note(_: int = 0) -> None:
        ends.append(clock(device))
        if len(ends) == given.steps + 2:
            raise Done

    if given.side == "published":
        network, step = published_steps(given.kind, shapes, examples, device, dtype)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        for rows in torch.randperm(len(examples["responses"])).split(given.batch):
            step(rows)
            with suppress(Done):
                note()
    else:
        task = own_task(given.kind, shapes, examples, device)
        parameters = sum(parameter.numel() for parameter in task.decoder.parameters())
        with tempfile.TemporaryDirectory() as folder:
            config = CONFIGS[given.kind](batch_size=given.batch, epochs=2, checkpoint_s=GIVE_UP_S)
            place = Path(folder) / "training.pt"
            with suppress(Done):
                train(task, config, device=device, dtype=dtype, checkpoint=place, after_step=note)
    used = peak(device) - before
    # The first step creates the optimizer's state and warms up.
    seconds = [end - begun for begun, end in zip(ends[1:], ends[2:], strict=False)]
    return {
        "parameters": parameters,
        "seconds": statistics.median(seconds),
        "bytes": used,
        "operations": operations(given.side, given.kind, shapes, given.batch),
        "rate": matrix_rate(device, dtype),
    }


def warm_up(device: torch.device) -> None:
    """Run a step of a tiny network, which loads the code that any step needs."""
    layer = torch.nn.Linear(8, 8, device=device)
    for kind in (torch.optim.Adam, torch.optim.AdamW):
        optimizer = kind(layer.parameters(), fused=True)
        layer(torch.randn(4, 8, device=device)).square().mean().backward()
        optimizer.step()


def held(device: torch.device) -> int:
    """Current memory of this process, or of its GPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated()
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def peak(device: torch.device) -> int:
    """Peak memory of this process so far, or of its GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--voxels", type=int, default=4500)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one warm-up step")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="fp32", choices=DTYPES)
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(measure(given)))
        return
    shared = [f"--{name}={getattr(given, name)}" for name in ("voxels", "batch", "steps", "device", "dtype")]
    print(f"{given.voxels} voxels, batch {given.batch}, {given.dtype}, {given.device}, ", end="")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}; median of {given.steps} steps")
    print(f"{'':22}{'parameters':>12}{'s / step':>10}{'peak MB':>9}{'GFLOP':>8}{'GFLOP / s':>11}{'of':>7}")
    for kind in given.kinds:
        found = {}
        for side in ("published", "mindanim"):
            words = [sys.executable, __file__, *shared, f"--kind={kind}", f"--side={side}"]
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
            one = found[side] = json.loads(done.stdout.splitlines()[-1])
            size = f"{one['parameters'] / 1e6:.1f} M"
            speed = one["operations"] / one["seconds"] / 1e9
            print(f"{kind:10}{side:12}{size:>12}{one['seconds']:10.2f}{one['bytes'] / 1e6:9.0f}", end="")
            print(f"{one['operations'] / 1e9:8.1f}{speed:11.1f}{one['rate'] / 1e9:7.1f}", flush=True)
        faster = found["published"]["seconds"] / found["mindanim"]["seconds"]
        smaller = found["mindanim"]["bytes"] / found["published"]["bytes"]
        bound = found["published"]["seconds"] * found["mindanim"]["rate"] / found["mindanim"]["operations"]
        print(f"{kind:10}{faster:.2f} times the speed, {smaller:.0%} of the memory; ", end="")
        print(f"with matrix products at the full rate and nothing else: {bound:.1f} times")


if __name__ == "__main__":
    main()
