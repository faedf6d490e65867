"""``mindanim demo``: the simulated study and every stage on it, with a comment on each step."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mindanim import console
from mindanim.artifacts import Artifact, Workspace
from mindanim.artifacts.artifact import MANIFEST
from mindanim.config.demo import DemoConfig
from mindanim.config.resolve import Asked
from mindanim.config.run_options import RunOptions
from mindanim.stages.call import perform, prepare

STUDY = "simulated-study"
ABLATIONS = ("semantic", "structure", "motion")
HALVES = ("odd", "even")
_ADDED = {"no-brain", *(f"{half} repeats" for half in HALVES)}
"""Inputs that `ablations` adds to an evaluation."""

_STEPS: dict[str, str] = {
    "simulate": "Writing a study with known ground truth: films, and BOLD runs of simulated viewers",
    "preprocess": "From BOLD runs to one response per clip",
    "encode-stimuli": "Encoding the films as latents, CLIP embeddings and text conditions",
    "train-semantic": "Learning to decode what was seen",
    "train-structure": "Learning to decode the layout of the first frame",
    "train-motion": "Learning to decode how it moved",
    "generate": "From decoded features to video, by a diffusion model that has never seen a video",
    "evaluate": "Scoring the videos, each score with its floors, chance level and ceiling",
}


def demo(config: DemoConfig, run: RunOptions) -> Artifact:
    """Run everything for subject 1; finished stages are skipped.

    The study is in ``<work>/simulated-study`` and the artifacts in ``<work>/simulated``. ``quick`` uses
    ``<work>/quick`` instead of ``<work>``, so that the two never mix.

    Returns:
        The evaluation.
    """
    work = run.work / "quick" if config.quick else run.work
    shared = {
        "dataset": "simulated",
        "data": work / STUDY,
        "work": work,
        "device": run.device,
        "precision": run.precision,
        "batch": run.batch,
        "force": run.force,
        "dry_run": run.dry_run,
        "offline": True,
    }
    call = _caller("quick" if config.quick else "demo", shared)

    call("simulate", say=_study)
    call("preprocess", subject=1)
    call("encode-stimuli")
    for decoder in ("train-semantic", "train-structure", "train-motion"):
        call(decoder, subject=1)
    call("generate", subject=1)
    call(
        "generate",
        subject=1,
        label="oracle",
        oracle="all",
        why="with the true features: the ceiling of any decoder",
    )
    if config.ablations:
        call(
            "generate",
            subject=1,
            label="nobrain",
            no_brain=True,
            why="from noise instead of responses: the floor without a brain",
        )
        for half in HALVES:
            why = f"from the {half} repeats: half of the repeat ceiling"
            call("generate", subject=1, label=half, sets=(f"repeats={half}",), why=why)
        for feature in ABLATIONS:
            label, why = f"no{feature}", f"without {feature}"
            call("generate", subject=1, label=label, without=feature, why=why)
            call("evaluate", subject=1, label=label, why=why, force=run.force or _is_older(work, label))
    force = run.force or config.ablations and _is_older(work, "")
    evaluation: Artifact = call("evaluate", subject=1, force=force)
    console.step(f"The report is {evaluation.file('report.html').absolute()}")
    return evaluation


def _is_older(work: Path, label: str) -> bool:
    """Whether an evaluation exists that lacks the floor and the ceilings added by `--ablations`."""
    place = Workspace(work, "simulated").stage(1, "evaluation", label)
    return (place / MANIFEST).exists() and bool(_ADDED - set(Artifact.load(place).manifest["inputs"]))


def _caller(recipe: str, shared: dict[str, Any]) -> Callable[..., Any]:
    """A function that announces a stage, runs it with the demo's recipe and prints its result."""

    def call(
        stage: str,
        why: str = "",
        say: Callable[[Any], None] = _found,
        sets: Sequence[str] = (),
        **flags: Any,
    ) -> Any:
        console.step(f"\n{stage}: {_STEPS[stage]}{f' ({why})' if why else ''}")
        given = {name: value for name, value in (shared | flags).items() if value not in (None, False)}
        asked = Asked(flags=given, sets=sets, recipe=recipe, environment=os.environ)
        words = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
            for name, value in given.items()
        ]
        words += [f"--set={text}" for text in sets]
        result = perform(prepare(stage, asked), ("mindanim", stage, f"--recipe={recipe}", *words))
        say(result)
        return result

    return call


def _study(folder: Path) -> None:
    console.say(f"  {folder}: files in the layout of CC2017; the ground truth is in {folder / 'truth'}")


def _found(artifact: Artifact) -> None:
    """Print the artifact's facts, one per line, and its warnings."""
    for name, value in artifact.facts.items():
        if isinstance(value, (str, int, float)):
            console.say(
                f"  {name.replace('_', ' ')}: {value:.3g}"
                if isinstance(value, float)
                else f"  {name.replace('_', ' ')}: {value}"
            )
    for finding in artifact.findings:
        console.warn(finding["text"])
