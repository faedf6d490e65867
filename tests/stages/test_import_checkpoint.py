"""`mindanim import-checkpoint`: from a published file to an artifact that `generate` reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from examples.benchmarks.published import (
    PublishedMotion,
    PublishedPatchMotion,
    PublishedSemantic,
    PublishedStructure,
)
from mindanim import decoders
from mindanim.artifacts import Artifact, Planned
from mindanim.config.import_checkpoint import ImportCheckpointConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import InputError
from mindanim.stages.import_checkpoint import import_checkpoint
from tests.cli.conftest import Call, call  # noqa: F401 - a fixture
from tests.decoders.planted import SHAPES, planted
from tests.stages.test_train import make_fmri, make_stimuli


@pytest.fixture
def run(tmp_path: Path) -> RunOptions:
    run = RunOptions(dataset="planted", subject=1, work=tmp_path, device="cpu")
    make_fmri(run)
    make_stimuli(run)
    return run


def trained_structure(folder: Path) -> tuple[PublishedStructure, Path]:
    """A published structure decoder that knows the planted truth, by least squares in its last layer."""
    torch.manual_seed(1)
    module = PublishedStructure(SHAPES.features, SHAPES.latent_size, width=80).eval()
    data = planted().structure
    with torch.no_grad():
        hidden = module.lin1[1](module.lin1[0](_hidden(module, data.responses)))
        design = torch.cat([hidden, torch.ones(len(hidden), 1)], dim=1)
        solution = torch.linalg.lstsq(design, data.latents, driver="gelsd").solution
        module.lin1[2].weight.copy_(solution[:-1].T)
        module.lin1[2].bias.copy_(solution[-1])
    torch.save(module.state_dict(), folder / "structure.pth")
    return module, folder / "structure.pth"


def _hidden(module: PublishedStructure, responses: torch.Tensor) -> torch.Tensor:
    values = module.lin0(responses)
    for one in module.mlp:
        values = values + one(values)
    return values


def imported(kind: str, file: Path, run: RunOptions, **options: object) -> Artifact:
    asked = {"kind": kind, "file": file, **options}
    return import_checkpoint(ImportCheckpointConfig.model_validate(asked), run)


def test_a_decoder_that_suits_the_responses(run: RunOptions, tmp_path: Path) -> None:
    module, file = trained_structure(tmp_path)
    artifact = imported("structure", file, run)
    assert artifact.kind == "structure" and artifact.findings == []
    assert artifact.facts["train_score"] > 0.5 and artifact.facts["imported"] is True
    assert artifact.facts["order_p"] == 0.01 and artifact.facts["order_orders"] == 99
    assert (
        "On 120 training clips" in artifact.manifest["methods"][1]
        and "p 0.010" in artifact.manifest["methods"][1]
    )
    assert set(artifact.manifest["inputs"]) == {"fmri", "stimuli", "checkpoint"}
    responses = planted().structure.responses
    expected = module(responses).detach()
    found = decoders.load(artifact.path).predict(responses.reshape(-1, *SHAPES.response))
    torch.testing.assert_close(found.flatten(1), expected, rtol=1e-5, atol=1e-5)
    # The recorded options make it again, and the same file is not imported twice.
    assert "[import-checkpoint]" in (artifact.path / "config.toml").read_text()
    assert imported("structure", file, run).manifest["finished"] == artifact.manifest["finished"]


def test_clips_spread_over_the_study_are_checked(
    run: RunOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mindanim.decoders.import_check.CHECKED", 40)
    _, file = trained_structure(tmp_path)
    artifact = imported("structure", file, run)
    assert artifact.facts["clips_looked_at"] == 40 and artifact.facts["train_score"] > 0.5


def test_other_voxels_are_noticed(run: RunOptions, tmp_path: Path) -> None:
    module, file = trained_structure(tmp_path)
    state = module.state_dict()
    order = torch.randperm(SHAPES.features, generator=torch.Generator().manual_seed(2))
    torch.save(state | {"lin0.0.weight": state["lin0.0.weight"][:, order]}, file)
    artifact = imported("structure", file, run)
    (finding,) = artifact.findings
    assert finding["code"] == "imported-at-chance" and artifact.facts["order_p"] > 0.05
    assert "99 random orders" in finding["text"] and "On 120 training clips" in finding["text"]


def test_a_generator_with_patches(run: RunOptions, tmp_path: Path) -> None:
    torch.manual_seed(5)
    motion = PublishedPatchMotion(
        SHAPES.features, SHAPES.latent, patch=2, width=16, depth=1, heads=4, frames=SHAPES.frames - 1
    )
    torch.nn.init.normal_(motion.final_layer.linear.weight)
    torch.save({"net": motion.state_dict()}, tmp_path / "patches.pth")
    artifact = imported("motion", tmp_path / "patches.pth", run, heads=4)
    assert artifact.facts["patch_heads"] == 4 and artifact.facts["rollout_mask"] == "causal"
    responses, first = torch.randn(3, *SHAPES.response), torch.randn(3, *SHAPES.latent)
    found = decoders.load(artifact.path).predict(responses, first)
    torch.testing.assert_close(
        found, motion.eval().roll_out(first, responses.flatten(1)), rtol=1e-5, atol=1e-5
    )


def test_semantic_and_motion(run: RunOptions, tmp_path: Path) -> None:
    torch.manual_seed(3)
    semantic = PublishedSemantic(SHAPES.features, SHAPES.clip[0], 9, (24, 40))
    motion = PublishedMotion(SHAPES.features, SHAPES.latent_size, fmri=20, width=16, inner=12)
    torch.save(semantic.state_dict(), tmp_path / "semantic.pth")
    torch.save(motion.state_dict(), tmp_path / "motion.pth")
    found = decoders.load(imported("semantic", tmp_path / "semantic.pth", run).path)
    tokens = found.predict(torch.zeros(2, *SHAPES.response))["text_tokens"]
    torch.testing.assert_close(tokens[0, 0], torch.tensor([1.0, 2.0, 3.0]))
    artifact = imported("motion", tmp_path / "motion.pth", run)
    assert decoders.load(artifact.path).spec["rollout_mask"] == "first"


def test_motion_without_a_use_for_the_responses_is_at_chance(run: RunOptions, tmp_path: Path) -> None:
    torch.manual_seed(4)
    motion = PublishedMotion(SHAPES.features, SHAPES.latent_size, fmri=20, width=16, inner=12)
    torch.nn.init.zeros_(motion.encoder.lin1.weight)
    torch.save(motion.state_dict(), tmp_path / "deaf.pth")
    artifact = imported("motion", tmp_path / "deaf.pth", run)
    assert artifact.facts["order_p"] == 1 and artifact.facts["heads"] == 4
    assert [finding["code"] for finding in artifact.findings] == ["imported-at-chance"]


def test_motion_of_a_study_with_a_single_segment(run: RunOptions, tmp_path: Path) -> None:
    """Its first frames are decoded across stretches of the segment."""
    run = run.model_copy(update={"work": tmp_path / "one"})
    make_fmri(run, segment="only")
    make_stimuli(run)
    motion = PublishedMotion(SHAPES.features, SHAPES.latent_size, fmri=20, width=16, inner=12)
    torch.save(motion.state_dict(), tmp_path / "motion.pth")
    assert imported("motion", tmp_path / "motion.pth", run).facts["clips_looked_at"] == 120


def test_a_file_that_does_not_fit_is_refused_before_anything_is_written(
    run: RunOptions, tmp_path: Path
) -> None:
    torch.save(PublishedStructure(61, SHAPES.latent_size, width=32).state_dict(), tmp_path / "other.pth")
    dry = run.model_copy(update={"dry_run": True})
    with pytest.raises(InputError, match="lin0.0.weight is 32 x 61 instead of 32 x 60"):
        imported("structure", tmp_path / "other.pth", dry)
    _, file = trained_structure(tmp_path)
    with pytest.raises(Planned):
        imported("structure", file, dry)
    assert not list(tmp_path.glob("planted/sub-01/*structure*"))


def test_command(run: RunOptions, tmp_path: Path, call: Call) -> None:  # noqa: F811
    _, file = trained_structure(tmp_path)
    words = ("--dataset", "planted", "--subject", "1", "--work", str(tmp_path))
    done = call("import-checkpoint", "structure", str(file), *words)
    assert done.code == 0, done.err
    assert done.out.strip().endswith("sub-01/structure")
    missing = call("import-checkpoint", "structure", *words)
    assert missing.code == 2 and "the option file is required" in missing.err
    wrong = call("import-checkpoint", "strcture", str(file), *words)
    assert wrong.code == 2 and "kind = 'strcture' is not possible" in wrong.err
