"""Stable Diffusion 1.x and 2.x, from a folder in the diffusers layout."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from mindanim.backbones.noise_schedule import noise_schedule
from mindanim.backbones.pretrained import READING_FAILED, load_network, unreadable
from mindanim.errors import ConfigError, InputError
from mindanim.runtime import free_bytes
from mindanim.vocabulary.limits import MEMORY_SHARE, pixels_at_once

if TYPE_CHECKING:
    from mindanim.backbones.weights.find import Weights


# Peak memory of the autoencoder per frame, in feature maps of its first width and the frame's size: the
# tensors alive together make 6.0 (tests/generation/test_memory.py), a process on a CPU grew by 6.3.
AUTOENCODER_MAPS = 7

_UNET, _VAE, _TEXT = "UNet2DConditionModel", "AutoencoderKL", "clip_text_model"
# Set in models with an input that nothing here gives: SDXL's sizes, a distilled model's guidance, a class.
_OTHER_CONDITIONS = (
    "addition_embed_type",
    "time_cond_proj_dim",
    "class_embed_type",
    "num_class_embeds",
    "encoder_hid_dim_type",
)
_SHIFTS = ("shift_factor", "latents_mean", "latents_std")


class StableDiffusion:
    """A `DiffusionBackbone`. Each network is loaded when it is first used."""

    def __init__(
        self, weights: Weights, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
    ) -> None:
        self.weights = weights
        self.dtype = dtype or torch.float32
        self._device = torch.device(device)
        self._unet_config = self._config("unet/config.json")
        self._vae_config = self._config("vae/config.json")
        self._text_config = self._config("text_encoder/config.json")
        self._check()

    @property
    def device(self) -> torch.device:
        """Device it computes on."""
        return self._device

    @property
    def frame_size(self) -> int:
        """Side of the square frames it was trained on, pixels."""
        return self._latent_side * self._factor

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channel, height, width) of the latent of one frame of `frame_size`."""
        return int(self._vae_config["latent_channels"]), self._latent_side, self._latent_side

    @property
    def frames_at_once(self) -> int:
        """Frames of `frame_size` to pass to the autoencoder together, by the memory that is free now."""
        pixels = self.frame_size**2
        frame = (
            AUTOENCODER_MAPS * int(self._vae_config["block_out_channels"][0]) * pixels * self.dtype.itemsize
        )
        most = pixels_at_once(self.device.type) // pixels
        return max(1, min(most, int(MEMORY_SHARE * free_bytes(self.device)) // frame))

    @property
    def text_width(self) -> int:
        """Features per token of the text condition."""
        return int(self._text_config["hidden_size"])

    @property
    def max_tokens(self) -> int:
        """Longest text condition allowed by both the tokenizer and the text encoder's positions."""
        return min(int(self.tokenizer.model_max_length), int(self._text_config["max_position_embeddings"]))

    @property
    def scaling_factor(self) -> float:
        """Factor between the autoencoder's latents and the diffusion model's."""
        # Early folders lack it; diffusers then assumes 0.18215.
        return float(self._vae_config.get("scaling_factor", 0.18215))

    @cached_property
    def scheduler_config(self) -> dict[str, Any]:
        """The model's noise schedule, from its scheduler_config.json."""
        file = "scheduler/scheduler_config.json"
        return noise_schedule(self._config(file), self.weights.path / file)

    @cached_property
    def unet(self) -> Any:
        """The noise predictor; it belongs to the caller of the loader."""
        from diffusers import UNet2DConditionModel

        return load_network(UNet2DConditionModel, self.weights, self.device, self.dtype, "unet")

    @cached_property
    def vae(self) -> Any:
        """The autoencoder (diffusers ``AutoencoderKL``)."""
        from diffusers import AutoencoderKL

        return load_network(AutoencoderKL, self.weights, self.device, self.dtype, "vae")

    @cached_property
    def text_encoder(self) -> Any:
        """The text encoder (transformers ``CLIPTextModel``)."""
        from transformers import CLIPTextModel

        return load_network(CLIPTextModel, self.weights, self.device, self.dtype, "text_encoder")

    @cached_property
    def tokenizer(self) -> Any:
        """The text encoder's tokenizer."""
        from transformers import CLIPTokenizer

        place = self.weights.path / "tokenizer"
        try:
            return CLIPTokenizer.from_pretrained(place, local_files_only=True)
        except READING_FAILED as error:  # a vocab.json without its merges.txt, among others
            raise unreadable(self.weights, place, "tokenizer", error) from error

    @torch.inference_mode()
    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames in [0, 1] -> scaled posterior means (frame, channel, height, width) float32."""
        if any(side % self._factor for side in frames.shape[-2:]):
            height, width = frames.shape[-2:]
            raise InputError(f"Frames of {height} x {width} px: sides must be multiples of {self._factor}.")
        pixels = frames.to(self.device, self.dtype) * 2 - 1
        mean = self.vae.encode(pixels).latent_dist.mode()
        return torch.as_tensor(mean.float() * self.scaling_factor)

    @torch.inference_mode()
    def decode_latents(self, latents: torch.Tensor, tile: int | None = None) -> torch.Tensor:
        """Scaled latents -> frames (frame, channel, height, width) float32 in [0, 1].

        Args:
            tile: Side of the tiles in pixels, see `DiffusionBackbone`.
        """
        self.vae.use_tiling = tile is not None
        if tile is not None:
            self.check_tile(tile)
            self.vae.tile_sample_min_size, self.vae.tile_latent_min_size = tile, tile // self._factor
        pixels = self.vae.decode((latents.to(self.device) / self.scaling_factor).to(self.dtype)).sample
        return torch.as_tensor((pixels.float() / 2 + 0.5).clamp(0, 1))

    @torch.inference_mode()
    def encode_text(self, texts: list[str], tokens: int) -> torch.Tensor:
        """Hidden states (text, token, feature) float32 after the final norm, padded or cut to `tokens`."""
        if not 2 <= tokens <= self.max_tokens:
            raise ConfigError(
                f"tokens = {tokens} does not suit {self.weights.name}.",
                why=f"Its text condition has between 2 (BOS and EOS) and {self.max_tokens} tokens.",
                hint=f"Use at most {self.max_tokens}.",
            )
        coded = self.tokenizer(
            texts, padding="max_length", max_length=tokens, truncation=True, return_tensors="pt"
        )
        mask = coded.attention_mask.to(self.device) if self._text_config.get("use_attention_mask") else None
        states = self.text_encoder(coded.input_ids.to(self.device), attention_mask=mask).last_hidden_state
        return torch.as_tensor(states.float())

    def check_tile(self, side: int) -> None:
        """Raise ConfigError unless frames can be decoded in tiles of `side` pixels."""
        if side % (4 * self._factor):
            raise ConfigError(
                f"tile = {side} px does not suit the autoencoder of {self.weights.name}.",
                why="A quarter of a tile must be a whole number of latent pixels.",
                hint=f"Use a multiple of {4 * self._factor}.",
            )

    @property
    def _factor(self) -> int:
        return int(2 ** (len(self._vae_config["block_out_channels"]) - 1))

    @property
    def _latent_side(self) -> int:
        side = self._unet_config["sample_size"]
        return int(side[0]) if isinstance(side, list) else int(side)

    def _config(self, file: str) -> dict[str, Any]:
        path = self.weights.path / file
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path} is not JSON.", why=str(error)) from error
        return dict(config)

    def _check(self) -> None:
        """Refuse other model families: they would run, with wrong results."""
        unet, vae, text = self._unet_config, self._vae_config, self._text_config
        scheduler = self.scheduler_config
        side = unet.get("sample_size")
        square = isinstance(side, int) or (isinstance(side, list) and len(set(side)) == 1)
        wrong = {
            "takes other channels than the autoencoder gives": unet.get("in_channels")
            != vae.get("latent_channels"),
            "reads other text features than the encoder gives": unet.get("cross_attention_dim")
            != text.get("hidden_size"),
            "has no square sample_size": not square,
            "gives other channels than the autoencoder reads": unet.get(
                "out_channels", unet.get("in_channels")
            )
            != vae.get("latent_channels"),
            "needs more than a text condition": any(unet.get(name) for name in _OTHER_CONDITIONS),
            "works on shifted latents": any(vae.get(name) for name in _SHIFTS),
            "has another class than UNet2DConditionModel": unet.get("_class_name", _UNET) != _UNET,
            "has another autoencoder than AutoencoderKL": vae.get("_class_name", _VAE) != _VAE,
            "reads a text encoder that is not CLIP's": text.get("model_type", _TEXT) not in (_TEXT, "clip"),
            "predicts variances": scheduler.get("variance_type") in ("learned", "learned_range"),
        }
        if found := [fault for fault, true in wrong.items() if true]:
            raise InputError(
                f"{self.weights.path} is not a text-to-image model of the Stable Diffusion 1.x or 2.x kind.",
                why=f"Its UNet {', '.join(found)}.",
                hint="Name a text-to-image folder (not inpainting, SDXL, or a distilled few-step model).",
            )
