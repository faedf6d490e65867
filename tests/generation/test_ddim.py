"""DDIM against diffusers' own image-to-image pipeline, and against the solution for Gaussian data."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor

from mindanim.backbones.noise_schedule import signal_shares
from mindanim.config.generate import GenerateConfig
from mindanim.generation.samplers import SAMPLERS
from tests.generation.test_sampling import ALPHAS, CONFIG, EMPTY, TEXT, GaussianNetwork, draw, sampled


class KnowsItsLevel(GaussianNetwork):
    """The exact predictor for the schedule of a configuration."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(kind=config["prediction_type"])
        self.shares = signal_shares(config)

    def __call__(self, latents: Tensor, timestep: Tensor | int, text: Tensor) -> Tensor:
        self.timesteps.append(int(timestep))
        signal = float(self.shares[int(timestep)])
        return self.predicted(latents, signal, (1 - signal**2) ** 0.5)


# With epsilon and no signal at the end, the noise says nothing of the picture there.
@pytest.mark.parametrize(
    ("kind", "zero_snr"), [("epsilon", False), ("v_prediction", False), ("v_prediction", True)]
)
def test_from_the_top_it_equals_the_loop_of_diffusers(kind: str, zero_snr: bool) -> None:
    config = CONFIG | {"prediction_type": kind, "rescale_betas_zero_snr": zero_snr}
    network = KnowsItsLevel(config)
    latents, noise, prompts = draw(1), draw(2), {"empty": EMPTY}
    got = sampled("ddim", network, config, latents, TEXT, noise, prompts, steps=20, strength=1, guidance=1.0)

    own = {name: value for name, value in config.items() if not name.startswith("_")}
    own |= {"set_alpha_to_one": True, "steps_offset": 0, "timestep_spacing": "trailing"}
    oracle = DDIMScheduler(**own, clip_sample=False)
    oracle.set_timesteps(20)
    expected = oracle.add_noise(latents, noise, oracle.timesteps[:1])
    for timestep in oracle.timesteps:
        expected = oracle.step(network(expected, timestep, TEXT), timestep, expected).prev_sample
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
    assert network.timesteps[:20] == oracle.timesteps.tolist()


@pytest.mark.parametrize("strength", [0.25, 0.75])
def test_below_the_top_it_equals_its_equation(strength: float) -> None:
    """Song et al. 2021, equation 12 without noise, from the timestep with the signal nearest to the share."""
    network, latents, noise, prompts = GaussianNetwork(), draw(1), draw(2), {"empty": EMPTY}
    got = sampled(
        "ddim", network, CONFIG, latents, TEXT, noise, prompts, steps=20, strength=strength, guidance=1
    )
    levels = list(network.timesteps)
    assert len(levels) == round(20 * strength)
    assert abs(float(ALPHAS[levels[0]] ** 0.5) - (1 - strength)) < 2e-3
    assert set(torch.tensor(levels).diff().tolist()) <= {-(levels[0] + 1) // len(levels) + k for k in (0, 1)}
    current = ALPHAS[levels[0]] ** 0.5 * latents.double() + (1 - ALPHAS[levels[0]]) ** 0.5 * noise.double()
    for level, after in zip(levels, [*levels[1:], None], strict=True):
        at, to = ALPHAS[level], torch.tensor(1.0) if after is None else ALPHAS[after]
        epsilon = network(current, level, TEXT)
        current = to**0.5 * (current - (1 - at) ** 0.5 * epsilon) / at**0.5 + (1 - to) ** 0.5 * epsilon
    torch.testing.assert_close(got.double(), current, rtol=1e-3, atol=1e-3)


def test_it_follows_the_ode_from_its_own_start() -> None:
    """Of first order: halving the steps about doubles the error."""
    latents, noise = 2 * draw(1), draw(2)

    def error(steps: int) -> float:
        network = GaussianNetwork()
        got = sampled(
            "ddim", network, CONFIG, latents, TEXT, noise, {"empty": EMPTY}, steps=steps, strength=0.5,
            guidance=1.0,
        )  # fmt: skip
        level = ALPHAS[network.timesteps[0]]
        signal, spread = float(level**0.5), float((1 - level) ** 0.5)
        expected = network.exact(signal * latents + spread * noise, signal, spread)
        return float((got - expected).abs().max() / expected.std())

    assert error(200) < 0.07
    assert 1.6 < error(100) / error(200) < 2.6


def test_its_cost_and_its_sentence_follow_the_options() -> None:
    options, ddim = GenerateConfig(sampler="ddim", steps=20, strength=0.75), SAMPLERS["ddim"]
    assert ddim.evaluations(options) == 30
    assert ddim.evaluations(options.model_copy(update={"guidance": 1.0})) == 15
    text = ddim.methods(options, CONFIG, "one draw for all frames")
    assert "timestep 737 (one draw for all frames)" in text and "by 15 deterministic DDIM steps" in text
