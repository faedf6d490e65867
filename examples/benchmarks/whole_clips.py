"""What a whole clip costs with a diffusion model of SD-1.5's size: seconds, peak memory, share of the roofline.

    python examples/benchmarks/whole_clips.py --memory                     # CPU: 1-2 hours on one core
    python examples/benchmarks/whole_clips.py --memory --width 64          # the same, small: some minutes
    python examples/benchmarks/whole_clips.py --device cuda                # a GPU: the sweep over batches

Both run the package's own generator, text condition in and frames out, on a folder of random weights in the
diffusers layout (UNet 860 M, autoencoder 84 M, text encoder 123 M parameters at the default width). Random
weights say nothing about quality; time, memory and operations are those of trained ones.

`--memory` starts one process per precision, with and without `--low-memory`, and reads the peak of its
resident memory in each phase, less what importing the libraries takes; on a GPU, the peak of what is
allocated there. The samplers' steps are alike, so `--steps 1` (two evaluations) has the peak of any number.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generation import resident

from mindanim import runtime
from mindanim.backbones import load_diffusion
from mindanim.config.generation import GenerateConfig
from mindanim.generation.account import evaluations
from mindanim.generation.features import Features
from mindanim.generation.generator import Generator

FRAMES, TOKENS = 8, 20
DEMO = Path(sys.modules["mindanim"].__path__[0]) / "backbones" / "demo" / "diffusion"
SAMPLERS = {"released": {"sampler": "released"}, "sdedit": {"steps": 20, "strength": 0.75}}


def make_model(folder: Path, width: int, latent: int) -> None:
    """A folder of Stable Diffusion 1.x's layout with random weights; SD-1.5's sizes at width 320."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    text_width = max(64, 768 * width // 320 // 64 * 64)
    vae_width = max(32, 128 * width // 320 // 32 * 32)
    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=latent,
        block_out_channels=tuple(width * factor for factor in (1, 2, 4, 4)),
        cross_attention_dim=text_width,
    ).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=tuple(vae_width * factor for factor in (1, 2, 4, 4)),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=8 * latent,
    ).save_pretrained(folder / "vae")
    layers = {"num_hidden_layers": 12, "num_attention_heads": text_width // 64}
    CLIPTextModel(
        CLIPTextConfig(hidden_size=text_width, intermediate_size=4 * text_width, **layers)
    ).save_pretrained(folder / "text_encoder")
    DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    ).save_pretrained(folder / "scheduler")
    # Any tokenizer will do: it is the length of the condition that costs.
    shutil.copytree(DEMO / "tokenizer", folder / "tokenizer")
    settings = folder / "tokenizer" / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"model_max_length": 77}))
    shutil.copy(DEMO / "model_index.json", folder)


class Peaks:
    """Seconds and the peak memory of each phase of a process."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.phases: dict[str, dict[str, float]] = {}
        self.imports = self._now()

    def _now(self) -> int:
        return torch.cuda.memory_allocated() if self.device.type == "cuda" else resident()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        cuda, peak, done = self.device.type == "cuda", [self._now()], threading.Event()
        clock = time.perf_counter if cuda else time.process_time

        def watch() -> None:
            while not done.wait(0.005):
                peak[0] = max(peak[0], resident())

        watcher = threading.Thread(target=watch)
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        else:
            watcher.start()
        began = clock()
        yield
        if cuda:
            torch.cuda.synchronize()
            peak[0] = torch.cuda.max_memory_allocated()
        spent = clock() - began
        done.set()
        if not cuda:
            watcher.join()
        self.phases[name] = {"seconds": spent, "gb": (peak[0] - self.imports) / 1e9}


def given_features(clips: int, latents: tuple[int, int, int], width: int) -> Features:
    """Random features of some clips."""
    draw = torch.Generator().manual_seed(1)
    return Features(
        torch.zeros(clips, 1),
        torch.randn(clips, TOKENS, width, generator=draw),
        torch.randn(clips, FRAMES, *latents, generator=draw),
    )


def one(folder: Path, device: torch.device, precision: str, low_memory: bool, steps: int) -> Peaks:
    """Encode the frames of one clip, and generate one, in this process."""
    peaks = Peaks(device)
    dtype = runtime.pick_dtype(precision, device)
    backbone = load_diffusion(str(folder), device, dtype)
    config = GenerateConfig(steps=steps, strength=1)
    with peaks.phase("text"):
        empty = backbone.encode_text([""], TOKENS)[0].numpy()
    with peaks.phase("network read"):
        generator = Generator.of(config, backbone, FRAMES, empty, low_memory=low_memory)
    given = given_features(1, backbone.latent_shape, backbone.text_width)
    with peaks.phase("sampling"):
        clean = generator.sample(given, ["clip"])
    with peaks.phase("decoding"):
        frames = generator.decode(clean, ["clip"])
    with peaks.phase("encoding"):
        pixels = torch.from_numpy(frames[0]).movedim(-1, 1).float() / 255
        for part in pixels.split(1 if low_memory else FRAMES):
            backbone.encode_frames(part)
    return peaks


def memory(given: argparse.Namespace, folder: Path) -> None:
    """One process per way; prints what each took."""
    print(f"{FRAMES} frames of {8 * given.latent} px, {TOKENS} tokens, guidance on, {given.device}, ", end="")
    print(f"{runtime.threads()} threads, torch {torch.__version__}; GB, and CPU seconds in brackets")
    for precision in given.precision:
        for low in (False, True):
            words = [sys.executable, __file__, "--one", precision, "--model", str(folder)]
            words += ["--device", given.device, "--steps", str(given.steps), *(["--low-memory"] if low else [])]
            out = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
            phases = json.loads(out.splitlines()[-1])
            peak = max(phase["gb"] for phase in phases.values())
            way = f"{precision}, {'--low-memory' if low else 'ordinary'}"
            parts = [f"{name} {phase['gb']:.2f} ({phase['seconds']:.0f})" for name, phase in phases.items()]
            print(f"{way:20} peak {peak:5.2f}   {'   '.join(parts)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=320, help="channels of the first resolution")
    parser.add_argument("--latent", type=int, default=64, help="latent height and width: an eighth of the px")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--steps", type=int, default=1, help="sampler steps of --memory")
    parser.add_argument("--memory", action="store_true", help="peak memory by phase, ordinary and low")
    parser.add_argument("--model", type=Path, help="a folder to keep the random model in, or to take it from")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--low-memory", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        peaks = one(given.model, torch.device(given.device), given.one, given.low_memory, given.steps)
        print(json.dumps(peaks.phases))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.model or Path(scratch)
        if not (folder / "model_index.json").exists():
            make_model(folder, given.width, given.latent)
        memory(given, folder)


if __name__ == "__main__":
    main()
