"""SDEdit with DPM-Solver++: adds noise to the decoded latents and denoises them from that very level.

SDEdit: Meng et al. 2022, arXiv 2108.01073.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mindanim.config.generate import GenerateConfig
from mindanim.generation.samplers.sampler import (
    SAMPLERS,
    Batch,
    Denoiser,
    Sampler,
    guided,
    guided_evaluations,
    schedule,
    steps_run,
)


@dataclass(frozen=True)
class Start:
    """Where a sampler that does not start from pure noise begins.

    Attributes:
        index: Index of the first step in the full schedule.
        timestep: Its timestep.
        signal: Factor of the latents there.
        noise: Factor of unit noise there; signal^2 + noise^2 = 1.
    """

    index: int
    timestep: int
    signal: float
    noise: float


def karras_schedule(scheduler_config: Mapping[str, Any], steps: int) -> Any:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095) on the noise levels of Karras et al. 2022.

    Only the noise schedule and the kind of prediction are taken from the model's own configuration. Karras et
    al.: arXiv 2206.00364.
    """
    from diffusers import DPMSolverMultistepScheduler

    return schedule(
        DPMSolverMultistepScheduler,
        scheduler_config,
        steps,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        use_karras_sigmas=True,
        timestep_spacing="linspace",
        final_sigmas_type="zero",
        thresholding=False,
    )


def start_of(karras: Any, run: int) -> Start:
    """Where to begin when the last `run` steps of a schedule are run."""
    index = len(karras.timesteps) - run
    sigma = float(karras.sigmas[index])
    signal = (1 + sigma**2) ** -0.5
    return Start(index, int(karras.timesteps[index]), signal, sigma * signal)


def sample(
    network: Denoiser, scheduler_config: Mapping[str, Any], batch: Batch, options: GenerateConfig, /
) -> Tensor:
    """Add the noise of one level to the decoded latents and denoise them from there."""
    karras = karras_schedule(scheduler_config, options.steps)
    index = start_of(karras, steps_run(options)).index
    karras.set_begin_index(index)
    latents = batch.latents.float()
    level = karras.timesteps[index : index + 1].repeat(len(latents))
    current: Tensor = karras.add_noise(latents, batch.noise.to(latents.device), level)
    for timestep in karras.timesteps[index:]:
        predicted = guided(network, current, timestep, batch, "empty", options.guidance)
        current = karras.step(predicted, timestep, current, return_dict=False)[0]
    return current


def evaluations(options: GenerateConfig) -> int:
    """Network evaluations per clip."""
    return guided_evaluations(steps_run(options), options.guidance)


def methods(options: GenerateConfig, scheduler_config: Mapping[str, Any], noise: str) -> str:
    """The sampler in a methods sentence."""
    run = steps_run(options)
    start = start_of(karras_schedule(scheduler_config, options.steps), run)
    return (
        f"Noise was added to the decoded latents up to timestep {start.timestep} (signal {start.signal:.2f}, "
        f"noise {start.noise:.2f}; {noise}), and they were denoised from there (SDEdit, Meng et al. 2022) by "
        f"{run} of {options.steps} DPM-Solver++ steps (Lu et al. 2022) on the noise levels of Karras et al. "
        f"(2022), with guidance {options.guidance:g}."
    )


SAMPLERS.add("sdedit", Sampler(sample, evaluations, methods))
