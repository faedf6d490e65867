"""CLIP models in the forms that people have: settings of folders, transformers, single files, archives."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from argparse import Namespace
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
import transformers as tf
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file

from mindanim.backbones import clip_width, load_clip, locate
from mindanim.backbones.clip import OpenClip, TransformCall
from mindanim.backbones.clip_transformers import TransformersClip
from mindanim.backbones.pixels import Preprocessing
from mindanim.backbones.torchscript import is_torchscript, read_torchscript
from mindanim.errors import ConfigError, InputError, MissingError
from tests.backbones.test_clip import pictures, tensor
from tests.tiny import tiny_clip_folder, tiny_clip_tokenizer

TEXTS = ["a red ball", "the sea, and then a box over and over: longer than the context of any tiny model is"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def variant(folder: Path, made: Path, preprocess: dict[str, Any], **model: Any) -> Path:
    """The tiny folder with other settings, and new weights where these need other shapes."""
    shutil.copytree(folder, made)
    config = json.loads((made / "open_clip_config.json").read_text())
    config["preprocess_cfg"] |= preprocess
    for name, value in model.items():
        before = config["model_cfg"].get(name)
        config["model_cfg"][name] = before | value if isinstance(before, dict) else value
    (made / "open_clip_config.json").write_text(json.dumps(config))
    if model:
        torch.manual_seed(0)
        other = open_clip.create_model(f"local-dir:{made}", load_weights=False)
        state = {key: value.contiguous() for key, value in other.state_dict().items()}
        save_file(state, made / "open_clip_model.safetensors")
    return made


SIGLIP = {
    "custom_text": True,
    "init_logit_bias": -10.0,
    "text_cfg": {
        "context_length": 12,
        "no_causal_mask": True,
        "pool_type": "last",
        "proj_bias": True,
        "tokenizer_kwargs": {"clean": "canonicalize"},
    },
}
HALVES = {"mean": [0.5] * 3, "std": [0.5] * 3}
FOLDERS: dict[str, tuple[dict[str, Any], dict[str, Any], type]] = {
    "bilinear": ({"interpolation": "bilinear"}, {}, Preprocessing),
    "longest edge": ({"resize_mode": "longest", "fill_color": 127}, {}, TransformCall),
    "not normalised": ({"mean": [0, 0, 0], "std": [1, 1, 1]}, {}, Preprocessing),
    "quick GELU": ({}, {"quick_gelu": True}, Preprocessing),
    "not square": ({}, {"vision_cfg": {"image_size": [32, 48]}}, TransformCall),
    "SigLIP": (HALVES | {"resize_mode": "squash"}, SIGLIP, Preprocessing),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_of_open_clip_are_read_as_open_clip_reads_them(
    name: str, clip_folder: Path, tmp_path: Path
) -> None:
    preprocess, model_cfg, path = FOLDERS[name]
    folder = variant(clip_folder, tmp_path / "made", preprocess, **model_cfg)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    images = pictures(45, 61)
    with torch.no_grad():
        pixels = torch.stack([transform(Image.fromarray(image)) for image in images])
        expected = model.eval().encode_image(pixels, normalize=True)
        tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(TEXTS)
        words = model.encode_text(tokens, normalize=True)
    backbone = load_clip(f"local-dir:{folder}")
    assert isinstance(backbone, OpenClip) and type(backbone._preprocess) is path
    exact = path is TransformCall
    torch.testing.assert_close(
        backbone.embed_images(tensor(images)), expected, atol=1e-5 if exact else 3e-3, rtol=0
    )
    torch.testing.assert_close(backbone.embed_texts(TEXTS), words)
    assert backbone.dim == clip_width(backbone.weights) == expected.shape[1]


def transformers_clip(folder: Path) -> None:
    tokenizer = tiny_clip_tokenizer(20)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = SMALL | ids | {"vocab_size": len(tokenizer), "max_position_embeddings": 20}
    vision = SMALL | {"image_size": 32, "patch_size": 8}
    tf.CLIPModel(tf.CLIPConfig(vision_config=vision, text_config=text, projection_dim=12)).save_pretrained(
        folder
    )
    square = {"height": 32, "width": 32}
    tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=square).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def transformers_siglip(folder: Path) -> None:
    tokenizer = tiny_clip_tokenizer(20)
    text = SMALL | {"vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 16}
    vision = SMALL | {"image_size": 32, "patch_size": 8}
    tf.SiglipModel(tf.SiglipConfig(vision_config=vision, text_config=text)).save_pretrained(folder)
    tf.SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    tokenizer.model_input_names = ["input_ids"]  # as published: padding is attended to
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("make", "width", "tokens"), [(transformers_clip, 12, 20), (transformers_siglip, 16, 16)]
)
def test_folders_of_transformers(
    make: Callable[[Path], None], width: int, tokens: int, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    make(tmp_path)
    model = tf.AutoModel.from_pretrained(tmp_path).eval()
    images = pictures(32, 32)
    pixels = tf.AutoImageProcessor.from_pretrained(tmp_path)(list(images), return_tensors="pt")
    tokenizer = tf.AutoTokenizer.from_pretrained(tmp_path)
    text = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=tokens, return_tensors="pt")
    with torch.no_grad():
        expected = model(**pixels, **text)
    backbone = load_clip(str(tmp_path))
    assert isinstance(backbone, TransformersClip)
    torch.testing.assert_close(
        backbone.embed_images(tensor(images)), expected.image_embeds, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(backbone.embed_texts(TEXTS), expected.text_embeds)
    assert (backbone.dim, backbone.image_size, clip_width(backbone.weights)) == (width, 32, width)


def test_another_network_of_transformers_is_not_a_clip(image_classifier_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(image_classifier_folder, tmp_path / "vit"))
    tiny_clip_tokenizer(20).save_pretrained(folder)
    with pytest.raises(InputError, match="model_type is vit"):
        load_clip(str(folder))


def test_a_missing_tokenizer_says_where_its_files_go(clip_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(clip_folder, tmp_path / "mute"))
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(MissingError, match="tokenizer.json"):
        load_clip(str(folder)).embed_texts(["a"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny model with OpenAI's activation, under architectures with and without it."""
    folder = tiny_clip_folder(tmp_path_factory.mktemp("tiny"))
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    config["text_cfg"] |= {"hf_tokenizer_name": None, "vocab_size": 49408}
    configs = tmp_path_factory.mktemp("configs")
    for name, change in (("Tiny-Plain", {}), ("Tiny-Plain-quickgelu", {"quick_gelu": True})):
        (configs / f"{name}.json").write_text(json.dumps(config | change))
    config["vision_cfg"]["image_size"] = 64
    (configs / "Tiny-Wide.json").write_text(json.dumps(config))
    open_clip.add_model_config(configs)
    torch.manual_seed(0)
    return open_clip.create_model("Tiny-Plain-quickgelu").eval()


def exported(model: Any) -> Any:
    """As OpenAI exports one: half precision, with its sizes among the tensors."""
    export = deepcopy(model)
    for name, value in (("input_resolution", 32), ("context_length", 20), ("vocab_size", 49408)):
        if hasattr(export, name):
            delattr(export, name)
        export.register_buffer(name, torch.tensor(value))
    for parameter in export.parameters():
        parameter.data = parameter.data.half().float()
    return export


def embedded(model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    transform: Any = image_transform_v2(PreprocessCfg(size=32), is_train=False)
    with torch.no_grad():
        images = torch.stack([transform(Image.fromarray(image)) for image in pictures(45, 61)])
        words = open_clip.get_tokenizer("Tiny-Plain")(TEXTS)
        return model.encode_image(images, normalize=True), model.encode_text(words, normalize=True)


@pytest.mark.filterwarnings("ignore")  # tracing is deprecated, but the archives are there
def test_openais_archives_are_read_with_openais_activation(trained: Any, tmp_path: Path) -> None:
    model = exported(trained)
    expected = embedded(model)
    inputs = (torch.rand(1, 3, 32, 32), torch.zeros(1, 20, dtype=torch.long))
    torch.jit.trace(model, inputs, check_trace=False).save(str(tmp_path / "archive.pt"))
    torch.save(model.state_dict(), tmp_path / "tensors.pt")
    assert is_torchscript(tmp_path / "archive.pt") and not is_torchscript(tmp_path / "tensors.pt")
    for file in ("archive.pt", "tensors.pt"):
        backbone = load_clip(f"tiny-plain@{tmp_path / file}")
        torch.testing.assert_close(
            backbone.embed_images(tensor(pictures(45, 61))), expected[0], atol=3e-3, rtol=0
        )
        torch.testing.assert_close(backbone.embed_texts(TEXTS), expected[1])
    with pytest.raises(InputError, match=r"readable Tiny-Wide(?s:.)*Name the architecture"):
        load_clip(f"Tiny-Wide@{tmp_path / 'archive.pt'}")


def test_code_in_an_archive_never_runs(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (open, (str(tmp_path / "ran"), "w"))

    with zipfile.ZipFile(tmp_path / "evil.pt", "w") as archive:
        archive.writestr("evil/constants.pkl", b"")
        archive.writestr("evil/data.pkl", pickle.dumps({"a": Evil()}))
    with pytest.raises(pickle.UnpicklingError, match="it names"):
        read_torchscript(tmp_path / "evil.pt")
    with pytest.raises(InputError, match="it names"):
        load_clip(f"RN50@{tmp_path / 'evil.pt'}")
    assert not (tmp_path / "ran").exists()


def test_objects_beside_the_tensors_are_named_with_a_way_out(trained: Any, tmp_path: Path) -> None:
    """A checkpoint of a training script, which keeps its command line."""
    file = tmp_path / "epoch.pt"
    torch.save({"state_dict": trained.state_dict(), "args": Namespace(lr=1.0)}, file)
    with pytest.raises(InputError, match="argparse.Namespace") as caught:
        load_clip(f"Tiny-Plain-quickgelu@{file}")
    made: dict[str, Any] = {"torch": torch}
    command = caught.value.hint.partition("In Python: ")[2].replace(
        "tensors.pt", str(tmp_path / "tensors.pt")
    )
    exec(command, made)
    backbone = load_clip(f"Tiny-Plain-quickgelu@{tmp_path / 'tensors.pt'}")
    torch.testing.assert_close(backbone.embed_texts(TEXTS), embedded(trained)[1])


@pytest.mark.filterwarnings("ignore")
def test_tensors_beyond_an_archives_data_are_refused(trained: Any, tmp_path: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 3), torch.rand(1, 2)).save(str(tmp_path / "whole.pt"))
    assert read_torchscript(tmp_path / "whole.pt")["weight"].shape == (3, 2)
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as whole,
        zipfile.ZipFile(tmp_path / "short.pt", "w") as short,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            short.writestr(name, content[:4] if "/data/" in name else content)
    with pytest.raises(RuntimeError):
        read_torchscript(tmp_path / "short.pt")


def test_weights_in_half_precision_need_a_tag_to_say_their_activation(trained: Any, tmp_path: Path) -> None:
    model = exported(trained)
    state = {name: value for name, value in model.state_dict().items() if value.ndim or name == "logit_scale"}
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match="Tiny-Plain/openai@"):
        load_clip(f"Tiny-Plain@{tmp_path / 'w.safetensors'}")
    backbone = load_clip(f"Tiny-Plain-quickgelu@{tmp_path / 'w.safetensors'}")
    torch.testing.assert_close(backbone.embed_texts(TEXTS), embedded(model)[1])


def test_positions_are_never_interpolated(trained: Any, tmp_path: Path) -> None:
    torch.save({"state_dict": {f"module.{k}": v for k, v in trained.state_dict().items()}}, tmp_path / "w.pt")
    with pytest.raises(InputError, match="17 positions, not 65"):
        load_clip(f"Tiny-Wide@{tmp_path / 'w.pt'}")


def test_a_published_file_is_known_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under any file name; its tag brings activation and preprocessing."""
    file = tmp_path / "renamed.bin"
    file.write_bytes(b"weights")
    monkeypatch.setattr(
        "mindanim.backbones.weights.clip_names.file_sha256",
        lambda path: "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
    )
    assert locate(f"ViT-B/32@{file}", "clip").architecture == ("ViT-B-32", "openai")
    assert locate(str(file), "clip").architecture == ("ViT-B-32", "openai")
    with pytest.raises(ConfigError, match="weights of ViT-B-32, not of ViT-L-14"):
        locate(f"ViT-L-14@{file}", "clip")


def test_a_file_states_its_architecture_or_its_folder_does(clip_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(clip_folder, tmp_path / "model"))
    file = folder / "open_clip_model.safetensors"
    with pytest.raises(InputError, match=rf"ViT-B-32@{file}"):
        locate(str(file), "clip")
    with pytest.raises(ConfigError, match=rf"Name the folder: {folder}"):
        locate(f"ViT-B-32@{file}", "clip")
    assert locate(f"ViT-B/32/openai@{file}", "clip").architecture == ("ViT-B-32", "openai")


def test_pixels_of_odd_margins_are_cut_as_each_library_does() -> None:
    ramp = torch.arange(7.0).expand(1, 3, 4, 7) / 10
    arguments: Any = (None, (4, 4), (0.0,), (1.0,), "bilinear")
    assert np.allclose(Preprocessing(*arguments, floor=True)(ramp)[0, 0, 0], [0.1, 0.2, 0.3, 0.4])
    assert np.allclose(Preprocessing(*arguments)(ramp)[0, 0, 0], [0.2, 0.3, 0.4, 0.5])
