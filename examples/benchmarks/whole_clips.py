"""Cost of a whole clip at SD-1.5's size: seconds, peak memory, share of the roofline.

    python examples/benchmarks/whole_clips.py --device cuda                # a GPU: both samplers, by batch
    python examples/benchmarks/whole_clips.py --memory                     # CPU, one core: about an hour
    python examples/benchmarks/whole_clips.py --memory --width 64 --latent 32         # the same, small: 1 min
    python examples/benchmarks/whole_clips.py --width 64 --latent 16 --batches 1 2     # the sweep, small
    python examples/benchmarks/whole_clips.py --tiles STIMULI/test_frames.npy          # pixels, by tiles

All of them run the package's own generator, from text condition to frames, on a folder of random weights in
the diffusers layout (UNet 860 M, autoencoder 84 M, text encoder 123 M parameters at the default width).
Random weights say nothing about quality; time, memory and operations are the same as with trained ones.

The sweep prints seconds per clip, peak memory, and the share of the roofline: operations counted on the
network (2 per multiply-add), divided by the rate of a large matrix product measured in the same run.

`--memory` starts one process per configuration and reports the peak of its resident memory in each phase,
minus what importing the libraries takes; on a GPU, the peak of the allocated memory. All steps are alike, as
are all groups of frames: `--steps 1` (two evaluations) and two groups in the autoencoder already reach the
peak.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from generation import resident

from mindanim import runtime
from mindanim.backbones import load_diffusion
from mindanim.config.generate import GenerateConfig
from mindanim.generation.features import Features
from mindanim.generation.generator import Generator
from mindanim.generation.inflate import sparse_causal
from mindanim.generation.samplers import SAMPLERS

FRAMES, TOKENS = 8, 20
DEMO = Path(sys.modules["mindanim"].__path__[0]) / "backbones" / "demo" / "diffusion"
WAYS = {"ordinary": {}, "--low-memory": {}, "8 frames": {"frames_at_once": FRAMES}}
COMPARED = {"released": {"sampler": "released"}, "sdedit": {"steps": 20, "strength": 0.75}}


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
    # Any tokenizer will do: only the length of the condition affects the cost.
    shutil.copytree(DEMO / "tokenizer", folder / "tokenizer")
    settings = folder / "tokenizer" / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"model_max_length": 77}))
    shutil.copy(DEMO / "model_index.json", folder)


class Peaks:
    """Seconds and peak memory of each phase of a process."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.phases: dict[str, dict[str, float]] = {}
        self.imports = self._now()

    def _now(self) -> int:
        return torch.cuda.memory_allocated() if self.device.type == "cuda" else resident()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the block."""
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


def one(folder: Path, device: torch.device, precision: str, way: str, steps: int) -> Peaks:
    """Generate one clip, and encode its frames, in this process."""
    peaks = Peaks(device)
    backbone = load_diffusion(str(folder), device, runtime.pick_dtype(precision, device))
    config = GenerateConfig(steps=steps, strength=1, **WAYS[way])
    with peaks.phase("text"):
        empty = backbone.encode_text([""], TOKENS)[0].numpy()
    with peaks.phase("reading"):
        generator = Generator.of(config, backbone, FRAMES, empty, low_memory=way == "--low-memory")
    given = given_features(1, backbone.latent_shape, backbone.text_width)
    with peaks.phase("sampling"):
        clean = generator.sample(given, ["clip"])
    shown = min(2 * generator.frames_at_once, FRAMES)
    with peaks.phase("decoding"):
        frames = generator.decode(clean[:, :shown], ["clip"])
    with peaks.phase("encoding"):
        pixels = torch.from_numpy(frames[0]).movedim(-1, 1).float() / 255
        for part in pixels.split(generator.frames_at_once):
            backbone.encode_frames(part)
    return peaks


def memory(given: argparse.Namespace, folder: Path) -> None:
    """Run one process per configuration and print what each took."""
    print(f"{FRAMES} frames of {8 * given.latent} px, {TOKENS} tokens, guidance on, {given.device}, ", end="")
    print(f"{runtime.threads()} threads, torch {torch.__version__}; GB, and CPU seconds in brackets")
    for precision in given.precision:
        for way in given.ways:
            words = [sys.executable, __file__, "--one", precision, "--model", str(folder), f"--ways={way}"]
            words += ["--device", given.device, "--steps", str(given.steps)]
            out = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
            phases = json.loads(out.splitlines()[-1])
            peak = max(phase["gb"] for phase in phases.values())
            parts = [f"{name} {phase['gb']:.2f} ({phase['seconds']:.0f})" for name, phase in phases.items()]
            print(f"{precision}, {way:14} peak {peak:5.2f}   {'   '.join(parts)}", flush=True)


def operations(folder: Path) -> tuple[float, float]:
    """Operations of one network evaluation and of decoding, for one clip, counted without running them."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder / "unet"))
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder / "vae"))
        side, width = unet.config.sample_size, unet.config.cross_attention_dim
        latents = torch.randn(1, FRAMES, 4, side, side)
        network = sparse_causal(unet, FRAMES)
        with FlopCounterMode(display=False) as one_evaluation, torch.no_grad():
            network(latents, torch.tensor(500), torch.randn(1, TOKENS, width))
        with FlopCounterMode(display=False) as decoding, torch.no_grad():
            vae.decode(latents[0])
    return float(one_evaluation.get_total_flops()), float(decoding.get_total_flops())


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product: the best of ten."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        peaks = Peaks(device)
        with peaks.phase("product"):
            left @ right
        best = min(best, peaks.phases["product"]["seconds"])
    return 2 * side**3 / best


def sweep(given: argparse.Namespace, folder: Path) -> None:
    """Print seconds per clip and peak memory of both samplers by batch, with the roofline's limit."""
    device = torch.device(given.device)
    network, decoding = operations(folder)
    print(f"{FRAMES} frames of {8 * given.latent} px, {device}, torch {torch.__version__}; one evaluation ")
    print(f"{network / 1e12:.3f} TFLOP per clip, decoding {decoding / 1e12:.3f}")
    print(f"{'':24}{'batch':>6}{'evaluations':>12}{'s / clip':>10}{'floor s':>9}{'share':>7}{'peak GB':>9}")
    for precision in given.precision:
        dtype = runtime.pick_dtype(precision, device)
        rate = matrix_rate(device, dtype)
        for name, options in COMPARED.items():
            backbone = load_diffusion(str(folder), device, dtype)  # each sampler inflates it differently
            config = GenerateConfig.model_validate(options | {"compile": given.compile})
            empty = backbone.encode_text([""], TOKENS)[0].numpy()
            generator = Generator.of(config, backbone, FRAMES, empty)
            evaluations = SAMPLERS[config.sampler].evaluations(config)
            floor = (evaluations * network + decoding) / rate
            for batch in given.batches:
                features = given_features(batch, backbone.latent_shape, backbone.text_width)
                names = [f"clip {number}" for number in range(batch)]
                generator.frames(features, names)  # warm-up
                peaks = Peaks(device)
                with peaks.phase("frames"):
                    generator.frames(features, names)
                spent = peaks.phases["frames"]["seconds"] / batch
                print(
                    f"{precision + ', ' + name:24}{batch:6}{evaluations:12}{spent:10.2f}{floor:9.2f}"
                    f"{floor / spent:7.0%}{peaks.phases['frames']['gb'] + peaks.imports / 1e9:9.2f}",
                    flush=True,
                )


def tiles(file: Path, model: str) -> None:
    """Compare decoding in tiles of half a frame's side with decoding whole frames, in grey levels.

    Args:
        file: test_frames.npy of a stimuli artifact, (clip, frame, height, width, rgb) uint8; only first
            frames are used.
    """
    pixels = torch.from_numpy(np.load(file, mmap_mode="r")[:, 0].copy()).movedim(-1, 1).float() / 255
    backbone = load_diffusion(model)
    latents = backbone.encode_frames(pixels)
    whole = backbone.decode_latents(latents)
    tiled = backbone.decode_latents(latents, tile=pixels.shape[-1] // 2)
    apart = 255 * (tiled - whole).abs()
    print(f"{len(pixels)} frames of {pixels.shape[-1]} px, {model}: mean {apart.mean():.1f}, ", end="")
    print(f"99 % below {np.percentile(apart.numpy(), 99):.0f}, most {apart.max():.0f} grey levels of 255")
    for name, shown in (("whole", whole), ("tiled", tiled)):
        print(f"{name}: {255 * (shown - pixels).abs().mean():.1f} from the frames that were encoded")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=320, help="channels of the first resolution")
    parser.add_argument("--latent", type=int, default=64, help="latent height and width: an eighth of the px")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--steps", type=int, default=1, help="sampler steps of --memory")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--compile", action="store_true", help="torch.compile the network in the sweep")
    parser.add_argument("--memory", action="store_true", help="peak memory by phase instead of the sweep")
    parser.add_argument("--tiles", type=Path, metavar="test_frames.npy", help="what tiles change")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=["ordinary", "--low-memory"])
    parser.add_argument("--model", type=Path, help="folder for the random model; reused if it exists")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        (way,) = given.ways
        print(json.dumps(one(given.model, torch.device(given.device), given.one, way, given.steps).phases))
        return
    if given.tiles:
        tiles(given.tiles, str(given.model or "demo"))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.model or Path(scratch)
        if not (folder / "model_index.json").exists():
            make_model(folder, given.width, given.latent)
        (memory if given.memory else sweep)(given, folder)


if __name__ == "__main__":
    main()
