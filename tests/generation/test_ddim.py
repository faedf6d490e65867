"""DDIM against diffusers' own image-to-image pipeline, and against the solution for Gaussian data."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler

from mindanim.config.generate import GenerateConfig
from mindanim.generation.samplers import SAMPLERS
from tests.generation.test_sampling import ALPHAS, CONFIG, EMPTY, TEXT, GaussianNetwork, draw, sampled


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("strength", [0.25, 0.75, 1.0])
def test_it_equals_the_loop_of_diffusers(kind: str, strength: float) -> None:
    config, network = CONFIG | {"prediction_type": kind}, GaussianNetwork(kind=kind)
    latents, noise, prompts = draw(1), draw(2), {"empty": EMPTY}
    got = sampled(
        "ddim", network, config, latents, TEXT, noise, prompts, steps=20, strength=strength, guidance=1.0
    )

    own = {name: value for name, value in config.items() if not name.startswith("_")}
    oracle = DDIMScheduler(**own, clip_sample=False)
    oracle.set_timesteps(20)
    # As StableDiffusionImg2ImgPipeline.get_timesteps does.
    timesteps = oracle.timesteps[max(20 - int(20 * strength), 0) :]
    expected = oracle.add_noise(latents, noise, timesteps[:1])
    for timestep in timesteps:
        expected = oracle.step(network(expected, timestep, TEXT), timestep, expected).prev_sample
    torch.testing.assert_close(got, expected)
    assert network.timesteps[: len(timesteps)] == timesteps.tolist()


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

    assert error(200) < 0.04
    assert 1.6 < error(100) / error(200) < 2.6


def test_its_cost_and_its_sentence_follow_the_options() -> None:
    options, ddim = GenerateConfig(sampler="ddim", steps=20, strength=0.75), SAMPLERS["ddim"]
    assert ddim.evaluations(options) == 30
    assert ddim.evaluations(options.model_copy(update={"guidance": 1.0})) == 15
    text = ddim.methods(options, CONFIG, "one draw for all frames")
    assert "timestep 701 (one draw for all frames)" in text and "15 of 20" in text
