"""What an evaluation scores when the clips were made elsewhere: folders of files."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindanim.artifacts import Artifact, Source
from mindanim.config.evaluate import EvaluateConfig

if TYPE_CHECKING:
    from mindanim.metrics.inputs.folders import Folders, Part, PartClips
    from mindanim.metrics.inputs.test_set import Contender, TestSet
    from mindanim.vocabulary.clips import Clips


@dataclass(frozen=True)
class FolderScene:
    """Clips made elsewhere, in one or two folders."""

    config: EvaluateConfig
    videos: Path

    lineage: list[Artifact] = field(default_factory=list)
    contenders: dict[str, Contender | str] = field(
        default_factory=lambda: dict.fromkeys(
            ("oracle", "no-brain", "odd repeats"), "the generator of these clips is not known."
        )
    )
    features: None = None
    fps: None = None
    study: str = ""
    mean_frames: str = "the training clips are not known."

    @cached_property
    def found(self) -> Folders:
        """The clips in the folders, in the order of the table of clips."""
        from mindanim.metrics.inputs.folders import find_clips
        from mindanim.metrics.inputs.test_set import order_of

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
        from mindanim.metrics.inputs.folders import check_alike, check_complete
        from mindanim.metrics.inputs.test_set import read_foreign

        part = check_complete(self.found, self.config.subset)
        truth = self._clips(0)
        shape = check_alike(list(self.found.pairs), truth, self._clips(1))
        return read_foreign(self.found, shape, truth, part, self.config.clip_table)

    @property
    def clips(self) -> Clips:
        return self._clips(1)

    def _clips(self, which: int) -> PartClips:
        from mindanim.metrics.inputs.folders import PartClips

        parts: list[Part] = [pair[which] for pair in self.found.pairs.values()]
        return PartClips(parts, self.config.size, self.config.frames, self.config.border, self._whole)

    @cached_property
    def _whole(self) -> int | None:
        from mindanim.metrics.inputs.folders import frames_of

        return frames_of(self.found)

    @property
    def source(self) -> dict[str, Any]:
        return {
            "layout": self.config.layout,
            "formats": self.found.formats,
            "size": self.config.size,
            "frames": self.config.frames,
        }

    @property
    def notes(self) -> list[str]:
        from mindanim.metrics.evaluation_text import notes_on_folders

        return notes_on_folders(self.found, self.config)
