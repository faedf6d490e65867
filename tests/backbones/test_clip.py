"""The CLIP backbone against open_clip's own transform and encoders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from mindanim.backbones import Weights, clip_width, load_clip, locate
from mindanim.errors import InputError
from tests.tiny import tiny_clip_folder


def pictures(height: int, width: int, count: int = 3) -> np.ndarray:
    """Smooth, contrasty uint8 images (image, height, width, rgb)."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (count * 8, 8, 3), dtype=np.uint8))
    return np.array(small.resize((width, count * height), Image.Resampling.BICUBIC)).reshape(
        count, height, width, 3
    )


def tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (45, 80), (20, 16)])
@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_same_embedding_as_the_reference_transform(tmp_path: Path, size: tuple[int, int], mode: str) -> None:
    folder = tiny_clip_folder(tmp_path)
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["preprocess_cfg"]["resize_mode"] = mode
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    images = pictures(*size)
    with torch.no_grad():
        expected = model.encode_image(
            torch.stack([transform(Image.fromarray(image)) for image in images]), True
        )
    embedded = load_clip(str(folder)).embed_images(tensor(images))
    # Pillow rounds to bytes after resizing, tensors do not: up to 1/510 per pixel.
    resized = size != (32, 32)
    torch.testing.assert_close(embedded, expected, atol=3e-3 if resized else 1e-5, rtol=0)


def test_texts_are_open_clips(clip_folder: Path) -> None:
    backbone = load_clip(str(clip_folder))
    texts = ["a red ball", "unheard-of words, and more of them than fit in there", ""]
    model = open_clip.create_model(f"local-dir:{clip_folder}").eval()
    with torch.no_grad():
        tokens = open_clip.get_tokenizer(f"local-dir:{clip_folder}")(texts)
        expected = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(backbone.embed_texts(texts), expected)
    assert (backbone.dim, backbone.image_size) == (16, 32)


def test_width_is_known_before_the_model_is_loaded(clip_folder: Path, tmp_path: Path) -> None:
    assert clip_width(locate(str(clip_folder), "clip")) == 16
    large = Weights("large", "clip", tmp_path, (), "0" * 64, 0, architecture=("ViT-L-14", "openai"))
    assert clip_width(large) == 768
    (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {}}')
    with pytest.raises(InputError, match="embed_dim"):
        clip_width(Weights("mute", "clip", tmp_path, ("open_clip_config.json",), "0" * 64, 0))


def test_unit_length_and_batch_parity(clip_folder: Path) -> None:
    backbone = load_clip(str(clip_folder))
    images = tensor(pictures(40, 60, 5))
    whole = backbone.embed_images(images)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(whole, torch.cat([backbone.embed_images(image[None]) for image in images]))
    texts = ["a ball", "the sea", "a large red box over the sea"]
    alone = torch.cat([backbone.embed_texts([text]) for text in texts])
    torch.testing.assert_close(backbone.embed_texts(texts), alone)


def test_half_precision(clip_folder: Path) -> None:
    exact, half = load_clip(str(clip_folder)), load_clip(str(clip_folder), dtype=torch.bfloat16)
    images = tensor(pictures(40, 60))
    cosines = (exact.embed_images(images) * half.embed_images(images)).sum(1)
    assert half.embed_texts(["a"]).dtype == torch.float32 and cosines.min() > 0.999


def test_incomplete_weights_are_refused(clip_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(clip_folder, broken)
    state = load_file(broken / "open_clip_model.safetensors")
    state.pop("visual.proj")
    save_file(state, broken / "open_clip_model.safetensors")
    with pytest.raises(InputError, match="visual.proj"):
        load_clip(str(broken))


def test_unreadable_weights_are_refused(clip_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(clip_folder, broken)
    (broken / "open_clip_model.safetensors").write_bytes(b"half a download")
    with pytest.raises(InputError, match="readable CLIP"):
        load_clip(str(broken))


def test_architecture_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip_folder: Path) -> None:
    """``ARCHITECTURE@FILE`` builds open_clip's own architecture and reads the file's weights into it."""
    config = json.loads((clip_folder / "open_clip_config.json").read_text())["model_cfg"]
    config["text_cfg"] |= {"hf_tokenizer_name": None, "vocab_size": 49408}
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "Tiny-Test.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "configs")
    torch.manual_seed(0)
    model = open_clip.create_model("Tiny-Test").eval()
    file = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), file)
    backbone = load_clip(f"Tiny-Test@{file}")
    with torch.no_grad():
        expected = model.encode_text(open_clip.get_tokenizer("Tiny-Test")(["a cat"]), normalize=True)
    torch.testing.assert_close(backbone.embed_texts(["a cat"]), expected)
