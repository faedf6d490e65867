"""Published checkpoints: equal outputs with equal weights, and what is said of files that do not fit."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from examples.benchmarks.published import PublishedMotion, PublishedSemantic, PublishedStructure
from mindanim.decoders.base import Decoder, Shapes
from mindanim.decoders.models.masks import sparse_causal
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.decoders.models.semantic import SemanticNetwork
from mindanim.decoders.models.structure import StructureNetwork
from mindanim.decoders.published_checkpoints import import_decoder, read_checkpoint
from mindanim.errors import InputError
from tests.decoders.planted import SHAPES

SMALL = {"fmri": 20, "width": 16, "inner": 12}
VOXELS, TOKENS = SHAPES.features, 3 * 3


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def published(kind: str) -> nn.Module:
    made = {
        "semantic": lambda: PublishedSemantic(VOXELS, SHAPES.clip[0], TOKENS, (24, 40)),
        "structure": lambda: PublishedStructure(VOXELS, SHAPES.latent_size, width=32),
        "motion": lambda: PublishedMotion(VOXELS, SHAPES.latent_size, **SMALL),
    }[kind]()
    for parameter in made.parameters():  # norms too, so that a weight in the wrong place is seen
        nn.init.normal_(parameter, std=0.3)
    return made.eval()


def imported(kind: str, module: nn.Module, folder: Path, **options: object) -> Decoder:
    file = folder / f"{kind}.pth"
    torch.save(module.state_dict(), file)
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
    assert "another width" in refused("motion", state | {"tgt_embed.0.pe": torch.zeros(1, 50, 16)})


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("print('run')",))


def test_nothing_in_a_file_is_executed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"lin0.0.weight": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(Evil()))
    torch.save(published("structure"), tmp_path / "whole.pth")
    (tmp_path / "text.pth").write_text("<html>not found</html>")
    for name in ("evil", "raw", "whole", "text"):
        with pytest.raises(InputError, match=f"{name}.pth cannot be read as a checkpoint") as refused:
            read_checkpoint(tmp_path / f"{name}.pth")
        # torch's own message advises to give the restriction up.
        assert "weights_only" not in str(refused.value) + refused.value.why
    assert "run" not in capsys.readouterr().out
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="no state dict"):
        read_checkpoint(tmp_path / "list.pth")
    with pytest.raises(InputError, match="No file"):
        read_checkpoint(tmp_path / "absent.pth")
