"""``mindanim import-checkpoint``: a decoder of the published code becomes an artifact like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mindanim.artifacts import Artifact, Draft, Source, Workspace, find_dataset, produce
from mindanim.config.import_checkpoint import ImportCheckpointConfig
from mindanim.config.run_options import RunOptions
from mindanim.config.train import TrainMotionConfig
from mindanim.stages.examples import (
    Given,
    load_given,
    motion_examples,
    semantic_examples,
    shapes_of,
    structure_examples,
    training_clips,
)

if TYPE_CHECKING:
    from mindanim.decoders.base import Decoder

_LOOKED_AT = 512
"""Training clips on which an imported decoder is checked, spread evenly over the study."""


def import_checkpoint(config: ImportCheckpointConfig, run: RunOptions) -> Artifact:
    """Write the ``semantic``, ``structure`` or ``motion`` artifact of ``run.subject`` from a published file.

    Raises InputError when the file does not fit the subject's responses and the study's stimuli; it names the
    keys and shapes that differ.
    """
    from mindanim.decoders.published_checkpoints import import_decoder, read_checkpoint

    run = find_dataset(run)
    workspace = Workspace.of(run)
    fmri, stimuli = workspace.read(run, "fmri"), workspace.read(run, "stimuli")
    state = read_checkpoint(config.file)
    decoder = import_decoder(
        config.kind,
        state,
        shapes_of(fmri, stimuli),
        config.file,
        heads=config.heads,
        rollout_mask=config.rollout_mask,
    )
    checkpoint = Source.of_files(config.file.name, [config.file], config.file.parent)

    def build(draft: Draft) -> None:
        from mindanim.decoders import SPEC, WEIGHTS, describe, save_weights
        from mindanim.decoders.methods_text import at_chance

        figures = _look(decoder, fmri, stimuli, draft.scratch("clips").parent)
        if not draft.main:
            return
        with draft.write(WEIGHTS) as path:
            save_weights(decoder, path)
        draft.save_json(SPEC, describe(decoder))
        draft.methods(
            f"The {config.kind} decoder is the one published with Mind-Animator (arXiv 2405.03280), imported "
            f"from {config.file.name}."
        )
        if chance := at_chance(config.kind, figures["score"], figures["p"]):
            draft.finding(
                "imported-at-chance",
                f"On the training clips the imported {config.kind} decoder {chance}. "
                "Its voxels are probably not these ones, or not in this order: a file tells only how many.",
            )
        draft.fact(
            decoder=decoder.spec["decoder"],
            imported=True,
            parameters=sum(parameter.numel() for parameter in decoder.parameters()),
            clips_looked_at=min(_LOOKED_AT, len(training_clips(fmri))),
            **{f"train_{name}": value for name, value in figures.items()},
        )

    return produce(
        config.kind,
        workspace.place(run, config.kind),
        config=config,
        inputs={"fmri": fmri, "stimuli": stimuli, "checkpoint": checkpoint},
        run=run,
        seed=None,
        build=build,
        expected_bytes=4 * decoder.parameter_count(),
    )


def _look(decoder: Decoder, fmri: Artifact, stimuli: Artifact, scratch: Path) -> dict[str, float]:
    """Give the decoder what a file does not hold, and judge it on clips it was trained on.

    Far from what it would reach on new clips; but a decoder that is handed other voxels than its own, or the
    right ones in another order, is at chance here too.
    """
    import numpy as np

    from mindanim.decoders.splits import blocked_split

    clips, config = training_clips(fmri), TrainMotionConfig()
    rows = np.unique(np.linspace(0, len(clips) - 1, _LOOKED_AT).round().astype(np.int64))
    # First frames are decoded across the folds of an ordinary training, of which all clips are part here.
    split = blocked_split(clips, config.validation_fraction, config.purge_s, config.ridge_folds)
    split = replace(split, fit=np.arange(len(clips)), validation=rows, purged=rows[:0])
    return _judged(decoder, load_given(fmri, stimuli, clips, split, scratch))


def _judged(decoder: Decoder, given: Given) -> dict[str, float]:
    import torch

    from mindanim.decoders.models.motion import Motion
    from mindanim.decoders.models.semantic import Semantic
    from mindanim.decoders.models.structure import Structure

    responses = given.responses[given.split.validation]
    if isinstance(decoder, Semantic):
        semantic = semantic_examples(given)
        decoder.first_token.copy_(semantic.first_token)
        found = decoder.predict(responses)
        tokens = found["text_tokens"][:, 1:].flatten(1)
        return semantic.judge(found["clip"], tokens, semantic.text_mean())
    if isinstance(decoder, Structure):
        return structure_examples(given).judge(decoder.predict(responses).flatten(1))
    if not isinstance(decoder, Motion):
        raise TypeError(f"no examples for a {decoder.kind} decoder")
    motion = motion_examples(given, TrainMotionConfig())

    def follow(part: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
        return decoder.follow(motion.responses[part], first)

    with torch.no_grad():
        figures = motion.judge(follow)
        return figures | {"p": motion.response_p(follow)}
