"""The captioner against transformers used directly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import Blip2ForConditionalGeneration, Blip2Processor

from mindanim.backbones import load_captioner
from mindanim.backbones.captioner import PROMPT
from tests.backbones.test_clip import pictures, tensor
from tests.tiny import tiny_captioner_folder


@pytest.fixture(scope="module")
def captioner_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_captioner_folder(tmp_path_factory.mktemp("captioner"))


def test_captions_are_those_of_transformers(captioner_folder: Path) -> None:
    images = pictures(40, 48)
    images[0], images[1] = 0, 255
    processor = Blip2Processor.from_pretrained(captioner_folder)
    model = Blip2ForConditionalGeneration.from_pretrained(captioner_folder).eval()
    expected = []
    for image in images:
        inputs = processor(images=Image.fromarray(image), text=PROMPT, return_tensors="pt")
        answer = model.generate(**inputs, max_new_tokens=30, do_sample=False)
        expected.append(processor.decode(answer[0], skip_special_tokens=True).strip())
    captions = load_captioner(str(captioner_folder)).caption(tensor(images))
    assert captions == expected
    assert captions[0] != captions[1] and all(captions)


def test_half_precision_runs(captioner_folder: Path) -> None:
    captioner = load_captioner(str(captioner_folder), dtype=torch.bfloat16)
    assert len(captioner.caption(tensor(pictures(32, 32)))) == 3
