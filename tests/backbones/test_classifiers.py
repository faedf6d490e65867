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
from tests.tiny import tiny_video_classifier_folder


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


@pytest.mark.parametrize("frames", [2, 6, 8, 16])
def test_videomae_reads_clips_of_any_even_length(tmp_path: Path, frames: int) -> None:
    """Made for 16, as the published one; the reference is transformers with `num_frames` overridden."""
    folder = tiny_video_classifier_folder(tmp_path, frames=16)
    images = pictures(32, 32, count=frames)
    backbone = load_video_classifier(str(folder), frames=frames)
    assert (backbone.frames, backbone.trained_frames) == (frames, 16)
    logits, features = backbone.logits_and_features(tensor(images)[None])
    model = AutoModelForVideoClassification.from_pretrained(folder, num_frames=frames).eval()
    pixels = AutoImageProcessor.from_pretrained(folder)(list(images), return_tensors="pt")
    with torch.no_grad():
        torch.testing.assert_close(logits, model(**pixels).logits, atol=1e-5, rtol=0)
    assert features.shape == (1, 16)
    with pytest.raises(InputError, match=f"{frames} frames, not {frames + 2}"):
        backbone.logits(torch.rand(1, frames + 2, 3, 32, 32))


def test_the_first_half_of_a_clip_is_not_the_clip(tmp_path: Path) -> None:
    """Eight frames are read as eight, neither padded to sixteen nor repeated."""
    folder = str(tiny_video_classifier_folder(tmp_path, frames=16))
    clip = tensor(pictures(32, 32, count=8))[None]
    eight = load_video_classifier(folder, frames=8).logits(clip)
    for longer in (clip.repeat_interleave(2, dim=1), torch.cat((clip, clip), dim=1)):
        assert (load_video_classifier(folder, frames=16).logits(longer) - eight).abs().max() > 1e-4


def test_a_length_that_cannot_be_read_leaves_the_classifier_as_it_is(tmp_path: Path) -> None:
    folder = str(tiny_video_classifier_folder(tmp_path / "video", frames=16))
    assert load_video_classifier(folder, frames=7).frames == 16
    from transformers import TimesformerConfig, TimesformerForVideoClassification

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    learned = TimesformerConfig(image_size=32, patch_size=8, num_frames=16, **sizes)
    TimesformerForVideoClassification(learned).save_pretrained(tmp_path / "learned")
    shutil.copy(tmp_path / "video/preprocessor_config.json", tmp_path / "learned")
    assert load_video_classifier(str(tmp_path / "learned"), frames=8).frames == 16


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
