"""From what a user asked for to a finished stage: the one way in for command line and Python."""

from __future__ import annotations

import os
from typing import Any

from mindanim import console, runtime
from mindanim.artifacts import Workspace, find_data, find_dataset
from mindanim.artifacts.workspace import datasets
from mindanim.config.invocation import Invocation, invoked
from mindanim.config.resolve import Asked, Resolution, resolve, strange_variables
from mindanim.config.run_options import RunOptions
from mindanim.errors import MindanimError, UsageError
from mindanim.stages import Stage, find_stage


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
    with invoked(Invocation(command, resolution.config, resolution.origins)):
        result = function(resolution.config, run)
    if stage.data == "writes" and run.data is not None:
        Workspace.of(run).dataset_description(run.data)
    return result


def _complete(stage: Stage, run: RunOptions, alone: bool) -> tuple[RunOptions, dict[str, str]]:
    """Fill in what users need not repeat: the dataset and the data folder."""
    found: dict[str, str] = {}
    if alone:
        return run.model_copy(update={"dataset": run.dataset or stage.stands_alone[1]}), found
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
    return run, found


def _check_name(run: RunOptions) -> None:
    """Refuse a dataset that has neither a reader nor a folder, with the message of the studies."""
    from mindanim.studies import has_reader, open_study

    dataset = run.need_dataset()
    if not has_reader(dataset) and dataset not in datasets(run.work):
        open_study(dataset, run.work)
