"""Decoders are found by kind and name; new ones need no change to any other module."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mindanim import decoders
from mindanim.config.run_options import RunOptions
from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.base import DECODERS, Shapes, register
from mindanim.decoders.build import KINDS, decoder_class, names
from mindanim.decoders.fit import closed_form, fit_decoder
from mindanim.decoders.fit_result import ClosedForm, Fitted
from mindanim.decoders.models.structure import Structure, StructureMlp, StructureNetwork
from mindanim.decoders.ridge.fit_ridge import Ridge, report_ridge
from mindanim.decoders.ridge.solver import LinearMap
from mindanim.decoders.ridge.targets import Target
from mindanim.decoders.training_examples import StructureExamples
from mindanim.decoders.validation_split import Split
from mindanim.errors import InputError, MindanimError, MissingError
from tests import plugins
from tests.cli.conftest import Call, call  # noqa: F401 - a fixture
from tests.decoders.planted import SHAPES, machine, planted
from tests.stages.test_train import make_fmri, make_stimuli

OWN = {
    "semantic": {"mlp", "ridge"},
    "structure": {"mlp", "ridge"},
    "motion": {"cmg", "cmg-patches", "mlp", "ridge", "transport"},
}
CONFIGS = {"semantic": TrainSemanticConfig, "structure": TrainStructureConfig, "motion": TrainMotionConfig}


class OneLayer(StructureNetwork):
    """A network in one linear layer."""

    def __init__(self, shapes: Shapes, *, bias: bool = True) -> None:
        super().__init__(shapes)
        self.layer = torch.nn.Linear(shapes.features, shapes.latent_size, bias=bias)

    def forward(self, responses: torch.Tensor) -> torch.Tensor:
        return self.layer(responses)


class Sum(Structure, ClosedForm):
    """Ridge regression of the mean latent of a clip, the same in every place."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes)
        self.map = LinearMap(shapes.features, 1)

    def decode(self, responses: torch.Tensor) -> torch.Tensor:
        return self.map(responses).expand(-1, self.shapes.latent_size)

    @classmethod
    def fit(
        cls, config: TrainStructureConfig, examples: StructureExamples, shapes: Shapes, split: Split
    ) -> Fitted:
        mean = examples.latents.mean(1, keepdim=True)
        found = Ridge(examples.responses, split, config).regress("mean", Target.of(mean))
        decoder = cls.from_spec(config.spec(), shapes)
        found.fill(decoder.map)
        predicted = found.predicted(split.validation).expand(-1, shapes.latent_size)
        return report_ridge(decoder, [found], found.losses, examples.judge(predicted))


@pytest.fixture
def registered() -> Iterator[None]:
    """Both under names of their own, for the time of a test."""
    decoder_class("structure", "mlp")  # everything of the package is registered first
    known = dict(DECODERS._own)
    register("one-layer")(OneLayer)
    register("sum")(Sum)
    yield
    DECODERS._own.clear()
    DECODERS._own.update(known)


def test_the_package_registers_all_that_can_be_typed() -> None:
    assert {kind: set(names(kind)) for kind in KINDS} == OWN
    for kind, own in OWN.items():
        for name in own:
            assert CONFIGS[kind].model_validate({"decoder": name}).decoder == name
            made = decoder_class(kind, name)
            assert made.kind == kind
            assert (closed_form(kind, CONFIGS[kind](decoder=name)) is None) == (
                name not in ("ridge", "transport")
            )
    with pytest.raises(InputError, match="unknown motion decoder 'cmg-patchs': did you mean 'cmg-patches'"):
        decoder_class("motion", "cmg-patchs")
    with pytest.raises(InputError, match="unknown structure decoder 'cmg': known: "):
        decoder_class("structure", "cmg")
    with pytest.raises(InputError, match="unknown kind of decoder 'motoin': did you mean 'motion'"):
        decoder_class("motoin", "cmg")


def test_two_decoders_of_a_kind_cannot_share_a_name(registered: None) -> None:
    with pytest.raises(ValueError, match=r"structure\.one-layer"):
        register("one-layer")(StructureMlp)


def test_a_registered_class_is_fitted_saved_and_loaded(registered: None, tmp_path: Path) -> None:
    data = planted()
    options = {"epochs": 20, "learning_rate": 0.01, "batch_size": 25}
    for name, more in (("one-layer", {"decoder_arguments": {"bias": False}}), ("sum", {})):
        # Names that no package brings are refused where options are read, before they get here.
        config = TrainStructureConfig.model_construct(
            **(TrainStructureConfig(**options).model_dump() | {"decoder": name} | more)
        )
        fitted = fit_decoder(config, data.structure, SHAPES, data.split, machine(tmp_path))
        assert fitted.facts["val_score"] > 0.2 or name == "sum"
        assert fitted.decoder.spec["decoder"] == name
        (tmp_path / decoders.SPEC).write_text(json.dumps(decoders.describe(fitted.decoder)))
        decoders.save_weights(fitted.decoder, tmp_path / decoders.WEIGHTS)
        loaded = decoders.load(tmp_path)
        responses = data.structure.responses.reshape(-1, *SHAPES.response)
        assert torch.equal(loaded.predict(responses), fitted.decoder.predict(responses))
        (tmp_path / "training.pt").unlink(missing_ok=True)


PLUGGED = """
from tests.decoders.test_registry import OneLayer
class Plugged(OneLayer):
    pass
"""


def test_a_decoder_of_another_package_is_typed_by_its_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,  # noqa: F811
) -> None:
    plugins.install(
        tmp_path / "site", "mindanim.decoders", "structure.plugged", "plugged:Plugged", PLUGGED, monkeypatch
    )
    run = RunOptions(dataset="planted", subject=1, work=tmp_path, device="cpu")
    make_fmri(run)
    make_stimuli(run)
    words = ("--dataset", "planted", "--subject", "1", "--work", str(tmp_path), "--epochs", "2")
    done = call("train-structure", "--decoder", "plugged", *words)
    assert done.code == 0, done.err
    loaded = decoders.load(tmp_path / "planted" / "sub-01" / "structure")
    assert type(loaded).__name__ == "Plugged" and loaded.spec == {"decoder": "plugged"}
    typo = call("train-structure", "--decoder", "pluged", *words)
    assert typo.code != 0 and "did you mean 'plugged'" in typo.err
    other = call("train-motion", "--decoder", "plugged", *words)
    assert other.code != 0 and "unknown decoder 'plugged'" in other.err


def test_what_another_package_brings_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("structure.gone", "plugged:Gone"), ("motion.plugged", "plugged:Plugged")):
        plugins.install(tmp_path / "site", "mindanim.decoders", name, value, PLUGGED, monkeypatch)
    with pytest.raises(MissingError, match=r"structure\.gone cannot be loaded from plugged:Gone"):
        decoder_class("structure", "gone")
    with pytest.raises(InputError, match="plugged is not a motion decoder"):
        decoder_class("motion", "plugged")


def test_the_help_of_training_imports_no_torch() -> None:
    program = (
        "import sys; from mindanim.config.train import TrainStructureConfig; import mindanim.stages.train; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_options_of_a_ridge_do_not_reach_a_class_that_lacks_them(registered: None, tmp_path: Path) -> None:
    data = planted()
    config = TrainStructureConfig.model_construct(
        **(TrainStructureConfig().model_dump() | {"decoder": "sum", "decoder_arguments": {"depth": 3}})
    )
    with pytest.raises(MindanimError, match="structure decoder sum cannot be built"):
        fit_decoder(config, data.structure, SHAPES, data.split, machine(tmp_path))
