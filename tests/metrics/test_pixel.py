"""SSIM, PSNR and hue against skimage and OpenCV called as the released code calls them."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from mindanim.metrics.families import pixel
from tests.metrics.films import noise, panned, scores_of, texture


def released_hue(first, second):
    """RGB arrays through BGR2HSV, hue planes, cosine."""
    planes = [cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[:, :, 0] / 360.0 for image in (first, second)]
    return np.sum(planes[0] * planes[1]) / math.sqrt(np.sum(planes[0] ** 2) * np.sum(planes[1] ** 2))


def released_psnr(first, second):
    error = np.mean((first / 1.0 - second / 1.0) ** 2)
    return 100 if error < 1e-10 else 20 * math.log10(255 / math.sqrt(error))


def agreement(first, second):
    return scores_of(first, second, "pixel")["hue.circular"]


def pairs():
    rng = np.random.default_rng(0)
    film = panned(texture(rng), (2, 1))
    shifted = panned(texture(rng), (-1, 2))
    wide = noise(rng, 2, 40, 56, 3)
    yield "films", film, shifted
    yield "same", film, film.copy()
    yield (
        "nearly same",
        film,
        np.clip(film.astype(int) + rng.integers(-2, 3, film.shape), 0, 255).astype(np.uint8),
    )
    yield "noise", film, noise(rng, *film.shape)
    yield "not square", wide, wide[:, ::-1].copy()
    yield "extremes", np.zeros((1, 16, 16, 3), np.uint8), np.full((1, 16, 16, 3), 255, np.uint8)


@pytest.mark.parametrize(
    ("name", "truth", "recon"), list(pairs()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_ssim_and_psnr_equal_the_released_calls(name, truth, recon):
    scores = scores_of(truth, recon, "pixel")
    ssim = [
        structural_similarity(one, other, data_range=255, channel_axis=-1)
        for one, other in zip(recon, truth, strict=True)
    ]
    psnr = [released_psnr(one, other) for one, other in zip(recon, truth, strict=True)]
    assert scores["ssim.rgb7"] == pytest.approx(np.mean(ssim), abs=1e-6)
    assert scores["psnr.db"] == pytest.approx(np.mean(psnr), abs=1e-9)
    if name != "extremes":
        hue = [released_hue(one, other) for one, other in zip(recon, truth, strict=True)]
        assert scores["hue.cosine"] == pytest.approx(np.mean(hue), abs=1e-9)
        planes = [
            [cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[..., 0].ravel().astype(float) for image in pair]
            for pair in zip(recon, truth, strict=True)
        ]
        correlation = [np.corrcoef(*pair)[0, 1] for pair in planes]
        assert scores["hue.pearson"] == pytest.approx(np.mean(correlation), abs=1e-9)


@pytest.mark.parametrize("size", [64, 300])
def test_the_other_forms_of_ssim_equal_skimage_called_as_they_were(size):
    rng = np.random.default_rng(9)
    first, second = (panned(texture(rng, size), (1, 0), 2, size) for _ in range(2))
    scores = scores_of(first, second, "pixel")
    wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": -1}
    expected = {
        "ssim.rgb7": [
            structural_similarity(*pair, channel_axis=-1, data_range=255)
            for pair in zip(first, second, strict=True)
        ],
        "ssim.gaussian11": [
            structural_similarity(*pair, data_range=255, **wang) for pair in zip(first, second, strict=True)
        ],
        "ssim.graycol": [
            structural_similarity(rgb2gray(one), rgb2gray(other), data_range=1.0, **wang)
            for one, other in zip(first, second, strict=True)
        ],
    }
    for name, values in expected.items():
        assert scores[name] == pytest.approx(np.mean(values), abs=1e-6), name


def test_pixels_without_a_hue_are_counted():
    rng = np.random.default_rng(3)
    colour = panned(texture(rng), (0, 0), frames=2)
    half = colour.copy()
    half[:, :, :32] = 77
    scores = scores_of(colour, half, "pixel")
    assert scores[pixel.GRAY_TRUTH] < 0.02
    assert 0.5 <= scores[pixel.GRAY_RECON] < 0.52


def test_a_perfect_reconstruction_reaches_the_bounds():
    truth = panned(texture(np.random.default_rng(1)), (1, 0))
    found = {name: score for name, score in scores_of(truth, truth, "pixel").items() if "no_hue" not in name}
    assert len(found) == 7 and found == pytest.approx(dict.fromkeys(found, 1.0) | {"psnr.db": 100})


def test_hue_agreement_ignores_the_order_of_the_channels_and_wraps_round():
    rng = np.random.default_rng(2)
    truth, recon = (panned(texture(rng), (0, 0), frames=2) for _ in range(2))
    same = agreement(truth, recon)
    swapped = agreement(*(np.ascontiguousarray(clip[..., ::-1]) for clip in (truth, recon)))
    # Only OpenCV's rounding to 2 degrees differs.
    assert swapped == pytest.approx(same, abs=0.01)
    nearly_red = np.zeros((1, 8, 8, 3), np.uint8)
    nearly_red[..., 0] = 255
    both_sides = [nearly_red.copy(), nearly_red.copy()]
    both_sides[0][..., 1], both_sides[1][..., 2] = 20, 20  # about 5 degrees to either side of red
    assert agreement(*both_sides) > 0.98


def test_undefined_hues():
    rng = np.random.default_rng(3)
    colour = panned(texture(rng), (0, 0), frames=2)
    gray = np.full_like(colour, 128)
    gray_recon = scores_of(colour, gray, "pixel")
    assert (gray_recon["hue.cosine"], gray_recon["hue.pearson"], gray_recon["hue.circular"]) == (0, 0, 0)
    gray_truth = scores_of(gray, colour, "pixel")
    assert all(math.isnan(gray_truth[name]) for name in ("hue.cosine", "hue.pearson", "hue.circular"))
    half = np.concatenate([gray[:1], colour[1:]])
    # Only the frame with colour counts.
    assert scores_of(half, colour, "pixel")["hue.circular"] == pytest.approx(1)


def test_frames_smaller_than_the_window_have_no_ssim():
    small, medium = (noise(np.random.default_rng(4), 2, height, 20, 3) for height in (6, 8))
    assert "ssim.rgb7" not in scores_of(small, small, "pixel")
    assert {"ssim.rgb7"} == {name for name in scores_of(medium, medium, "pixel") if name.startswith("ssim")}
