"""What a sampler is, and what samplers share: noise, noise schedules, classifier-free guidance.

Latents are (clip, frame, channel, height, width) float32 in the diffusion model's scaled units throughout;
schedulers compute in float32, whatever the network computes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol

import torch
from torch import Tensor

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
        """Check the arguments given to the sampler.

        Raises:
            ConfigError: The sampler does not know one of them.
        """
        for name in options.sampler_arguments:
            if name not in self.arguments:
                what = f"The sampler {options.sampler}: {unknown('argument', name, self.arguments)}"
                raise ConfigError(what if what.endswith("?") else f"{what}.")


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
    """How many of `steps` steps are run when the fraction `strength` of the schedule is: at least one."""
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
