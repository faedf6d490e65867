"""The noise schedule that a diffusion model was trained with, from its scheduler_config.json.

A folder in the diffusers layout names a scheduler class with all its options. Seven of them describe the
model and every sampler needs them. Others choose levels and solver at sampling time, and the samplers replace
those by their own. Anything else describes a model that the samplers do not implement: its latents would be
denoised at wrong levels, without an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from mindanim.errors import InputError

TRAINED_WITH = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "rescale_betas_zero_snr",
)
_PREDICTIONS = ("epsilon", "v_prediction", "sample")
_BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
# A value that changes what the network expects, and what it would mean.
_CHANGES_THE_MODEL = {
    "use_flow_sigmas": "a flow-matching model",
    "use_dynamic_shifting": "levels that depend on the size of the picture",
    "thresholding": "dynamic thresholding, which is for pixels and not for latents",
}


def noise_schedule(config: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A scheduler's configuration with every option of the trained schedule filled in.

    Options that the file leaves out have the default of the class that it names, which differs between
    classes.

    Args:
        config: Contents of scheduler_config.json.
        path: The file, for messages.

    Raises:
        InputError: The samplers do not implement what it describes.
    """
    import diffusers
    from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers

    known = {e.name for e in KarrasDiffusionSchedulers if not e.name.startswith("EDM")}
    name = config.get("_class_name", "DDIMScheduler")
    if not isinstance(name, str) or name not in known:
        raise _refused(path, f"_class_name is {name!r}.", f"Known are {', '.join(sorted(known))}.")
    options = {
        option: p for kind in known for option, p in signature(getattr(diffusers, kind)).parameters.items()
    }
    if strange := sorted(set(config) - set(options) - {key for key in config if key.startswith("_")}):
        raise _refused(
            path, f"It has the option {strange[0]} = {config[strange[0]]!r}.", "No sampler knows it."
        )
    defaults = signature(getattr(diffusers, name)).parameters
    filled = {
        option: config.get(
            option, defaults[option].default if option in defaults else options[option].default
        )
        for option in TRAINED_WITH
    }
    for option, values in (("prediction_type", _PREDICTIONS), ("beta_schedule", _BETA_SCHEDULES)):
        if filled[option] not in values:
            raise _refused(path, f"{option} is {filled[option]!r}.", f"Known are {', '.join(values)}.")
    for option, meaning in _CHANGES_THE_MODEL.items():
        if config.get(option):
            raise _refused(path, f"{option} is {config[option]!r}.", f"It stands for {meaning}.")
    if config.get("timestep_type", "discrete") != "discrete":
        raise _refused(path, "timestep_type is 'continuous'.", "It stands for a model of the EDM kind.")
    if (flag := filled["rescale_betas_zero_snr"]) not in (True, False, None):
        raise _refused(path, f"rescale_betas_zero_snr is {flag!r}.", "It is true or false.")
    _check_levels(filled, path)
    return {**config, **filled}


def signal_shares(schedule: Mapping[str, Any]) -> torch.Tensor:
    """The factor of the clean latents at each timestep: (timestep,) float64, falling, in [0, 1).

    Args:
        schedule: A configuration completed by `noise_schedule`; what it lacks has diffusers' defaults.
    """
    from diffusers import DPMSolverMultistepScheduler

    kind: Any = DPMSolverMultistepScheduler
    made = kind(**{option: schedule[option] for option in TRAINED_WITH if option in schedule})
    return torch.as_tensor(made.alphas_cumprod).double().sqrt()


def _check_levels(schedule: Mapping[str, Any], path: Path) -> None:
    """Raise InputError unless its numbers describe a schedule that adds more and more noise."""
    steps, betas = schedule["num_train_timesteps"], schedule["trained_betas"]
    if type(steps) is not int or steps < 2:
        raise _refused(path, f"num_train_timesteps is {steps!r}.", "It is a whole number of at least 2.")
    if betas is not None and (not isinstance(betas, list) or len(betas) != steps):
        found = len(betas) if isinstance(betas, list) else betas
        raise _refused(path, f"trained_betas has {found} values, num_train_timesteps is {steps}.", "")
    try:
        shares = signal_shares(schedule)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise _refused(path, "Its numbers describe no noise schedule.", str(error)) from error
    falls = bool(torch.isfinite(shares).all()) and bool((shares.diff() < 0).all())
    if shares.shape != (steps,) or not falls:
        numbers = {option: schedule[option] for option in ("num_train_timesteps", "beta_start", "beta_end")}
        described = ", ".join(f"{option} {value}" for option, value in numbers.items())
        raise _refused(path, "The signal does not fall with every timestep.", f"It has {described}.")


def _refused(path: Path, what: str, why: str) -> InputError:
    return InputError(
        f"{path} describes a noise schedule that no sampler implements. {what}",
        why=why,
        hint="Use a Stable Diffusion 1.x or 2.x folder with the scheduler it was published with.",
    )
