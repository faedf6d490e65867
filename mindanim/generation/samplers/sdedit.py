"""SDEdit with DPM-Solver++: adds noise to the decoded latents and denoises them from that very level.

SDEdit: Meng et al. 2022, arXiv 2108.01073.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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

_RHO = 7  # Karras et al. 2022, section 5


@dataclass(frozen=True)
class Start:
    """The level that a sampler begins at.

    Attributes:
        timestep: Its timestep.
        signal: Factor of the latents there.
        noise: Factor of unit noise there; signal^2 + noise^2 = 1.
    """

    timestep: int
    signal: float
    noise: float


def karras_schedule(scheduler_config: Mapping[str, Any], steps: int, strength: float = 1.0) -> Any:
    """DPM-Solver++(2M) on levels as Karras et al. 2022 (arXiv 2206.00364) space them.

    Only the noise schedule and the kind of prediction are taken from the model's own configuration.

    Args:
        scheduler_config: The diffusion model's.
        steps: Levels from the start to the lowest one of the training schedule.
        strength: Defines the start, see `start_sigma`; 1 is the highest level of the training schedule.
    """
    trained = training_sigmas(scheduler_config)
    highest, lowest = (sigma ** (1 / _RHO) for sigma in (start_sigma(trained, strength), float(trained[0])))
    sigmas = np.linspace(highest, lowest, steps) ** _RHO
    timesteps = np.interp(np.log(sigmas), np.log(trained), np.arange(len(trained))).round()
    return solver(scheduler_config, sigmas, timesteps, order=2)


def start_of(karras: Any) -> Start:
    """Where a schedule begins."""
    sigma = float(karras.sigmas[0])
    signal = (1 + sigma**2) ** -0.5
    return Start(int(karras.timesteps[0]), signal, sigma * signal)


def sample(
    network: Denoiser, scheduler_config: Mapping[str, Any], batch: Batch, options: GenerateConfig, /
) -> Tensor:
    """Add the noise of one level to the decoded latents and denoise them from there."""
    karras = karras_schedule(scheduler_config, steps_run(options), options.strength)
    return denoise(network, karras, batch, options.guidance)


def evaluations(options: GenerateConfig) -> int:
    """Network evaluations per clip."""
    return guided_evaluations(steps_run(options), options.guidance)


def methods(options: GenerateConfig, scheduler_config: Mapping[str, Any], noise: str) -> str:
    """The sampler in a methods sentence."""
    run = steps_run(options)
    start = start_of(karras_schedule(scheduler_config, run, options.strength))
    return (
        f"Noise was added to the decoded latents up to timestep {start.timestep} (signal {start.signal:.2f}, "
        f"noise {start.noise:.2f}; {noise}), and they were denoised from there (SDEdit, Meng et al. 2022) by "
        f"{run} DPM-Solver++ steps (Lu et al. 2022) on noise levels spaced as by Karras et al. (2022), "
        f"with guidance {options.guidance:g}."
    )


SAMPLERS.add("sdedit", Sampler(sample, evaluations, methods))
