"""The examples that are short enough to run."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from mindanim import decoders
from mindanim.config.recipes import load_recipe
from mindanim.config.run_options import RunOptions
from mindanim.config.train import TrainStructureConfig
from mindanim.decoders import Shapes
from mindanim.errors import InputError
from mindanim.stages.train import train_structure
from tests.stages.test_train import make_fmri, make_stimuli

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunOptions:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    run = RunOptions(dataset="planted", subject=1, work=tmp_path, device="cpu")
    make_fmri(run)
    make_stimuli(run)
    return run


def test_a_decoder_of_ones_own_is_trained_and_loaded_like_any_other(run: RunOptions) -> None:
    assert len((EXAMPLES / "custom_decoder.py").read_text().splitlines()) < 50
    recipe = load_recipe(str(EXAMPLES / "custom_decoder.toml"))
    options = recipe.tables["train-structure"] | {"l1_penalty": 0.0, "epochs": 60, "learning_rate": 3e-3}
    artifact = train_structure(TrainStructureConfig.model_validate(options), run)
    assert artifact.facts["decoder"] == "custom_decoder:TwoScales" and artifact.facts["val_score"] > 0.2
    assert "custom_decoder:TwoScales" in " ".join(artifact.manifest["methods"])
    decoder = decoders.load(artifact.path)
    assert type(decoder).__name__ == "TwoScales" and decoder.spec["width"] == 128
    assert decoder.predict(torch.zeros(3, *decoder.shapes.response)).shape == (3, *decoder.shapes.latent)


@pytest.mark.parametrize("kind", ["semantic", "structure", "motion"])
def test_operations_of_a_step_are_counted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the layers' products by hand: batch 2, forward, and backward to weights and inputs."""
    monkeypatch.syspath_prepend(str(EXAMPLES / "benchmarks"))
    benchmark = importlib.import_module("decoders")
    shapes = Shapes((1, 30), (8,), (4, 3), (4, 2, 2, 2))
    ours, published = (benchmark.operations(side, kind, shapes, 2) for side in ("mindanim", "published"))
    if kind == "structure":
        trunk = [30 * 1024, 1024 * 1024, 1024 * 1024, 1024 * 8]
        # Nothing flows back to the responses.
        assert ours == published == 2 * 2 * (3 * sum(trunk) - trunk[0])
    assert 0 < ours <= published


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("no_such_module:Decoder", "cannot be imported"),
        ("custom_decoder:Absent", "cannot be imported"),
        ("pathlib:Path", "is not a structure decoder"),
        ("mindanim.decoders.models.semantic:SemanticMlp", "is not a structure decoder"),
        ("mindanim.decoders.models.structure:Structure", "cannot be trained"),
        ("mindanim.decoders.models.structure:StructureNetwork", "cannot be built"),
    ],
)
def test_what_is_no_decoder_is_refused(run: RunOptions, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        train_structure(TrainStructureConfig(decoder=name, epochs=1), run)
