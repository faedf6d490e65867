"""From noised latents to clean ones: SDEdit with DPM-Solver++, and the published procedure for comparison.

Latents are (clip, frame, channel, height, width) float32 in the diffusion model's scaled units throughout;
schedulers compute in float32 whatever the network computes in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor


class Denoiser(Protocol):
    """The network as the samplers see it: `generation.inflate.SparseCausalUNet`."""

    def __call__(self, latents: Tensor, timestep: Tensor | int, text: Tensor, /) -> Tensor:
        """The prediction for latents (clip, frame, ...) noised to `timestep`, given text (clip, token,
        feature).
        """


@dataclass(frozen=True)
class Start:
    """Where a sampler that does not start from pure noise begins.

    steps: network steps that are left. timestep: of the first one.
    signal, noise: the factors of the latents and of unit noise there (signal^2 + noise^2 = 1).
    """

    steps: int
    timestep: int
    signal: float
    noise: float


def clip_noise(
    generators: Sequence[torch.Generator], shape: tuple[int, int, int, int], correlation: float
) -> Tensor:
    """Unit Gaussian noise whose frames correlate: (clip, frame, channel, height, width) float32 on the CPU.

    Every clip draws from its own generator, so its noise does not depend on which clips are computed with it.

    shape: (frame, channel, height, width).
    correlation: between any two frames of a clip, in [0, 1]; 1 shares one draw, 0 draws each frame by itself.
    """
    frames, *image = shape
    clips = []
    for generator in generators:
        shared = torch.randn((1, *image), generator=generator)
        own = torch.randn((frames, *image), generator=generator)
        clips.append(correlation**0.5 * shared + (1 - correlation) ** 0.5 * own)
    return torch.stack(clips)


def karras_schedule(scheduler_config: Mapping[str, Any], steps: int) -> Any:
    """DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095) on the noise levels of Karras et al. 2022 (arXiv
    2206.00364).

    Only the noise schedule and the kind of prediction are taken from the model's own configuration.
    """
    from diffusers import DPMSolverMultistepScheduler

    schedule = _scheduler(
        DPMSolverMultistepScheduler,
        scheduler_config,
        algorithm_type="dpmsolver++",
        solver_order=2,
        solver_type="midpoint",
        use_karras_sigmas=True,
        timestep_spacing="linspace",
        final_sigmas_type="zero",
        thresholding=False,
    )
    schedule.set_timesteps(steps)
    return schedule


def steps_run(steps: int, strength: float) -> int:
    """How many of `steps` steps sdedit runs: the share `strength`, at least one."""
    return max(1, round(steps * strength))


def sdedit_start(schedule: Any, strength: float) -> tuple[int, Start]:
    """The index of the first step, and what it means, when the last `strength` share of the steps is run.

    strength: in (0, 1]; 1 starts from (nearly) pure noise.
    """
    total = len(schedule.timesteps)
    index = total - steps_run(total, strength)
    sigma = float(schedule.sigmas[index])
    signal = (1 + sigma**2) ** -0.5
    return index, Start(total - index, int(schedule.timesteps[index]), signal, sigma * signal)


@torch.no_grad()
def sdedit(
    network: Denoiser,
    scheduler_config: Mapping[str, Any],
    latents: Tensor,
    text: Tensor,
    empty: Tensor,
    noise: Tensor,
    *,
    steps: int,
    strength: float,
    guidance: float,
    together: bool = True,
) -> Tensor:
    """Noise the decoded latents to one level and denoise them from that very level.

    SDEdit (Meng et al. 2022, arXiv 2108.01073) with classifier-free guidance (Ho and Salimans 2022, arXiv
    2207.12598): about `steps` * `strength` steps of one network evaluation each for the condition and, unless
    guidance is 1, one for the empty prompt.

    latents, noise: (clip, frame, channel, height, width). text: (clip, token, feature). empty: (token,
    feature). together: condition and empty prompt in one batch; one after the other needs less memory.
    """
    schedule = karras_schedule(scheduler_config, steps)
    index, _ = sdedit_start(schedule, strength)
    schedule.set_begin_index(index)
    start = schedule.timesteps[index : index + 1].repeat(len(latents))
    current: Tensor = schedule.add_noise(latents.float(), noise.to(latents.device), start)
    for timestep in schedule.timesteps[index:]:
        predicted = _guided(network, current, timestep.to(latents.device), text, empty, guidance, together)
        current = schedule.step(predicted, timestep, current, return_dict=False)[0]
    return current


@torch.no_grad()
def released(
    network: Denoiser,
    scheduler_config: Mapping[str, Any],
    latents: Tensor,
    text: Tensor,
    negative: Tensor,
    inversion_text: Tensor,
    noise: Tensor,
    *,
    steps: int = 50,
    noise_timestep: int = 200,
    guidance: float = 12.5,
    together: bool = True,
) -> Tensor:
    """The procedure published with Mind-Animator (arXiv 2405.03280): DDIM inversion (Song et al. 2021, arXiv
    2010.02502, section 4.3), then noise of one fixed level, then DDIM from the top.

    Inversion and sampling follow different equations and the added noise is never removed as such, so nothing
    returns to where it came from; it is here for comparison with published numbers. 3 * `steps` evaluations.

    latents, noise: (clip, frame, channel, height, width). text: (clip, token, feature).
    negative: (token, feature), the condition that guidance leads away from.
    inversion_text: (token, feature), the empty prompt at the model's full length.
    together: as in `sdedit`.
    """
    from diffusers import DDIMInverseScheduler, DDIMScheduler

    # Stated one by one: values that a configuration leaves at its own class's default are replaced by
    # from_config.
    spacing = {
        "clip_sample": False,
        "thresholding": False,
        "timestep_spacing": "leading",
        "steps_offset": scheduler_config.get("steps_offset", 0),
        "set_alpha_to_one": scheduler_config.get("set_alpha_to_one", True),
    }
    inverse, forward = (
        _scheduler(kind, scheduler_config, **spacing) for kind in (DDIMInverseScheduler, DDIMScheduler)
    )
    inverse.set_timesteps(steps)
    forward.set_timesteps(steps)
    current: Tensor = latents.float()
    condition = inversion_text.to(latents.device).expand(len(latents), -1, -1)
    for timestep in inverse.timesteps:
        predicted = network(current, timestep.to(latents.device), condition)
        current = inverse.step(predicted, timestep, current, return_dict=False)[0]
    current = forward.add_noise(current, noise.to(latents.device), torch.tensor([noise_timestep]))
    for timestep in forward.timesteps:
        predicted = _guided(network, current, timestep.to(latents.device), text, negative, guidance, together)
        current = forward.step(predicted, timestep, current, return_dict=False)[0]
    return current


def _scheduler(kind: Any, config: Mapping[str, Any], **stated: Any) -> Any:
    """A scheduler of the class ``kind`` on the noise schedule of another's configuration.

    What the class does not know (``skip_prk_steps`` in Stable Diffusion 2.1's file) is left out: diffusers
    would warn of it, in every batch.
    """
    known = signature(kind.__init__).parameters
    given = {name: value for name, value in config.items() if name in known or name.startswith("_")}
    return kind.from_config(given, **{name: value for name, value in stated.items() if name in known})


def _guided(
    network: Denoiser,
    latents: Tensor,
    timestep: Tensor,
    text: Tensor,
    empty: Tensor,
    guidance: float,
    together: bool,
) -> Tensor:
    text = text.to(latents.device)
    if guidance == 1:
        return network(latents, timestep, text)
    nothing = empty.to(text).expand_as(text)
    if together:
        both = network(torch.cat((latents, latents)), timestep, torch.cat((nothing, text)))
        without, conditioned = both.chunk(2)
    else:
        without, conditioned = (network(latents, timestep, prompt) for prompt in (nothing, text))
    return without + guidance * (conditioned - without)
