"""The inflated network against the image network, and against self-attention written out in full."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from mindanim.errors import InputError
from mindanim.generation.inflate import SparseCausalAttention, sparse_causal

CLIPS, FRAMES = 2, 4


def tiny_unet(**changes: object) -> UNet2DConditionModel:
    torch.manual_seed(0)
    options: dict[str, object] = {
        "sample_size": 4,
        "block_out_channels": (16, 32),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "attention_head_dim": 2,
        "cross_attention_dim": 12,
    }
    return UNet2DConditionModel(**(options | changes)).double().eval()


@pytest.fixture
def latents() -> Tensor:
    return torch.randn(
        CLIPS, FRAMES, 4, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )


@pytest.fixture
def text() -> Tensor:
    return torch.randn(CLIPS, 5, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@torch.no_grad()
def test_one_frame_is_the_image_model_bit_for_bit(latents: Tensor, text: Tensor) -> None:
    image = tiny_unet()
    expected = image(latents[:, 0], 500, text).sample
    got = sparse_causal(copy.deepcopy(image), frames=1)(latents[:, :1], 500, text)
    assert torch.equal(got[:, 0], expected)


@torch.no_grad()
def test_identical_frames_give_the_image_models_output(latents: Tensor, text: Tensor) -> None:
    image = tiny_unet()
    still = latents[:, :1].expand_as(latents)
    expected = image(latents[:, 0], 500, text).sample
    got = sparse_causal(copy.deepcopy(image), FRAMES)(still, 500, text)
    for frame in range(FRAMES):
        torch.testing.assert_close(got[:, frame], expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_attention_equals_the_formula_written_out() -> None:
    """softmax(Q_t [K_0, K_{t-1}]^T / sqrt(d)) [V_0, V_{t-1}], frame by frame and head by head."""
    unet = tiny_unet()
    attention = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    states = torch.randn(CLIPS * FRAMES, 16, 16, dtype=torch.float64)
    got = SparseCausalAttention(FRAMES)(attention, states)
    heads, size = attention.heads, 16 // attention.heads
    for clip in range(CLIPS):
        for t in range(FRAMES):
            here = states[clip * FRAMES + t]
            past = torch.cat((states[clip * FRAMES], states[clip * FRAMES + max(t - 1, 0)]))
            query, key, value = attention.to_q(here), attention.to_k(past), attention.to_v(past)
            out = []
            for h in range(heads):
                part = slice(h * size, (h + 1) * size)
                weight = torch.softmax(query[:, part] @ key[:, part].T / size**0.5, dim=-1)
                out.append(weight @ value[:, part])
            expected = attention.to_out[0](torch.cat(out, dim=-1))
            torch.testing.assert_close(got[clip * FRAMES + t], expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_frames_depend_on_the_first_and_earlier_ones_only(latents: Tensor, text: Tensor) -> None:
    network = sparse_causal(tiny_unet(), FRAMES)
    before = network(latents, 500, text)
    changed = latents.clone()
    changed[0, 2] += 1
    difference = (network(changed, 500, text) - before).abs().amax(dim=(2, 3, 4))
    assert torch.equal(difference[0, :2], torch.zeros(2, dtype=torch.float64)), "the past"
    assert (difference[0, 2:] > 1e-6).all(), "the frame itself and those that look at it"
    assert torch.equal(difference[1], torch.zeros(FRAMES, dtype=torch.float64)), "another clip"


@torch.no_grad()
def test_pooled_norm_is_group_norm_over_five_dimensions(latents: Tensor, text: Tensor) -> None:
    """Recreate the published behaviour by hooks on the stock norms: fold back to (clip, channel, frame, h,
    w).
    """
    oracle = tiny_unet()
    pooled = [
        name for name, _ in oracle.named_modules() if name.endswith(("norm1", "norm2", "conv_norm_out"))
    ]
    pooled = [name for name in pooled if "resnets" in name or name == "conv_norm_out"]
    for name in pooled:
        norm = oracle.get_submodule(name)

        def five(module: nn.GroupNorm, given: tuple[Tensor, ...], _: Tensor) -> Tensor:
            stacked = torch.stack(given[0].split(FRAMES)).permute(0, 2, 1, 3, 4)
            normal = F.group_norm(stacked, module.num_groups, module.weight, module.bias, module.eps)
            return normal.permute(0, 2, 1, 3, 4).flatten(0, 1)

        norm.register_forward_hook(five)
    assert len(pooled) == 2 * 8 + 1, "two in each of eight ResNet blocks, and the last one"
    weights = copy.deepcopy(tiny_unet())
    got = sparse_causal(weights, FRAMES, group_norm="pooled")(latents, 500, text)
    expected = sparse_causal(oracle, FRAMES)(latents, 500, text)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    per_frame = sparse_causal(tiny_unet(), FRAMES)(latents, 500, text)
    assert (got - per_frame).abs().max() > 1e-3, "the two normalisations must differ on unequal frames"


def test_weights_keep_the_names_of_the_image_model() -> None:
    image = tiny_unet()
    names = set(image.state_dict())
    assert set(sparse_causal(image, FRAMES, group_norm="pooled").unet.state_dict()) == names


@torch.no_grad()
def test_clips_do_not_depend_on_the_batch(latents: Tensor, text: Tensor) -> None:
    network = sparse_causal(tiny_unet(), FRAMES)
    together = network(latents, 500, text)
    alone = torch.cat([network(latents[i : i + 1], 500, text[i : i + 1]) for i in range(CLIPS)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"in_channels": 9}, "takes 9 channels"),
        (
            {
                "down_block_types": ("DownBlock2D",) * 2,
                "up_block_types": ("UpBlock2D",) * 2,
                "mid_block_type": None,
            },
            "no self",
        ),
    ],
)
def test_models_of_another_kind_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        sparse_causal(tiny_unet(**changes), FRAMES)
