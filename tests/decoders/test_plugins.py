"""Decoders of other packages that do not keep to the contract: refused before training, with the shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.base import Shapes
from mindanim.decoders.fit import expected_bytes, fit_decoder
from mindanim.decoders.fit_result import ClosedForm, Fitted
from mindanim.decoders.models.motion import MotionNetwork
from mindanim.decoders.models.semantic import SemanticNetwork
from mindanim.decoders.models.structure import Structure, StructureNetwork
from mindanim.errors import InputError
from tests.decoders.planted import SHAPES, machine, planted

Z, TOKENS = SHAPES.latent_size, 3 * SHAPES.tokens[1]
CONFIGS: dict[str, Any] = {
    "semantic": TrainSemanticConfig,
    "structure": TrainStructureConfig,
    "motion": TrainMotionConfig,
}


class Look(StructureNetwork):
    """A layer whose output a test changes."""

    change: Callable[[Tensor], Any] = staticmethod(lambda latents: latents)

    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes)
        self.layer = nn.Linear(shapes.features, shapes.latent_size)

    def forward(self, responses: Tensor) -> Tensor:
        found: Tensor = self.change(self.layer(responses))
        return found


class Extra(Look):
    def forward(self, responses: Tensor, depth: int) -> Tensor:  # type: ignore[override]
        return self.layer(responses)


class Nothing(StructureNetwork):
    def forward(self, responses: Tensor) -> Tensor:
        return responses[:, :Z].clone()


class Frozen(Look):
    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes)
        self.requires_grad_(False)


class Doubled(Look):
    """Right in training, wrong where it is used."""

    def decode(self, responses: Tensor) -> Tensor:
        return self(responses).repeat(2, 1)


class Words(SemanticNetwork):
    change: Callable[[Tensor, Tensor], Any] = staticmethod(lambda vectors, tokens: (vectors, tokens))

    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes)
        self.layer = nn.Linear(shapes.features, shapes.clip[0])
        self.head = nn.Linear(shapes.clip[0], self.token_outputs)

    def forward(self, responses: Tensor) -> tuple[Tensor, Tensor]:
        vectors = self.layer(responses)
        found: tuple[Tensor, Tensor] = self.change(vectors, self.head(vectors))
        return found


class Move(MotionNetwork):
    change: Callable[[Tensor], Tensor] = staticmethod(lambda tokens: tokens)

    def __init__(self, shapes: Shapes) -> None:
        super().__init__(shapes)
        self.layer = nn.Linear(shapes.features, shapes.latent_size)

    def memory(self, responses: Tensor) -> Tensor:
        return self.layer(responses)[:, None]

    def forward(self, tokens: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        return self.change(tokens + memory)


class AlwaysThree(Move):
    """Reads as many frames as there are in training."""

    def forward(self, tokens: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        return tokens + memory + torch.zeros(SHAPES.frames - 1, 1)


def tried(made: type[Any]) -> None:
    config = CONFIGS[made.kind](decoder=f"{made.__module__}:{made.__name__}")
    expected_bytes(made.kind, config, SHAPES)


@pytest.mark.parametrize("made", [Look, Words, Move], ids=lambda made: made.kind)
def test_what_keeps_to_the_contract_passes(made: type[Any]) -> None:
    tried(made)


def broken(latents: Tensor) -> Tensor:
    return latents / torch.zeros(())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda z: z[:, :1], f"on 2 clips.*Expected 2 x {Z}, found 2 x 1"),
        (lambda z: z[:, :5], f"Expected 2 x {Z}, found 2 x 5"),
        (lambda z: z.mean(0), f"Expected 2 x {Z}, found {Z}"),
        (lambda z: z.mean(), f"Expected 2 x {Z}, found a single number"),
        (lambda z: z.reshape(len(z), *SHAPES.latent), f"Expected 2 x {Z}, found 2 x 2 x 4 x 4"),
        (lambda z: z.squeeze(0), f"on 1 clip.*Expected 1 x {Z}, found {Z}"),
        (lambda z: (z, z), "found tuple of 2"),
        (lambda z: None, "found NoneType"),
        (lambda z: z.double(), "Expected torch.float32, found torch.float64"),
        (lambda z: z.half(), "found torch.float16"),
        (lambda z: z.to(torch.complex64), "found torch.complex64"),
        (lambda z: z.round().long(), "found torch.int64"),
        (broken, f"{2 * Z} of {2 * Z} values that are not finite"),
        (lambda z: z.detach(), "does not depend on its parameters"),
        (lambda z: z @ z, "RuntimeError: mat1 and mat2"),
    ],
)
def test_structure(change: Callable[[Tensor], Any], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Look, "change", staticmethod(change))
    with pytest.raises(InputError, match=f"(?s)structure decoder tests.decoders.test_plugins:Look .*{text}"):
        tried(Look)


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (Extra, "missing 1 required positional argument: 'depth'"),
        (Nothing, "has no parameters to train"),
        (Frozen, "has no parameters to train"),
        (Doubled, "predict.. on 2 clips.*Expected 2 x 2 x 4 x 4, found 4 x 2 x 4 x 4"),
        (AlwaysThree, f"forward.. on 2 clips.*Expected 2 x 1 x {Z}, found 2 x 3 x {Z}"),
    ],
)
def test_other_faults_of_a_class(made: type[Any], text: str) -> None:
    with pytest.raises(InputError, match=f"(?s){text}"):
        tried(made)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda v, t: (v[:, :3], t), "forward.., vectors, .*Expected 2 x 8, found 2 x 3"),
        (lambda v, t: (v, t[:, :4]), f"forward.., tokens, .*Expected 2 x {TOKENS}, found 2 x 4"),
        (lambda v, t: (v, t.reshape(len(t), 3, 3)), f"Expected 2 x {TOKENS}, found 2 x 3 x 3"),
        (lambda v, t: v, "does not return a pair.*found 2 x 8"),
        (lambda v, t: (v, t, v), "found tuple of 3"),
    ],
)
def test_semantic(change: Callable[..., Any], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Words, "change", staticmethod(change))
    with pytest.raises(InputError, match=f"(?s){text}"):
        tried(Words)


def test_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Move, "change", staticmethod(lambda tokens: tokens[:, -1:]))
    with pytest.raises(InputError, match=f"(?s)Expected 2 x 2 x {Z}, found 2 x 1 x {Z}"):
        tried(Move)


class Closed(Structure, ClosedForm):
    """Fitted at once, to nothing."""

    made: Callable[[Any], Any] = staticmethod(lambda decoder: decoder)

    def decode(self, responses: Tensor) -> Tensor:
        return torch.zeros(len(responses), Z)

    @classmethod
    def fit(cls, config: Any, examples: Any, shapes: Shapes, split: Any) -> Fitted:
        found: Fitted = cls.made(cls.from_spec(config.spec(), shapes))
        return found


class Narrow(Closed):
    def decode(self, responses: Tensor) -> Tensor:
        return torch.zeros(len(responses), 3)


@pytest.mark.parametrize(
    ("made", "returned", "text"),
    [
        (Closed, lambda decoder: decoder, "does not return a fitted decoder.*found Closed"),
        (Closed, lambda decoder: Fitted(decoder, None, {"val_p": 1}), "facts without best_epoch, val_score"),
        (
            Narrow,
            lambda decoder: Fitted(decoder, None, {"best_epoch": 1, "val_p": 1, "val_score": 0}),
            "predict",
        ),
    ],
)
def test_closed_form(
    made: type[Any], returned: Callable[..., Any], text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(made, "made", staticmethod(returned))
    config = TrainStructureConfig(decoder=f"{made.__module__}:{made.__name__}")
    with pytest.raises(InputError, match=f"(?s){text}"):
        fit_decoder(config, planted().structure, SHAPES, planted().split, machine(tmp_path))
