"""``mindanim import-checkpoint``: turn a decoder of the published code into an ordinary artifact."""

from __future__ import annotations

from dataclasses import asdict

from mindanim import console
from mindanim.artifacts import Artifact, Draft, Source, Workspace, find_dataset, produce
from mindanim.config.import_checkpoint import ImportCheckpointConfig
from mindanim.config.run_options import RunOptions


def import_checkpoint(config: ImportCheckpointConfig, run: RunOptions) -> Artifact:
    """Write the ``semantic``, ``structure`` or ``motion`` artifact of ``run.subject`` from a published file.

    Raises:
        InputError: The file does not fit the subject's responses and the study's stimuli; names the keys and
            shapes that differ.
    """
    from mindanim.decoders.import_check import CHECKED, complete_and_check
    from mindanim.decoders.load_examples import shapes_of, training_clips
    from mindanim.decoders.published_checkpoints import import_decoder, layout_of, read_checkpoint

    run = find_dataset(run)
    workspace = Workspace.of(run)
    inputs = workspace.read_all(run, "fmri", "stimuli")
    fmri, stimuli = inputs["fmri"], inputs["stimuli"]
    state = read_checkpoint(config.file)
    decoder = import_decoder(
        config.kind,
        state,
        shapes_of(fmri, stimuli),
        config.file,
        heads=config.heads,
        rollout_mask=config.rollout_mask,
    )
    assumed = {name: decoder.spec[name] for name in layout_of(config.kind, state).assumed}
    if assumed and None in (config.heads, config.rollout_mask):
        told = ", ".join(f"{name.removeprefix('patch_')} {value}" for name, value in assumed.items())
        console.say(
            f"{config.file.name} does not record heads and roll-out mask: {told} "
            "(--set heads=N, --rollout-mask causal|first)"
        )
    checkpoint = Source.of_files(config.file.name, [config.file], config.file.parent)

    def build(draft: Draft) -> None:
        from mindanim.decoders import SPEC, WEIGHTS, describe, save_weights

        figures, order = complete_and_check(decoder, fmri, stimuli, draft.scratch("clips").parent)
        if not draft.main:
            return
        with draft.write(WEIGHTS) as path:
            save_weights(decoder, path)
        draft.save_json(SPEC, describe(decoder))
        draft.methods(
            f"The {config.kind} decoder is a published checkpoint of Mind-Animator (arXiv 2405.03280), "
            f"imported from {config.file.name}."
        )
        if order.passed:
            draft.methods(order.in_words(config.kind))
            console.say(order.in_words(config.kind))
        else:
            draft.finding(
                "imported-at-chance",
                f"{order.in_words(config.kind)} That is no better than chance. The decoder was "
                "probably trained on other voxels, or on these in another order: a checkpoint records only "
                "their number.",
            )
        draft.fact(
            decoder=decoder.spec["decoder"],
            imported=True,
            parameters=sum(parameter.numel() for parameter in decoder.parameters()),
            clips_looked_at=min(CHECKED, len(training_clips(fmri))),
            **assumed,
            **{f"train_{name}": value for name, value in figures.items()},
            **{f"order_{name}": value for name, value in asdict(order).items()},
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
