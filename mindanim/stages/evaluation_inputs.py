"""What an evaluation scores: a subject's own videos, or a folder of clips made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mindanim.artifacts import Artifact, Source, Workspace, ancestors
from mindanim.artifacts.artifact import MANIFEST
from mindanim.config.evaluation import EvaluateConfig
from mindanim.config.run import RunOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mindanim.metrics.features import FeatureScorer
    from mindanim.metrics.floors import Clips
    from mindanim.metrics.foreign import Folders, Part, PartClips
    from mindanim.metrics.material import TestSet
    from mindanim.metrics.scored import Contender

FOREIGN = "foreign"
"""The dataset of clips made elsewhere, where none is named."""

_HOW = {
    "oracle": "--oracle all",
    "no-brain": "--no-brain",
    "odd repeats": "--set repeats=odd",
    "even repeats": "--set repeats=even",
}


class Scene(Protocol):
    """Everything that is scored, read when it is first asked for."""

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
    def features(self) -> FeatureScorer | None:
        """What they were decoded from."""

    @property
    def contenders(self) -> dict[str, Contender | str]:
        """Other videos of the same clips by name, or why they are not there."""

    @property
    def mean_frames(self) -> NDArray[np.uint8] | str:
        """The training mean, or why it is not there."""

    @property
    def fps(self) -> float | None:
        """Frames per second of the films."""

    @property
    def source(self) -> dict[str, Any] | None:
        """`source` of metrics.json: where clips made elsewhere come from."""

    @property
    def notes(self) -> list[str]:
        """What a reader of the scores must know of the clips."""


@dataclass(frozen=True)
class SubjectScene:
    """A subject's videos with the artifacts they were made from.

    artifacts: fmri, stimuli and videos. beside: other videos of the same subject by the name they have in
    the scores.
    """

    config: EvaluateConfig
    artifacts: Mapping[str, Artifact]
    beside: Mapping[str, Artifact]

    source: None = None
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of_run(cls, config: EvaluateConfig, run: RunOptions) -> SubjectScene:
        """What `run` speaks of; InputError when fmri, stimuli or videos are not there."""
        workspace = Workspace.of(run)
        artifacts = {name: workspace.read(run, name) for name in ("fmri", "stimuli", "videos")}
        beside = {}
        for name, label in _labels(config).items():
            place = workspace.stage(run.need_subject(), "videos", label)
            if label and place != artifacts["videos"].path and (place / MANIFEST).exists():
                beside[name] = workspace.load(place)
        return cls(config, artifacts, beside)

    @property
    def inputs(self) -> dict[str, Artifact | Source]:
        return {**self.artifacts, **self.beside}

    @property
    def lineage(self) -> list[Artifact]:
        return lineage_of(*self.artifacts.values())

    @cached_property
    def test(self) -> TestSet:
        from mindanim.metrics.material import read_test_set

        found = self.artifacts
        return read_test_set(found["fmri"], found["stimuli"], found["videos"], self.config.subset)

    @cached_property
    def clips(self) -> Clips:
        from mindanim.metrics.material import read_videos

        return read_videos(self.artifacts["videos"], self.test)

    @cached_property
    def features(self) -> FeatureScorer:
        from mindanim.metrics.material import read_features

        return read_features(self.artifacts["videos"], self.test, self.artifacts["stimuli"])

    @cached_property
    def contenders(self) -> dict[str, Contender | str]:
        from mindanim.metrics.material import read_contender

        found: dict[str, Contender | str] = {}
        for name, label in _labels(self.config).items():
            if name in self.beside:
                found[name] = read_contender(self.beside[name], self.test, self.artifacts["stimuli"])
            elif label:
                subject = self.artifacts["videos"].manifest["subject"]
                command = f"mindanim generate --subject {subject} {_HOW[name]} --label {label}"
                found[name] = f"not computed; run `{command}`, then evaluate with --force."
            else:
                found[name] = "not asked for."
        return found

    @property
    def mean_frames(self) -> NDArray[np.uint8] | str:
        stimuli, mean = self.artifacts["stimuli"], "mean_frames.npy"
        return stimuli.array(mean) if mean in stimuli.outputs else f"{stimuli.path} has no {mean}."

    @property
    def fps(self) -> float | None:
        return self.artifacts["stimuli"].facts.get("fps")


@dataclass(frozen=True)
class FolderScene:
    """Clips made elsewhere, in one or two folders."""

    config: EvaluateConfig
    videos: Path

    lineage: list[Artifact] = field(default_factory=list)
    contenders: dict[str, Contender | str] = field(default_factory=dict)
    features: None = None
    fps: None = None
    mean_frames: str = "the training clips are not known."

    @cached_property
    def found(self) -> Folders:
        """What lies in the folders, in the order of the table of clips."""
        from mindanim.metrics.foreign import find_clips
        from mindanim.metrics.material import order_of

        found = find_clips(self.videos, self.config.truth, self.config.layout)
        return order_of(found, self.config.clip_table)

    @property
    def inputs(self) -> dict[str, Artifact | Source]:
        folders = {"videos": self.videos, "truth": self.config.truth}
        inputs: dict[str, Artifact | Source] = {}
        for name, folder in folders.items():
            if folder is not None:
                files = [file for file in self.found.files if file.parent == folder]
                inputs[name] = Source.of_files(name, files, folder)
        if (table := self.config.clip_table) is not None:
            inputs["clip_table"] = Source.of_files("clip_table", [table], table.parent)
        return inputs

    @cached_property
    def test(self) -> TestSet:
        from mindanim.metrics.foreign import check_alike, check_complete
        from mindanim.metrics.material import read_foreign

        part = check_complete(self.found, self.config.subset)
        truth = self._clips(0)
        shape = check_alike(list(self.found.pairs), truth, self._clips(1))
        return read_foreign(self.found, shape, truth, part, self.config.clip_table)

    @property
    def clips(self) -> Clips:
        return self._clips(1)

    def _clips(self, which: int) -> PartClips:
        from mindanim.metrics.foreign import PartClips

        parts: list[Part] = [pair[which] for pair in self.found.pairs.values()]
        return PartClips(parts, self.config.size, self.config.frames, self.config.border)

    @property
    def source(self) -> dict[str, Any]:
        formats: dict[str, int] = {}
        for file in self.found.files:
            formats[file.suffix.lower()] = formats.get(file.suffix.lower(), 0) + 1
        return {
            "layout": self.config.layout,
            "formats": formats,
            "size": self.config.size,
            "frames": self.config.frames,
        }

    @property
    def notes(self) -> list[str]:
        from mindanim.metrics.films import LOSSY

        said = [
            f"{count} files are {suffix[1:]}: {LOSSY[suffix]}. Score lossless frames where there are any."
            for suffix, count in self.source["formats"].items()
            if suffix in LOSSY
        ]
        if self.config.size is not None:
            said.append(f"All clips were resized to {self.config.size} px; scores hold for that size only.")
        if self.config.clip_table is None:
            said.append(
                "The films and captions of these clips are not known: they are taken as one stretch of film "
                "in the order of their names, and as all different. --set clip_table=FILE says otherwise."
            )
        if self.found.missing or self.found.extra:
            said.append(
                "Left out: "
                + "; ".join(
                    f"{len(names)} {what} ({', '.join(names[:10])}{', ...' if len(names) > 10 else ''})"
                    for what, names in (
                        ("clips without a reconstruction", self.found.missing),
                        ("reconstructions without a ground truth", self.found.extra),
                    )
                    if names
                )
                + "."
            )
        return said


def scene_of(config: EvaluateConfig, run: RunOptions) -> SubjectScene | FolderScene:
    """What `config` and `run` ask to score."""
    if config.videos is not None:
        return FolderScene(config, config.videos)
    return SubjectScene.of_run(config, run)


def scene_behind(evaluation: Artifact) -> SubjectScene | FolderScene | str:
    """What a finished evaluation scored, or why it cannot be looked at any more."""
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
    return SubjectScene(config, main, there)


def lineage_of(*artifacts: Artifact) -> list[Artifact]:
    """These artifacts and all that they were made from, inputs first, each once."""
    found: dict[str, Artifact] = {}
    for artifact in artifacts:
        above = [ancestor.artifact for ancestor in ancestors(artifact) if ancestor.artifact is not None]
        for one in (*lineage_of(*above), artifact):
            found.setdefault(str(one.path.resolve()), one)
    return list(found.values())


def _labels(config: EvaluateConfig) -> dict[str, str]:
    halves = dict(zip(("odd repeats", "even repeats"), config.repeats, strict=False))
    return {"oracle": config.ceiling, "no-brain": config.no_brain, **halves}
