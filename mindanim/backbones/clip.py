"""CLIP models through open_clip: folders, hub ids, architecture and tag, or architecture and file."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from mindanim.backbones.pixels import Preprocessing, interpolation
from mindanim.backbones.pretrained import READING_FAILED, unreadable
from mindanim.errors import InputError

if TYPE_CHECKING:
    from mindanim.backbones.weights.find import Weights


class OpenClip:
    """A `ClipBackbone`."""

    def __init__(
        self, weights: Weights, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self.weights = weights
        self.device = torch.device(device)
        self.dtype = dtype or torch.float32
        self.model = self._load().to(device=self.device, dtype=self.dtype).eval().requires_grad_(False)
        self._preprocess = _preprocessing(self.model)

    @property
    def dim(self) -> int:
        """Features of the shared space."""
        projection = self.model.text_projection
        return int(projection.shape[-1] if isinstance(projection, torch.Tensor) else projection.out_features)

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

        return open_clip.get_tokenizer(self._schema)

    @property
    def _schema(self) -> str:
        return self.weights.architecture[0] if self.weights.architecture else f"local-dir:{self.weights.path}"

    def _load(self) -> Any:
        import open_clip
        from open_clip.pretrained import get_pretrained_cfg

        arguments: dict[str, Any] = {"require_pretrained": True, "weights_only": True}
        if self.weights.architecture:
            arguments["pretrained"] = str(self.weights.path / self.weights.files[0])
            if tagged := get_pretrained_cfg(*self.weights.architecture):
                # The tag's training settings; open_clip applies them only if it downloads the weights itself.
                arguments["force_preprocess_cfg"] = tagged
                arguments["force_quick_gelu"] = bool(tagged.get("quick_gelu"))
        try:
            return open_clip.create_model(self._schema, **arguments)
        except READING_FAILED as error:
            raise unreadable(self.weights, self.weights.path, "CLIP model", error) from error


def width_of(weights: Weights) -> int:
    """Features of the space shared by image and text, from the model's configuration alone."""
    if weights.architecture:
        import open_clip

        return int(open_clip.get_model_config(weights.architecture[0])["embed_dim"])
    path = weights.path / "open_clip_config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["embed_dim"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not state the model's embed_dim.", why=str(error)) from error


def _preprocessing(model: Any) -> Preprocessing:
    import open_clip

    config = open_clip.get_model_preprocess_cfg(model)
    side = config["size"]
    size = (side, side) if isinstance(side, int) else tuple(side)
    mode = config.get("resize_mode", "shortest")
    if mode not in ("shortest", "squash") or (mode == "shortest" and len(set(size)) > 1):
        raise InputError(f"The CLIP model resizes images to {size} by {mode!r}, which is not supported.")
    return Preprocessing(
        size=size if mode == "squash" else size[0],
        crop=None if mode == "squash" else size,
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        interpolation=interpolation(config["interpolation"]),
    )


def _unit(features: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(features.float(), dim=-1)
