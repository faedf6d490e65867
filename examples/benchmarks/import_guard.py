"""Calibrate the check of imported decoders: how often wrong ones pass, and whether right ones do.

    python examples/benchmarks/import_guard.py --repeats 400

A study of 240 clips whose responses have a global signal that follows the stimulus, as real ones do: it lets
a decoder with voxels in any order, or without training, predict something. For each kind of decoder: random
weights, trained weights with voxels in random orders, and the trained weights as they are. The old criterion
(a positive score and p <= .05 against shifted pairings of clips) is counted next to the order test.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from mindanim.decoders.base import Decoder, Shapes
from mindanim.decoders.build import build
from mindanim.decoders.decoding_scores import pooled_correlation, shift_p_value
from mindanim.decoders.import_check import order_test
from mindanim.decoders.models.masks import causal
from mindanim.decoders.training_examples import (
    Examples,
    MotionExamples,
    SemanticExamples,
    StructureExamples,
)

SHAPES = Shapes(response=(1, 60), clip=(8,), tokens=(4, 3), latents=(4, 2, 4, 4))
CLIPS, CAUSES = 240, 6
SPECS = {
    "semantic": {"decoder": "mlp", "head_widths": [12]},
    "structure": {"decoder": "mlp", "width": 32},
    "motion": {"decoder": "cmg", "width": 16, "feedforward": 12, "fmri_width": 20},
}


def study(seed: int = 0) -> dict[str, Examples]:
    """Training clips for the three decoders: slow causes, in every voxel with positive weights."""
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((CLIPS, CAUSES))
    for clip in range(1, CLIPS):
        causes[clip] = 0.6 * causes[clip - 1] + 0.8 * causes[clip]

    def mixed(width: int) -> torch.Tensor:
        loadings = rng.standard_normal((CAUSES, width)) / CAUSES**0.5
        return torch.from_numpy((causes @ loadings).astype(np.float32))

    responses = mixed(SHAPES.features) + torch.from_numpy(causes[:, :1].astype(np.float32))
    responses = responses + 0.5 * torch.from_numpy(rng.standard_normal(responses.shape).astype(np.float32))
    rows = torch.arange(CLIPS)
    common = {"responses": responses, "fit": rows, "validation": rows}
    text = mixed(SHAPES.clip[0])[:, None]
    first = mixed(SHAPES.latent_size)
    later = first[:, None] + mixed(3 * SHAPES.latent_size).reshape(CLIPS, 3, -1)
    return {
        "semantic": SemanticExamples(
            **common,
            **{"image": text, "text": text, "tokens": mixed(9), "first_token": torch.zeros(3)},
            captions=rows,
        ),
        "structure": StructureExamples(**common, latents=first),
        "motion": MotionExamples(**common, latents=torch.cat([first[:, None], later], 1), decoded=first),
    }


def made(kind: str, seed: int) -> Decoder:
    """A decoder with random weights."""
    torch.manual_seed(seed)
    return build(kind, SPECS[kind], SHAPES)


def trained(kind: str, examples: Examples, steps: int = 300) -> Decoder:
    """A decoder that fits the study."""
    decoder = made(kind, 0).train()
    optimizer = torch.optim.Adam(decoder.parameters(), 3e-3)
    for _ in range(steps):
        rows = torch.randint(CLIPS, (64,))
        optimizer.zero_grad()
        loss(decoder, examples.at(rows)).backward()
        optimizer.step()
    return decoder.eval()


def loss(decoder: Decoder, batch: Examples) -> torch.Tensor:
    if isinstance(batch, SemanticExamples):
        return (decoder(batch.responses)[0] - batch.text[:, 0]).square().mean()
    if isinstance(batch, StructureExamples):
        return (decoder(batch.responses) - batch.latents).square().mean()
    assert isinstance(batch, MotionExamples)
    predicted = decoder(batch.latents[:, :-1], decoder.memory(batch.responses), causal(3))
    return (predicted - batch.latents[:, 1:]).square().mean()


def shuffled(examples: Examples, seed: int) -> Examples:
    """The same clips with voxels in another order than the decoder knows."""
    order = torch.randperm(SHAPES.features, generator=torch.Generator().manual_seed(seed))
    return replace(examples, responses=examples.responses[:, order])


@torch.no_grad()
def shifts_pass(decoder: Decoder, examples: Examples) -> bool:
    """Whether the old criterion is met."""
    if isinstance(examples, MotionExamples):

        def follow(rows: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
            return decoder.follow(examples.responses[rows], first)

        return examples.judge(follow)["score"] > 0 and examples.response_p(follow) <= 0.05
    semantic = isinstance(examples, SemanticExamples)
    predicted = decoder(examples.responses)[0] if semantic else decoder(examples.responses)
    true = examples.text[:, 0] if semantic else examples.latents
    return pooled_correlation(predicted, true) > 0 and shift_p_value(predicted, true) <= 0.05


def cases(kind: str, repeats: int) -> Iterator[tuple[str, Decoder, Examples]]:
    examples = study()[kind]
    right = trained(kind, examples)
    for seed in range(repeats):
        yield "random weights", made(kind, 1000 + seed).eval(), examples
        yield "random voxel order", right, shuffled(examples, seed)
    yield "right", right, examples


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=400)
    repeats = parser.parse_args().repeats
    print("decoder    given               passes the order test   passes shifted pairings")
    for kind in SPECS:
        passed: dict[str, list[tuple[bool, bool]]] = {}
        for seed, (name, decoder, examples) in enumerate(cases(kind, repeats)):
            found = order_test(decoder.eval(), examples, seed).passed, shifts_pass(decoder, examples)
            passed.setdefault(name, []).append(found)
        for name, both in passed.items():
            shares = "".join(f"{np.mean(one):>21.1%}" for one in zip(*both, strict=True))
            print(f"{kind:10} {name:18}{shares}   of {len(both)}", flush=True)


if __name__ == "__main__":
    main()
