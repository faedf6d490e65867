"""Options of `mindanim import-checkpoint`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import field_validator

from mindanim.config.option import StageConfig, opt


class ImportCheckpointConfig(StageConfig):
    """A published checkpoint to a decoder of this package."""

    stage: ClassVar = "import-checkpoint"

    kind: Literal["semantic", "structure", "motion"] = opt(..., "Which decoder the file holds.")
    file: Path = opt(..., "The .pth file, as published.", identity=False)
    heads: int = opt(4, "Attention heads of the motion generator, which the file does not tell.", ge=1)
    rollout_mask: Literal["causal", "first"] = opt(
        "first",
        "What a frame sees at inference: its past, or (as published) from the third frame on only frame 0.",
        flag=True,
    )

    @field_validator("file")
    @classmethod
    def _home(cls, value: Path) -> Path:
        return value.expanduser()
