"""Deterministic DDIM from the decoded latents with the noise of one level (Song et al. 2021).

doi:10.48550/arXiv.2010.02502. One first-order step per level. It is the plain baseline of `sdedit`, which
differs only in its noise levels and its second-order solver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from mindanim.config.generate import GenerateConfig
from mindanim.generation.samplers.sampler import (
    SAMPLERS,
    Batch,
    Denoiser,
    Sampler,
    denoise,
    guided_evaluations,
    solver,
    start_sigma,
    steps_run,
    training_sigmas,
)


def even_schedule(scheduler_config: Mapping[str, Any], steps: int, strength: float) -> Any:
    """DDIM at evenly spaced timesteps, from that of the strength down ("trailing", Lin et al. 2024).

    Args:
        scheduler_config: The diffusion model's.
        steps: Levels from the start on; fewer if there are fewer timesteps.
        strength: Defines the start, see `start_sigma`.
    """
    trained = training_sigmas(scheduler_config)
    first = int(np.abs(np.log(trained) - np.log(start_sigma(trained, strength))).argmin())
    left = np.linspace(first + 1, 0, min(steps, first + 1), endpoint=False)
    timesteps = left.round().astype(np.int64) - 1
    return solver(scheduler_config, trained[timesteps], timesteps, order=1)


def sample(
    network: Denoiser, scheduler_config: Mapping[str, Any], batch: Batch, options: GenerateConfig, /
) -> Tensor:
    """Add the noise of one level to the decoded latents and denoise them from there."""
    levels = even_schedule(scheduler_config, steps_run(options), options.strength)
    return denoise(network, levels, batch, options.guidance)


def evaluations(options: GenerateConfig) -> int:
    """Network evaluations per clip."""
    return guided_evaluations(steps_run(options), options.guidance)


def methods(options: GenerateConfig, scheduler_config: Mapping[str, Any], noise: str) -> str:
    """The sampler in a methods sentence."""
    run = steps_run(options)
    timestep = int(even_schedule(scheduler_config, run, options.strength).timesteps[0])
    return (
        f"Noise was added to the decoded latents up to timestep {timestep} ({noise}), and they were denoised "
        f"from there by {run} deterministic DDIM steps (Song et al. 2021) with guidance {options.guidance:g}."
    )


SAMPLERS.add("ddim", Sampler(sample, evaluations, methods))
