"""From what a user asked for to a finished stage: the one way in for command line and Python."""

from __future__ import annotations

import os
from typing import Any

from mindanim import console, runtime
from mindanim.artifacts import Workspace, find_data, find_dataset
from mindanim.artifacts.workspace import datasets
from mindanim.config.invocation import Invocation, invoked
from mindanim.config.recipes import default_recipe
from mindanim.config.resolve import Asked, Resolution, resolve, strange_variables
from mindanim.config.run_options import RunOptions
from mindanim.errors import MindanimError, UsageError
from mindanim.stages import Stage, find_stage

_AFTER_ENCODING = (
    "encode-stimuli",
    "train-semantic",
    "train-structure",
    "train-motion",
    "generate",
    "evaluate",
)
_THE_STIMULI = "the recipe of the stimuli"


def prepare(name: str, asked: Asked, *, only_explain: bool = False) -> Resolution[Any]:
    """Resolve and validate all options of the stage called `name`; nothing is run or written.

    Args:
        name: The subcommand.
        asked: What the user asked for.
        only_explain: Whether an unknown dataset or data folder is acceptable.

    Raises:
        UsageError: A flag or ``--set`` is wrong; all problems are reported together.
        ConfigError: A file, the environment or a recipe is wrong.
        InputError: The data folder does not exist.
    """
    stage = find_stage(name)
    for sentence in strange_variables(asked.environment):
        console.warn(sentence)

    alone = asked.names(name, stage.stands_alone[0])

    def complete(run: RunOptions) -> tuple[RunOptions, dict[str, str]]:
        try:
            return _complete(stage, run, alone)
        except MindanimError:
            if not only_explain:
                raise
            return run, {}

    return resolve(asked, name, stage.load_config(), complete)


def perform(resolution: Resolution[Any], command: tuple[str, ...]) -> Any:
    """Run the stage; returns its artifact, or the folder of a simulated study."""
    run = resolution.run
    if resolution.run_origins.get("recipe", "").startswith(_THE_STIMULI):
        console.say(f"recipe {run.recipe}: {resolution.run_origins['recipe']}")
    if run.dry_run:
        run = run.model_copy(update={"offline": True})  # a dry run does not download anything either
    if run.offline:
        # Libraries that can use the network read these when first imported.
        os.environ["HF_HUB_OFFLINE"] = os.environ["TRANSFORMERS_OFFLINE"] = "1"
    if runtime.launched_alone():
        console.warn(
            "accelerate launch was asked for several processes but started one: with fewer than two GPUs, "
            "several need --multi_gpu"
        )
    stage = find_stage(resolution.stage)
    function = stage.load_function()
    with invoked(Invocation(command, resolution.config, resolution.origins, run)):
        result = function(resolution.config, run)
    if stage.data == "writes" and run.data is not None:
        Workspace.of(run).dataset_description(run.data)
    return result


def _complete(stage: Stage, run: RunOptions, alone: bool) -> tuple[RunOptions, dict[str, str]]:
    """Fill in what users need not repeat: the dataset, the data folder and the recipe."""
    found: dict[str, str] = {}
    if alone:
        run = run.model_copy(update={"dataset": run.dataset or stage.stands_alone[1]})
        return _with_recipe(run, None), found
    if run.dataset is None and stage.dataset:
        run = run.model_copy(update={"dataset": stage.dataset})
    elif run.dataset is None:
        run = find_dataset(run)
        found["dataset"] = f"the only one in {run.work}"
    _check_name(run)
    if stage.per_subject and run.subject is None:
        raise UsageError(f"{stage.name} needs a subject.", hint="Add --subject with a number or a label")
    if stage.data == "reads" and (data := find_data(run)):
        run = run.model_copy(update={"data": data[0]})
        found["data"] = data[1]
    stimuli = Workspace.of(run).encoded(run) if stage.name in _AFTER_ENCODING else None
    if run.recipe is None and stimuli is not None and (recipe := stimuli.recipe):
        found["recipe"] = f"{_THE_STIMULI} ({stimuli.path})"
        return run.model_copy(update={"recipe": recipe}), found
    return _with_recipe(run, found), found


def _with_recipe(run: RunOptions, found: dict[str, str] | None) -> RunOptions:
    """`run` with the usual recipe of its dataset, if it has none."""
    if run.recipe is not None:
        return run
    if found is not None:
        found["recipe"] = f"usual for {run.dataset}"
    return run.model_copy(update={"recipe": default_recipe(run.dataset)})


def _check_name(run: RunOptions) -> None:
    """Refuse a dataset that has neither a reader nor a folder, with the message of the studies."""
    from mindanim.studies import has_reader, open_study

    dataset = run.need_dataset()
    if not has_reader(dataset) and dataset not in datasets(run.work):
        open_study(dataset, run.work)
