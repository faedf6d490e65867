"""What networks are fed, against the processors of transformers, architecture by architecture."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from PIL import Image
from safetensors.torch import save_file

from mindanim.backbones import load_image_classifier, load_video_classifier
from mindanim.backbones.classifiers import TransformersImageClassifier, TransformersVideoClassifier
from mindanim.backbones.pixels import Preprocessing
from mindanim.backbones.processors import ProcessorCall
from mindanim.errors import InputError
from tests.backbones.test_clip import pictures, tensor

SIDE = 32
SQUARE = {"height": SIDE, "width": SIDE}
TINY = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
VIT = TINY | {"image_size": SIDE, "patch_size": 8, "num_labels": 7}
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "num_labels": 7}
Made = Callable[[], tuple[Any, Any]]


def vit(**settings: Any) -> Any:
    return tf.ViTForImageClassification(tf.ViTConfig(**VIT | settings))


def levit() -> Any:
    sizes = {"hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1]}
    return tf.LevitForImageClassification(
        tf.LevitConfig(image_size=SIDE, key_dim=[4, 4, 4], num_labels=7, **sizes)
    )


def mobilevit() -> Any:
    sizes = {"hidden_sizes": [8, 8, 8], "neck_hidden_sizes": [8, 8, 8, 8, 8, 8, 8], "num_attention_heads": 2}
    return tf.MobileViTForImageClassification(tf.MobileViTConfig(image_size=SIDE, num_labels=7, **sizes))


def efficientnet() -> Any:
    sizes = {"width_coefficient": 0.1, "depth_coefficient": 0.1, "hidden_dim": 128}
    return tf.EfficientNetForImageClassification(
        tf.EfficientNetConfig(image_size=SIDE, num_labels=7, **sizes)
    )


def resnet() -> Any:
    return tf.ResNetForImageClassification(tf.ResNetConfig(embedding_size=8, **STAGES))


def convnext() -> Any:
    return tf.ConvNextForImageClassification(tf.ConvNextConfig(**STAGES))


def poolformer() -> Any:
    return tf.PoolFormerForImageClassification(tf.PoolFormerConfig(**STAGES))


def imagegpt() -> Any:
    sizes = {"n_positions": 64, "n_embd": 16, "n_layer": 1, "n_head": 2}
    return tf.ImageGPTForImageClassification(tf.ImageGPTConfig(vocab_size=9, num_labels=7, **sizes))


def grid(length: int) -> list[list[float]]:
    return np.random.default_rng(0).uniform(-1, 1, (length, 3)).tolist()


EDGE, CROP = {"shortest_edge": SIDE}, {"crop_size": SQUARE}
IMAGES: dict[str, tuple[Callable[[], Any], Callable[[], Any], type]] = {
    "vit": (vit, lambda: tf.ViTImageProcessor(size=SQUARE), Preprocessing),
    "bicubic": (vit, lambda: tf.ViTImageProcessor(size=SQUARE, resample=3), Preprocessing),
    "edge and crop": (
        vit,
        lambda: tf.ViTImageProcessor(size={"shortest_edge": 36}, do_center_crop=True, **CROP),
        Preprocessing,
    ),
    "small and padded by the crop": (
        vit,
        lambda: tf.ViTImageProcessor(size={"height": 20, "width": 21}, do_center_crop=True, **CROP),
        Preprocessing,
    ),
    "no normalisation": (vit, lambda: tf.ViTImageProcessor(size=SQUARE, do_normalize=False), Preprocessing),
    "no rescaling": (vit, lambda: tf.ViTImageProcessor(size=SQUARE, do_rescale=False), ProcessorCall),
    "to -1..1": (
        vit,
        lambda: tf.ViTImageProcessor(size=SQUARE, rescale_factor=1 / 127.5, do_normalize=False),
        ProcessorCall,
    ),
    "Lanczos": (vit, lambda: tf.ViTImageProcessor(size=SQUARE, resample=1), ProcessorCall),
    "nearest": (vit, lambda: tf.ViTImageProcessor(size=SQUARE, resample=0), ProcessorCall),
    "longest edge": (
        vit,
        lambda: tf.ViTImageProcessor(
            size={"shortest_edge": SIDE, "longest_edge": 36}, do_center_crop=True, **CROP
        ),
        ProcessorCall,
    ),
    "padding": (
        vit,
        lambda: tf.ViTImageProcessor(size={"height": 20, "width": 24}, do_pad=True, pad_size=SQUARE),
        ProcessorCall,
    ),
    "crop_pct (ConvNeXT)": (
        convnext,
        lambda: tf.ConvNextImageProcessor(size=EDGE, crop_pct=0.875),
        ProcessorCall,
    ),
    "crop_pct (ResNet)": (resnet, lambda: tf.ConvNextImageProcessor(size=EDGE, crop_pct=0.8), ProcessorCall),
    "crop_pct (PoolFormer)": (
        poolformer,
        lambda: tf.PoolFormerImageProcessor(size=EDGE, crop_pct=0.9, **CROP),
        ProcessorCall,
    ),
    "256/224 (LeViT)": (levit, lambda: tf.LevitImageProcessor(size=EDGE, **CROP), ProcessorCall),
    "BGR (MobileViT)": (
        mobilevit,
        lambda: tf.MobileViTImageProcessor(size={"shortest_edge": 36}, **CROP),
        ProcessorCall,
    ),
    "include_top (EfficientNet)": (
        efficientnet,
        lambda: tf.EfficientNetImageProcessor(size=SQUARE),
        ProcessorCall,
    ),
    "rescale_offset (EfficientNet)": (
        efficientnet,
        lambda: tf.EfficientNetImageProcessor(
            size=SQUARE, rescale_offset=True, rescale_factor=1 / 127.5, include_top=False
        ),
        ProcessorCall,
    ),
    "colour clusters (ImageGPT)": (
        imagegpt,
        lambda: tf.ImageGPTImageProcessor(clusters=grid(8), size={"height": 8, "width": 8}),
        ProcessorCall,
    ),
}


def save(model: Any, processor: Any, folder: Path) -> Path:
    """Weights wide enough for the answer to depend on the picture."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_fed_as_the_processor_feeds_them(name: str, tmp_path: Path) -> None:
    make, processor, path = IMAGES[name]
    save(make(), processor(), tmp_path)
    images = pictures(45, 61)
    fed = tf.AutoImageProcessor.from_pretrained(tmp_path)(list(images), return_tensors="pt")
    with torch.no_grad():
        expected = tf.AutoModelForImageClassification.from_pretrained(tmp_path).eval()(**fed).logits
    backbone = load_image_classifier(str(tmp_path))
    assert isinstance(backbone, TransformersImageClassifier) and type(backbone._preprocess) is path
    (pixels,) = fed.values()
    # Tensor operations keep what the processor rounds to bytes after resizing, up to a level each way.
    level = 0 if path is ProcessorCall else 2 / 255 / min(getattr(backbone._preprocess, "std", [1]))
    torch.testing.assert_close(
        backbone._preprocess(tensor(images)), pixels, atol=level + 1e-5, rtol=0, check_dtype=False
    )
    logits = backbone.logits(tensor(images))
    spread = float(expected.std(dim=0).mean())
    torch.testing.assert_close(
        logits, expected, atol=(0.1 if level else 1e-3) * spread + 1e-6, rtol=1e-4 if not level else 0
    )


def test_models_of_timm_say_in_their_configuration_how_images_are_prepared(tmp_path: Path) -> None:
    """As the hub's timm/ repositories: without a preprocessor_config.json."""
    prepared = {"input_size": [3, 160, 160], "crop_pct": 0.95, "interpolation": "bicubic"}
    prepared |= {"mean": [0.5] * 3, "std": [0.5] * 3}
    config = {"architecture": "test_vit", "num_classes": 7, "pretrained_cfg": prepared}
    torch.manual_seed(0)
    made = tf.TimmWrapperForImageClassification(tf.TimmWrapperConfig.from_dict(config))
    save_file(
        {name: value.contiguous() for name, value in made.timm_model.state_dict().items()}, tmp_path / "w"
    )
    (tmp_path / "w").rename(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    images = pictures(45, 61)
    fed = tf.AutoImageProcessor.from_pretrained(tmp_path)([Image.fromarray(image) for image in images])
    with torch.no_grad():
        expected = made.eval()(**fed).logits
    torch.testing.assert_close(load_image_classifier(str(tmp_path)).logits(tensor(images)), expected)


def timesformer() -> Any:
    return tf.TimesformerForVideoClassification(tf.TimesformerConfig(num_frames=4, **VIT))


def vivit() -> Any:
    return tf.VivitForVideoClassification(tf.VivitConfig(num_frames=4, tubelet_size=[2, 8, 8], **VIT))


def vjepa() -> Any:
    sizes = {"patch_size": 8, "crop_size": SIDE, "frames_per_clip": 4, "num_pooler_layers": 1}
    inner = {
        f"pred_{name}": TINY[name] for name in ("hidden_size", "num_attention_heads", "num_hidden_layers")
    }
    return tf.VJEPA2ForVideoClassification(tf.VJEPA2Config(num_labels=7, **sizes, **TINY, **inner))


VIDEOS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "TimeSformer": (timesformer, lambda: tf.VideoMAEImageProcessor(size=EDGE, **CROP)),
    "TimeSformer, video processor": (timesformer, lambda: tf.TimesformerVideoProcessor(size=EDGE, **CROP)),
    "offset (ViViT)": (vivit, lambda: tf.VivitImageProcessor(size={"shortest_edge": 36}, **CROP)),
    "ViViT, video processor": (vivit, lambda: tf.VivitVideoProcessor(size={"shortest_edge": 36}, **CROP)),
    "V-JEPA 2": (vjepa, lambda: tf.VJEPA2VideoProcessor(size=EDGE, **CROP)),
    "no rescaling": (timesformer, lambda: tf.VideoMAEImageProcessor(size=EDGE, do_rescale=False, **CROP)),
    "samples frames": (
        timesformer,
        lambda: tf.TimesformerVideoProcessor(size=EDGE, do_sample_frames=True, num_frames=4, **CROP),
    ),
}


@pytest.mark.parametrize("name", VIDEOS)
def test_clips_are_fed_as_the_processor_feeds_them(name: str, tmp_path: Path) -> None:
    make, processor = VIDEOS[name]
    save(make(), processor(), tmp_path)
    clips = pictures(45, 61, count=8).reshape(2, 4, 45, 61, 3)
    films = (tmp_path / "video_preprocessor_config.json").exists()
    auto: Any = tf.AutoVideoProcessor if films else tf.AutoImageProcessor
    options = {"do_sample_frames": False} if films else {}
    reader = auto.from_pretrained(tmp_path)
    fed = [next(iter(reader(list(clip), return_tensors="pt", **options).values())) for clip in clips]
    with torch.no_grad():
        expected = tf.AutoModelForVideoClassification.from_pretrained(tmp_path).eval()(torch.cat(fed)).logits
    backbone = load_video_classifier(str(tmp_path))
    assert isinstance(backbone, TransformersVideoClassifier) and backbone.frames == 4
    given = torch.stack([tensor(clip) for clip in clips])
    exact = type(backbone._preprocess) is ProcessorCall
    torch.testing.assert_close(
        backbone._preprocess(given.flatten(0, 1)),
        torch.cat(fed).flatten(0, 1),
        atol=1e-5 if exact else 2 / 255 / 0.22,
        rtol=0,
    )
    logits, features = backbone.logits_and_features(given)
    spread = float(expected.std())
    torch.testing.assert_close(logits, expected, atol=(1e-4 if exact else 0.03) * spread, rtol=1e-4)
    assert features.shape == (2, 16)


def base_vit() -> Any:
    return tf.ViTModel(tf.ViTConfig(**VIT))


def pretrained_videomae() -> Any:
    decoder = {f"decoder_{name}": TINY[name] for name in TINY}
    return tf.VideoMAEForPreTraining(tf.VideoMAEConfig(num_frames=4, **VIT, **decoder))


def bert() -> Any:
    return tf.BertForSequenceClassification(tf.BertConfig(vocab_size=9, num_labels=7, **TINY))


def naflex() -> Any:
    vision = TINY | {"num_patches": 16, "patch_size": 8}
    return tf.Siglip2ForImageClassification(
        tf.Siglip2Config(vision_config=vision, text_config=TINY | {"vocab_size": 9}, num_labels=7)
    )


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "no head": (base_vit, "classifier.bias"),
    "regression": (lambda: vit(problem_type="regression"), "not a classifier"),
    "one output": (lambda: vit(num_labels=1), "not a classifier"),
    "text": (bert, "no such network"),
    "video": (timesformer, "no such network"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_do_not_classify_images_are_refused(name: str, tmp_path: Path) -> None:
    make, said = REFUSED[name]
    save(make(), tf.ViTImageProcessor(size=SQUARE), tmp_path)
    with pytest.raises(InputError) as caught:
        load_image_classifier(str(tmp_path))
    assert said in str(caught.value) and "fetch it again" not in str(caught.value)


def test_layers_that_the_configuration_leaves_out_are_missed(tmp_path: Path) -> None:
    save(vit(num_hidden_layers=3), tf.ViTImageProcessor(size=SQUARE), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(InputError, match=r"more layers than its config.json states, e.g. .*\.2\."):
        load_image_classifier(str(tmp_path))


@pytest.mark.parametrize(("make", "said"), [(pretrained_videomae, "classifier"), (vit, "how many frames")])
def test_networks_that_do_not_classify_clips_are_refused(make: Any, said: str, tmp_path: Path) -> None:
    save(make(), tf.VideoMAEImageProcessor(size=EDGE, **CROP), tmp_path)
    with pytest.raises(InputError, match=said):
        load_video_classifier(str(tmp_path))


@pytest.mark.parametrize("labels", [None, {"0": "cat", "5": "dog"}])
def test_labels_of_another_number_than_the_head_has_are_an_error(labels: Any, tmp_path: Path) -> None:
    save(vit(), tf.ViTImageProcessor(size=SQUARE), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"id2label": labels, "label2id": None}))
    with pytest.raises(InputError, match="(?s)classifier.bias is 7, not 2.*id2label"):
        load_image_classifier(str(tmp_path))


def test_a_processor_that_divides_by_zero_is_refused(tmp_path: Path) -> None:
    save(vit(), tf.ViTImageProcessor(size=SQUARE, image_std=[0.0, 0.2, 0.2]), tmp_path)
    with pytest.raises(InputError, match="image_std"):
        load_image_classifier(str(tmp_path))


def test_a_processor_that_gives_more_than_pixels_is_refused(tmp_path: Path) -> None:
    save(naflex(), tf.Siglip2ImageProcessor(max_num_patches=16, patch_size=8), tmp_path)
    with pytest.raises(InputError, match="spatial_shapes"):
        load_image_classifier(str(tmp_path))


def test_pictures_of_another_size_than_a_network_reads_are_an_error(tmp_path: Path) -> None:
    save(vit(), tf.ViTImageProcessor(do_resize=False), tmp_path)
    backbone = load_image_classifier(str(tmp_path))
    assert backbone.logits(tensor(pictures(SIDE, SIDE))).shape == (3, 7)
    with pytest.raises(InputError, match=r"\(3, 3, 48, 40\) input"):
        backbone.logits(tensor(pictures(48, 40)))


def test_code_in_a_models_folder_never_runs(tmp_path: Path) -> None:
    save(vit(), tf.ViTImageProcessor(size=SQUARE), tmp_path)
    (tmp_path / "theirs.py").write_text("raise SystemExit('ran')\n")
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="never run"):
        load_image_classifier(str(tmp_path))


def test_labels_are_numbers_where_there_are_no_names(tmp_path: Path) -> None:
    save(vit(), tf.ViTImageProcessor(size=SQUARE), tmp_path)
    backbone = load_image_classifier(str(tmp_path))
    assert isinstance(backbone, TransformersImageClassifier)
    backbone.model.config.id2label = {index: "a" for index in range(7) if index != 3}
    backbone.model.config.id2label[9] = "b"
    assert backbone.labels == ["a", "a", "a", "3", "a", "a", "a"]


@pytest.mark.parametrize("text", ["{", "[]", '{"image_processor_type": "NoneSuch"}'])
def test_an_unreadable_processor_is_an_error(text: str, tmp_path: Path) -> None:
    save(vit(), tf.ViTImageProcessor(size=SQUARE), tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(InputError, match="readable processor"):
        load_image_classifier(str(tmp_path))
