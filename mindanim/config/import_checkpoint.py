"""Options of `mindanim import-checkpoint`."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import field_validator

from mindanim.config.option import StageConfig, opt


class ImportCheckpointConfig(StageConfig):
    """A published checkpoint to a decoder of this package."""

    stage: ClassVar = "import-checkpoint"
    stage_version = 2  # judged against random orders of the voxels

    kind: Literal["semantic", "structure", "motion"] = opt(..., "Which decoder the file contains.")
    file: Path = opt(..., "The .pth or .safetensors file.", identity=False)
    heads: int | None = opt(
        None,
        "Attention heads of the motion generator, which the file does not state; none: 4, which the released "
        "scripts use, or 8 with patches as tokens, the released default.",
        ge=1,
        only={"kind": ("motion",)},
    )
    rollout_mask: Literal["causal", "first"] | None = opt(
        None,
        "What a frame attends to at inference: all past frames, or only frame 0 from the third frame on; "
        "none: the latter, as released; with patches as tokens, for which no script is released, all.",
        flag=True,
        only={"kind": ("motion",)},
    )

    @field_validator("file")
    @classmethod
    def _home(cls, value: Path) -> Path:
        return value.expanduser()
