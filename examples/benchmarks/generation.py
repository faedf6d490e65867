"""Cost of generating a clip: this package's inflation and sampler against the published way of doing both.

    python examples/benchmarks/generation.py                               # a few minutes on two cores
    python examples/benchmarks/generation.py --width 320 --latent 64 --device cuda --dtype bfloat16

The second line has the size of SD-1.5 at 512 px; whole_clips.py measures whole clips of that size.

A UNet of Stable Diffusion's layout with random weights is evaluated on the same clips both ways, in turns.
The published way is re-created here from its description: 5-D tensors that are folded and unfolded around
every convolution, group normalisation over all frames, attention matrices in memory, and a temporal attention
layer in every block. Random weights say nothing about quality; time, memory and operations are the same as
with trained ones.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import Attention, BasicTransformerBlock
from torch import Tensor, nn

from mindanim.config.generate import GenerateConfig
from mindanim.generation.inflate import sparse_causal
from mindanim.generation.samplers import SAMPLERS

TOKENS, TEXT_WIDTH = 20, 768


class WrittenOutAttention:
    """Attention with its weight matrix in memory; with `frames` it attends to frames 0 and t-1."""

    def __init__(self, frames: int | None) -> None:
        self.frames = frames

    def __call__(
        self, attn: Attention, states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        seen = states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attn.to_q(states), attn.to_k(seen), attn.to_v(seen)
        if self.frames is not None:
            past = (torch.arange(self.frames, device=states.device) - 1).clamp(min=0)
            key, value = (self._gathered(part, past) for part in (key, value))
        query, key, value = (attn.head_to_batch_dim(part).contiguous() for part in (query, key, value))
        mixed = attn.batch_to_head_dim(torch.bmm(attn.get_attention_scores(query, key), value))
        return attn.to_out[1](attn.to_out[0](mixed))

    def _gathered(self, part: Tensor, past: Tensor) -> Tensor:
        clips = part.unflatten(0, (-1, len(past)))
        return torch.cat([clips[:, torch.zeros_like(past)], clips[:, past]], dim=2).flatten(0, 1)


class FoldedConv(nn.Module):
    """A convolution on (clip, channel, frame, height, width) tensors: folded before and unfolded after."""

    def __init__(self, conv: nn.Conv2d, frames: int) -> None:
        super().__init__()
        self.conv, self.frames = conv, frames

    def forward(self, folded: Tensor) -> Tensor:
        five = folded.unflatten(0, (-1, self.frames)).transpose(1, 2).contiguous()
        out = self.conv(five.transpose(1, 2).flatten(0, 1))
        five = out.unflatten(0, (-1, self.frames)).transpose(1, 2).contiguous()
        return five.transpose(1, 2).flatten(0, 1)


class Temporal(nn.Module):
    """Attention over the frames of each position; its output weight is zero, as published."""

    def __init__(self, like: Attention, frames: int) -> None:
        super().__init__()
        width = like.to_q.in_features
        self.norm, self.frames = nn.LayerNorm(width), frames
        self.attn = Attention(
            width, heads=like.heads, dim_head=width // like.heads, processor=WrittenOutAttention(None)
        )
        nn.init.zeros_(self.attn.to_out[0].weight)

    def forward(self, states: Tensor) -> Tensor:
        positions = states.shape[1]
        over_time = states.unflatten(0, (-1, self.frames)).transpose(1, 2).flatten(0, 1).contiguous()
        out = self.attn(self.norm(over_time)) + over_time
        return out.unflatten(0, (-1, positions)).transpose(1, 2).flatten(0, 1)


def published_way(unet: UNet2DConditionModel, frames: int) -> Callable[[Tensor, int, Tensor], Tensor]:
    """The published evaluation of `unet`; changes `unet` in place."""
    network = sparse_causal(unet, frames, "pooled")
    unet.set_attn_processor(
        {name: WrittenOutAttention(frames if ".attn1." in name else None) for name in unet.attn_processors}
    )
    for module in list(unet.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv2d) and not isinstance(module, FoldedConv):
                setattr(module, name, FoldedConv(child, frames))
    for block in [module for module in unet.modules() if isinstance(module, BasicTransformerBlock)]:
        temporal = Temporal(block.attn1, frames).to(unet.device, unet.dtype)
        block.register_forward_hook(lambda _, __, out, temporal=temporal: temporal(out))
    return network


def measure(work: Callable[[], object], device: torch.device) -> tuple[float, int]:
    """Seconds (of CPU time on a CPU), and the growth of memory in bytes, of one call."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before, began = torch.cuda.memory_allocated(), time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - began, torch.cuda.max_memory_allocated() - before
    if malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        malloc_trim(0)  # memory cached by the allocator would hide this call's growth
    peak, done = [resident()], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], resident())

    before, watcher = peak[0], threading.Thread(target=watch)
    watcher.start()
    began = time.process_time()
    work()
    seconds = time.process_time() - began
    done.set()
    watcher.join()
    return seconds, peak[0] - before


def resident() -> int:
    """Resident memory of this process in bytes (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--width", type=int, default=96, help="channels of the first resolution (SD-1.5: 320)"
    )
    parser.add_argument(
        "--latent", type=int, default=16, help="latent height and width (SD-1.5 at 512 px: 64)"
    )
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    given = parser.parse_args()
    device, dtype = torch.device(given.device), getattr(torch, given.dtype)
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=given.latent,
        block_out_channels=tuple(given.width * factor for factor in (1, 2, 4, 4)),
        cross_attention_dim=TEXT_WIDTH,
    )
    unet = unet.to(device, dtype).eval()
    ways = {
        "published": published_way(copy.deepcopy(unet), given.frames),
        "mindanim": sparse_causal(unet, given.frames),
    }
    # Guidance evaluates one clip for the condition and for the empty prompt.
    latents = torch.randn(2, given.frames, 4, given.latent, given.latent, device=device)
    text = torch.randn(2, TOKENS, TEXT_WIDTH, device=device)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory = dict.fromkeys(ways, 0)
    with torch.inference_mode():
        for turn in range(given.rounds + 1):
            for name, way in ways.items():
                spent, grown = measure(lambda way=way: way(latents, 500, text), device)
                memory[name] = max(memory[name], grown)
                if turn:  # the first turn warms up
                    seconds[name].append(spent / 2)
    counts = {
        "published": SAMPLERS["released"].evaluations(GenerateConfig(sampler="released")),
        "mindanim": SAMPLERS["sdedit"].evaluations(GenerateConfig()),
    }
    millions = sum(parameter.numel() for parameter in unet.parameters()) / 1e6
    size = f"{given.frames} frames of {given.latent} x {given.latent}"
    print(f"{millions:.0f} M parameters, {size}, {device}, {given.dtype},")
    threads = torch.get_num_threads()
    print(f"{threads} threads, torch {torch.__version__}; medians of {given.rounds} rounds in turns")
    print(f"{'':12}{'s / evaluation':>16}{'evaluations':>13}{'s / clip':>10}{'memory MB':>11}")
    per = {name: statistics.median(times) for name, times in seconds.items()}
    for name in ways:
        cost = per[name] * counts[name]
        print(f"{name:12}{per[name]:16.3f}{counts[name]:13}{cost:10.1f}{memory[name] / 1e6:11.0f}")
    once = per["published"] / per["mindanim"]
    both = once * counts["published"] / counts["mindanim"]
    print(f"one evaluation: {once:.2f} times the speed; one clip: {both:.1f} times, in fewer evaluations")


if __name__ == "__main__":
    main()
