"""SSIM, PSNR and hue against skimage and OpenCV called as the released code calls them."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from skimage.metrics import structural_similarity

from mindanim.metrics import pixel
from tests.metrics.films import noise, panned, texture


def released_hue(first, second):
    """RGB arrays through BGR2HSV, hue planes, cosine."""
    planes = [cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[:, :, 0] / 360.0 for image in (first, second)]
    return np.sum(planes[0] * planes[1]) / math.sqrt(np.sum(planes[0] ** 2) * np.sum(planes[1] ** 2))


def released_psnr(first, second):
    error = np.mean((first / 1.0 - second / 1.0) ** 2)
    return 100 if error < 1e-10 else 20 * math.log10(255 / math.sqrt(error))


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
    scores = pixel.score(pixel.describe(truth), pixel.describe(recon))
    ssim = [
        structural_similarity(one, other, data_range=255, channel_axis=-1)
        for one, other in zip(recon, truth, strict=True)
    ]
    psnr = [released_psnr(one, other) for one, other in zip(recon, truth, strict=True)]
    assert scores["ssim.rgb7"] == pytest.approx(np.mean(ssim), abs=1e-9)
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


def test_a_perfect_reconstruction_reaches_the_bounds():
    truth = pixel.describe(panned(texture(np.random.default_rng(1)), (1, 0)))
    assert pixel.score(truth, truth) == pytest.approx(
        {"ssim.rgb7": 1, "psnr.db": 100, "hue.cosine": 1, "hue.pearson": 1, "hue.circular": 1}
    )


def test_hue_agreement_ignores_the_order_of_the_channels_and_wraps_round():
    rng = np.random.default_rng(2)
    truth, recon = (panned(texture(rng), (0, 0), frames=2) for _ in range(2))
    same = pixel.hue_agreement(pixel.describe(truth), pixel.describe(recon))
    swapped = pixel.hue_agreement(
        *(pixel.describe(np.ascontiguousarray(clip[..., ::-1])) for clip in (truth, recon))
    )
    # Only OpenCV's rounding to 2 degrees differs.
    assert swapped == pytest.approx(same, abs=0.01)
    nearly_red = np.zeros((1, 8, 8, 3), np.uint8)
    nearly_red[..., 0] = 255
    both_sides = [nearly_red.copy(), nearly_red.copy()]
    both_sides[0][..., 1], both_sides[1][..., 2] = 20, 20  # about 5 degrees to either side of red
    assert pixel.hue_agreement(*map(pixel.describe, both_sides))[0] > 0.98


def test_undefined_hues():
    rng = np.random.default_rng(3)
    colour = panned(texture(rng), (0, 0), frames=2)
    gray = np.full_like(colour, 128)
    gray_recon = pixel.score(pixel.describe(colour), pixel.describe(gray))
    assert (gray_recon["hue.cosine"], gray_recon["hue.pearson"], gray_recon["hue.circular"]) == (0, 0, 0)
    gray_truth = pixel.score(pixel.describe(gray), pixel.describe(colour))
    assert all(math.isnan(gray_truth[name]) for name in ("hue.cosine", "hue.pearson", "hue.circular"))
    half = np.concatenate([gray[:1], colour[1:]])
    # Only the frame with colour counts.
    assert pixel.score(pixel.describe(half), pixel.describe(colour))["hue.circular"] == pytest.approx(1)


def test_frames_smaller_than_the_window_have_no_ssim():
    small = pixel.describe(noise(np.random.default_rng(4), 2, 6, 20, 3))
    assert "ssim.rgb7" not in pixel.score(small, small)
    with pytest.raises(ValueError, match="at least 7"):
        pixel.ssim(small, small)
