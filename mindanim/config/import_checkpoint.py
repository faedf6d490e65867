"""Options of `mindanim import-checkpoint`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import field_validator

from mindanim.config.option import StageConfig, opt


class ImportCheckpointConfig(StageConfig):
    """A published checkpoint to a decoder of this package."""

    stage: ClassVar = "import-checkpoint"
    stage_version = 1  # as first released

    kind: Literal["semantic", "structure", "motion"] = opt(..., "Which decoder the file contains.")
    file: Path = opt(..., "The .pth file, as published.", identity=False)
    heads: int = opt(
        4,
        "Attention heads of the motion generator, which the file does not state.",
        ge=1,
        only={"kind": ("motion",)},
    )
    rollout_mask: Literal["causal", "first"] = opt(
        "first",
        "What a frame attends to at inference: all past frames, or (published) only frame 0 from the third "
        "frame on.",
        flag=True,
        only={"kind": ("motion",)},
    )

    @field_validator("file")
    @classmethod
    def _home(cls, value: Path) -> Path:
        return value.expanduser()
