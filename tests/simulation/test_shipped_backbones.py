"""The shipped backbones: complete, small, readable offline, and as good as their card says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.demo_backbones import quality
from mindanim.backbones import load_clip, load_diffusion, load_image_classifier, load_video_classifier
from mindanim.backbones.weights.find import DEMO
from mindanim.simulation import world

CLIPS = 60
MARGINS = {"vae_psnr_db": 1.0, "vae_ssim": 0.02}
"""How far a small sample may be below the card: about three standard errors."""


@pytest.fixture(scope="module")
def record() -> dict[str, dict[str, float]]:
    told: dict[str, dict[str, float]] = json.loads((DEMO / "training.json").read_text(encoding="utf-8"))
    return told


def margin(name: str, value: float, n: int) -> float:
    return MARGINS.get(name, 3 * float(np.sqrt(max(value * (1 - value), 0.02) / n)))


def test_the_set_stays_small_and_holds_no_pickle() -> None:
    files = [file for file in DEMO.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 30e6
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".md", ".txt"}


def test_the_card_tells_what_was_measured(record: dict[str, dict[str, float]]) -> None:
    assert set(record["quality"]) == set(quality.REQUIRED)
    card = (DEMO / "MODEL_CARD.md").read_text(encoding="utf-8")
    for name, value in record["quality"].items():
        assert f"{value:.3g}" in card, name
    assert set(record["networks"]) == {"diffusion", "clip", "image_classifier", "video_classifier"}


@pytest.mark.parametrize("name", ["clip_retrieval_top1", "image_classifier_top1", "video_classifier_top1"])
def test_the_judges_are_good_enough(name: str, record: dict[str, dict[str, float]]) -> None:
    assert record["quality"][name] >= quality.REQUIRED[name]


def test_a_small_sample_is_as_good_as_the_card_says(record: dict[str, dict[str, float]]) -> None:
    again = {
        **quality.autoencoder(DEMO, CLIPS),
        "image_classifier_top1": quality.image_accuracy(DEMO, CLIPS),
        "video_classifier_top1": quality.video_accuracy(DEMO, CLIPS),
        "samples_top1": quality.sample_accuracy(DEMO, 16),
    }
    for name, value in again.items():
        claimed = record["quality"][name]
        n = 16 if name == "samples_top1" else CLIPS
        assert value >= claimed - margin(name, claimed, n), (name, value, claimed)


def test_clip_finds_captions_among_three_hundred(record: dict[str, dict[str, float]]) -> None:
    claimed = record["quality"]["clip_retrieval_top1"]
    assert quality.retrieval(DEMO, 300) >= claimed - margin("clip_retrieval_top1", claimed, 300)


def test_the_parts_fit_together() -> None:
    diffusion, clip = load_diffusion("demo"), load_clip("demo")
    image, video = load_image_classifier("demo"), load_video_classifier("demo")
    assert diffusion.frame_size == clip.image_size == 64
    assert diffusion.latent_shape[1:] == (8, 8)
    assert diffusion.max_tokens == 20
    assert len(image.labels) == len(world.OBJECTS) * len(world.BACKGROUNDS) >= 53
    assert len(video.labels) == len(world.OBJECTS) * len(world.MOTIONS) >= 53
    assert video.frames == 8
    latents = diffusion.encode_frames(torch.from_numpy(_frames(64)).movedim(-1, 1).float() / 255)
    assert latents.std().item() == pytest.approx(1, abs=0.15), "scaled latents should have unit variance"
    states = diffusion.encode_text(
        ["a large red ball over a green field", "a small blue car over the sea"], 20
    )
    assert (states[0, 0] - states[1, 0]).abs().max() < 1e-5, "BOS is the same for every caption"
    assert (states[0] - states[1]).abs().max() > 0.1


def test_captions_are_words_and_unknown_words_fall_to_pieces() -> None:
    tokenizer = load_diffusion("demo").tokenizer  # type: ignore[attr-defined]
    longest = 0
    for seed in range(200):
        caption = world.sample_scene(np.random.default_rng(seed)).caption()
        assert len(tokenizer.tokenize(caption)) == len(caption.split())
        longest = max(longest, len(tokenizer(caption).input_ids))
    assert longest <= 20
    assert len(tokenizer.tokenize("zebra")) > 1


def test_motion_is_no_part_of_the_image_model() -> None:
    """Its text encoder gives every clip of a scene one condition, whatever moves."""
    diffusion = load_diffusion("demo")
    shot = world.sample_scene(np.random.default_rng(0))
    captions = {world.Scene(**(vars(shot) | {"motion": m})).caption() for m in range(len(world.MOTIONS))}
    assert len(captions) == 1
    assert diffusion.encode_text([*captions], 20).shape == (1, 20, diffusion.text_width)


def _frames(count: int) -> np.ndarray:
    shots = [world.sample_scene(np.random.default_rng(3_000_000 + i)) for i in range(count)]
    return np.concatenate([world.render(shot, [1.0]).frames for shot in shots])


def test_files_are_half_precision_safetensors() -> None:
    from safetensors import safe_open

    for file in sorted(Path(DEMO).rglob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
        assert kinds <= {"F16", "I64"}, file
