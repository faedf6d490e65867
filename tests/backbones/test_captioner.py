"""The captioner against transformers used directly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import Blip2ForConditionalGeneration, Blip2Processor

from mindanim.backbones import load_captioner
from mindanim.backbones.captioner import PROMPT
from mindanim.errors import InputError
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


def test_an_answer_does_not_repeat_the_question(tmp_path: Path) -> None:
    """A decoder alone, such as OPT, gives the prompt back before its answer."""
    folder = tiny_captioner_folder(tmp_path, language="opt")
    images = pictures(40, 48)
    processor = Blip2Processor.from_pretrained(folder)
    model = Blip2ForConditionalGeneration.from_pretrained(folder).eval()
    inputs = processor(images=list(images), text=[PROMPT] * 3, return_tensors="pt")
    whole = model.generate(**inputs, max_new_tokens=30, do_sample=False)
    answers = processor.batch_decode(whole[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert "Question" in processor.decode(whole[0])
    assert load_captioner(str(folder)).caption(tensor(images)) == [text.strip() for text in answers]


def test_a_processor_that_does_not_show_the_picture_is_refused(
    captioner_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(captioner_folder, tmp_path / "older"))
    config = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps(config | {"num_query_tokens": None}))
    with pytest.raises(InputError, match="does not show pictures"):
        load_captioner(str(folder))


def test_another_network_is_not_a_captioner(captioner_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(captioner_folder, tmp_path / "blip"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "blip"}))
    with pytest.raises(InputError, match="not a BLIP-2"):
        load_captioner(str(folder))


def test_the_search_is_greedy_whatever_the_folder_prefers(captioner_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(captioner_folder, tmp_path / "beams"))
    config = json.loads((folder / "generation_config.json").read_text())
    config |= {"num_beams": 4, "length_penalty": -9.0}
    (folder / "generation_config.json").write_text(json.dumps(config))
    greedy, beams = (load_captioner(str(path)) for path in (captioner_folder, folder))
    images = tensor(pictures(40, 48))
    assert beams.caption(images) == greedy.caption(images)


def test_half_precision_runs(captioner_folder: Path) -> None:
    captioner = load_captioner(str(captioner_folder), dtype=torch.bfloat16)
    assert len(captioner.caption(tensor(pictures(32, 32)))) == 3
