"""What an evaluation scores: a subject's own videos, or a folder of clips made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mindanim.artifacts import Artifact, Source, Workspace, ancestors
from mindanim.artifacts.artifact import MANIFEST
from mindanim.artifacts.workspace import load_kind
from mindanim.config.evaluate import EvaluateConfig
from mindanim.config.run_options import RunOptions
from mindanim.config.suggestion import command
from mindanim.errors import InputError
from mindanim.stages.evaluation_folders import FolderScene

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mindanim.metrics.inputs.decoded_features import DecodedFeatures
    from mindanim.metrics.inputs.test_set import Contender, TestSet
    from mindanim.vocabulary.clips import Clips

FOREIGN = "foreign"
"""The dataset of clips made elsewhere, where none is named."""

_POOL = "pool "
_HOW = {
    "oracle": ("--oracle", "all"),
    "no-brain": ("--no-brain",),
    "odd repeats": ("--set", "repeats=odd"),
    "even repeats": ("--set", "repeats=even"),
}


class Scene(Protocol):
    """Everything that is scored, read when first needed."""

    @property
    def config(self) -> EvaluateConfig:
        """How it is scored."""

    @property
    def inputs(self) -> dict[str, Artifact | Source]:
        """By name; they decide the identity of the evaluation."""

    @property
    def lineage(self) -> list[Artifact]:
        """All artifacts behind the videos, inputs first."""

    @property
    def test(self) -> TestSet:
        """The clips; InputError where some are missing, too many, or of another size."""

    @property
    def clips(self) -> Clips:
        """The reconstructions, in the order of `test`."""

    @property
    def features(self) -> DecodedFeatures | None:
        """What they were decoded from."""

    @property
    def contenders(self) -> dict[str, Contender | str]:
        """Other videos of the same clips by name, or why they are missing."""

    @property
    def mean_frames(self) -> NDArray[np.uint8] | str:
        """The training mean, or why it is missing."""

    @property
    def fps(self) -> float | None:
        """Frames per second of the films."""

    @property
    def source(self) -> dict[str, Any] | None:
        """`source` of metrics.json: where clips made elsewhere come from."""

    @property
    def study(self) -> str:
        """The study's own name; empty if it is not known."""

    @property
    def notes(self) -> list[str]:
        """What readers of the scores must know about the clips."""


@dataclass(frozen=True)
class SubjectScene:
    """A subject's videos with the artifacts they were made from.

    Attributes:
        config: How it is scored.
        artifacts: fmri, stimuli and videos.
        others: Other videos of the same subject, by their name in the scores.
        pool: Stimuli of other studies, by their name among the inputs.
        room: Folder for what does not fit into memory; None for the system's.
        lacking: The commands that generate the others that are missing, by name.
    """

    config: EvaluateConfig
    artifacts: Mapping[str, Artifact]
    others: Mapping[str, Artifact]
    pool: Mapping[str, Artifact]
    room: Path | None = None
    lacking: Mapping[str, str] = field(default_factory=dict)

    source: None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of_run(cls, config: EvaluateConfig, run: RunOptions) -> SubjectScene:
        """What `run` refers to; InputError when fmri, stimuli or videos are not there.

        A label names the videos to score. To read the plain ones under the label of a variant that does not
        exist would take a mistyped one for a result.
        """
        workspace = Workspace.of(run)
        own = workspace.place(run, "videos")
        if run.label and "videos" not in run.use and not (own / MANIFEST).exists():
            raise _no_videos(own, run)
        artifacts = workspace.read_all(run, "fmri", "stimuli", "videos")
        others, lacking = {}, {}
        for name, label in _labels(config).items():
            place = workspace.stage(run.need_subject(), "videos", label)
            if label and place != artifacts["videos"].path and (place / MANIFEST).exists():
                others[name] = load_kind(place, "videos")
            elif label:
                lacking[name] = command("generate", run, *_HOW[name], label=label)
        pool = {f"{_POOL}{row}": Artifact.load(folder) for row, folder in enumerate(config.pool, 1)}
        if pool:
            from mindanim.metrics.inputs.retrieval_pool import check_pool

            check_pool(artifacts["stimuli"], list(pool.values()))
        return cls(config, artifacts, others, pool, run.work, lacking)

    @property
    def inputs(self) -> dict[str, Artifact | Source]:
        return {**self.artifacts, **self.others, **self.pool}

    @property
    def lineage(self) -> list[Artifact]:
        return lineage_of(*self.artifacts.values())

    @cached_property
    def test(self) -> TestSet:
        from mindanim.metrics.inputs.test_set import read_test_set

        found = self.artifacts
        return read_test_set(found["fmri"], found["stimuli"], found["videos"], self.config.subset)

    @cached_property
    def clips(self) -> Clips:
        from mindanim.metrics.inputs.test_set import read_videos

        return read_videos(self.artifacts["videos"], self.test)

    @cached_property
    def features(self) -> DecodedFeatures:
        from mindanim.metrics.inputs.test_set import read_features
        from mindanim.vocabulary.scratch import Scratch

        found, others = self.artifacts, list(self.pool.values())
        return read_features(found["videos"], self.test, found["stimuli"], Scratch(self.room), others)

    @cached_property
    def contenders(self) -> dict[str, Contender | str]:
        from mindanim.metrics.inputs.test_set import read_contender
        from mindanim.vocabulary.scratch import Scratch

        found: dict[str, Contender | str] = {}
        for name, label in _labels(self.config).items():
            if name in self.others:
                found[name] = read_contender(
                    self.others[name],
                    self.test,
                    self.artifacts["stimuli"],
                    Scratch(self.room),
                    list(self.pool.values()),
                )
            elif label:
                # This text becomes part of metrics.json, which must not name folders of this machine.
                how = " ".join(_HOW[name])
                found[name] = f"not computed: no videos were generated with {how} --label {label}"
            else:
                found[name] = "not requested."
        return found

    @property
    def mean_frames(self) -> NDArray[np.uint8] | str:
        stimuli, mean = self.artifacts["stimuli"], "mean_frames.npy"
        return stimuli.array(mean) if mean in stimuli.outputs else f"{stimuli.path} has no {mean}."

    @property
    def fps(self) -> float | None:
        return self.artifacts["stimuli"].facts.get("fps")

    @property
    def study(self) -> str:
        return str(self.artifacts["fmri"].facts.get("study", ""))


def _no_videos(place: Path, run: RunOptions) -> InputError:
    there = sorted(found.parent.name for found in place.parent.glob(f"videos*/{MANIFEST}"))
    return InputError(
        f"There are no videos labelled {run.label}: {place} does not exist.",
        why=f"There are: {', '.join(there)}." if there else f"There are no videos in {place.parent}.",
        hint="Use one of these labels; or score other videos under this label, the unlabelled ones with "
        f"--use videos= --label {run.label}, those of a variant with --use videos=LABEL",
    )


def scene_of(config: EvaluateConfig, run: RunOptions) -> SubjectScene | FolderScene:
    """What `config` and `run` ask to score."""
    if config.videos is not None:
        return FolderScene(config, config.videos)
    return SubjectScene.of_run(config, run)


def scene_behind(evaluation: Artifact) -> SubjectScene | FolderScene | str:
    """What a finished evaluation scored, or why it is no longer available."""
    options = {name: entry["value"] for name, entry in evaluation.manifest["config"].items()}
    known = {name: options[name] for name in EvaluateConfig.model_fields if name in options}
    config = EvaluateConfig.model_validate(known)
    above = {ancestor.name: ancestor for ancestor in ancestors(evaluation)}
    if changed := [ancestor.changed for ancestor in above.values() if ancestor.changed]:
        return " ".join(changed)
    if config.videos is not None:
        return FolderScene(config, config.videos) if config.videos.is_dir() else f"{config.videos} is gone."
    artifacts = {name: found.artifact for name, found in above.items() if not found.is_source}
    if gone := [name for name, artifact in artifacts.items() if artifact is None]:
        return f"{', '.join(gone)} of this evaluation is gone."
    there = {name: artifact for name, artifact in artifacts.items() if artifact is not None}
    main = {name: there.pop(name) for name in ("fmri", "stimuli", "videos")}
    pool = {name: there.pop(name) for name in list(there) if name.startswith(_POOL)}
    return SubjectScene(config, main, there, pool)


def lineage_of(*artifacts: Artifact) -> list[Artifact]:
    """These artifacts and everything they were made from, inputs first, each once."""
    found: dict[str, Artifact] = {}
    for artifact in artifacts:
        above = [ancestor.artifact for ancestor in ancestors(artifact) if ancestor.artifact is not None]
        for one in (*lineage_of(*above), artifact):
            found.setdefault(str(one.path.resolve()), one)
    return list(found.values())


def _labels(config: EvaluateConfig) -> dict[str, str]:
    halves = dict(zip(("odd repeats", "even repeats"), config.repeats, strict=False))
    return {"oracle": config.ceiling, "no-brain": config.no_brain, **halves}
