"""The memory model against the tensors that are alive together, counted without computing anything."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mindanim.backbones import diffusion
from mindanim.generation import memory
from mindanim.generation.inflate import sparse_causal

CPU = torch.device("cpu")
FRAMES = 8


class Alive(TorchDispatchMode):
    """Bytes of the storages that operations have made and that still live; the network's own do not count."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        own = (*network.parameters(), *network.buffers())
        self.known = {tensor.untyped_storage()._cdata for tensor in own}
        self.now = self.peak = 0

    def __torch_dispatch__(self, operation: Any, _: Any, given: Any = (), named: Any = None) -> Any:
        made = operation(*given, **(named or {}))
        for storage in (tensor.untyped_storage() for tensor in tree_leaves(made) if torch.is_tensor(tensor)):
            if storage._cdata not in self.known:
                self.known.add(storage._cdata)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return made

    def _gone(self, which: int, size: int) -> None:
        self.known.discard(which)
        self.now -= size


@pytest.mark.parametrize(("width", "side", "clips"), [(64, 32, 1), (64, 32, 3), (96, 16, 1), (320, 64, 1)])
def test_a_network_evaluation_holds_what_the_model_says(width: int, side: int, clips: int) -> None:
    with FakeTensorMode(), torch.no_grad():
        unet = UNet2DConditionModel(
            sample_size=side,
            block_out_channels=tuple(width * factor for factor in (1, 2, 4, 4)),
            cross_attention_dim=64,
        )
        network = sparse_causal(unet, FRAMES)
        both = 2 * clips  # condition and empty prompt
        latents, text = torch.randn(both, FRAMES, 4, side, side), torch.randn(both, 20, 64)
        with Alive(unet) as alive:
            network(latents, torch.tensor(500), text)
    predicted = memory.NETWORK_MAPS * both * FRAMES * width * side**2 * 4
    assert 1 <= predicted / alive.peak <= 1.25


@pytest.mark.parametrize(("width", "side", "frames"), [(32, 16, 1), (32, 16, 8), (128, 64, 1)])
def test_the_autoencoder_holds_what_the_model_says(width: int, side: int, frames: int) -> None:
    with FakeTensorMode(), torch.no_grad():
        vae = AutoencoderKL(
            block_out_channels=tuple(width * factor for factor in (1, 2, 4, 4)),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
        )
        latents, pixels = torch.randn(frames, 4, side, side), torch.randn(frames, 3, 8 * side, 8 * side)
        with Alive(vae) as decoding:
            vae.decode(latents)
        with Alive(vae) as encoding:
            vae.encode(pixels)
    predicted = diffusion.AUTOENCODER_MAPS * frames * width * (8 * side) ** 2 * 4
    assert 1 <= predicted / decoding.peak <= 1.25
    assert encoding.peak <= decoding.peak


def test_the_batch_follows_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def clips(free_gb: float, side: int = 64, dtype: torch.dtype = torch.bfloat16) -> int:
        monkeypatch.setattr(memory, "free_bytes", lambda device: int(free_gb * 1e9))
        return memory.clips_at_once(320, (4, side, side), 8, dtype, CPU)

    # 2 prompts x 8 frames x 30 maps of 320 x 64 x 64 numbers of 2 bytes: 1.26 GB per clip, of 60 %.
    assert [clips(free) for free in (1, 8, 24, 48, 800)] == [1, 3, 11, 22, 32]
    assert clips(10, side=32) == 4 * clips(10) + 3 and clips(24, dtype=torch.float32) == clips(24) // 2
