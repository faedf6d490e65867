"""The stages as Python functions: the same options, checks and results as on the command line."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mindanim.artifacts import Artifact
from mindanim.config.resolve import Asked
from mindanim.stages import STAGES
from mindanim.stages.call import perform, prepare

R_co = TypeVar("R_co", covariant=True)


class StageFunction(Protocol[R_co]):
    """A stage as a function; see `mindanim <stage> --explain` for its options."""

    def __call__(
        self,
        *,
        dataset: str | None = None,
        subject: int | str | None = None,
        data: str | Path | None = None,
        work: str | Path | None = None,
        label: str | None = None,
        recipe: str | None = None,
        config: str | Path | None = None,
        **options: Any,
    ) -> R_co: ...


_DOC = """{summary}

The same as `mindanim {name}` on the command line.

Args:
    dataset, subject, data, work, label, recipe, config: As on the command line; None uses the environment,
        the recipe and the defaults.
    options: Any other option of the stage or of the run, by name.

Returns:
    {result}.

Raises:
    mindanim.MindanimError: With exit code and hint, as on the command line.
"""


def _stage_function(name: str) -> StageFunction[Any]:
    stage, function = STAGES[name], name.replace("-", "_")
    result = "The study's folder" if stage.data == "writes" else "The finished Artifact"

    def call(
        *,
        dataset: str | None = None,
        subject: int | str | None = None,
        data: str | Path | None = None,
        work: str | Path | None = None,
        label: str | None = None,
        recipe: str | None = None,
        config: str | Path | None = None,
        **options: Any,
    ) -> Any:
        named = {"dataset": dataset, "subject": subject, "data": data, "work": work, "label": label}
        given = {option: value for option, value in named.items() if value is not None} | options
        asked = Asked(
            flags=given,
            config_file=Path(config) if config is not None else None,
            recipe=recipe,
            environment=os.environ,
            flag_name=lambda option: f"argument {option}",
        )
        extra = {key: value for key, value in (("recipe", recipe), ("config", config)) if value is not None}
        words = ", ".join(f"{option}={value!r}" for option, value in (given | extra).items())
        return perform(prepare(name, asked), (f"mindanim.{function}({words})",))

    call.__name__ = call.__qualname__ = function
    call.__doc__ = _DOC.format(summary=stage.summary, name=name, result=result)
    return call


preprocess: StageFunction[Artifact] = _stage_function("preprocess")
encode_stimuli: StageFunction[Artifact] = _stage_function("encode-stimuli")
train_semantic: StageFunction[Artifact] = _stage_function("train-semantic")
train_structure: StageFunction[Artifact] = _stage_function("train-structure")
train_motion: StageFunction[Artifact] = _stage_function("train-motion")
generate: StageFunction[Artifact] = _stage_function("generate")
evaluate: StageFunction[Artifact] = _stage_function("evaluate")
import_checkpoint: StageFunction[Artifact] = _stage_function("import-checkpoint")
simulate: StageFunction[Path] = _stage_function("simulate")
