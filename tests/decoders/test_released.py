"""Published checkpoints: equal outputs with equal weights, and what is said of files that do not fit."""

from __future__ import annotations

import pickle
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from examples.benchmarks.published import (
    PublishedMotion,
    PublishedPatchMotion,
    PublishedSemantic,
    PublishedStructure,
)
from mindanim.decoders.base import Decoder, Shapes
from mindanim.decoders.models.cmg_patches import PatchCmg
from mindanim.decoders.models.masks import sparse_causal
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.decoders.models.semantic import SemanticNetwork
from mindanim.decoders.models.structure import StructureNetwork
from mindanim.decoders.published_checkpoints import import_decoder, read_checkpoint
from mindanim.errors import InputError
from tests.decoders.planted import SHAPES

SMALL = {"fmri": 20, "width": 16, "inner": 12}
PATCHED = {"patch": 2, "width": 16, "depth": 2, "heads": 8, "frames": SHAPES.frames - 1}
NAN = torch.tensor(torch.nan)
VOXELS, TOKENS = SHAPES.features, 3 * 3


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def published(kind: str) -> nn.Module:
    made = {
        "semantic": lambda: PublishedSemantic(VOXELS, SHAPES.clip[0], TOKENS, (24, 40)),
        "structure": lambda: PublishedStructure(VOXELS, SHAPES.latent_size, width=32),
        "motion": lambda: PublishedMotion(VOXELS, SHAPES.latent_size, **SMALL),
        "patches": lambda: PublishedPatchMotion(VOXELS, SHAPES.latent, **PATCHED),
    }[kind]()
    for parameter in made.parameters():  # norms too, so that a weight in the wrong place is seen
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    return made.eval()


def imported(kind: str, module: nn.Module, folder: Path, **options: object) -> Decoder:
    file = folder / f"{kind}.pth"
    torch.save(module.state_dict(), file)
    kind = kind.replace("patches", "motion")
    return import_decoder(kind, read_checkpoint(file), SHAPES, file, **options)  # type: ignore[arg-type]


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
def test_semantic_parity(training: bool, tmp_path: Path) -> None:
    theirs = published("semantic")
    ours = imported("semantic", theirs, tmp_path)
    assert isinstance(ours, SemanticNetwork)
    responses = torch.randn(6, VOXELS)
    for module in (ours, theirs):
        module.train(training)
    found = []
    for module in (ours, theirs):
        torch.manual_seed(5)  # the same dropout masks, drawn in the same order
        found.append(module(responses))
    close(found[0][0], found[1][0])
    close(found[0][1], found[1][1])
    decoded = ours.predict(responses.reshape(6, *SHAPES.response))
    close(decoded["text_tokens"][:, 1:].flatten(1), theirs.eval()(responses)[1].detach())


@pytest.mark.parametrize("training", [False, True])
def test_structure_parity(training: bool, tmp_path: Path) -> None:
    theirs = published("structure")
    ours = imported("structure", theirs, tmp_path)
    assert isinstance(ours, StructureNetwork)
    responses = torch.randn(6, VOXELS)
    found = []
    for module in (ours.train(training), theirs.train(training)):
        torch.manual_seed(6)
        found.append(module(responses))
    close(*found)


@pytest.mark.parametrize("training", [False, True])
def test_motion_parity_under_the_same_masks(training: bool, tmp_path: Path) -> None:
    theirs = published("motion")
    ours = imported("motion", theirs, tmp_path)
    assert isinstance(ours, MotionNetwork)
    frames, responses = torch.randn(5, 3, SHAPES.latent_size), torch.randn(5, VOXELS)
    visible = sparse_causal(3, 0.6)
    found = []
    for module in (ours.train(training), theirs.train(training)):
        torch.manual_seed(7)
        if module is ours:
            found.append(ours(frames, ours.memory(responses), visible))
        else:
            embedded = theirs.encoder(responses)  # drawn first, as ours are
            found.append(theirs.decoder(theirs.tgt_embed(frames), embedded, visible))
    close(*found)


def test_motion_rolls_out_as_published(tmp_path: Path) -> None:
    theirs = published("motion")
    assert isinstance(theirs, PublishedMotion)
    ours = imported("motion", theirs, tmp_path)
    responses, first = torch.randn(4, *SHAPES.response), torch.randn(4, *SHAPES.latent)
    with torch.no_grad():
        expected = theirs.roll_out(first.flatten(1), responses.flatten(1), SHAPES.frames)
    close(ours.predict(responses, first).flatten(2), expected)
    causal = imported("motion", theirs, tmp_path, rollout_mask="causal").predict(responses, first)
    assert float((causal.flatten(2) - expected).abs().max()) > 1e-3


@pytest.mark.parametrize("training", [False, True])
def test_patches_parity(training: bool, tmp_path: Path) -> None:
    theirs = published("patches")
    ours = imported("patches", theirs, tmp_path)
    assert isinstance(ours, PatchCmg) and isinstance(theirs, PublishedPatchMotion)
    frames, responses = torch.randn(5, 3, *SHAPES.latent), torch.randn(5, VOXELS)
    visible = sparse_causal(3, 0.6)
    found = []
    for module in (ours.train(training), theirs.train(training)):
        torch.manual_seed(8)
        if module is ours:
            found.append(ours(frames.flatten(2), ours.memory(responses), visible))
        else:
            found.append(theirs(responses, frames, visible).flatten(2))
    close(*found)


def test_patches_roll_out_as_published(tmp_path: Path) -> None:
    theirs = published("patches")
    assert isinstance(theirs, PublishedPatchMotion)
    ours = imported("patches", theirs, tmp_path)
    responses, first = torch.randn(4, *SHAPES.response), torch.randn(4, *SHAPES.latent)
    close(ours.predict(responses, first), theirs.roll_out(first, responses.flatten(1)))
    # The file does not record the heads, and they matter.
    other = imported("patches", theirs, tmp_path, heads=2).predict(responses, first)
    assert float((other - ours.predict(responses, first)).abs().max()) > 1e-3


def test_what_differs_in_a_file_with_patches() -> None:
    state = dict(published("patches").state_dict())
    assert "pos_embed is not the sine-cosine code" in refused(
        "motion", state | {"pos_embed": state["pos_embed"].flip(2)}
    )
    assert "time_embed is 1 x 7 x 16: expected codes of 3 x 16" in refused(
        "motion", state | {"time_embed": torch.zeros(1, 7, 16)}
    )
    name = "blocks.1.temporal_attention.qkv.weight"
    assert f"{name.replace('weight', 'query.weight')} is 5 x 16 instead of 16 x 16" in refused(
        "motion", state | {name: state[name][:15]}
    )
    assert "blocks.0.mlp.fc1.weight is missing" in refused(
        "motion", {key: value for key, value in state.items() if key != "blocks.0.mlp.fc1.weight"}
    )
    assert "mindanim import-checkpoint motion" in refused("structure", state)


@pytest.mark.parametrize("kind", ["semantic", "structure", "motion"])
def test_every_weight_comes_from_the_file(kind: str, tmp_path: Path) -> None:
    theirs = published(kind)
    ours = imported(kind, theirs, tmp_path)
    sums = sorted(parameter.sum().item() for parameter in ours.parameters())
    known = [parameter.sum().item() for parameter in theirs.parameters()]
    assert all(any(abs(one - other) < 1e-5 for other in known) for one in sums)
    again = imported(kind, theirs, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))


def test_wrapped_and_half_precision_files_are_read(tmp_path: Path) -> None:
    theirs = published("structure")
    state = {f"module.{name}": value.half() for name, value in theirs.state_dict().items()}
    torch.save({"epoch": 75, "state_dict": state}, tmp_path / "wrapped.pth")
    found = read_checkpoint(tmp_path / "wrapped.pth")
    ours = import_decoder("structure", found, SHAPES, tmp_path / "wrapped.pth")
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}


def refused(kind: str, state: dict[str, Tensor], shapes: Shapes = SHAPES) -> str:
    with pytest.raises(InputError) as error:
        import_decoder(kind, state, shapes, Path("given.pth"))
    return str(error.value)


def test_what_differs_is_named() -> None:
    state = dict(published("semantic").state_dict())
    fewer = Shapes((1, 55), SHAPES.clip, SHAPES.tokens, SHAPES.latents)
    assert "lin0.0.weight is 8 x 60 instead of 8 x 55" in refused("semantic", state, fewer)
    lacking = {name: value for name, value in state.items() if name != "mlp.1.0.bias"}
    assert "mlp.1.0.bias is missing" in refused("semantic", lacking)
    assert "lin1.2.weight is missing" in refused("semantic", {"lin0.0.weight": state["lin0.0.weight"]})
    assert "extra.weight is unknown" in refused("semantic", state | {"extra.weight": torch.zeros(1)})
    assert "mlp.7.0.weight is unknown" in refused("semantic", state | {"mlp.7.0.weight": torch.zeros(1)})
    assert "and 1 more" in refused("semantic", state | {f"x{i}": torch.zeros(1) for i in range(7)})


def test_a_file_of_another_kind_is_recognised() -> None:
    states = {kind: dict(published(kind).state_dict()) for kind in ("semantic", "structure", "motion")}
    for kind, state in states.items():
        for other in states.keys() - {kind}:
            assert f"It looks like a {kind} decoder: mindanim import-checkpoint {kind}" in refused(
                other, state
            )


def test_other_positions_are_refused() -> None:
    state = dict(published("motion").state_dict())
    assert "is not the sine-cosine code" in refused(
        "motion", state | {"tgt_embed.0.pe": torch.zeros(1, 50, 32)}
    )
    assert "1 x 50 x 16: expected codes of 3 x 32" in refused(
        "motion", state | {"tgt_embed.0.pe": torch.zeros(1, 50, 16)}
    )


def test_positions_beyond_a_clip_are_not_read(tmp_path: Path) -> None:
    """The released table has 500,000 positions, 33 GB."""
    state = dict(published("motion").state_dict())
    state["tgt_embed.0.pe"] = state["tgt_embed.0.pe"].clone()
    state["tgt_embed.0.pe"][:, SHAPES.frames :] = torch.nan
    torch.save(state, tmp_path / "long.pth")
    import_decoder("motion", read_checkpoint(tmp_path / "long.pth"), SHAPES, tmp_path / "long.pth")
    state["tgt_embed.0.pe"][:, 1] = torch.nan
    assert "tgt_embed.0.pe is not the sine-cosine code" in refused("motion", state)


def test_the_legacy_format_is_read(tmp_path: Path) -> None:
    state = dict(published("structure").state_dict())
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    found = read_checkpoint(tmp_path / "old.pth")
    assert all(torch.equal(found[name], value) for name, value in state.items())


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("print('run')",))


def test_nothing_in_a_file_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"lin0.0.weight": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Evil()))
    torch.save(published("structure"), tmp_path / "whole.pth")
    (tmp_path / "text.pth").write_text("<html>not found</html>")
    for name in ("evil", "raw", "whole", "text"):
        with pytest.raises(InputError, match=f"{name}.pth is not a readable checkpoint") as refused:
            read_checkpoint(tmp_path / f"{name}.pth")
        # torch's own message advises to give the restriction up.
        assert "weights_only" not in str(refused.value) + refused.value.why
    assert "run" not in capsys.readouterr().out
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="no state dict"):
        read_checkpoint(tmp_path / "list.pth")
    with pytest.raises(InputError, match="does not exist"):
        read_checkpoint(tmp_path / "absent.pth")


def structure_state() -> dict[str, Tensor]:
    return dict(published("structure").state_dict())


def prefixed(state: dict[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    """Names with prefixes, in turn."""
    return {
        f"{prefixes[place % len(prefixes)]}{name}": value for place, (name, value) in enumerate(state.items())
    }


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: prefixed(state, "module.module."),
        lambda state: prefixed(state, "_orig_mod."),
        lambda state: prefixed(state, "module._orig_mod.", "_orig_mod.module.", ""),
        lambda state: prefixed(state, "_fsdp_wrapped_module."),
        lambda state: {name.replace("lin1.", "lin1._orig_mod."): value for name, value in state.items()},
        lambda state: {"net": state},
        lambda state: {"net": prefixed(state, "module."), "acc": 0.5, "epoch": 3},
        lambda state: {"state_dict": prefixed(state, "model."), "hyper_parameters": {"lr": 1e-4}},
        lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {0: {"exp_avg": state}}}},
        lambda state: {"ema": state, "decay": 0.999},
        lambda state: {"model": state, "ema": {name: value + 1 for name, value in state.items()}},
        lambda state: {"checkpoint": {"weights": prefixed(state, "net.")}},
        lambda state: {"structure_decoder": state, "args": Namespace(lr=1e-6)},
        lambda state: prefixed(state, "structure_net."),
        lambda state: prefixed(state, "module.") | {"n_averaged": torch.tensor(7)},
        lambda state: state | {"epoch": 3, "note": "best"},
        lambda state: {name: nn.Parameter(value) for name, value in state.items()},
        lambda state: {name: value.bfloat16().float().bfloat16() for name, value in state.items()},
    ],
)
def test_wrappings(wrapped: Callable[[dict[str, Tensor]], object], tmp_path: Path) -> None:
    state = structure_state()
    torch.save(wrapped(state), tmp_path / "given.pth")
    found = read_checkpoint(tmp_path / "given.pth")
    assert list(found) == list(state)
    tolerance = 0.02 if found["lin0.0.weight"].dtype == torch.bfloat16 else 0
    for name, value in state.items():
        torch.testing.assert_close(found[name].detach().float(), value, rtol=tolerance, atol=0)
    import_decoder("structure", found, SHAPES, tmp_path / "given.pth")


@pytest.mark.parametrize("name", ["given.safetensors", "given.pth"])
def test_safetensors(name: str, tmp_path: Path) -> None:
    state = structure_state()
    save_file(prefixed(state, "module."), tmp_path / name)
    found = read_checkpoint(tmp_path / name)
    assert all(torch.equal(found[key], value) for key, value in state.items()) and len(found) == len(state)
    with (tmp_path / name).open("r+b") as file:
        file.truncate(200)
    with pytest.raises(InputError, match="is not a readable checkpoint"):
        read_checkpoint(tmp_path / name)


def test_names_of_a_motion_generator_are_not_taken_for_wrappers(tmp_path: Path) -> None:
    state = dict(published("motion").state_dict())
    torch.save({"decoder": state}, tmp_path / "motion.pth")
    assert list(read_checkpoint(tmp_path / "motion.pth")) == list(state)


def test_which_of_several_networks_cannot_be_known(tmp_path: Path) -> None:
    state = structure_state()
    torch.save({"generator": state, "critic": state}, tmp_path / "two.pth")
    with pytest.raises(InputError, match="several networks: generator, critic"):
        read_checkpoint(tmp_path / "two.pth")
    torch.save(state | {"module.lin0.0.bias": state["lin0.0.bias"] + 1}, tmp_path / "twice.pth")
    with pytest.raises(InputError, match="two different weights called lin0.0.bias"):
        read_checkpoint(tmp_path / "twice.pth")


def quantised(values: Tensor) -> Tensor:
    return torch.quantize_per_tensor(values, 0.1, 0, torch.qint8)


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda w: w.int(), "lin0.0.weight is int32, not a floating-point number"),
        (lambda w: w.char(), "is int8, not"),
        (lambda w: w > 0, "is bool, not"),
        (lambda w: w.to(torch.complex64), "is complex64, not"),
        (lambda w: w.to(torch.float8_e4m3fn), "is float8_e4m3fn, not"),
        (quantised, "is qint8, not"),
        (lambda w: w.to_sparse(), "is not a plain tensor"),
        (
            lambda w: w.clone().index_fill_(0, torch.tensor(3), torch.nan),
            "has 60 of 1,920 values that are not",
        ),
        (lambda w: w.double() * 1e300, "has 1,920 of 1,920 values that are not finite"),
        (lambda w: w.half() / 0, "values that are not finite"),
    ],
)
def test_weights_that_cannot_be_used_are_named(change: Callable[[Tensor], Tensor], text: str) -> None:
    state = structure_state()
    assert text in refused("structure", state | {"lin0.0.weight": change(state["lin0.0.weight"])})


def test_weights_without_an_effect_are_looked_at_too() -> None:
    name = "decoder.layers.0.src_attn.linears.0.weight"
    state = dict(published("motion").state_dict())
    assert f"{name} has 1 of 512 values" in refused(
        "motion", state | {name: state[name].clone().index_put_((torch.tensor(0), torch.tensor(0)), NAN)}
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_program_is_recognised(tmp_path: Path) -> None:
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "script.pth"))
    with pytest.raises(InputError) as caught:
        read_checkpoint(tmp_path / "script.pth")
    assert "TorchScript" in caught.value.why and "weights_only" not in caught.value.why
