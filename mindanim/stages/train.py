"""``mindanim train-semantic``, ``train-structure``, ``train-motion``: fit a decoder to responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mindanim import console, runtime
from mindanim.artifacts import Artifact, Draft, Workspace, find_dataset, produce
from mindanim.config.run_options import RunOptions
from mindanim.config.train import (
    TrainConfig,
    TrainMotionConfig,
    TrainSemanticConfig,
    TrainStructureConfig,
)

if TYPE_CHECKING:
    from mindanim.decoders.fit_result import Fitted
    from mindanim.decoders.validation_split import Split

_HISTORY_UNITS = {
    "epoch": "count, from 1",
    "step": "optimisation steps so far",
    "learning_rate": "of the epoch's last step",
    "train_loss": "on the clips that fit the decoder; for ridge cross-validated over segments",
    "val_loss": "on the held-out clips",
    "val_score": "criterion of select=score",
}
_PENALTY_UNITS = {
    "alpha": "mean squared norms of a (scaled) response",
    "error": "squared error, cross-validated over segments",
}


def train_semantic(config: TrainSemanticConfig, run: RunOptions) -> Artifact:
    """Write the ``semantic`` artifact: responses to CLIP vector and text condition."""
    return _train("semantic", config, run)


def train_structure(config: TrainStructureConfig, run: RunOptions) -> Artifact:
    """Write the ``structure`` artifact: responses to the first frame's latent."""
    return _train("structure", config, run)


def train_motion(config: TrainMotionConfig, run: RunOptions) -> Artifact:
    """Write the ``motion`` artifact: first frame and responses to the later frames' latents."""
    return _train("motion", config, run)


def _train(kind: str, config: TrainConfig, run: RunOptions) -> Artifact:
    from mindanim.decoders.fit import closed_form, expected_bytes, fit_decoder
    from mindanim.decoders.load_examples import load_examples, load_given, shapes_of, training_clips
    from mindanim.decoders.training.fit_network import Machine
    from mindanim.decoders.validation_split import blocked_split

    run = find_dataset(run)
    workspace = Workspace.of(run)
    inputs = workspace.read_all(run, "fmri", "stimuli")
    fmri, stimuli = inputs["fmri"], inputs["stimuli"]
    shapes = shapes_of(fmri, stimuli)

    def build(draft: Draft) -> None:
        clips = training_clips(fmri)
        split = blocked_split(clips, config.validation_fraction, config.purge_s, config.ridge_folds)
        device = runtime.pick_device(run.device)
        place = workspace.place(run, kind)
        log = run.work / "tensorboard" / place.relative_to(run.work)
        checkpoint = draft.scratch("training.pt")
        dtype = runtime.pick_dtype(run.precision, device)
        if closed_form(kind, config) is None:
            draft.computes_in(runtime.precision_name(dtype))
        machine = Machine(device, dtype, checkpoint, log if config.tensorboard else None)
        console.say(
            f"{kind}: {len(split.fit)} clips fit the decoder, {len(split.validation)} validate "
            f"({split.held_out})"
        )
        given = load_given(fmri, stimuli, clips, split, checkpoint.parent)
        fitted = fit_decoder(config, load_examples(kind, given, config), shapes, split, machine)
        _write(draft, config, split, fitted)

    return produce(
        kind,
        workspace.place(run, kind),
        config=config,
        inputs=inputs,
        run=run,
        seed=config.seed,
        build=build,
        expected_bytes=expected_bytes(kind, config, shapes),
    )


def _write(draft: Draft, config: TrainConfig, split: Split, fitted: Fitted) -> None:
    """The decoder, its history, its figure, and what to know about it."""
    from mindanim.decoders import SPEC, WEIGHTS, describe, save_weights
    from mindanim.decoders.methods_text import findings, methods
    from mindanim.decoders.training.curves import draw_history, draw_penalties

    if not draft.main:
        return
    with draft.write(WEIGHTS) as path:
        save_weights(fitted.decoder, path)
    draft.save_json(SPEC, describe(fitted.decoder))
    draft.save_table(
        "history.tsv",
        fitted.history,
        units={name: unit for name, unit in _HISTORY_UNITS.items() if name in fitted.history},
    )
    title = f"{fitted.decoder.kind} decoder ({config.decoder})"
    with draft.write("figures/curves.png") as path:
        if fitted.penalties is None:
            draw_history(path, title, fitted.history, fitted.facts["best_epoch"])
        else:
            draw_penalties(path, title, fitted.penalties)
    if fitted.penalties is not None:
        draft.save_table("penalties.tsv", fitted.penalties, units=_PENALTY_UNITS)
    for sentence in methods(config, fitted, split):
        draft.methods(sentence)
    for code, text in findings(fitted):
        draft.finding(code, text)
    draft.fact(
        decoder=config.decoder,
        clips_fit=len(split.fit),
        clips_validation=len(split.validation),
        validation=split.held_out,
        **fitted.facts,
    )
