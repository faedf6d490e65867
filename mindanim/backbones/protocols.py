"""What a backbone provides, whatever the model. Images are floats in [0, 1]; results are float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

    from mindanim.backbones.weights.find import Weights


class DiffusionBackbone(Protocol):
    """A latent text-to-image diffusion model: autoencoder, text encoder, noise predictor, noise schedule."""

    weights: Weights

    @property
    def device(self) -> torch.device:
        """Device it computes on; inputs are moved there."""

    @property
    def frame_size(self) -> int:
        """Side of the square frames it was trained on, pixels."""

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channel, height, width) of the latent of one frame of `frame_size`."""

    @property
    def frames_at_once(self) -> int:
        """Frames of `frame_size` to pass to the autoencoder together, by the memory that is free now."""

    @property
    def text_width(self) -> int:
        """Features per token of the text condition."""

    @property
    def max_tokens(self) -> int:
        """Longest text condition that the tokenizer and the text encoder allow, including BOS and EOS."""

    @property
    def scaling_factor(self) -> float:
        """Factor between the autoencoder's latents and the diffusion model's."""

    @property
    def scheduler_config(self) -> dict[str, Any]:
        """The model's noise schedule, from its scheduler_config.json."""

    @property
    def unet(self) -> Any:
        """The noise predictor (diffusers ``UNet2DConditionModel``), loaded at first use.

        It belongs to the caller of the loader: no other backbone shares it, so it may be changed in place.
        """

    def encode_frames(self, frames: torch.Tensor) -> torch.Tensor:
        """Posterior mean of the latents times `scaling_factor`.

        All frames are computed together; the caller limits their number.

        Args:
            frames: (frame, channel, height, width) in [0, 1], both sides multiples of the autoencoder's
                factor.

        Returns:
            (frame, latent channel, latent height, latent width) float32.
        """

    def decode_latents(self, latents: torch.Tensor, tile: int | None = None) -> torch.Tensor:
        """Scaled latents, as from `encode_frames` -> (frame, channel, height, width) float32 in [0, 1].

        Args:
            tile: Side in pixels of overlapping tiles that a larger frame is decoded in, one after the other,
                and then blended; None decodes whole frames. Tiles need less memory but change the pixels:
                each is normalised separately and sees nothing beyond its border.

        Raises:
            ConfigError: As `check_tile`.
        """

    def check_tile(self, side: int) -> None:
        """Raise ConfigError unless frames can be decoded in tiles of `side` pixels."""

    def encode_text(self, texts: list[str], tokens: int) -> torch.Tensor:
        """Hidden states (text, token, feature) float32 of `texts`, padded or cut to `tokens`; token 0 is BOS.

        Raises:
            ConfigError: `tokens` exceeds `max_tokens`.
        """


class ClipBackbone(Protocol):
    """A contrastive image-text model."""

    weights: Weights

    @property
    def device(self) -> torch.device:
        """Device it computes on; inputs are moved there."""

    @property
    def dim(self) -> int:
        """Features of the shared space."""

    @property
    def image_size(self) -> int:
        """Side in pixels that images are resized to inside `embed_images`."""

    def embed_images(self, images: torch.Tensor) -> torch.Tensor:
        """(image, channel, height, width) in [0, 1], any size -> (image, feature) float32, length 1."""

    def embed_texts(self, texts: list[str]) -> torch.Tensor:
        """Texts -> (text, feature) float32, length 1."""


class ImageClassifier(Protocol):
    """A classifier of single images."""

    weights: Weights

    @property
    def device(self) -> torch.device:
        """Device it computes on; inputs are moved there."""

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in the order of the logits."""

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(image, channel, height, width) in [0, 1], any size -> (image, class) float32."""


class VideoClassifier(Protocol):
    """A classifier of clips."""

    weights: Weights

    @property
    def device(self) -> torch.device:
        """Device it computes on; inputs are moved there."""

    @property
    def frames(self) -> int:
        """Frames per clip that the network reads."""

    @property
    def trained_frames(self) -> int:
        """Frames per clip that it was trained on; positions for other lengths are computed."""

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in the order of the logits."""

    def logits(self, clips: torch.Tensor) -> torch.Tensor:
        """(clip, frame, channel, height, width) in [0, 1], any size -> (clip, class) float32.

        Raises:
            InputError: The clips do not have `frames` frames.
        """

    def logits_and_features(self, clips: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same, and the (clip, feature) float32 from which the logits are computed."""


class VideoEmbedder(Protocol):
    """A network that embeds a clip as one vector."""

    def embed_clips(self, clips: torch.Tensor) -> torch.Tensor:
        """(clip, frame, channel, height, width) in [0, 1], any size -> (clip, feature) float32, length 1."""


class FlowNetwork(Protocol):
    """A network that estimates optical flow."""

    def flow(self, frames: torch.Tensor) -> torch.Tensor:
        """(frame, channel, height, width) in [0, 1] -> (step, 2, height, width) float32 px, x then y."""


class Captioner(Protocol):
    """A model that describes images."""

    weights: Weights

    @property
    def device(self) -> torch.device:
        """Device it computes on; inputs are moved there."""

    def caption(self, images: torch.Tensor) -> list[str]:
        """(image, channel, height, width) in [0, 1], any size -> one sentence per image."""
