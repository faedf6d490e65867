"""The generator: features of some clips in, frames out, as many clips at a time as fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mindanim import console
from mindanim.config.generate import GenerateConfig
from mindanim.errors import MindanimError
from mindanim.generation.features import Features
from mindanim.generation.inflate import SparseCausalUNet, sparse_causal
from mindanim.generation.memory import clips_at_once
from mindanim.generation.sampling import clip_noise, released, sdedit
from mindanim.runtime import clip_generator

if TYPE_CHECKING:
    from mindanim.backbones import DiffusionBackbone


@dataclass(frozen=True)
class Generator:
    """A diffusion model inflated to clips, with its sampler and its prompts.

    empty: (token, feature), the empty prompt at the condition's length.
    negative, inversion: (token, feature), the prompts of the released sampler; None for sdedit.
    frames_at_once: frames the autoencoder decodes together.
    low_memory: one clip and one of the two prompts at a time.
    """

    config: GenerateConfig
    backbone: DiffusionBackbone
    network: SparseCausalUNet
    empty: Tensor
    negative: Tensor | None
    inversion: Tensor | None
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
        """Inflate the backbone's network to `frames` frames; the backbone is this generator's from now on.

        empty: (token, feature), the empty prompt at the length of the decoded conditions.
        low_memory: also one frame of the autoencoder at a time.
        """
        prompt = torch.from_numpy(np.array(empty, np.float32))
        published = config.sampler == "released"
        network = sparse_causal(backbone.unet, frames, "pooled" if published else "frame")
        if backbone.device.type == "cuda":
            network.unet.to(memory_format=torch.channels_last)
        if config.compile:
            network.unet.compile()
        negative = inversion = None
        if published:
            (negative,) = backbone.encode_text([config.released_negative_prompt], len(prompt))
            (inversion,) = backbone.encode_text([""], backbone.max_tokens)
        # Asked before the network runs: a GPU's allocator keeps for itself what has been used.
        torch.cuda.empty_cache()
        at_once = 1 if low_memory else config.frames_at_once or backbone.frames_at_once
        return cls(config, backbone, network, prompt, negative, inversion, at_once, low_memory)

    def batch(self, wished: int | None) -> int:
        """Clips computed at a time: the number wished for, or what the memory model allows."""
        if wished is not None or self.low_memory:
            return wished or 1
        unet = self.network.unet
        width = unet.config.block_out_channels[0]
        return clips_at_once(
            width, self.backbone.latent_shape, self.network.frames, unet.dtype, self.backbone.device
        )

    def frames(self, given: Features, clip_ids: Sequence[str]) -> NDArray[np.uint8]:
        """Generate clips: (clip, frame, height, width, rgb) uint8.

        The noise of a clip depends on the seed and its id alone. Its frames depend on what else is in the
        batch only through the rounding of floating-point sums (about 1e-6 of a grey level's range in
        float32), which can turn a value that lies between two grey levels.

        Where the device's memory is exceeded, the clips are halved and tried again, and the user is told.
        Raises MindanimError when a single clip does not fit, or when frames are not finite.
        """
        try:
            return self.decode(self.sample(given, clip_ids), clip_ids)
        except torch.OutOfMemoryError as error:
            if len(clip_ids) == 1:
                raise MindanimError(
                    f"Clip {clip_ids[0]} does not fit into the memory of {self.backbone.device}.",
                    why=str(error).splitlines()[0],
                    hint="Try --low-memory, --precision bf16, or --device cpu.",
                ) from error
        half = len(clip_ids) // 2
        console.warn(f"{len(clip_ids)} clips at a time exceed the memory; going on with {half}")
        torch.cuda.empty_cache()
        parts = [slice(0, half), slice(half, None)]
        halves = [
            self.frames(Features(given.clip[p], given.tokens[p], given.latents[p]), clip_ids[p])
            for p in parts
        ]
        return np.concatenate(halves)

    def sample(self, given: Features, clip_ids: Sequence[str]) -> Tensor:
        """The clean latents of some clips: (clip, frame, channel, height, width) float32 on the device."""
        config, backbone = self.config, self.backbone
        generators = [clip_generator(config.seed, name, "sampler") for name in clip_ids]
        frames, channels, height, width = given.latents.shape[1:]
        noise = clip_noise(generators, (frames, channels, height, width), config.noise)
        latents = given.latents.to(backbone.device)
        if self.negative is not None and self.inversion is not None:
            return released(
                self.network,
                backbone.scheduler_config,
                latents,
                given.tokens,
                self.negative,
                self.inversion,
                noise,
                steps=config.released_steps,
                noise_timestep=config.released_noise_timestep,
                guidance=config.released_guidance,
                together=not self.low_memory,
            )
        return sdedit(
            self.network,
            backbone.scheduler_config,
            latents,
            given.tokens,
            self.empty,
            noise,
            steps=config.steps,
            strength=config.strength,
            guidance=config.guidance,
            together=not self.low_memory,
        )

    def decode(self, latents: Tensor, clip_ids: Sequence[str]) -> NDArray[np.uint8]:
        """Latents to pixels, a few frames at a time: (clip, frame, height, width, rgb) uint8.

        Fewer at a time where the device's memory is exceeded; the user is told.

        Raises MindanimError naming the clips whose pixels are not finite.
        """
        pixels = self._pixels(latents.flatten(0, 1), self.frames_at_once)
        pixels = pixels.reshape(*latents.shape[:2], *pixels.shape[1:])
        if not (finite := pixels.flatten(1).isfinite().all(dim=1)).all():
            broken = [name for name, fine in zip(clip_ids, finite.tolist(), strict=True) if not fine]
            raise MindanimError(
                f"The generated frames of {', '.join(broken)} are not finite.",
                why="The decoded features are not finite, or the precision is too low for this model.",
                hint="Try --precision fp32 (or bf16 in the place of fp16).",
            )
        rgb: NDArray[np.uint8] = (255 * pixels).round().byte().permute(0, 1, 3, 4, 2).numpy()
        return rgb

    def _pixels(self, latents: Tensor, at_once: int) -> Tensor:
        """(frame, channel, height, width) latents to (frame, rgb, height, width) in [0, 1] on the CPU."""
        parts = torch.split(latents, at_once)
        try:
            return torch.cat([self.backbone.decode_latents(part, self.config.tile).cpu() for part in parts])
        except torch.OutOfMemoryError:
            if at_once == 1:
                raise
        console.warn(f"{at_once} frames at a time exceed the memory; decoding {at_once // 2} at a time")
        torch.cuda.empty_cache()
        return self._pixels(latents, at_once // 2)
