import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders import SPEC, WEIGHTS, Shapes, build, describe, load, save_weights
from mindanim.decoders.models.cmg import Attention, FrameTokenCmg, ProjectedMemory, sinusoids
from mindanim.decoders.models.cmg_patches import PatchCmg, PatchLayer, grid_codes
from mindanim.decoders.models.framewise import FramewiseMlp
from mindanim.decoders.models.layers import DeviationNorm
from mindanim.decoders.models.masks import causal, first_only, sparse_causal
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.decoders.models.semantic import SemanticMlp
from mindanim.decoders.models.structure import StructureMlp
from mindanim.errors import ConfigError, InputError
from tests.decoders.planted import SHAPES

PAPER = Shapes(response=(1, 4500), clip=(512,), tokens=(20, 768), latents=(8, 4, 64, 64))
SMALL_CMG = {"width": 8, "heads": 2, "feedforward": 6, "fmri_width": 10}
PATCHES = {"decoder": "cmg-patches", "patch_size": 2, "patch_width": 8, "patch_layers": 2, "patch_heads": 2}
FRAMEWISE = {"decoder": "mlp", "fmri_width": 10}
MLP = {"decoder": "mlp", "head_widths": [12]}


def trainable(kind: str, spec: dict[str, object], shapes: Shapes) -> int:
    with torch.device("meta"):
        decoder = build(kind, spec, shapes)
    return sum(parameter.numel() for parameter in decoder.parameters())


def test_paper_settings_give_the_published_sizes() -> None:
    assert trainable("semantic", TrainSemanticConfig().spec(), PAPER) == pytest.approx(72.3e6, rel=0.005)
    assert trainable("structure", TrainStructureConfig().spec(), PAPER) == pytest.approx(23.5e6, rel=0.005)
    # Published: 335.8 M, of which the 67 M queries and keys of the single-token memory never learn.
    cmg = trainable("motion", TrainMotionConfig().spec(), PAPER)
    assert cmg == pytest.approx(335.8e6 - 67.1e6, rel=0.005)
    with_keys = trainable("motion", TrainMotionConfig(memory_tokens=2).spec(), PAPER)
    assert with_keys - cmg - 769 * 16384 == pytest.approx(67.1e6, rel=0.005)
    framewise = trainable("motion", TrainMotionConfig(decoder="mlp").spec(), PAPER)
    assert framewise == pytest.approx(92.2e6, rel=0.005)


def test_decoder_architectures() -> None:
    semantic = build("semantic", MLP, SHAPES)
    assert isinstance(semantic, SemanticMlp)
    vectors, tokens = semantic(torch.randn(5, 60))
    assert vectors.shape == (5, 8) and tokens.shape == (5, 9)
    assert [type(layer).__name__ for layer in semantic.head] == ["LayerNorm", "GELU", "Linear"] * 2
    wide = build("semantic", MLP | {"width": 20}, SHAPES)
    assert isinstance(wide, SemanticMlp) and wide(torch.randn(5, 60))[0].shape == (5, 8)
    structure = build("structure", {"decoder": "mlp", "width": 16}, SHAPES)
    assert isinstance(structure, StructureMlp)
    assert structure(torch.randn(5, 60)).shape == (5, SHAPES.latent_size)
    assert structure.trunk[1].p == 0.2 and len(structure.trunk) == 4


def test_predictions_have_the_promised_shapes() -> None:
    torch.manual_seed(0)
    responses = np.random.default_rng(0).standard_normal((7, 2, 30)).astype(np.float32)
    semantic = build("semantic", MLP, SHAPES)
    semantic.first_token.copy_(torch.tensor([1.0, 2.0, 3.0]))
    found = semantic.predict(responses)
    assert found["clip"].shape == (7, 8) and found["text_tokens"].shape == (7, 4, 3)
    assert found["text_tokens"][:, 0].tolist() == [[1.0, 2.0, 3.0]] * 7
    structure = build("structure", {"decoder": "ridge"}, SHAPES)
    first = structure.predict(responses)
    assert first.shape == (7, 2, 4, 4) and first.dtype == torch.float32
    for spec in (
        {"decoder": "cmg", **SMALL_CMG},
        FRAMEWISE,
        {"decoder": "ridge"},
        {"decoder": "transport", "grid": [4, 4]},
    ):
        start = torch.randn(7, 2, 4, 4)
        motion = build("motion", spec, SHAPES)
        clips = motion.predict(responses, start)
        assert clips.shape == (7, 4, 2, 4, 4) and torch.equal(clips[:, 0], start)
        motion.predict_batch = 3
        torch.testing.assert_close(motion.predict(responses, start), clips)


def test_responses_of_another_shape_are_refused() -> None:
    decoder = build("structure", {"decoder": "ridge"}, SHAPES)
    with pytest.raises(InputError, match="2 lags x 30 voxels, not 3 lags x 20 voxels"):
        decoder.predict(np.zeros((4, 3, 20), np.float32))
    motion = build("motion", {"decoder": "ridge"}, SHAPES)
    with pytest.raises(InputError, match="first frames"):
        motion.predict(np.zeros((4, 2, 30), np.float32), torch.zeros(4, 2, 8, 8))


def test_unknown_decoders_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'ridge'"):
        build("structure", {"decoder": "rigde"}, SHAPES)
    with pytest.raises(InputError, match="depth"):
        build("structure", {"decoder": "mlp", "depth": 3}, SHAPES)


@pytest.mark.parametrize("mask", [causal(5), first_only(5), sparse_causal(5, 0.5), None])
def test_attention_equals_an_explicit_loop(mask: torch.Tensor | None) -> None:
    torch.manual_seed(0)
    attention = Attention(token=6, width=8, heads=2)
    tokens = torch.randn(2, 5, 6)
    source = tokens if mask is not None else torch.randn(2, 3, 6)
    q, k, v = attention.query(tokens), attention.key(source), attention.value(source)
    mixed = torch.zeros(2, 5, 8)
    for clip in range(2):
        for head in (slice(0, 4), slice(4, 8)):
            for i in range(5):
                seen = [j for j in range(source.shape[1]) if mask is None or bool(mask[i, j])]
                scores = torch.stack([(q[clip, i, head] @ k[clip, j, head]) / 2.0 for j in seen])
                for weight, j in zip(scores.softmax(0), seen, strict=True):
                    mixed[clip, i, head] += weight * v[clip, j, head]
    torch.testing.assert_close(attention(tokens, source, mask), attention.out(mixed))


def test_one_memory_token_equals_cross_attention_to_it() -> None:
    torch.manual_seed(1)
    full, added = Attention(6, 8, 2).eval(), ProjectedMemory(6, 8, 2, 0.5).eval()
    added.value.load_state_dict(full.value.state_dict())
    added.out.load_state_dict(full.out.state_dict())
    tokens, memory = torch.randn(3, 5, 6), torch.randn(3, 1, 6)
    torch.testing.assert_close(added(tokens, memory), full(tokens, memory))
    # In training too: the weights of the attention are 1 before dropout, which is drawn in the same order.
    trained = Attention(6, 8, 2, 0.5).train()
    trained.load_state_dict(full.state_dict())
    torch.manual_seed(2)
    expected = trained(tokens, memory)
    torch.manual_seed(2)
    torch.testing.assert_close(added.train()(tokens, memory), expected)
    assert float((expected - full(tokens, memory)).detach().abs().max()) > 0.01


def test_dropout_on_attention_weights_keeps_their_mean() -> None:
    torch.manual_seed(12)
    attention, tokens = Attention(6, 8, 2, 0.3), torch.randn(1, 4, 6)
    many = tokens.expand(4000, -1, -1)
    with torch.no_grad():
        mean, expected = (
            attention.train()(many, many, causal(4)).mean(0),
            attention.eval()(tokens, tokens, causal(4)),
        )
    torch.testing.assert_close(mean, expected[0], rtol=0, atol=0.03)


@pytest.mark.parametrize(
    ("variant", "memory_tokens"),
    [
        ({"decoder": "cmg", **SMALL_CMG}, 1),
        ({"decoder": "cmg", **SMALL_CMG, "memory_tokens": 3}, 3),
        (PATCHES, 1),
    ],
)
@pytest.mark.parametrize("target", ["frame", "difference"])
def test_generator_never_looks_ahead(variant: dict[str, object], memory_tokens: int, target: str) -> None:
    torch.manual_seed(2)
    cmg = build("motion", variant | {"target": target}, SHAPES)
    assert isinstance(cmg, MotionNetwork)
    cmg.eval()
    if isinstance(cmg, PatchCmg):
        assert not cmg(torch.randn(2, 3, 32), cmg.memory(torch.randn(2, 60)), causal(3)).any()
        torch.nn.init.normal_(cmg.head.weight)  # it starts at zero
    tokens, memory = torch.randn(2, 3, 32), cmg.memory(torch.randn(2, 60))
    assert memory.shape[:2] == (2, memory_tokens)
    out = cmg(tokens, memory, causal(3))
    later = tokens.clone()
    later[:, 2] += 1.0
    changed = (cmg(later, memory, causal(3)) - out).abs().amax((0, 2))
    assert changed[:2].max().item() == 0 and changed[2].item() > 0
    # What is hidden has no effect; the responses have.
    hidden = tokens.clone()
    hidden[:, 1] += 1.0
    mask = causal(3)
    mask[2, 1] = False
    difference = (cmg(hidden, memory, mask) - cmg(tokens, memory, mask)).abs().amax((0, 2))
    assert difference[2].item() == 0 and difference[1].item() > 0
    assert (cmg(tokens, memory + 1.0, causal(3)) - out).abs().amin((0, 2)).sum() > 0


def test_patches_are_cut_row_by_row_and_joined_again() -> None:
    cmg = build("motion", PATCHES, SHAPES)
    assert isinstance(cmg, PatchCmg)
    latents = torch.randn(3, 4, *SHAPES.latent)
    patches = cmg.cut(latents.flatten(2))
    assert patches.shape == (3, 4, 4, 2 * 2 * 2)
    torch.testing.assert_close(patches[1, 2, 1], latents[1, 2, :, 0:2, 2:4].flatten())
    torch.testing.assert_close(patches[1, 2, 2], latents[1, 2, :, 2:4, 0:2].flatten())
    assert torch.equal(cmg.join(patches), latents.flatten(2))
    # Columns first; of each axis the sines, then the cosines, at rates 1 and .01.
    column, row = torch.tensor([2, 0.02]), torch.tensor([1, 0.01])
    expected = torch.cat([column.sin(), column.cos(), row.sin(), row.cos()])
    torch.testing.assert_close(grid_codes(2, 3, 8)[1 * 3 + 2], expected)
    with pytest.raises(ConfigError, match="do not fit latents of 4 x 4"):
        build("motion", PATCHES | {"patch_size": 3}, SHAPES)


def test_patch_layer_equals_its_modules_written_out() -> None:
    """The temporal module sees one patch over time, the spatial one the memory alone."""
    torch.manual_seed(8)
    layer = PatchLayer(width=8, heads=2, mlp_ratio=2.0, attention_dropout=0.5).eval()
    patches, memory, mask = torch.randn(2, 4, 5, 8), torch.randn(2, 1, 8), causal(4)
    expected = patches.clone()
    for place in range(5):
        expected[:, :, place] += layer.temporal(patches[:, :, place], patches[:, :, place], mask)
    expected = expected + torch.stack([layer.spatial(expected[:, t], memory) for t in range(4)], dim=1)
    expected = expected + layer.feedforward(torch.nn.functional.layer_norm(expected, (8,), eps=1e-6))
    torch.testing.assert_close(layer(patches, memory, mask), expected)


def test_rollout_feeds_frames_back() -> None:
    torch.manual_seed(3)
    cmg = build("motion", {"decoder": "cmg", **SMALL_CMG}, SHAPES)
    assert isinstance(cmg, FrameTokenCmg)
    cmg.eval()
    responses, first = torch.randn(2, 60), torch.randn(2, 32)
    later = cmg.follow(responses, first)
    whole = torch.cat([first[:, None], later], dim=1)
    # With a causal mask one pass over the finished clip gives every frame again.
    again = cmg(whole[:, :-1], cmg.memory(responses), causal(3))
    torch.testing.assert_close(again, later)
    released = build("motion", {"decoder": "cmg", "rollout_mask": "first", **SMALL_CMG}, SHAPES)
    released.load_state_dict(cmg.state_dict())
    other = released.eval().follow(responses, first)
    torch.testing.assert_close(other[:, :2], later[:, :2])
    assert (other[:, 2] - later[:, 2]).abs().max().item() > 1e-4


def test_difference_target_adds_to_the_given_first_frame() -> None:
    torch.manual_seed(4)
    cmg = build("motion", {"decoder": "cmg", "target": "difference", **SMALL_CMG}, SHAPES)
    assert isinstance(cmg, FrameTokenCmg)
    latents = torch.randn(50, 4, 32)
    cmg.fit_scalers(latents, torch.arange(len(latents)))
    torch.testing.assert_close(cmg.later(latents), latents[:, 1:] - latents[:, :1])
    scaled = cmg.later_scaler.apply_to(cmg.later(latents))
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(3, 32))
    with torch.no_grad():
        cmg.head.weight.zero_()
        cmg.head.bias.zero_()
    first = torch.randn(2, 32)
    expected = first[:, None] + cmg.later(latents).mean(0)
    torch.testing.assert_close(cmg.eval().follow(torch.randn(2, 60), first), expected)


def test_framewise_decoder_reads_no_frame() -> None:
    torch.manual_seed(6)
    responses, first, other = torch.randn(5, 60), torch.randn(5, 32), torch.randn(5, 32)
    for target in ("frame", "difference"):
        mlp = build("motion", FRAMEWISE | {"target": target, "difference_gain": 2.0}, SHAPES)
        assert isinstance(mlp, FramewiseMlp)
        mlp.eval()
        mlp.fit_scalers(torch.randn(50, 4, 32), torch.arange(50))
        with torch.no_grad():
            later, moved = mlp.follow(responses, first), mlp.follow(responses, other)
            if target == "difference":
                later, moved = later - first[:, None], moved - other[:, None]
            torch.testing.assert_close(later, moved, rtol=1e-5, atol=1e-5)
            memory = mlp.memory(responses)
            gain = 2.0 if target == "difference" else 1.0
            torch.testing.assert_close(later, gain * mlp.later_scaler.undo(memory), rtol=1e-5, atol=1e-5)
            # In training neither the frames, nor their order, nor what is visible of them.
            frames = torch.randn(5, 3, 32)
            for tokens, visible in (
                (frames, causal(3)),
                (frames.flip(1), causal(3)),
                (0 * frames, first_only(3)),
            ):
                assert torch.equal(mlp(tokens, memory, visible), memory)
            assert (memory - memory.roll(1, 0)).abs().min() > 0


def test_frames_of_the_framewise_decoder_have_weights_of_their_own() -> None:
    torch.manual_seed(7)
    mlp = build("motion", FRAMEWISE, SHAPES).eval()
    assert isinstance(mlp, FramewiseMlp)
    responses = torch.randn(5, 60)
    with torch.no_grad():
        before = mlp.memory(responses)
        mlp.frames[2].weight[32:64] = 0
        after = mlp.memory(responses)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]]) and not after[:, 1].any()


def test_sinusoids() -> None:
    codes = sinusoids(5, 6)
    assert codes.shape == (5, 6)
    assert codes[0].tolist() == [0, 1, 0, 1, 0, 1]
    assert float(codes[3, 0]) == pytest.approx(np.sin(3)) and float(codes[3, 3]) == pytest.approx(
        np.cos(3 / 10000 ** (2 / 6))
    )


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("semantic", MLP),
        ("semantic", {"decoder": "ridge", "ranks": {"tokens": 4}}),
        ("structure", {"decoder": "mlp", "width": 16}),
        ("structure", {"decoder": "ridge", "rank": 5}),
        ("motion", {"decoder": "cmg", "target": "difference", "memory_tokens": 2, **SMALL_CMG}),
        ("motion", {"target": "difference", **PATCHES}),
        ("motion", {"decoder": "cmg", "norm": "deviation", **SMALL_CMG}),
        ("motion", FRAMEWISE | {"target": "difference", "fmri_blocks": 2}),
        ("motion", {"decoder": "ridge", "rank": 5}),
        ("motion", {"decoder": "transport", "grid": [4, 4], "rank": 3, "gain": 2.0}),
    ],
)
def test_decoders_survive_the_disk(kind: str, spec: dict[str, object], tmp_path: Path) -> None:
    import json

    torch.manual_seed(5)
    decoder = build(kind, spec, SHAPES)
    for value in decoder.state_dict().values():
        value.copy_(torch.randn_like(value))
    save_weights(decoder, tmp_path / WEIGHTS)
    (tmp_path / SPEC).write_text(json.dumps(describe(decoder)))
    loaded = load(tmp_path)
    responses = torch.randn(3, 2, 30)
    first = [torch.randn(3, 2, 4, 4)] if kind == "motion" else []
    before, after = decoder.predict(responses, *first), loaded.predict(responses, *first)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert loaded.parameter_count() == decoder.parameter_count()


def test_broken_decoder_folders_are_named(tmp_path: Path) -> None:
    import json

    with pytest.raises(InputError, match="No decoder in"):
        load(tmp_path)
    decoder = build("structure", {"decoder": "ridge"}, SHAPES)
    save_weights(decoder, tmp_path / WEIGHTS)
    wrong = describe(decoder) | {"shapes": dataclasses.asdict(SHAPES) | {"response": [1, 30]}}
    (tmp_path / SPEC).write_text(json.dumps(wrong))
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / SPEC).write_text(json.dumps(wrong | {"format": 99}))
    with pytest.raises(InputError, match="format 99"):
        load(tmp_path)


def test_heads_must_share_the_width() -> None:
    with pytest.raises(ConfigError, match="3 attention heads do not divide a width of 8"):
        build("motion", {"decoder": "cmg", **SMALL_CMG, "heads": 3}, SHAPES)
    with pytest.raises(ValidationError, match=r"heads \(3\) must divide width \(1024\)"):
        TrainMotionConfig(heads=3)
    with pytest.raises(ValidationError, match=r"patch_heads \(5\) must divide patch_width \(512\)"):
        TrainMotionConfig(decoder="cmg-patches", patch_heads=5)


def test_the_published_norm_is_computed_in_float32() -> None:
    values = (torch.randn(5, 4096, generator=torch.Generator().manual_seed(0)) + 30).bfloat16()
    exact = values.double()
    expected = (exact - exact.mean(-1, keepdim=True)) / (exact.std(-1, keepdim=True) + 1e-6)
    torch.testing.assert_close(DeviationNorm(4096)(values).double(), expected, rtol=0, atol=1e-4)
