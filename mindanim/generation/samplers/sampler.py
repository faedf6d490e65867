"""What a sampler is, and what samplers share: noise, noise schedules, classifier-free guidance.

Latents are (clip, frame, channel, height, width) float32 in the diffusion model's scaled units throughout;
schedulers compute in float32, whatever the network computes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from mindanim.backbones.noise_schedule import signal_shares
from mindanim.config.generate import GenerateConfig
from mindanim.errors import ConfigError
from mindanim.generation.inflate import GroupNormMode
from mindanim.vocabulary.registry import Registry
from mindanim.vocabulary.words import unknown


class Denoiser(Protocol):
    """The network as samplers see it: `generation.inflate.SparseCausalUNet`."""

    def __call__(self, latents: Tensor, timestep: Tensor | int, text: Tensor, /) -> Tensor:
        """The network's prediction.

        Args:
            latents: (clip, frame, channel, height, width), with the noise of `timestep`.
            timestep: Timestep of the noise schedule.
            text: (clip, token, feature), the text condition.
        """


@dataclass(frozen=True)
class Batch:
    """Some clips to sample.

    Attributes:
        latents: (clip, frame, channel, height, width), the decoded latents.
        text: (clip, token, feature), the decoded text condition.
        noise: Unit Gaussian noise in the shape of `latents`.
        prompts: Name -> (token, feature). "empty" is the empty prompt at the length of `text`; the others are
            those that the sampler asks for.
        together: Whether the network evaluates two prompts in one batch; one after the other needs less
            memory.
    """

    latents: Tensor
    text: Tensor
    noise: Tensor
    prompts: Mapping[str, Tensor]
    together: bool = True


class Sample(Protocol):
    """The signature of a sampling function."""

    def __call__(
        self, network: Denoiser, scheduler_config: Mapping[str, Any], batch: Batch, options: GenerateConfig, /
    ) -> Tensor:
        """The clean latents of a batch, in the shape of its latents.

        Args:
            network: Predicts noise or velocity, as `scheduler_config` says.
            scheduler_config: The diffusion model's own scheduler configuration.
            batch: What to sample from; the function runs without gradients.
            options: Those of the stage. A sampler from another package finds its own in `sampler_arguments`.
        """


def no_prompts(options: GenerateConfig) -> dict[str, tuple[str, bool]]:
    """The prompts of a sampler that needs the empty prompt only."""
    return {}


@dataclass(frozen=True)
class Sampler:
    """A sampler and everything else that depends on it.

    Attributes:
        sample: The sampling function.
        evaluations: Network evaluations per clip with the given options, all prompts counted.
        methods: A methods sentence from the options, the scheduler configuration and a phrase on the noise.
        prompts: Name -> (text, whether it keeps the model's full length instead of that of the condition).
        group_norm: How the network normalises over the frames of a clip, see `generation.inflate`.
        arguments: The names that `sampler_arguments` may have.
    """

    sample: Sample
    evaluations: Callable[[GenerateConfig], int]
    methods: Callable[[GenerateConfig, Mapping[str, Any], str], str]
    prompts: Callable[[GenerateConfig], Mapping[str, tuple[str, bool]]] = no_prompts
    group_norm: GroupNormMode = "frame"
    arguments: Sequence[str] = ()

    def check(self, options: GenerateConfig) -> None:
        """Check the arguments given to the sampler, and what a sampler of another package says about itself.

        Raises:
            ConfigError: The sampler does not know one of them, or its number of evaluations is none.
        """
        steps = self.evaluations(options)
        if not isinstance(steps, int) or steps < 1:
            raise ConfigError(
                f"The sampler {options.sampler} states {steps!r} network evaluations per clip.",
                "Its evaluations function must return a whole number from 1.",
            )
        for name in options.sampler_arguments:
            if name not in self.arguments:
                what = f"The sampler {options.sampler}: {unknown('argument', name, self.arguments)}"
                raise ConfigError(what if what.endswith("?") else f"{what}.")


# Options of diffusers' schedulers that choose levels at sampling time; the samplers choose their own.
_SPACINGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
SAMPLERS: Registry[Sampler] = Registry("sampler", Sampler)


def clip_noise(
    generators: Sequence[torch.Generator], shape: tuple[int, int, int, int], correlation: float
) -> Tensor:
    """Unit Gaussian noise that is correlated between frames: (clip, frame, channel, height, width) float32.

    Every clip draws from its own generator, so its noise does not depend on the other clips.

    Args:
        generators: One per clip, on the CPU.
        shape: (frame, channel, height, width).
        correlation: Between any two frames of a clip, in [0, 1]; 1 shares one draw, 0 draws each frame
            independently.
    """
    frames, *image = shape
    clips = []
    for generator in generators:
        shared = torch.randn((1, *image), generator=generator)
        own = torch.randn((frames, *image), generator=generator)
        clips.append(correlation**0.5 * shared + (1 - correlation) ** 0.5 * own)
    return torch.stack(clips)


def schedule(kind: Any, config: Mapping[str, Any], steps: int, **stated: Any) -> Any:
    """A diffusers scheduler with the noise schedule and the kind of prediction of another's configuration.

    Options that the class does not have (`skip_prk_steps` in Stable Diffusion 2.1) are left out: diffusers
    would warn about them in every batch.

    Args:
        kind: A scheduler class.
        config: The diffusion model's scheduler configuration.
        steps: Steps of the full schedule.
        stated: Options that replace those of `config`. State them all: `from_config` replaces values that a
            configuration leaves at the default of its own class.
    """
    known = signature(kind.__init__).parameters
    given = {name: value for name, value in config.items() if name in known or name.startswith("_")}
    made = kind.from_config(given, **{name: value for name, value in stated.items() if name in known})
    made.set_timesteps(steps)
    return made


def solver(config: Mapping[str, Any], sigmas: np.ndarray, timesteps: np.ndarray, order: int) -> Any:
    """A DPM-Solver++ multistep scheduler that runs through given noise levels and ends at zero.

    DPM-Solver++: Lu et al. 2022, arXiv 2211.01095. Of first order it is deterministic DDIM (its section 4).

    Args:
        config: The diffusion model's scheduler configuration.
        sigmas: (step,) noise over signal of each level, falling.
        timesteps: (step,) the timestep that the network is told for each level.
        order: 1 or 2.
    """
    from diffusers import DPMSolverMultistepScheduler

    made = schedule(
        DPMSolverMultistepScheduler,
        config,
        len(sigmas),
        algorithm_type="dpmsolver++",
        solver_order=order,
        solver_type="midpoint",
        lower_order_final=True,
        euler_at_final=False,
        final_sigmas_type="zero",
        thresholding=False,
        timestep_spacing="linspace",
        **dict.fromkeys(_SPACINGS, False),
    )
    made.sigmas = torch.tensor([*sigmas, 0.0], dtype=torch.float32)
    made.timesteps = torch.as_tensor(timesteps, dtype=torch.int64)
    made.set_begin_index(0)
    return made


def training_sigmas(config: Mapping[str, Any]) -> np.ndarray:
    """Noise over signal at every timestep of the training schedule: (timestep,) float64, rising."""
    shares = signal_shares(config).numpy()
    return np.asarray(np.sqrt(1 - shares**2) / shares)


def start_sigma(sigmas: np.ndarray, strength: float) -> float:
    """The noise over signal where the latents keep the share `1 - strength` of their amplitude.

    It depends on the share alone, so a strength means the same for every model: also for one whose last
    level has no signal at all (Lin et al. 2024, arXiv 2305.08891), where a place in the list of levels would
    drown the latents.

    Args:
        sigmas: (timestep,) of the training schedule, which bounds the result.
        strength: In (0, 1].
    """
    signal = 1 - strength
    asked = np.inf if signal <= 0 else (1 - signal**2) ** 0.5 / signal
    return float(np.clip(asked, sigmas[0], sigmas[-1]))


def ddim_spacing(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of DDIM in the published code, for `schedule`."""
    return {
        "clip_sample": False,
        "thresholding": False,
        "timestep_spacing": "leading",
        "steps_offset": config.get("steps_offset", 0),
        "set_alpha_to_one": config.get("set_alpha_to_one", True),
    }


def steps_run(options: GenerateConfig) -> int:
    """How many steps are run: the fraction `strength` of `steps`, at least one."""
    return max(1, round(options.steps * options.strength))


def guided_evaluations(steps: int, guidance: float) -> int:
    """Network evaluations of `steps` steps with classifier-free guidance; guidance 1 needs one per step."""
    return steps * (1 if guidance == 1 else 2)


def guided(
    network: Denoiser, latents: Tensor, timestep: Tensor, batch: Batch, away_from: str, guidance: float
) -> Tensor:
    """A prediction with classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598).

    Args:
        network: The network.
        latents: (clip, frame, channel, height, width), with the noise of `timestep`.
        timestep: Timestep of the noise schedule.
        batch: Has the text condition and the prompts.
        away_from: Name of the prompt that guidance leads away from.
        guidance: Its weight; 1 is the plain conditional prediction.
    """
    text, timestep = batch.text.to(latents.device), timestep.to(latents.device)
    if guidance == 1:
        return network(latents, timestep, text)
    nothing = batch.prompts[away_from].to(text).expand_as(text)
    if batch.together:
        both = network(torch.cat((latents, latents)), timestep, torch.cat((nothing, text)))
        without, conditioned = both.chunk(2)
    else:
        without, conditioned = (network(latents, timestep, prompt) for prompt in (nothing, text))
    return without + guidance * (conditioned - without)


def denoise(network: Denoiser, levels: Any, batch: Batch, guidance: float) -> Tensor:
    """Add the noise of the first level to the decoded latents and run through all levels.

    Args:
        network: The network.
        levels: A scheduler made by `solver`.
        batch: What to sample from.
        guidance: Weight of classifier-free guidance.
    """
    latents = batch.latents.float()
    first = levels.timesteps[:1].repeat(len(latents))
    current: Tensor = levels.add_noise(latents, batch.noise.to(latents.device), first)
    for timestep in levels.timesteps:
        predicted = guided(network, current, timestep, batch, "empty", guidance)
        current = levels.step(predicted, timestep, current, return_dict=False)[0]
    return current
