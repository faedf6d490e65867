"""``mindanim demo``: the simulated study and every stage on it, told step by step."""

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
"""Inputs of an evaluation that come with `ablations`."""

_STEPS: dict[str, str] = {
    "simulate": "Writing a study whose truth is known: films, and BOLD runs of simulated viewers",
    "preprocess": "From BOLD runs to one response per clip",
    "encode-stimuli": "From films to what the decoders shall find: latents, CLIP embeddings, text conditions",
    "train-semantic": "Learning to tell what was seen",
    "train-structure": "Learning how the first frame was laid out",
    "train-motion": "Learning how it moved",
    "generate": "From decoded features to video, by a diffusion model that has never seen one",
    "evaluate": "Scoring the videos, each score beside its floor, its chance level and its ceiling",
}


def demo(config: DemoConfig, run: RunOptions) -> Artifact:
    """Run everything for subject 1 and return the evaluation.

    The study lies in ``<work>/simulated-study``, the artifacts in ``<work>/simulated``; ``quick`` uses
    ``<work>/quick`` in the place of ``<work>``, so that the two never meet. What is there is not made again.
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
        call("generate", subject=1, label="nobrain", no_brain=True, why="from noise: a floor without a brain")
        for half in HALVES:
            why = f"from the {half} repeats: with the other half, a ceiling by repetition"
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
    """Whether there is an evaluation from before the floor and the ceilings that `--ablations` adds."""
    place = Workspace(work, "simulated").stage(1, "evaluation", label)
    return (place / MANIFEST).exists() and bool(_ADDED - set(Artifact.load(place).manifest["inputs"]))


def _caller(recipe: str, shared: dict[str, Any]) -> Callable[..., Any]:
    """A function that announces a stage, runs it with the demo's recipe and tells what came out."""

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
    console.say(
        f"  {folder}: the files of a real study, in the layout of CC2017; the truth is in {folder / 'truth'}"
    )


def _found(artifact: Artifact) -> None:
    """The artifact's own facts, on a line each, and what it warns about."""
    for name, value in artifact.facts.items():
        if isinstance(value, (str, int, float)):
            console.say(
                f"  {name.replace('_', ' ')}: {value:.3g}"
                if isinstance(value, float)
                else f"  {name.replace('_', ' ')}: {value}"
            )
    for finding in artifact.findings:
        console.warn(finding["text"])
