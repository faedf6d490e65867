"""How many clips fit in memory at once: a simple model, stated here so that a user can argue with it."""

from __future__ import annotations

import torch

from mindanim.runtime import free_bytes

# Peak memory of one network evaluation per frame, in feature maps of the network's first width and the
# latent's full size. The tensors that are alive together make 26 on the Stable Diffusion 1.x layout, whatever
# its width and the frame's size (tests/generation/test_memory.py counts them), as long as attention is fused;
# the resident memory of a process on a CPU grew by 30 at SD-1.5's size (docs/explanation/measurements.md).
MAPS_PER_FRAME = 30
# The rest is for the workspace of convolutions, for what the allocator cannot use, and for other processes.
_SHARE = 0.6
_ENOUGH = 32


def clips_at_once(
    width: int, latent_shape: tuple[int, int, int], frames: int, dtype: torch.dtype, device: torch.device
) -> int:
    """The batch that `--batch auto` takes: 1 to 32 clips.

    Each frame of a clip goes through the network twice (condition and empty prompt), and each pass holds at
    its peak about 30 feature maps of `width` channels at the latent's size. Six tenths of the free memory may
    be used; beyond 32 clips nothing gets faster.

    width: channels of the network's first resolution. latent_shape: (channel, height, width) of one frame.
    """
    _, height, across = latent_shape
    clip = 2 * frames * MAPS_PER_FRAME * width * height * across * dtype.itemsize
    return int(min(max(_SHARE * free_bytes(device) // clip, 1), _ENOUGH))
