"""The procedure in the code published with Mind-Animator, for comparison with published numbers.

DDIM inversion (Song et al. 2021, arXiv 2010.02502, section 4.3), then noise of one fixed level, then DDIM
from the top (Mind-Animator: arXiv 2405.03280). Inversion and sampling follow different equations and the
added noise is never removed, so the result does not return to the latents it started from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
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
)


def sample(
    network: Denoiser, scheduler_config: Mapping[str, Any], batch: Batch, options: GenerateConfig, /
) -> Tensor:
    """Invert the decoded latents, add noise, and sample from the top, away from the negative prompt."""
    from diffusers import DDIMInverseScheduler, DDIMScheduler

    inverse, forward = (
        schedule(kind, scheduler_config, options.released_steps, **ddim_spacing(scheduler_config))
        for kind in (DDIMInverseScheduler, DDIMScheduler)
    )
    current: Tensor = batch.latents.float()
    device = current.device
    condition = batch.prompts["inversion"].to(device).expand(len(current), -1, -1)
    for timestep in inverse.timesteps:
        predicted = network(current, timestep.to(device), condition)
        current = inverse.step(predicted, timestep, current, return_dict=False)[0]
    level = torch.tensor([options.released_noise_timestep])
    current = forward.add_noise(current, batch.noise.to(device), level)
    for timestep in forward.timesteps:
        predicted = guided(network, current, timestep, batch, "negative", options.released_guidance)
        current = forward.step(predicted, timestep, current, return_dict=False)[0]
    return current


def evaluations(options: GenerateConfig) -> int:
    """Network evaluations per clip: one per inversion step, then those with guidance."""
    steps = options.released_steps
    return steps + guided_evaluations(steps, options.released_guidance)


def methods(options: GenerateConfig, scheduler_config: Mapping[str, Any], noise: str) -> str:
    """The sampler in a methods sentence."""
    steps = options.released_steps
    return (
        "As in the code published with Mind-Animator (Lu et al. 2025), the decoded latents were inverted by "
        f"{steps} DDIM steps with the empty prompt, noise of timestep {options.released_noise_timestep} was "
        f"added ({noise}), and {steps} DDIM steps from the top followed, with guidance "
        f"{options.released_guidance:g} and a negative prompt. Group normalisation was pooled over frames."
    )


def prompts(options: GenerateConfig) -> dict[str, tuple[str, bool]]:
    """The negative prompt at the length of the condition, and the empty one at the model's full length."""
    return {"negative": (options.released_negative_prompt, False), "inversion": ("", True)}


SAMPLERS.add("released", Sampler(sample, evaluations, methods, prompts, group_norm="pooled"))
