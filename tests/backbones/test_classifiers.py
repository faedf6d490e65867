"""Classifiers against the processors and models of transformers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoModelForVideoClassification,
)

from mindanim.backbones import load_image_classifier, load_video_classifier
from mindanim.backbones.pixels import Preprocessing
from mindanim.errors import InputError
from tests.backbones.test_clip import pictures, tensor


@pytest.mark.parametrize("size", [(32, 32), (48, 64), (24, 20)])
def test_image_logits_are_those_of_transformers(image_classifier_folder: Path, size: tuple[int, int]) -> None:
    images = pictures(*size)
    pixels = AutoImageProcessor.from_pretrained(image_classifier_folder)(list(images), return_tensors="pt")
    model = AutoModelForImageClassification.from_pretrained(image_classifier_folder).eval()
    with torch.no_grad():
        expected = model(**pixels).logits
    backbone = load_image_classifier(str(image_classifier_folder))
    logits = backbone.logits(tensor(images))
    torch.testing.assert_close(logits, expected, atol=1e-5 if size == (32, 32) else 5e-3, rtol=0)
    assert backbone.labels[:2] == ["class 0", "class 1"] and len(backbone.labels) == logits.shape[1] == 60


@pytest.mark.parametrize("size", [(32, 32), (48, 64)])
def test_video_logits_are_those_of_transformers(video_classifier_folder: Path, size: tuple[int, int]) -> None:
    clips = pictures(*size, count=16).reshape(2, 8, *size, 3)
    processor = AutoImageProcessor.from_pretrained(video_classifier_folder)
    pixels = processor([list(clip) for clip in clips], return_tensors="pt")
    model = AutoModelForVideoClassification.from_pretrained(video_classifier_folder).eval()
    with torch.no_grad():
        expected = model(**pixels).logits
    backbone = load_video_classifier(str(video_classifier_folder))
    logits = backbone.logits(tensor(clips.reshape(16, *size, 3)).reshape(2, 8, 3, *size))
    torch.testing.assert_close(logits, expected, atol=1e-5 if size == (32, 32) else 5e-3, rtol=0)
    alone = backbone.logits(tensor(clips[1])[None])
    torch.testing.assert_close(alone, logits[1:], atol=1e-6, rtol=1e-5)


def test_video_classifier_takes_its_own_number_of_frames(video_classifier_folder: Path) -> None:
    backbone = load_video_classifier(str(video_classifier_folder))
    assert backbone.frames == 8
    with pytest.raises(InputError, match="8 frames, not 6"):
        backbone.logits(torch.rand(1, 6, 3, 32, 32))


def test_older_processor_configs(image_classifier_folder: Path, tmp_path: Path) -> None:
    """Published ViT folders give the size as one number."""
    older = tmp_path / "older"
    shutil.copytree(image_classifier_folder, older)
    config = {
        "do_normalize": True,
        "do_resize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": 32,
    }
    (older / "preprocessor_config.json").write_text(json.dumps(config))
    images = tensor(pictures(40, 40))
    new = load_image_classifier(str(image_classifier_folder)).logits(images)
    torch.testing.assert_close(load_image_classifier(str(older)).logits(images), new)


def test_bicubic_overshoot_is_clipped_as_bytes_are() -> None:
    step = np.zeros((1, 3, 16, 16), np.float32)
    step[..., 8:] = 1
    resized = Preprocessing((40, 40), None, (0.0,), (1.0,), "bicubic")(torch.from_numpy(step))
    assert resized.min() == 0 and resized.max() == 1


def test_processors_that_do_something_else_are_refused() -> None:
    class Pads:
        do_resize, do_normalize, resample = True, True, 2
        size = {"longest_edge": 224}
        image_mean = image_std = (0.5, 0.5, 0.5)

    with pytest.raises(InputError, match="longest_edge"):
        Preprocessing.of_processor(Pads())
