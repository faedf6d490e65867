"""Deterministic DDIM from the decoded latents with the noise of one level (Song et al. 2021).

doi:10.48550/arXiv.2010.02502. One first-order step per level. It is the plain baseline of `sdedit`, which
differs only in its noise levels and its second-order solver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mindanim.config.generate import GenerateConfig
from mindanim.generation.samplers.sampler import (
    SAMPLERS,
    Batch,
    Denoiser,
    Sampler,
    ddim_spacing,
    guided,
    guided_evaluations,
    schedule,
    steps_run,
)


def sample(
    network: Denoiser, scheduler_config: Mapping[str, Any], batch: Batch, options: GenerateConfig, /
) -> Tensor:
    """Add the noise of one level to the decoded latents and denoise them from there."""
    ddim = _schedule(scheduler_config, options.steps)
    current: Tensor = batch.latents.float()
    timesteps = ddim.timesteps[-steps_run(options) :]
    current = ddim.add_noise(current, batch.noise.to(current.device), timesteps[:1])
    for timestep in timesteps:
        predicted = guided(network, current, timestep, batch, "empty", options.guidance)
        current = ddim.step(predicted, timestep, current, eta=0.0, return_dict=False)[0]
    return current


def evaluations(options: GenerateConfig) -> int:
    """Network evaluations per clip."""
    return guided_evaluations(steps_run(options), options.guidance)


def methods(options: GenerateConfig, scheduler_config: Mapping[str, Any], noise: str) -> str:
    """The sampler in a methods sentence."""
    run = steps_run(options)
    timestep = int(_schedule(scheduler_config, options.steps).timesteps[-run])
    return (
        f"Noise was added to the decoded latents up to timestep {timestep} ({noise}), and they were denoised "
        f"from there by {run} of {options.steps} deterministic DDIM steps (Song et al. 2021) with guidance "
        f"{options.guidance:g}."
    )


def _schedule(scheduler_config: Mapping[str, Any], steps: int) -> Any:
    from diffusers import DDIMScheduler

    return schedule(DDIMScheduler, scheduler_config, steps, **ddim_spacing(scheduler_config))


SAMPLERS.add("ddim", Sampler(sample, evaluations, methods))
