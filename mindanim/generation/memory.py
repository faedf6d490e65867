"""How many clips fit in memory at once: a simple model, stated here so that a user can argue with it."""

from __future__ import annotations

import torch

from mindanim.runtime import free_bytes

# Peak memory of one network evaluation, in feature maps of the network's first width and full latent
# resolution, per frame: 36-55 measured on the Stable Diffusion 1.x layout at 10-220 M parameters and 32-64 px
# latents.
_MAPS_PER_FRAME = 50
_SHARE = 0.6
_ENOUGH = 32


def clips_at_once(
    width: int, latent_shape: tuple[int, int, int], frames: int, dtype: torch.dtype, device: torch.device
) -> int:
    """The batch that `--batch auto` takes: 1 to 32 clips.

    Each frame of a clip goes through the network twice (condition and empty prompt), and each pass holds at
    its peak about 50 feature maps of `width` channels at the latent's size. Six tenths of the free memory may
    be used; beyond 32 clips nothing gets faster.

    width: channels of the network's first resolution. latent_shape: (channel, height, width) of one frame.
    """
    _, height, across = latent_shape
    clip = 2 * frames * _MAPS_PER_FRAME * width * height * across * dtype.itemsize
    return int(min(max(_SHARE * free_bytes(device) // clip, 1), _ENOUGH))

