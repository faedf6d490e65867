"""How many clips fit in memory at once: a simple model."""

from __future__ import annotations

import torch

from mindanim.runtime import free_bytes
from mindanim.vocabulary.limits import MEMORY_SHARE

# Peak memory of one network evaluation per frame, in feature maps of the network's first width and the
# latent's full size. The tensors that are alive together make 26 on the Stable Diffusion 1.x layout, whatever
# its width and the frame's size (tests/generation/test_memory.py counts them), as long as attention is fused;
# the resident memory of a process on a CPU grew by 30 at SD-1.5's size (docs/explanation/measurements.md).
NETWORK_MAPS = 30
_ENOUGH = 32


def clips_at_once(
    width: int, latent_shape: tuple[int, int, int], frames: int, dtype: torch.dtype, device: torch.device
) -> int:
    """The batch that `--batch auto` takes: 1 to 32 clips.

    Each frame passes through the network twice (condition and empty prompt); the peak of a pass is about 30
    feature maps of `width` channels at the latent's size. Batches of more than 32 clips are no faster.

    Args:
        width: Channels of the network's first resolution.
        latent_shape: (channel, height, width) of one frame.
        frames: Frames per clip.
        dtype: What the network computes in.
        device: Where it runs.
    """
    _, height, across = latent_shape
    clip = 2 * frames * NETWORK_MAPS * width * height * across * dtype.itemsize
    return int(min(max(MEMORY_SHARE * free_bytes(device) // clip, 1), _ENOUGH))
