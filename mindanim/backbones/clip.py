"""CLIP models through open_clip: folders, hub ids, architecture and tag, or architecture and file."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch

from mindanim.backbones.pixels import Preprocessing, interpolation
from mindanim.backbones.pretrained import READING_FAILED, unreadable
from mindanim.backbones.processors import Preprocess, agree, pictures
from mindanim.backbones.torchscript import is_torchscript, read_torchscript
from mindanim.errors import ConfigError, InputError, MissingError

if TYPE_CHECKING:
    from pathlib import Path

    from mindanim.backbones.weights.find import Weights

_EXPORTED = {"input_resolution", "context_length", "vocab_size"}
"""Sizes of the model among the tensors of OpenAI's files."""


class OpenClip:
    """A `ClipBackbone`."""

    def __init__(
        self, weights: Weights, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self.weights = weights
        self.device = torch.device(device)
        self.dtype = dtype or torch.float32
        self.model = self._load().to(device=self.device, dtype=self.dtype).eval().requires_grad_(False)
        self.dim = width_of(weights)
        self._preprocess = _preprocessing(self.model, weights.name)

    @property
    def image_size(self) -> int:
        """Side in pixels that images are resized to."""
        size = self.model.visual.image_size
        return int(size[0] if isinstance(size, tuple | list) else size)

    @torch.inference_mode()
    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """(image, channel, height, width) in [0, 1], any size -> (image, feature) float32, length 1."""
        pixels = self._preprocess(images.to(self.device, torch.float32))
        return _unit(self.model.encode_image(pixels.to(self.dtype)))

    @torch.inference_mode()
    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts -> (text, feature) float32, length 1; longer texts are cut to the model's context length."""
        return _unit(self.model.encode_text(self.tokenizer(texts).to(self.device)))

    @cached_property
    def tokenizer(self) -> Any:
        """open_clip's tokenizer of this model."""
        import open_clip

        source = open_clip.get_model_config(self._schema).get("text_cfg", {}).get("hf_tokenizer_name")
        options = {"local_files_only": True, "trust_remote_code": False} if source else {}
        try:
            return open_clip.get_tokenizer(self._schema, **options)
        except READING_FAILED as error:
            there = self.weights.architecture is None
            raise MissingError(
                f"The tokenizer of {self.weights.name} is not complete on this machine.",
                why=f"Its configuration names the tokenizer {source!r}, of transformers.",
                hint=f"Put its files (tokenizer.json, tokenizer_config.json) into {self.weights.path}"
                if there
                else f"On a machine with a network: hf download {source}",
            ) from error

    @property
    def _schema(self) -> str:
        return self.weights.architecture[0] if self.weights.architecture else f"local-dir:{self.weights.path}"

    def _load(self) -> Any:
        import open_clip

        try:
            if self.weights.architecture:
                return _load_file(self.weights, *self.weights.architecture)
            return open_clip.create_model(self._schema, require_pretrained=True, weights_only=True)
        except READING_FAILED as error:
            if not self.weights.architecture:
                raise unreadable(self.weights, self.weights.path, "CLIP model", error) from error
            file = self.weights.path / self.weights.files[0]
            why = " ".join(str(error).split())[:300]
            hint = "Name the architecture that the weights belong to, as ARCHITECTURE@FILE."
            if isinstance(error, UnpicklingError) and "weights_only" in str(error):
                found = re.search(r"GLOBAL (\S+)", str(error))
                why = f"It also holds {found[1] if found else 'objects'}; only tensors are ever loaded."
                hint = (
                    "If you trust the file, save its tensors alone. In Python: torch.save(torch.load("
                    f"{str(file)!r}, weights_only=False)['state_dict'], 'tensors.pt')"
                )
            raise InputError(
                f"{file} does not hold a readable {self.weights.architecture[0]}.", why=why, hint=hint
            ) from error


def _load_file(weights: Weights, architecture: str, tag: str) -> Any:
    """An architecture of open_clip with the weights of a file, which states no activation and no size."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    file = weights.path / weights.files[0]
    state = _stored(file)
    exported = state.keys() & _EXPORTED
    tagged = get_pretrained_cfg(architecture, tag)
    options: dict[str, Any] = {
        # OpenAI, whose exports state these sizes, trained all its models with this activation.
        "force_quick_gelu": bool(exported or tagged.get("quick_gelu")),
        # The tag's training settings; open_clip applies them only if it downloads the weights itself.
        "force_preprocess_cfg": tagged,
    }
    if exported or is_torchscript(file):
        model = open_clip.create_model(architecture, load_weights=False, pretrained_text=False, **options)
        own = {name: value for name, value in state.items() if name not in exported}
        model.load_state_dict({name: value for name, value in own.items() if not name.endswith("attn_mask")})
    else:
        model = open_clip.create_model(
            architecture, str(file), require_pretrained=True, weights_only=True, **options
        )
    built = model.state_dict()
    if not exported and not tag and f"{architecture}-quickgelu" in open_clip.list_models():
        _refuse_unclear(file, architecture, built["token_embedding.weight"])
    for name in state.keys() & built.keys():
        if name.endswith("positional_embedding") and state[name].shape != built[name].shape:
            raise InputError(
                f"{file} is of another size than {architecture}.",
                why=f"{name} has {len(state[name])} positions, not {len(built[name])}.",
                hint="Name the architecture that the weights were trained in, for example ViT-L-14-336.",
            )
    return model


def _refuse_unclear(file: Path, architecture: str, weights: torch.Tensor) -> None:
    """Refuse weights that fit in half precision, as OpenAI published its own, under a name of plain GELU."""
    if torch.equal(weights, weights.half().float()):
        raise ConfigError(
            f"{file} does not tell the activation that it was trained with.",
            why="Its weights fit in half precision, as OpenAI's do; those need quick GELU, which "
            f"{architecture} does not have.",
            hint=f"Name {architecture}/openai@{file} if they are OpenAI's, or {architecture}/TAG@{file} with "
            "the tag of what they were trained like",
        )


def _stored(file: Path) -> dict[str, torch.Tensor]:
    """The tensors in `file`; only their names and shapes unless OpenAI exported them."""
    if file.suffix in (".npz", ".npy"):  # weights of big_vision, which open_clip converts
        return {}
    if is_torchscript(file):
        return read_torchscript(file)
    if file.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(file, framework="pt") as content:
            shapes = {name: content.get_slice(name).get_shape() for name in content.keys()}  # noqa: SIM118
        return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    for place in ("meta", "cpu"):
        state: Any = torch.load(file, map_location=place, weights_only=True)
        state = state.get("state_dict", state)
        if not state.keys() & _EXPORTED:
            break
    return {name.removeprefix("module."): value for name, value in state.items()}


def width_of(weights: Weights) -> int:
    """Features of the space shared by image and text, from the model's configuration alone.

    Raises:
        InputError: It does not state them.
    """
    if weights.architecture:
        import open_clip

        return int(open_clip.get_model_config(weights.architecture[0])["embed_dim"])
    path = weights.path / "open_clip_config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["embed_dim"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not state the model's embed_dim.", why=str(error)) from error


def _preprocessing(model: Any, name: str) -> Preprocess:
    """open_clip's own transform of images: by tensor operations if these do the same, else one by one."""
    from open_clip import get_model_preprocess_cfg
    from open_clip.transform import PreprocessCfg, image_transform_v2

    config = get_model_preprocess_cfg(model)
    try:
        transform: Any = image_transform_v2(PreprocessCfg(**config), is_train=False)
    except (AssertionError, TypeError, ValueError) as error:
        raise InputError(
            f"open_clip cannot prepare images for {name}.",
            why=f"Its preprocess_cfg: {config}. {error}",
            hint="Correct preprocess_cfg in open_clip_config.json.",
        ) from error
    side = config["size"]
    size = (side, side) if isinstance(side, int) else tuple(side)
    squashed = config.get("resize_mode") == "squash"
    try:
        quick = Preprocessing(
            size=size if squashed else size[0],
            crop=None if squashed else size,
            mean=tuple(config["mean"]),
            std=tuple(config["std"]),
            interpolation=interpolation(config["interpolation"]),
        )
    except InputError:  # another filter
        return TransformCall(transform)

    def on_floats(images: torch.Tensor) -> torch.Tensor:
        return torch.stack([transform(image) for image in images])

    return quick if agree(quick, on_floats) else TransformCall(transform)


class TransformCall:
    """A transform of single pictures, given as bytes, the form that it was made for."""

    def __init__(self, transform: Any) -> None:
        self._transform = transform

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(image, channel, height, width) float in [0, 1] -> the same, as the transform makes it."""
        return torch.stack([self._transform(picture) for picture in pictures(images)]).to(images.device)


def _unit(features: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(features.float(), dim=-1)
