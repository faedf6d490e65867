"""CLIP and SigLIP models from transformers folders."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from mindanim.backbones.pretrained import READING_FAILED, load_configuration, load_network, unreadable
from mindanim.backbones.processors import load_preprocess
from mindanim.errors import InputError

if TYPE_CHECKING:
    from mindanim.backbones.weights.find import Weights

_WIDTHS = {
    "clip": lambda config: config.projection_dim,
    "siglip": lambda config: config.vision_config.hidden_size,
}
"""Features of the shared space, by model_type."""


class TransformersClip:
    """A `ClipBackbone`."""

    def __init__(
        self, weights: Weights, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        from transformers import AutoModel

        self.weights = weights
        self.device = torch.device(device)
        self.dtype = dtype or torch.float32
        self.dim = width_of(weights)
        self.model = load_network(AutoModel, weights, self.device, self.dtype)
        self._preprocess = load_preprocess(weights)

    @property
    def image_size(self) -> int:
        """Side in pixels that images are resized to."""
        return int(self.model.config.vision_config.image_size)

    @torch.inference_mode()
    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """(image, channel, height, width) in [0, 1], any size -> (image, feature) float32, length 1."""
        pixels = self._preprocess(images.to(self.device, torch.float32)).to(self.dtype)
        return _unit(self.model.get_image_features(pixel_values=pixels))

    @torch.inference_mode()
    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts -> (text, feature) float32, length 1; longer texts are cut to the model's context length."""
        tokens = self.tokenizer(
            texts,
            padding="max_length",  # SigLIP was trained so; to CLIP, what follows the last token is invisible
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        return _unit(self.model.get_text_features(**tokens.to(self.device)))

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer in the model's folder."""
        from transformers import AutoTokenizer

        make: Any = AutoTokenizer.from_pretrained
        try:
            return make(self.weights.path, local_files_only=True, trust_remote_code=False)
        except READING_FAILED as error:
            raise unreadable(self.weights, self.weights.path, "tokenizer", error) from error


def width_of(weights: Weights) -> int:
    """Features of the space shared by image and text, from the model's configuration alone.

    Raises:
        InputError: It is neither a CLIP nor a SigLIP.
    """
    config = load_configuration(weights)
    if config.model_type not in _WIDTHS:
        raise InputError(
            f"{weights.path / 'config.json'} is not that of a CLIP model.",
            why=f"Its model_type is {config.model_type}; supported: {', '.join(_WIDTHS)}.",
            hint="Name a CLIP or SigLIP model, or an open_clip folder (with open_clip_config.json).",
        )
    return int(_WIDTHS[config.model_type](config))


def _unit(features: Any) -> torch.Tensor:
    # A tensor in the first versions of transformers 5, the pooled output of a tower in later ones.
    embedding = features if isinstance(features, torch.Tensor) else features.pooler_output
    return torch.nn.functional.normalize(embedding.float(), dim=-1)
