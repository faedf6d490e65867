"""Features in batches, against one call for everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mindanim.backbones import load_clip, load_diffusion
from mindanim.stimuli import backbone_features as features
from mindanim.stimuli.augment import crop_views
from mindanim.vocabulary.arrays import to_tensor

IDS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(params=[1, 7, 10**6])
def _limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images, and texts, per network call."""
    monkeypatch.setattr(features, "pixels_at_once", lambda device: 32 * 32 * request.param)
    monkeypatch.setattr(features, "_TEXTS", request.param)


@pytest.mark.usefixtures("_limit")
def test_latents(models: dict[str, str], frames: np.ndarray) -> None:
    diffusion = load_diffusion(models["diffusion"])
    latents = features.frame_latents(diffusion, to_tensor(frames))
    flat = torch.from_numpy(frames.reshape(12, 32, 32, 3)).permute(0, 3, 1, 2) / 255
    expected = diffusion.encode_frames(flat).reshape(3, 4, 4, 4, 4)
    assert latents.dtype == np.float16
    np.testing.assert_allclose(latents, expected, atol=2e-3)


@pytest.mark.usefixtures("_limit")
def test_image_views(models: dict[str, str], frames: np.ndarray) -> None:
    clip, pixels = load_clip(models["clip"]), to_tensor(frames)
    views = features.image_views(clip, pixels, IDS, 3, 0.75, seed=5)
    assert views.shape == (3, 3, 16) and views.dtype == np.float32
    np.testing.assert_allclose(views[:, 0], clip.embed_images(pixels[:, 1]), atol=1e-5)
    crops = crop_views(pixels[:, 1], IDS, 2, 0.75, seed=5)
    np.testing.assert_allclose(views[2, 1:], clip.embed_images(crops[2]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(views, axis=-1), 1, atol=1e-5)
    np.testing.assert_array_equal(features.image_views(clip, pixels, IDS, 1, 0.75, 5).shape, (3, 1, 16))


@pytest.mark.usefixtures("_limit")
def test_texts_are_encoded_once_and_put_in_their_places(models: dict[str, str]) -> None:
    clip, diffusion = load_clip(models["clip"]), load_diffusion(models["diffusion"])
    captions = [["a red ball", "red ball"], ["the sea", "a red ball"], ["a red ball", ""]]
    views = features.text_views(clip, captions)
    for clip_views, row in zip(captions, views, strict=True):
        np.testing.assert_allclose(row, clip.embed_texts(clip_views), atol=1e-5)
    tokens = features.text_conditions(diffusion, [row[0] for row in captions], 12)
    assert tokens.shape == (3, 12, 16) and tokens.dtype == np.float16
    np.testing.assert_array_equal(tokens[0], tokens[2])
    np.testing.assert_allclose(tokens[1], diffusion.encode_text(["the sea"], 12)[0], atol=2e-3)
    np.testing.assert_array_equal(tokens[:, 0], np.broadcast_to(tokens[0, 0], (3, 16)))  # BOS
