from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import shift

from mindanim.config.train import TrainMotionConfig
from mindanim.decoders import build
from mindanim.decoders.base import Shapes
from mindanim.decoders.fit import fit_decoder
from mindanim.decoders.ridge.linear_decoders import MotionRidge
from mindanim.decoders.ridge.motion_transport import GAINS, MotionTransport, carry, motion_field
from mindanim.decoders.training_examples import MotionExamples
from mindanim.decoders.validation_split import Split
from tests.decoders.planted import SHAPES, machine

SIZE = 16


def moving_blobs(velocity: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clips ``(clip, frame, channel, row, column)`` of a blob with a velocity ``(clip, 2)`` in cells per
    step."""
    axis = np.arange(SIZE)
    start = SIZE / 2 + rng.uniform(-2, 2, (len(velocity), 2))
    contrast = rng.choice((-1.0, 1.0), (len(velocity), 2))
    frames = []
    for step in range(4):
        x, y = (start + step * velocity).T
        distance = (axis - x[:, None, None]) ** 2 + (axis[:, None] - y[:, None, None]) ** 2
        frames.append(contrast[:, :, None, None] * np.exp(-distance / 18)[:, None])
    return np.stack(frames, axis=1).astype(np.float32)


def last_of_six_segments_validates(
    responses: np.ndarray, latents: torch.Tensor
) -> tuple[MotionExamples, Split]:
    """180 clips with known first frames."""
    segments = np.repeat([f"seg{segment}" for segment in range(6)], 30)
    split = Split(np.arange(150), np.arange(150, 180), np.arange(0), segments, "the last segment")
    examples = MotionExamples(
        responses=torch.from_numpy(responses.astype(np.float32)),
        fit=torch.from_numpy(split.fit),
        validation=torch.from_numpy(split.validation),
        latents=latents,
        decoded=latents[:, 0],
    )
    return examples, split


def test_motion_field_finds_the_velocity() -> None:
    rng = np.random.default_rng(0)
    velocity = rng.uniform(-0.6, 0.6, (80, 2))
    latents = torch.from_numpy(moving_blobs(velocity, rng))
    field = motion_field(latents, SIZE, smoothing=0.01) * SIZE
    assert field.shape == (80, 2, SIZE, SIZE)
    middle = field[:, :, 6:10, 6:10].mean((2, 3)).numpy()
    np.testing.assert_allclose(middle, velocity, atol=0.1)
    coarse = motion_field(latents, 8, smoothing=0.01)
    assert coarse.shape == (80, 2, 8, 8)
    np.testing.assert_allclose(coarse[:, :, 3:5, 3:5].mean((2, 3)).numpy() * SIZE, velocity, atol=0.25)


def test_still_clips_do_not_move() -> None:
    latents = torch.randn(3, 1, 2, 8, 8).expand(3, 4, 2, 8, 8)
    assert float(motion_field(latents, 8, 0.5).abs().max()) < 1e-6


@pytest.mark.parametrize(("dx", "dy"), [(2, 0), (0, -1), (1.5, 0.5)])
def test_carry_is_scipys_shift(dx: float, dy: float) -> None:
    first = torch.randn(2, 3, 8, 8)
    field = torch.tensor([dx, dy]).reshape(1, 2, 1, 1).expand(2, 2, 4, 4) / 8
    moved = carry(first, field, 2)
    for step in (1, 2):
        expected = shift(first.numpy(), (0, 0, step * dy, step * dx), order=1, mode="nearest")
        np.testing.assert_allclose(moved[:, step - 1].numpy(), expected, atol=1e-5)


def test_the_field_is_interpolated_between_the_centres_of_its_cells() -> None:
    """On a ramp, what is sampled tells where: each column's place less the shift there."""
    columns = np.arange(16) + 0.5
    first = torch.from_numpy(columns.astype(np.float32)).expand(1, 1, 16, 16)
    speeds = np.array([0.5, -1.0, 2.0, 0.5])
    field = torch.zeros(1, 2, 4, 4)
    field[0, 0] = torch.from_numpy(speeds) / 16
    moved = carry(first, field, 1)[0, 0, 0, 8].numpy()
    expected = columns - np.interp(columns, [2, 6, 10, 14], speeds)
    np.testing.assert_allclose(moved, np.clip(expected, 0.5, 15.5), atol=1e-5)


def test_transport_decodes_motion_that_ridge_on_latents_cannot(tmp_path: object) -> None:
    # The change of a latent is velocity times contrast: linear in neither. The responses know the velocity
    # only.
    rng = np.random.default_rng(1)
    velocity = rng.uniform(-0.8, 0.8, (180, 2))
    latents = torch.from_numpy(moving_blobs(velocity, rng)).flatten(2)
    responses = velocity @ rng.standard_normal((2, 20)) + 0.3 * rng.standard_normal((180, 20))
    examples, split = last_of_six_segments_validates(responses, latents)
    shapes = Shapes(response=(1, 20), latents=(4, 2, SIZE, SIZE))
    scores = {
        decoder: fit_decoder(
            TrainMotionConfig.model_validate({"decoder": decoder, "target": "difference"}),
            examples,
            shapes,
            split,
            machine(tmp_path),  # type: ignore[arg-type]
        ).facts["val_score"]
        for decoder in ("transport", "ridge")
    }
    assert scores["transport"] > 0.6 and scores["ridge"] < 0.3


def test_gain_scales_decoded_differences() -> None:
    made = [
        build("motion", {"decoder": "ridge", "target": "difference", "difference_gain": gain}, SHAPES)
        for gain in (1.0, 3.0)
    ]
    for decoder in made:
        assert isinstance(decoder, MotionRidge)
        decoder.later_map.offset.copy_(torch.linspace(-1, 1, 3 * SHAPES.latent_size))
    responses, first = torch.zeros(2, *SHAPES.response), torch.randn(2, *SHAPES.latent)
    plain, large = (decoder.predict(responses, first) - first[:, None] for decoder in made)
    torch.testing.assert_close(large, 3 * plain, rtol=1e-4, atol=1e-5)


def test_gain_scales_the_decoded_field() -> None:
    plain, large = (
        build("motion", {"decoder": "transport", "grid": (4, 4), "gain": gain}, SHAPES) for gain in (1.0, 2.5)
    )
    for decoder in (plain, large):
        assert isinstance(decoder, MotionTransport)
        decoder.field_map.offset.copy_(torch.linspace(-0.1, 0.1, 32))
    responses = torch.zeros(2, SHAPES.features)
    assert isinstance(plain, MotionTransport) and isinstance(large, MotionTransport)
    torch.testing.assert_close(large.field(responses), 2.5 * plain.field(responses))


def test_gain_is_chosen_on_the_clips_that_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    velocity = rng.uniform(-0.8, 0.8, (180, 2))
    latents = torch.from_numpy(moving_blobs(velocity, rng)).flatten(2)
    examples, split = last_of_six_segments_validates(velocity, latents)
    judged: list[torch.Tensor] = []

    def noted(predicted: torch.Tensor, true: torch.Tensor) -> float:
        judged.append(true)
        return float(len(judged) == 4)  # the fourth candidate is the best

    monkeypatch.setattr("mindanim.decoders.ridge.motion_transport.pooled_correlation", noted)
    shapes = Shapes(response=(1, 2), latents=(4, 2, SIZE, SIZE))
    fitted = fit_decoder(TrainMotionConfig(decoder="transport"), examples, shapes, split, machine(tmp_path))
    assert fitted.facts["gain"] == GAINS[3] == fitted.decoder.spec["gain"]
    change = latents[:150, 1:] - latents[:150, :1]
    assert all(torch.equal(true, change) for true in judged[: len(GAINS)])
