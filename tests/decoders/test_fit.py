from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.base import Shapes
from mindanim.decoders.build import build
from mindanim.decoders.fit import fit_decoder
from mindanim.decoders.fit_result import Fitted
from mindanim.decoders.load_examples import decode_first_frames
from mindanim.decoders.methods_text import findings
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.decoders.training.fit_network import fresh_weights
from mindanim.decoders.training.random_inputs import accumulated_zeros
from mindanim.decoders.training.tasks import MotionTask, SemanticTask
from tests.decoders.planted import SHAPES, machine, planted

NETWORK = {"epochs": 30, "batch_size": 25, "learning_rate": 3e-3, "l1_penalty": 0.0, "zero_fraction": 0.05}
CMG = NETWORK | {"width": 16, "heads": 2, "feedforward": 16, "fmri_width": 24, "select": "score"}
CMG |= {"schedule": "exponential"}
PATCHES = NETWORK | {"decoder": "cmg-patches", "patch_size": 2, "patch_width": 16, "patch_layers": 2}
PATCHES |= {"patch_heads": 2, "schedule": "exponential", "select": "score", "epochs": 50}
FRAMEWISE = NETWORK | {"decoder": "mlp", "fmri_width": 24, "schedule": "exponential", "select": "score"}


def fit(kind: str, options: dict[str, object], folder: Path, signal: float) -> Fitted:
    data = planted(signal)
    place = machine(folder)
    if kind == "semantic":
        return fit_decoder(
            TrainSemanticConfig.model_validate(options), data.semantic, SHAPES, data.split, place
        )
    if kind == "structure":
        return fit_decoder(
            TrainStructureConfig.model_validate(options), data.structure, SHAPES, data.split, place
        )
    return fit_decoder(TrainMotionConfig.model_validate(options), data.motion, SHAPES, data.split, place)


CASES = [
    ("semantic", NETWORK | {"head_widths": (32,)}),
    ("semantic", {"decoder": "ridge"}),
    ("semantic", {"decoder": "ridge", "ridge_components": 5}),
    ("structure", NETWORK | {"width": 32, "standardise": True}),
    ("structure", {"decoder": "ridge"}),
    ("motion", CMG),
    ("motion", CMG | {"target": "difference", "memory_tokens": 2, "first_frames": "both"}),
    ("motion", PATCHES | {"target": "difference", "first_frames": "both"}),
    ("motion", FRAMEWISE),
    ("motion", FRAMEWISE | {"target": "difference"}),
    ("motion", {"decoder": "ridge", "target": "difference"}),
    ("motion", {"decoder": "ridge", "target": "frame"}),
]


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_planted_signal_is_decoded(kind: str, options: dict[str, object], tmp_path: Path) -> None:
    fitted = fit(kind, options, tmp_path, signal=1.0)
    assert fitted.facts["val_score"] > (0.5 if options.get("decoder") == "ridge" else 0.25)
    # The smallest p value that 20 validation clips can give.
    assert fitted.facts["val_p"] == 1 / 20
    assert f"{kind}-at-chance" not in [code for code, _ in findings(fitted)]
    assert {"epoch", "train_loss", "val_loss", "val_score"} <= set(fitted.history.columns)


# The generator of whole frames needs longer than a test to do so from decoded first frames.
@pytest.mark.parametrize(
    ("kind", "options"), [case for case in CASES if case[0] != "semantic" and case[1] is not CMG]
)
def test_decoders_beat_the_mean(kind: str, options: dict[str, object], tmp_path: Path) -> None:
    data = planted()
    fitted = fit(kind, options | {"ridge_refit": False}, tmp_path, signal=1.0)
    rows, shape = data.split.validation, SHAPES.response
    responses = data.motion.responses[rows].reshape(-1, *shape)
    true, seen = data.motion.latents[rows], data.motion.latents[data.split.fit]
    if kind == "structure":
        found, true, seen = fitted.decoder.predict(responses).flatten(1), true[:, 0], seen[:, 0]
    else:
        first = data.motion.decoded[rows].reshape(-1, *SHAPES.latent)
        found, true, seen = (
            fitted.decoder.predict(responses, first)[:, 1:].flatten(2),
            true[:, 1:],
            seen[:, 1:],
        )
    ratio = float((found - true).square().mean()) / float((seen.mean(0) - true).square().mean())
    assert ratio < (0.9 if "memory_tokens" in options else 0.6)


class Deaf(MotionNetwork):
    """Reads the motion off the first frame, and nothing off the responses."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes, target="difference")
        self.seen = torch.nn.Linear(shapes.latent_size, (shapes.frames - 1) * shapes.latent_size)

    def memory(self, responses: torch.Tensor) -> torch.Tensor:
        return responses

    def forward(self, tokens: torch.Tensor, memory: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        return self.seen(tokens[:, 0]).unflatten(1, (self.shapes.frames - 1, -1))[:, : tokens.shape[1]]


@pytest.mark.parametrize(
    "options",
    [
        NETWORK | {"decoder": f"{__name__}:Deaf", "first_frames": "decoded", "schedule": "constant"},
        {"decoder": "ridge", "target": "frame"},
        {"decoder": "transport", "flow_gain": 1.0},
    ],
)
def test_motion_that_the_first_frame_gives_away_is_chance(options: dict[str, object], tmp_path: Path) -> None:
    """The first frames tell of the motion here; the responses, of zeros for the baselines, do not."""
    data = planted()
    change = (data.motion.latents[:, 1:] - data.motion.latents[:, :1]).mean(1)
    motion = replace(data.motion, decoded=data.motion.decoded + change)
    if options["decoder"] in ("ridge", "transport"):
        motion = replace(motion, responses=torch.zeros_like(motion.responses))
    config = TrainMotionConfig.model_validate(options)
    fitted = fit_decoder(config, motion, SHAPES, data.split, machine(tmp_path))
    if fitted.penalties is None:
        assert fitted.facts["val_difference_r"] > 0.8, "what paired with clips looked like decoding"
    assert fitted.facts["val_p"] == 1
    assert "motion-at-chance" in [code for code, _ in findings(fitted)]


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_nothing_is_decoded_from_noise(kind: str, options: dict[str, object], tmp_path: Path) -> None:
    # Choosing the epoch by validation score would lift the score above zero: the last epoch is looked at.
    fitted = fit(kind, options | {"select": "last", "epochs": 6}, tmp_path, signal=0.0)
    # Twenty clips of three or more independent causes: a standard error of 0.13 or less.
    assert abs(fitted.facts["val_score"]) < 0.35


def test_refit_uses_the_validation_clips_too(tmp_path: Path) -> None:
    kept = fit("structure", {"decoder": "ridge", "ridge_refit": False}, tmp_path, 1.0)
    refit = fit("structure", {"decoder": "ridge"}, tmp_path, 1.0)
    assert kept.facts == refit.facts
    data = planted()
    responses = data.structure.responses.reshape(-1, *SHAPES.response)
    true = data.structure.latents.numpy()

    def error(fitted: Fitted) -> float:
        rows = data.split.validation
        return float(
            np.square(fitted.decoder.predict(responses[rows]).flatten(1).numpy() - true[rows]).mean()
        )

    assert error(refit) < error(kept)
    assert error(kept) == pytest.approx(kept.facts["val_loss"], rel=1e-3)


@pytest.mark.parametrize("all_fit", [False, True])
def test_decoded_first_frames_are_out_of_sample(all_fit: bool) -> None:
    """Also where all clips fit, those that validate among them, as for an imported decoder."""
    data = planted(signal=0.0)
    latents, split = data.structure.latents, data.split
    split = replace(split, fit=np.arange(len(latents))) if all_fit else split
    config = TrainMotionConfig(ridge_alphas=(0.1,))  # weak: what fits these clips would come near to them
    decoded = decode_first_frames(config, data.structure.responses, latents, split)
    assert decoded.shape == latents.shape
    rows = torch.from_numpy(split.validation if all_fit else split.fit)
    error = float((decoded[rows] - latents[rows]).square().mean())
    # From noise nothing better than the mean can be decoded, unless a clip's own latent leaks in.
    assert error > 0.98 * float((latents[rows] - latents[rows].mean(0)).square().mean())


def test_losses_of_semantic_ridge_weigh_tokens(tmp_path: Path) -> None:
    losses = [
        fit("semantic", {"decoder": "ridge", "token_weight": weight}, tmp_path, 1.0).facts["val_loss"]
        for weight in (0.0, 0.5, 1.0)
    ]
    assert losses[0] < losses[1] and losses[1] == pytest.approx((losses[0] + losses[2]) / 2)


def test_scales_are_those_of_the_clips_that_fit(tmp_path: Path) -> None:
    data = planted()
    latents, rows = data.motion.latents.clone(), data.split.fit
    latents[data.split.validation] += 100.0
    config = TrainMotionConfig.model_validate(CMG | {"epochs": 1, "standardise": True})
    motion = replace(data.motion, latents=latents)
    decoder = fit_decoder(config, motion, SHAPES, data.split, machine(tmp_path)).decoder
    assert isinstance(decoder, MotionNetwork)
    torch.testing.assert_close(decoder.first_scaler.mean, latents[rows, 0].mean(0))
    torch.testing.assert_close(decoder.first_scaler.scale, latents[rows, 0].std(0, correction=0))
    torch.testing.assert_close(decoder.later_scaler.mean, latents[rows, 1:].mean(0))


def test_the_last_figures_are_computed_without_dropout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[tuple[bool, bool]] = []

    def noted(task: MotionTask) -> dict[str, float]:
        modes.append((task.training, torch.is_grad_enabled()))
        return {"p": 1.0}

    monkeypatch.setattr(MotionTask, "conclude", noted)
    fit("motion", CMG | {"epochs": 1}, tmp_path, 1.0)
    assert modes == [(False, False)]


def test_validation_starts_from_decoded_first_frames_if_any_are_used() -> None:
    data = planted().motion
    for choice, wanted in (("true", data.latents[:, 0]), ("decoded", data.decoded), ("both", data.decoded)):
        config = TrainMotionConfig.model_validate(CMG | {"first_frames": choice})
        task = MotionTask(build("motion", config.spec(), SHAPES), data, config).eval()
        assert torch.equal(task._first(data, data.latents[:, 0]), wanted), choice


def test_share_of_the_text_in_the_contrastive_loss() -> None:
    data = planted().semantic
    other = replace(data, image=data.image.flip(0))
    losses = {}
    for share in (0.0, 0.3, 1.0):
        config = TrainSemanticConfig(head_widths=(8,), text_share=share)
        with fresh_weights(0):
            task = SemanticTask(build("semantic", config.spec(), SHAPES), data, config).eval()
        with torch.no_grad():
            losses[share] = [
                float(task._losses(one, one.responses, one.text[:, 0], one.image[:, 0])["contrast"])
                for one in (data, other)
            ]
    assert losses[1.0][0] == losses[1.0][1], "with all the weight on the text the image does not matter"
    assert losses[0.0][0] != pytest.approx(losses[0.0][1], rel=1e-3)
    assert losses[0.3][1] == pytest.approx(0.3 * losses[1.0][1] + 0.7 * losses[0.0][1])


def test_hidden_frames_are_drawn_in_every_step_or_once() -> None:
    data = planted().motion
    drawn: dict[str, list[torch.Tensor]] = {}
    for draws in ("step", "once"):
        config = TrainMotionConfig.model_validate(
            {"mask_draws": draws, "width": 8, "heads": 2, "feedforward": 8, "fmri_width": 10}
        )
        task = MotionTask(build("motion", config.spec(), SHAPES), data, config)  # type: ignore[arg-type]
        before = torch.get_rng_state()
        drawn[draws] = [task._visible() for _ in range(30)]
        assert torch.equal(before, torch.get_rng_state()) == (draws == "once")
    assert len({mask.numpy().tobytes() for mask in drawn["step"]}) > 1
    assert len({mask.numpy().tobytes() for mask in drawn["once"]}) == 1
    other = TrainMotionConfig(seed=1, mask_draws="once", keep_visible=0.5)
    seeds = {
        MotionTask(task.decoder, data, other.model_copy(update={"seed": seed}))._visible().numpy().tobytes()
        for seed in range(12)
    }
    assert len(seeds) > 1


def test_zeroes_accumulate_over_epochs_as_released() -> None:
    responses, rows = torch.rand(40, 500) + 1, torch.arange(40)
    left = [accumulated_zeros(responses, 0.2, epoch, rows, seed=3) != 0 for epoch in range(12)]
    for epoch, kept in enumerate(left):
        assert float(kept.float().mean()) == pytest.approx(0.8 ** (epoch + 1), abs=0.015)
        assert not (kept & ~left[max(epoch - 1, 0)]).any(), "what is zeroed stays zeroed"
    # A clip loses the same entries wherever it stands in a batch.
    part = accumulated_zeros(responses[[7, 3]], 0.2, 4, torch.tensor([7, 3]), seed=3)
    assert torch.equal(part != 0, left[4][[7, 3]])
    assert not torch.equal(accumulated_zeros(responses, 0.2, 4, rows, seed=4) != 0, left[4])


def test_the_loop_tells_which_clips_and_epoch_it_is_at(tmp_path: Path) -> None:
    options = {"epochs": 60, "batch_size": 25, "learning_rate": 3e-3, "l1_penalty": 0.0, "width": 32}
    options |= {"zero_fraction": 0.3, "select": "last"}
    for folder in ("often", "good"):
        (tmp_path / folder).mkdir()
    often = fit("structure", options, tmp_path / "often", signal=1.0)
    for_good = fit("structure", options | {"zero_draws": "accumulate"}, tmp_path / "good", signal=1.0)
    # Nothing is left of the responses after some epochs: the mean is learned, at best.
    assert often.facts["train_loss"] < for_good.facts["train_loss"]
    assert 0.7**60 < 1e-9 and for_good.history["train_loss"].iloc[-1] > for_good.history["train_loss"].min()
