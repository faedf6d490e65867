"""``mindanim train-semantic``, ``train-structure``, ``train-motion``: responses and features become
decoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mindanim import console, runtime
from mindanim.artifacts import Artifact, Draft, Workspace, find_dataset, produce
from mindanim.config.run import RunOptions
from mindanim.config.training import (
    TrainConfig,
    TrainMotionConfig,
    TrainSemanticConfig,
    TrainStructureConfig,
)
from mindanim.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from torch import Tensor

    from mindanim.decoders.base import Shapes
    from mindanim.decoders.data import Split
    from mindanim.decoders.fitting import Fitted, Machine

_HISTORY_UNITS = {
    "epoch": "count, from 1",
    "step": "optimisation steps so far",
    "learning_rate": "of the epoch's last step",
    "train_loss": "on the clips that fit the decoder; for ridge cross-validated over segments",
    "val_loss": "on the held-out clips",
    "val_score": "what select=score goes by",
}
_PENALTY_UNITS = {
    "alpha": "mean squared norms of a (scaled) response",
    "error": "squared error, cross-validated over segments",
}


def train_semantic(config: TrainSemanticConfig, run: RunOptions) -> Artifact:
    """Write the ``semantic`` artifact: responses to CLIP vector and text condition."""
    return _train("semantic", config, run, lambda given: _semantic(config, given))


def train_structure(config: TrainStructureConfig, run: RunOptions) -> Artifact:
    """Write the ``structure`` artifact: responses to the first frame's latent."""
    return _train("structure", config, run, lambda given: _structure(config, given))


def train_motion(config: TrainMotionConfig, run: RunOptions) -> Artifact:
    """Write the ``motion`` artifact: first frame and responses to the following frames' latents."""
    return _train("motion", config, run, lambda given: _motion(config, given))


@dataclass(frozen=True)
class _Given:
    """What every decoder is fitted on. rows ``(clip,)``: where the clips stand in the stimuli's arrays."""

    responses: NDArray[np.float32]
    stimuli: Artifact
    rows: NDArray[np.int64]
    split: Split
    machine: Machine


def _train(kind: str, config: TrainConfig, run: RunOptions, fit: Callable[[_Given], Fitted]) -> Artifact:
    run = find_dataset(run)
    workspace = Workspace.of(run)
    fmri, stimuli = workspace.read(run, "fmri"), workspace.read(run, "stimuli")

    def build(draft: Draft) -> None:
        from mindanim.decoders.data import blocked_split
        from mindanim.decoders.fitting import Machine

        clips = fmri.table("clips.tsv")
        clips = clips[clips["split"] == "train"].reset_index(drop=True)
        split = blocked_split(clips, config.validation_fraction, config.purge_s, config.ridge_folds)
        device = runtime.pick_device(run.device)
        machine = Machine(device, runtime.pick_dtype(run.precision, device), draft.scratch("training.pt"))
        console.say(
            f"{kind}: {len(split.fit)} clips fit the decoder, {len(split.validation)} validate "
            f"({split.held_out})"
        )
        given = _Given(_responses(fmri, clips), stimuli, _rows(stimuli, clips), split, machine)
        _write(draft, kind, config, split, fit(given))

    path = workspace.place(run, kind)
    inputs = {"fmri": fmri, "stimuli": stimuli}
    return produce(kind, path, config=config, inputs=inputs, run=run, seed=config.seed, build=build)


def _responses(fmri: Artifact, clips: pd.DataFrame) -> NDArray[np.float32]:
    """Training responses ``(clip, lag, voxel)``; InputError naming clips without a finite response."""
    import numpy as np

    responses = np.array(fmri.array("train_responses.npy"), np.float32)
    if len(responses) != len(clips):
        raise InputError(
            f"{fmri.path} holds {len(responses)} training responses for {len(clips)} training clips.",
            "Rows of clips.tsv and train_responses.npy belong together.",
            "Make it again: mindanim preprocess --force.",
        )
    broken = ~np.isfinite(responses).all(axis=(1, 2))
    if broken.any():
        raise InputError(
            f"Responses of {int(broken.sum())} clips in {fmri.path} are not finite: "
            f"{_some(clips['clip_id'].to_numpy()[broken])}.",
            "A decoder cannot be fitted to missing values.",
            "Look at figures/qc.png and the findings of that folder, and preprocess again.",
        )
    return responses


def _rows(stimuli: Artifact, clips: pd.DataFrame) -> NDArray[np.int64]:
    """Where each clip stands in the stimuli's arrays; InputError naming those that are not there."""
    import numpy as np
    import pandas as pd

    rows = pd.Index(stimuli.table("clips.tsv")["clip_id"]).get_indexer(clips["clip_id"])
    if (rows < 0).any():
        raise InputError(
            f"{stimuli.path} lacks {int((rows < 0).sum())} of the clips that have responses: "
            f"{_some(clips['clip_id'].to_numpy()[rows < 0])}.",
            "Responses and features come from different versions of the study.",
            "Make it again: mindanim encode-stimuli --force.",
        )
    return np.asarray(rows, np.int64)


def _some(names: NDArray[Any], limit: int = 5) -> str:
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def _semantic(config: TrainSemanticConfig, given: _Given) -> Fitted:
    import numpy as np
    import torch

    from mindanim.decoders.data import caption_labels
    from mindanim.decoders.examples import SemanticExamples
    from mindanim.decoders.fit import fit_semantic

    stimuli, rows = given.stimuli, given.rows
    tokens = np.asarray(stimuli.array("text_tokens.npy")[rows], np.float32)
    _check_first_token(stimuli, tokens[:, 0])
    text = np.asarray(stimuli.array("clip_text.npy")[rows], np.float32)
    examples = SemanticExamples(
        **_common(given),
        image=torch.from_numpy(np.asarray(stimuli.array("clip_image.npy")[rows], np.float32)),
        text=torch.from_numpy(text),
        tokens=torch.from_numpy(tokens[:, 1:]).flatten(1),
        first_token=torch.from_numpy(tokens[:, 0].mean(0)),
        captions=caption_labels(stimuli.table("clips.tsv")["caption"].iloc[rows]),
    )
    shapes = _shapes(given, clip=text.shape[2:], tokens=tokens.shape[1:])
    return fit_semantic(config, examples, shapes, given.split, given.machine)


def _check_first_token(stimuli: Artifact, first: NDArray[np.float32]) -> None:
    spread = float((first.max(0) - first.min(0)).max())
    if spread > 0.01 * float(abs(first).max()):
        raise InputError(
            f"The first text token in {stimuli.path} differs between captions (by up to {spread:.3g}).",
            "Semantic decoders predict tokens 1.. and put the constant first one back.",
            "Use a diffusion model with a causal CLIP text encoder (Stable Diffusion 1.x or 2.x).",
        )


def _structure(config: TrainStructureConfig, given: _Given) -> Fitted:
    from mindanim.decoders.examples import StructureExamples
    from mindanim.decoders.fit import fit_structure

    latents = _latents(given)
    examples = StructureExamples(**_common(given), latents=_tensor(latents[:, 0]).flatten(1))
    shapes = _shapes(given, latents=latents.shape[1:])
    return fit_structure(config, examples, shapes, given.split, given.machine)


def _motion(config: TrainMotionConfig, given: _Given) -> Fitted:
    from mindanim.decoders.examples import MotionExamples
    from mindanim.decoders.fit import decode_first_frames, fit_motion

    latents = _latents(given)
    common, flat = _common(given), _tensor(latents).flatten(2)
    console.say("motion: decoding first frames of held-out segments")
    decoded = decode_first_frames(config, common["responses"], flat[:, 0], given.split)
    examples = MotionExamples(**common, latents=flat, decoded=decoded)
    shapes = _shapes(given, latents=latents.shape[1:])
    return fit_motion(config, examples, shapes, given.split, given.machine)


def _latents(given: _Given) -> NDArray[np.float16]:
    """``(clip, frame, channel, height, width)``; InputError when there are fewer than two frames."""
    import numpy as np

    latents = given.stimuli.array("latents.npy")
    if latents.ndim != 5 or latents.shape[1] < 2:
        raise InputError(
            f"latents.npy in {given.stimuli.path} has shape {latents.shape}.",
            "Expected clip, frame, channel, height, width, with at least two frames per clip.",
        )
    return np.array(latents[given.rows])


def _tensor(values: NDArray[Any]) -> Tensor:
    import torch

    return torch.from_numpy(values)


def _common(given: _Given) -> dict[str, Tensor]:
    return {
        "responses": _tensor(given.responses).flatten(1),
        "fit": _tensor(given.split.fit),
        "validation": _tensor(given.split.validation),
    }


def _shapes(given: _Given, **targets: tuple[int, ...]) -> Shapes:
    from mindanim.decoders.base import Shapes

    return Shapes.of({"response": given.responses.shape[1:], **targets})


def _write(draft: Draft, kind: str, config: TrainConfig, split: Split, fitted: Fitted) -> None:
    """The decoder, its history, its figure, and what is said of it."""
    from mindanim.decoders import SPEC, WEIGHTS, describe, save_weights
    from mindanim.decoders.account import findings, methods
    from mindanim.decoders.curves import draw_history, draw_penalties

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
    title = f"{kind} decoder ({config.spec()['decoder']})"
    with draft.write("figures/curves.png") as path:
        if fitted.penalties is None:
            draw_history(path, title, fitted.history, fitted.facts["best_epoch"])
        else:
            draw_penalties(path, title, fitted.penalties)
    if fitted.penalties is not None:
        draft.save_table("penalties.tsv", fitted.penalties, units=_PENALTY_UNITS)
    for sentence in methods(kind, config, fitted, split):
        draft.methods(sentence)
    for code, text in findings(kind, fitted):
        draft.finding(code, text)
    draft.fact(
        decoder=config.spec()["decoder"],
        clips_fit=len(split.fit),
        clips_validation=len(split.validation),
        validation=split.held_out,
        **fitted.facts,
    )
