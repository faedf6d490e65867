"""The samplers against closed forms: for Gaussian data the probability-flow ODE can be solved by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from mindanim.config.generate import _SAMPLERS, GenerateConfig
from mindanim.errors import ConfigError
from mindanim.generation.samplers import SAMPLERS, Batch, clip_noise
from mindanim.generation.samplers.sampler import Denoiser, steps_run
from mindanim.generation.samplers.sdedit import Start, karras_schedule, start_of
from mindanim.runtime import clip_generator

CONFIG: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": False,
    "steps_offset": 1,
    "prediction_type": "epsilon",
}
ALPHAS = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, dim=0)
SHAPE = (3, 2, 4, 4, 4)
TEXT, EMPTY = torch.zeros(3, 2, 1), torch.zeros(2, 1)


class GaussianNetwork:
    """The exact predictor for latents drawn from N(mean, spread^2); it knows the level by the timestep
    alone.
    """

    def __init__(self, mean: float = 0.7, spread: float = 0.5, kind: str = "epsilon") -> None:
        self.mean, self.spread, self.kind = mean, spread, kind
        self.timesteps: list[int] = []
        self.batches: list[int] = []

    def __call__(self, latents: Tensor, timestep: Tensor | int, text: Tensor) -> Tensor:
        self.timesteps.append(int(timestep))
        self.batches.append(len(latents))
        signal, noise = float(ALPHAS[int(timestep)] ** 0.5), float((1 - ALPHAS[int(timestep)]) ** 0.5)
        return self.predicted(latents, signal, noise)

    def predicted(self, latents: Tensor, signal: float, noise: float) -> Tensor:
        """What it predicts at a level."""
        total = signal**2 * self.spread**2 + noise**2
        epsilon = noise * (latents - signal * self.mean) / total
        if self.kind == "epsilon":
            return epsilon
        clean = self.mean + signal * self.spread**2 * (latents - signal * self.mean) / total
        return signal * epsilon - noise * clean

    def exact(self, noisy: Tensor, signal: float, noise: float) -> Tensor:
        """Where the ODE carries `noisy`: Gaussian marginals are mapped by shifting and scaling."""
        spread = (signal**2 * self.spread**2 + noise**2) ** 0.5
        return self.mean + self.spread * (noisy - signal * self.mean) / spread


def sampled(
    sampler: str,
    network: Denoiser,
    config: dict[str, Any],
    latents: Tensor,
    text: Tensor,
    noise: Tensor,
    prompts: dict[str, Tensor],
    **options: object,
) -> Tensor:
    settings = GenerateConfig.model_validate({"sampler": sampler, **options})
    batch = Batch(latents, text, noise, prompts)
    return SAMPLERS[sampler].sample(network, config, batch, settings)


def sdedit(
    network: Denoiser,
    config: dict[str, Any],
    latents: Tensor,
    text: Tensor,
    empty: Tensor,
    noise: Tensor,
    **options: object,
) -> Tensor:
    return sampled("sdedit", network, config, latents, text, noise, {"empty": empty}, **options)


def released(
    network: Denoiser,
    config: dict[str, Any],
    latents: Tensor,
    text: Tensor,
    negative: Tensor,
    inversion: Tensor,
    noise: Tensor,
    **options: object,
) -> Tensor:
    prompts = {"negative": negative, "inversion": inversion}
    own = {f"released_{name}": value for name, value in options.items()}
    return sampled("released", network, config, latents, text, noise, prompts, **own)


def start_at(config: dict[str, Any], steps: int, strength: float) -> Start:
    run = steps_run(GenerateConfig(steps=steps, strength=strength))
    return start_of(karras_schedule(config, run, strength))


def draw(seed: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("strength", [0.25, 0.5, 0.75, 1.0])
def test_sdedit_on_karras_levels_follows_the_ode_from_its_own_start(kind: str, strength: float) -> None:
    network = GaussianNetwork(kind=kind)
    config = CONFIG | {"prediction_type": kind}
    latents, noise = 2 * draw(1), draw(2)
    result = sdedit(network, config, latents, TEXT, EMPTY, noise, steps=40, strength=strength, guidance=1.0)
    start = start_at(config, 40, strength)
    noisy = start.signal * latents + start.noise * noise
    expected = network.exact(noisy, start.signal, start.noise)
    error = float((result - expected).abs().max() / expected.std())
    assert error < 0.02, error


def test_a_start_at_another_level_would_be_noticed() -> None:
    """The same comparison with the noise level of a neighbouring step: far outside the bound above."""
    network = GaussianNetwork()
    latents, noise = 2 * draw(1), draw(2)
    result = sdedit(network, CONFIG, latents, TEXT, EMPTY, noise, steps=40, strength=0.5, guidance=1.0)
    for strength in (0.45, 0.55):
        start = start_at(CONFIG, 40, strength)
        expected = network.exact(start.signal * latents + start.noise * noise, start.signal, start.noise)
        assert (result - expected).abs().max() / expected.std() > 0.1


def test_the_solver_is_of_second_order() -> None:
    """Doubling the steps of a schedule divides the error by four or more; first order would give two."""

    def error(steps: int) -> float:
        network, latents, noise = GaussianNetwork(), 2 * draw(1), draw(2)
        result = sdedit(network, CONFIG, latents, TEXT, EMPTY, noise, steps=steps, strength=1.0, guidance=1.0)
        start = start_at(CONFIG, steps, 1.0)
        expected = network.exact(start.signal * latents + start.noise * noise, start.signal, start.noise)
        return float((result - expected).pow(2).mean().sqrt())

    assert error(20) / error(40) > 3.5


def test_sdedit_runs_the_stated_share_of_the_steps_and_two_passes_only_with_guidance() -> None:
    for strength, expected in ((1.0, 20), (0.75, 15), (0.6, 12), (0.01, 1)):
        network = GaussianNetwork()
        sdedit(network, CONFIG, draw(1), TEXT, EMPTY, draw(2), steps=20, strength=strength, guidance=1.0)
        assert len(network.timesteps) == expected
        assert network.timesteps == sorted(network.timesteps, reverse=True)
        assert set(network.batches) == {3}
    guided = GaussianNetwork()
    sdedit(guided, CONFIG, draw(1), TEXT, EMPTY, draw(2), steps=20, strength=0.6, guidance=7.5)
    assert guided.batches == [6] * 12


def test_a_weak_start_keeps_the_latents_and_the_full_one_forgets_them() -> None:
    latents, noise = draw(1), draw(2)
    correlation = []
    for strength in (0.01, 0.5, 1.0):
        result = sdedit(
            GaussianNetwork(), CONFIG, latents, TEXT, EMPTY, noise, steps=20, strength=strength, guidance=1.0
        )
        correlation.append(float(torch.corrcoef(torch.stack((result.flatten(), latents.flatten())))[0, 1]))
    assert correlation[0] > 0.99
    assert correlation[0] > correlation[1] > correlation[2]
    assert abs(correlation[2]) < 0.25


def test_guidance_extrapolates_from_the_empty_prompt() -> None:
    class Conditioned(GaussianNetwork):
        def __call__(self, latents: Tensor, timestep: Tensor | int, text: Tensor) -> Tensor:
            return super().__call__(latents, timestep, text) + text[:, :1, :1, None, None]

    guided = sdedit(
        Conditioned(), CONFIG, draw(1), TEXT + 0.1, EMPTY + 0.02, draw(2), steps=8, strength=0.5, guidance=3.0
    )
    same = sdedit(
        Conditioned(), CONFIG, draw(1), TEXT + 0.26, EMPTY, draw(2), steps=8, strength=0.5, guidance=1.0
    )
    torch.testing.assert_close(guided, same, rtol=1e-4, atol=1e-5)


def test_released_visits_the_published_levels() -> None:
    network = GaussianNetwork()
    released(network, CONFIG, draw(1), TEXT, EMPTY, EMPTY, draw(2))
    assert network.timesteps == list(range(1, 1000, 20)) + list(range(981, 0, -20))
    assert network.batches == [3] * 50 + [6] * 50


def test_released_inverts_with_the_long_empty_prompt_and_leads_away_from_the_negative_one() -> None:
    class Reader(GaussianNetwork):
        def __call__(self, latents: Tensor, timestep: Tensor | int, text: Tensor) -> Tensor:
            texts.append(text)
            return super().__call__(latents, timestep, text)

    texts: list[Tensor] = []
    decoded, negative, long = torch.full((3, 20, 1), 3.0), torch.full((20, 1), 2.0), torch.ones(77, 1)
    released(Reader(), CONFIG, draw(1), decoded, negative, long, draw(2), steps=5)
    up, down = texts[:5], texts[5:]
    assert all(torch.equal(text, long.expand(3, 77, 1)) for text in up) and len(down) == 5
    assert all(torch.equal(text, torch.cat((negative.expand(3, 20, 1), decoded))) for text in down)


def test_released_inversion_reaches_the_top_of_the_ode() -> None:
    """Without added noise, inversion and sampling together map Gaussian data nearly onto themselves."""
    network, latents = GaussianNetwork(), 0.7 + 0.5 * draw(1)
    kept = released(
        network, CONFIG, latents, TEXT, EMPTY, EMPTY, torch.zeros(SHAPE), noise_timestep=0, guidance=1.0
    )
    signal = float(ALPHAS[0] ** 0.5)
    assert (kept - latents).abs().max() < 0.12 + (1 - signal)
    moved = released(network, CONFIG, latents, TEXT, EMPTY, EMPTY, draw(2), guidance=1.0)
    assert (moved - latents).abs().max() > 0.3, "the noise becomes content: it is never removed as such"


def test_noise_belongs_to_the_clip_and_has_the_stated_correlation() -> None:
    shape = (8, 4, 16, 16)
    ids = ["test1-0001", "test1-0002", "test1-0003"]

    def noise(names: list[str], correlation: float) -> Tensor:
        return clip_noise([clip_generator(5, name, "sampler") for name in names], shape, correlation)

    together = noise(ids, 0.6)
    assert torch.equal(together[1], noise(ids[1:2], 0.6)[0])
    assert torch.equal(together.flip(0), noise(ids[::-1], 0.6))
    frames = together.flatten(2)
    for clip in frames:
        between = torch.corrcoef(clip)
        assert (between[~torch.eye(8, dtype=torch.bool)] - 0.6).abs().max() < 0.1
    assert abs(float(together.std()) - 1) < 0.02
    assert torch.equal(*[noise(ids, 1.0)[:, frame] for frame in (0, 7)])
    assert abs(float(torch.corrcoef(noise(ids, 0.0)[0].flatten(1))[0, 1])) < 0.1
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_released_equals_its_equations_written_out(kind: str) -> None:
    """DDIM (Song et al. 2021, eq. 12) up with the prediction of the level below, noise, and down again."""
    network, latents, noise = GaussianNetwork(kind=kind), draw(1).double(), draw(2).double()
    config = CONFIG | {"prediction_type": kind}
    got = released(network, config, latents, TEXT, EMPTY, EMPTY, noise, steps=10, guidance=1.0)

    def move(current: Tensor, asked: int, below: int, above: int) -> Tensor:
        """From the level of one timestep to that of another, with the prediction made at `asked`."""
        at, to = (ALPHAS[max(level, 0)] for level in (below, above))
        predicted = network(current, asked, TEXT)
        if kind == "epsilon":
            epsilon, clean = predicted, (current - (1 - at) ** 0.5 * predicted) / at**0.5
        else:
            epsilon = at**0.5 * predicted + (1 - at) ** 0.5 * current
            clean = at**0.5 * current - (1 - at) ** 0.5 * predicted
        return to**0.5 * clean + (1 - to) ** 0.5 * epsilon

    current, levels = latents, range(1, 1000, 100)
    for level in levels:
        current = move(current, level, level - 100, level)
    current = ALPHAS[200] ** 0.5 * current + (1 - ALPHAS[200]) ** 0.5 * noise
    for level in reversed(levels):
        current = move(current, level, level, level - 100)
    torch.testing.assert_close(got.double(), current, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_sdedit_equals_its_equations_written_out(kind: str, strength: float) -> None:
    """Karras levels, the start on one of them, DPM-Solver++(2M) down, as docs/reference/samplers.md says."""
    network, latents, noise, steps = GaussianNetwork(kind=kind), draw(1), draw(2), 10
    config = CONFIG | {"prediction_type": kind}
    got = sdedit(network, config, latents, TEXT, EMPTY, noise, steps=steps, strength=strength, guidance=1.0)

    highest, smallest = (((1 - ALPHAS[t]) / ALPHAS[t]) ** 0.5 for t in (999, 0))
    signal = 1 - strength
    largest = highest if strength == 1 else torch.tensor((1 - signal**2) ** 0.5 / signal)
    run = round(steps * strength)
    ramp = torch.linspace(0, 1, run, dtype=torch.float64)
    sigmas = (largest ** (1 / 7) + ramp * (smallest ** (1 / 7) - largest ** (1 / 7))) ** 7
    sigmas = torch.cat((sigmas, torch.zeros(1, dtype=torch.float64)))
    x, before = latents.double() + sigmas[0] * noise.double(), None
    for i in range(run):
        scale = (1 + sigmas[i] ** 2) ** 0.5
        predicted = network(x / scale, network.timesteps[i], TEXT)
        clean = x - sigmas[i] * predicted
        if kind == "v_prediction":
            clean = (x / scale - sigmas[i] * predicted) / scale
        slope = torch.zeros_like(clean)
        if before is not None and i < run - 1:
            ratio = (sigmas[i - 1] / sigmas[i]).log() / (sigmas[i] / sigmas[i + 1]).log()
            slope = (clean - before) / (2 * ratio)
        down = sigmas[i + 1] / sigmas[i]
        x, before = down * x + (1 - down) * (clean + slope), clean
    torch.testing.assert_close(got.double(), x, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["PNDMScheduler", "DDIMScheduler"])
def test_the_schedule_of_stable_diffusion_is_read_without_a_warning(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """SD-1.5's file is that of PNDM, SD-2.1's that of DDIM with an option which DDIM does not have."""
    from diffusers.utils import logging

    config = CONFIG | {"_class_name": name, "skip_prk_steps": True, "trained_betas": None}
    del config["prediction_type"]  # SD-1.5 leaves it out; the default is epsilon
    logging.enable_propagation()
    rest = draw(1), TEXT, EMPTY, EMPTY, draw(2)
    try:
        found = released(GaussianNetwork(), config, *rest, steps=5, guidance=1.0)
        steps = karras_schedule(config, 10).timesteps
    finally:
        logging.disable_propagation()
    assert not caplog.records
    expected = released(GaussianNetwork(), CONFIG, *rest, steps=5, guidance=1.0)
    assert torch.equal(found, expected) and torch.equal(steps, karras_schedule(CONFIG, 10).timesteps)


def test_the_options_can_name_every_sampler_of_this_package() -> None:
    assert set(SAMPLERS) - set(SAMPLERS.foreign()) == set(_SAMPLERS)


def test_an_unknown_sampler_is_refused_with_the_likely_name() -> None:
    with pytest.raises(ValidationError, match="did you mean 'sdedit'"):
        GenerateConfig(sampler="sdedti")
    with pytest.raises(ConfigError, match="did you mean 'sdedit'"):
        SAMPLERS["sdedti"]


def test_arguments_that_a_sampler_does_not_know_are_refused() -> None:
    given = GenerateConfig(sampler_arguments={"eat": 0.5})
    with pytest.raises(ConfigError, match="sampler sdedit.*eat"):
        SAMPLERS["sdedit"].check(given)
    with pytest.raises(ConfigError, match="did you mean 'eta'"):
        replace(SAMPLERS["sdedit"], arguments=("eta",)).check(given)
    replace(SAMPLERS["sdedit"], arguments=("eat",)).check(given)


SCHEDULES: dict[str, dict[str, Any]] = {
    "Stable Diffusion 1.5": {},
    "linear": {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "no signal at the end": {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
    "no signal at the end, trailing": {
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
        "timestep_spacing": "trailing",
    },
    "100 steps": {"num_train_timesteps": 100, "beta_end": 0.12},
    "trained betas": {"trained_betas": [0.02] * 500, "num_train_timesteps": 500},
}


@pytest.mark.parametrize("sampler", ["sdedit", "ddim"])
@pytest.mark.parametrize("options", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("strength", [0.25, 0.5, 0.75])
def test_a_strength_keeps_the_same_share_of_the_latents_with_every_model(
    sampler: str, options: dict[str, Any], strength: float
) -> None:
    """Without noise, the first thing that the network sees is the latents times their share."""
    seen: list[Tensor] = []

    def network(latents: Tensor, timestep: Tensor | int, text: Tensor) -> Tensor:
        seen.append(latents)
        return torch.zeros_like(latents)

    latents, nothing = draw(1), torch.zeros(SHAPE)
    asked = {"strength": strength, "guidance": 1}
    sampled(sampler, network, CONFIG | options, latents, TEXT, nothing, {"empty": EMPTY}, **asked)
    share = float((seen[0] / latents).mean())
    assert share == pytest.approx(1 - strength, abs=1e-6 if sampler == "sdedit" else 0.02)
    assert len(seen) == round(20 * strength)


def test_the_whole_strength_starts_at_the_last_level_of_training() -> None:
    for options, share in (({}, ALPHAS[-1] ** 0.5), ({"rescale_betas_zero_snr": True}, 2.0**-12)):
        start = start_of(karras_schedule(CONFIG | options, 20))
        assert start.timestep == 999 and start.signal == pytest.approx(float(share), rel=1e-3)


@pytest.mark.parametrize(
    "other", ["use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"]
)
def test_levels_that_a_model_was_saved_with_are_replaced(other: str) -> None:
    config = CONFIG | {
        "_class_name": "DPMSolverMultistepScheduler",
        other: True,
        "final_sigmas_type": "sigma_min",
    }
    for strength in (0.3, 1.0):
        found, expected = (karras_schedule(each, 12, strength) for each in (config, CONFIG))
        assert torch.equal(found.sigmas, expected.sigmas) and torch.equal(found.timesteps, expected.timesteps)
