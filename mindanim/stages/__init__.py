"""The subcommands that make artifacts, by name; each has its own module.

Options and functions are imported only when needed, so that listing the stages is cheap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from mindanim.errors import UsageError
from mindanim.vocabulary.words import unknown


@dataclass(frozen=True)
class Stage:
    """One subcommand.

    Attributes:
        name: What users type.
        summary: One line for ``--help``.
        config: "module:name" of its options.
        function: "module:name" of the function that does the work.
        per_subject: Whether it works on one subject.
        reads_artifacts: Whether it builds on the artifacts of other stages.
        networks: Whether it runs networks, so that device and precision matter.
        batched: Whether it processes clips in batches, whose size does not change the result.
        data: Whether it reads the raw study, writes it, or neither.
        dataset: The dataset it works on if none is given; empty requires one.
        shares: Whether independent processes may share the work on one artifact, and it can run with little
            memory.
        arguments: Options given by position on the command line, not by a flag.
        stands_alone: An option with which it needs neither dataset nor subject, and the dataset it then uses.
    """

    name: str
    summary: str
    config: str
    function: str
    per_subject: bool = True
    reads_artifacts: bool = True
    networks: bool = True
    batched: bool = True
    data: Literal["reads", "writes", "neither"] = "neither"
    dataset: str = ""
    shares: bool = False
    arguments: tuple[str, ...] = ()
    stands_alone: tuple[str, str] = ("", "")

    def load_config(self) -> type[Any]:
        """The pydantic model of its options, a StageConfig."""
        model: type[Any] = _load(self.config)
        return model

    def load_function(self) -> Callable[[Any, Any], Any]:
        """The function (config, run) -> Artifact."""
        function: Callable[[Any, Any], Any] = _load(self.function)
        return function


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "preprocess",
            "BOLD runs -> responses per clip.",
            "mindanim.config.preprocess:PreprocessConfig",
            "mindanim.stages.preprocess:preprocess",
            reads_artifacts=False,
            networks=False,
            data="reads",
        ),
        Stage(
            "encode-stimuli",
            "Films -> latents, CLIP embeddings and text conditions per clip; once per study.",
            "mindanim.config.encode_stimuli:EncodeStimuliConfig",
            "mindanim.stages.encode_stimuli:encode_stimuli",
            per_subject=False,
            reads_artifacts=False,
            data="reads",
        ),
        Stage(
            "train-semantic",
            "Responses and features -> semantic decoder (what is seen).",
            "mindanim.config.train:TrainSemanticConfig",
            "mindanim.stages.train:train_semantic",
            batched=False,
        ),
        Stage(
            "train-structure",
            "Responses and latents -> structure decoder (first frame's layout and colour).",
            "mindanim.config.train:TrainStructureConfig",
            "mindanim.stages.train:train_structure",
            batched=False,
        ),
        Stage(
            "train-motion",
            "Responses and latents -> motion decoder (how the frames evolve).",
            "mindanim.config.train:TrainMotionConfig",
            "mindanim.stages.train:train_motion",
            batched=False,
        ),
        Stage(
            "generate",
            "Responses, three decoders and a diffusion model -> videos.",
            "mindanim.config.generate:GenerateConfig",
            "mindanim.stages.generate:generate",
            shares=True,
        ),
        Stage(
            "evaluate",
            "Videos and ground truth -> metrics with floors, uncertainty and a report.",
            "mindanim.config.evaluate:EvaluateConfig",
            "mindanim.stages.evaluate:evaluate",
            stands_alone=("videos", "foreign"),
        ),
        Stage(
            "import-checkpoint",
            "Published weights -> semantic, structure or motion decoder.",
            "mindanim.config.import_checkpoint:ImportCheckpointConfig",
            "mindanim.stages.import_checkpoint:import_checkpoint",
            networks=False,
            arguments=("kind", "file"),
        ),
        Stage(
            "simulate",
            "Write a study with known truth, in the layout of a real one.",
            "mindanim.config.simulate:SimulateConfig",
            "mindanim.stages.simulate:simulate",
            per_subject=False,
            reads_artifacts=False,
            networks=False,
            data="writes",
            dataset="simulated",
        ),
        Stage(
            "demo",
            "Run everything on the simulated study: no data, no GPU, no network.",
            "mindanim.config.demo:DemoConfig",
            "mindanim.stages.demo:demo",
            per_subject=False,
            reads_artifacts=False,
            dataset="simulated",
        ),
    )
}


def find_stage(name: str) -> Stage:
    """The stage called `name`; UsageError with the likely name if there is none."""
    if name not in STAGES:
        raise UsageError(f"{unknown('stage', name, STAGES)}")
    return STAGES[name]


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
