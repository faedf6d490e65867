"""Which noise schedules are read, with which values, and which are refused before anything is computed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from mindanim.backbones import load_diffusion
from mindanim.backbones.noise_schedule import TRAINED_WITH, noise_schedule, signal_shares
from mindanim.errors import InputError

FILE = Path("model/scheduler/scheduler_config.json")
SD: dict[str, Any] = {
    "_class_name": "PNDMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "DDIMScheduler",
            "DDPMScheduler",
            "PNDMScheduler",
            "LMSDiscreteScheduler",
            "EulerDiscreteScheduler",
        ),
        *("EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "KDPM2DiscreteScheduler"),
        *("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler", "DEISMultistepScheduler"),
        "UniPCMultistepScheduler",
    ],
)
@pytest.mark.parametrize(
    "stated", [{}, {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}]
)
def test_the_levels_are_those_of_the_class_that_the_file_names(name: str, stated: dict[str, Any]) -> None:
    """Also where the file leaves options out: the classes' own defaults differ."""
    scheduler: Any = getattr(diffusers, name)(**stated)
    found = signal_shares(noise_schedule({"_class_name": name} | stated, FILE))
    torch.testing.assert_close(found, scheduler.alphas_cumprod.double().sqrt())


def test_a_complete_file_of_any_of_these_classes_is_read() -> None:
    """`save_config` writes every option of the class, and its version."""
    for name in ("EulerDiscreteScheduler", "UniPCMultistepScheduler", "DPMSolverMultistepScheduler"):
        saved = dict(getattr(diffusers, name)(**{"beta_schedule": "scaled_linear"}).config)
        found = noise_schedule({"_class_name": name, "_diffusers_version": "0.30.0"} | saved, FILE)
        assert found["beta_schedule"] == "scaled_linear" and set(TRAINED_WITH) <= set(found)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "LCM": ({"_class_name": "LCMScheduler"}, "_class_name is 'LCMScheduler'"),
    "EDM": ({"_class_name": "EDMEulerScheduler", "sigma_data": 0.5}, "EDMEulerScheduler"),
    "flow matching": ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}, "FlowMatchEuler"),
    "flow levels": (
        {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True},
        "use_flow_sigmas is True",
    ),
    "flow prediction": ({"prediction_type": "flow_prediction"}, "prediction_type is 'flow_prediction'"),
    "continuous time": (
        {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"},
        "timestep_type",
    ),
    "sigmoid": ({"beta_schedule": "sigmoid"}, "beta_schedule is 'sigmoid'"),
    "thresholding": ({"_class_name": "DDIMScheduler", "thresholding": True}, "thresholding is True"),
    "of another's": ({"snr_shift_scale": 3.0}, "snr_shift_scale = 3.0"),
    "too few betas": (
        {"trained_betas": [0.1, 0.2]},
        "trained_betas has 2 values, num_train_timesteps is 1000",
    ),
    "no numbers": ({"beta_start": "small"}, "describe no noise schedule"),
    "nested betas": ({"trained_betas": [[0.1]] * 1000}, "does not fall|no noise schedule"),
    "no steps": ({"num_train_timesteps": 0}, "num_train_timesteps is 0"),
    "one step": ({"num_train_timesteps": 1}, "num_train_timesteps is 1"),
    "a switch for a number": ({"num_train_timesteps": True}, "num_train_timesteps is True"),
    "a word for a switch": ({"rescale_betas_zero_snr": "false"}, "rescale_betas_zero_snr is 'false'"),
    "a list for a class": ({"_class_name": ["DDIMScheduler"]}, "_class_name is"),
    "negative": ({"beta_start": -0.01, "beta_schedule": "linear"}, "does not fall"),
    "no noise": ({"beta_start": 0.0, "beta_end": 0.0}, "does not fall"),
    "not finite": ({"beta_end": float("nan")}, "does not fall"),
    "beyond one": ({"beta_schedule": "linear", "beta_end": 3.0}, "does not fall"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_no_sampler_implements_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        noise_schedule(SD | change, FILE)
    assert str(FILE) in caught.value.what


def test_it_is_refused_before_a_network_is_loaded(diffusion_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(diffusion_folder, tmp_path / "flow"))
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prediction_type": "flow_prediction"}))
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"not read")
    with pytest.raises(InputError, match="flow_prediction"):
        load_diffusion(str(folder))
