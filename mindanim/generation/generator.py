"""The generator: from the features of clips to their frames, as many clips at a time as fit in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mindanim import console
from mindanim.config.generate import GenerateConfig
from mindanim.errors import InputError, MindanimError
from mindanim.generation.features import Features
from mindanim.generation.inflate import SparseCausalUNet, sparse_causal
from mindanim.generation.memory import clips_at_once
from mindanim.generation.samplers import SAMPLERS, Batch, Sampler, clip_noise
from mindanim.runtime import clip_generator

if TYPE_CHECKING:
    from mindanim.backbones import DiffusionBackbone


@dataclass(frozen=True)
class Generator:
    """A diffusion model inflated to clips, with its sampler and prompts.

    Attributes:
        config: The options of the stage.
        backbone: The diffusion model.
        network: Its UNet, inflated.
        sampler: The sampler.
        prompts: Name -> (token, feature); "empty" is the empty prompt at the length of the condition.
        frames_at_once: Frames that the autoencoder decodes together.
        low_memory: Whether to sample one clip, and evaluate one of its two prompts, at a time.
    """

    config: GenerateConfig
    backbone: DiffusionBackbone
    network: SparseCausalUNet
    sampler: Sampler
    prompts: Mapping[str, Tensor]
    frames_at_once: int
    low_memory: bool = False

    @classmethod
    def of(
        cls,
        config: GenerateConfig,
        backbone: DiffusionBackbone,
        frames: int,
        empty: NDArray[Any],
        *,
        low_memory: bool = False,
    ) -> Generator:
        """Inflate the backbone's network; do not use the backbone for anything else afterwards.

        Args:
            config: The options of the stage.
            backbone: The diffusion model.
            frames: Frames per clip.
            empty: (token, feature), the empty prompt at the length of the decoded conditions.
            low_memory: As in the attributes; it also decodes one frame at a time.
        """
        sampler = SAMPLERS[config.sampler]
        network = sparse_causal(backbone.unet, frames, sampler.group_norm)
        if backbone.device.type == "cuda":
            network.unet.to(memory_format=torch.channels_last)
        if config.compile:
            network.unet.compile()
        prompts = {"empty": torch.from_numpy(np.array(empty, np.float32))}
        for name, (text, whole) in sampler.prompts(config).items():
            (prompts[name],) = backbone.encode_text([text], backbone.max_tokens if whole else len(empty))
        # Asked before the network runs, because a GPU's allocator does not return what it has used.
        torch.cuda.empty_cache()
        at_once = 1 if low_memory else config.frames_at_once or backbone.frames_at_once
        return cls(config, backbone, network, sampler, prompts, at_once, low_memory)

    def batch(self, asked: int | None) -> int:
        """Clips to sample at a time: the number asked for, or what the memory model allows."""
        if asked is not None or self.low_memory:
            return asked or 1
        unet = self.network.unet
        width = unet.config.block_out_channels[0]
        return clips_at_once(
            width, self.backbone.latent_shape, self.network.frames, unet.dtype, self.backbone.device
        )

    def frames(self, given: Features, clip_ids: Sequence[str]) -> NDArray[np.uint8]:
        """Generate clips: (clip, frame, height, width, rgb) uint8.

        The noise of a clip depends only on the seed and the clip's id. The other clips of the batch change
        its frames only by the rounding of floating-point sums, at most by one grey level. If the memory of
        the device is too small, half as many clips are tried at a time, with a warning.

        Args:
            given: The features of the clips.
            clip_ids: Their names.

        Raises:
            MindanimError: A single clip does not fit in memory, or frames are not finite.
        """
        try:
            return self.decode(self.sample(given, clip_ids), clip_ids)
        except torch.OutOfMemoryError as error:
            if len(clip_ids) == 1:
                raise MindanimError(
                    f"Clip {clip_ids[0]} does not fit in the memory of {self.backbone.device}.",
                    why=str(error).splitlines()[0],
                    hint="Try --low-memory, --precision bf16, or --device cpu",
                ) from error
        half = len(clip_ids) // 2
        console.warn(f"{len(clip_ids)} clips at a time exceed the memory; continuing with {half}")
        torch.cuda.empty_cache()
        parts = [slice(0, half), slice(half, None)]
        halves = [
            self.frames(Features(given.clip[p], given.tokens[p], given.latents[p]), clip_ids[p])
            for p in parts
        ]
        return np.concatenate(halves)

    def sample(self, given: Features, clip_ids: Sequence[str]) -> Tensor:
        """The clean latents of some clips: (clip, frame, channel, height, width) float32 on the device."""
        generators = [clip_generator(self.config.seed, name, "sampler") for name in clip_ids]
        frames, channels, height, width = given.latents.shape[1:]
        batch = Batch(
            given.latents.to(self.backbone.device),
            given.tokens,
            clip_noise(generators, (frames, channels, height, width), self.config.noise),
            self.prompts,
            together=not self.low_memory,
        )
        with torch.no_grad():
            clean = self.sampler.sample(self.network, self.backbone.scheduler_config, batch, self.config)
        if not isinstance(clean, Tensor) or clean.shape != batch.latents.shape or clean.is_complex():
            found = (
                f"{tuple(clean.shape)} {clean.dtype}" if isinstance(clean, Tensor) else type(clean).__name__
            )
            expected = tuple(batch.latents.shape)
            raise InputError(
                f"The sampler {self.config.sampler} does not return latents.",
                f"Expected (clip, frame, channel, height, width) = {expected}, found {found}.",
                "Correct or remove the package that brings it: mindanim doctor",
            )
        return clean

    def decode(self, latents: Tensor, clip_ids: Sequence[str]) -> NDArray[np.uint8]:
        """Decode latents, some frames at a time: (clip, frame, height, width, rgb) uint8.

        If the memory of the device is too small, fewer frames are decoded at a time, with a warning.

        Args:
            latents: (clip, frame, channel, height, width), clean.
            clip_ids: Names of the clips.

        Raises:
            MindanimError: Names the clips whose pixels are not finite.
        """
        pixels = self._pixels(latents.flatten(0, 1), self.frames_at_once)
        pixels = pixels.reshape(*latents.shape[:2], *pixels.shape[1:])
        if not (finite := pixels.flatten(1).isfinite().all(dim=1)).all():
            broken = [name for name, fine in zip(clip_ids, finite.tolist(), strict=True) if not fine]
            raise MindanimError(
                f"The generated frames of {', '.join(broken)} are not finite.",
                why="The decoded features are not finite, or the precision is too low for this model.",
                hint="Try --precision fp32 (or bf16 instead of fp16).",
            )
        rgb: NDArray[np.uint8] = (255 * pixels).round().byte().permute(0, 1, 3, 4, 2).numpy()
        return rgb

    def _pixels(self, latents: Tensor, at_once: int) -> Tensor:
        """(frame, channel, height, width) latents -> (frame, rgb, height, width) in [0, 1] on the CPU."""
        parts = torch.split(latents, at_once)
        try:
            return torch.cat([self.backbone.decode_latents(part, self.config.tile).cpu() for part in parts])
        except torch.OutOfMemoryError:
            if at_once == 1:
                raise
        console.warn(f"{at_once} frames at a time exceed the memory; decoding {at_once // 2} at a time")
        torch.cuda.empty_cache()
        return self._pixels(latents, at_once // 2)
