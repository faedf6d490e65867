"""Options of ``mindanim simulate``."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import model_validator

from mindanim.config.option import StageConfig, opt
from mindanim.vocabulary.limits import LATE_START_S, TAIL_S

_LAYOUT_DEFAULTS: dict[str, dict[str, Any]] = {
    "hcp": {
        "segments": 4,
        "repeats": 1,
        "test_segments": 1,
        "test_clips": 40,
        "test_repeats": 4,
        "tr_s": 1.0,
        "clip_s": 1.0,
        "lags_s": (4.0,),
    },
    "algonauts2021": {
        "segments": 1,
        "clips": 300,
        "repeats": 3,
        "test_segments": 1,
        "test_clips": 40,
        "test_repeats": 3,
        "tr_s": 3.0,
        "clip_s": 3.0,
        "lags_s": (0.0,),
    },
}
"""Values a layout fixes or suggests; ones that do not fit the layout are refused."""


class SimulateConfig(StageConfig):
    """A study with known ground truth: films, BOLD runs, and what drove them."""

    stage_version = 2  # 2: eight short test films instead of three long ones

    layout: Literal["cc2017", "hcp", "algonauts2021", "bids"] = opt(
        "cc2017", "Study whose folders, files and timing to imitate.", flag=True
    )
    seed: int = opt(0, "Seed of the films, the subjects and the noise.", flag=True, ge=0)
    subjects: int = opt(2, "Number of subjects.", flag=True, ge=1, le=99)
    segments: int = opt(12, "Number of training films.", flag=True, ge=1, le=99)
    clips: int = opt(60, "Clips per training film.", unit="clips", flag=True, ge=2)
    repeats: int = opt(2, "Runs per training film.", flag=True, ge=1, le=99)
    snr: float = opt(1.0, "Multiplies every vertex's signal-to-noise ratio; 1 is realistic.", flag=True, gt=0)
    null: bool = opt(
        False,
        "Null study: BOLD driven by other films of the same kind, so it carries nothing about these.",
        flag=True,
    )
    no_motion: bool = opt(
        False,
        "BOLD driven by clips frozen at their first frame, so it carries no motion.",
        flag=True,
    )
    test_segments: int = opt(8, "Number of test films; intervals are over films.", ge=1, le=99)
    test_clips: int = opt(15, "Clips per test film.", unit="clips", ge=2)
    test_repeats: int = opt(10, "Runs per test film.", ge=1, le=99)
    vertices: int = opt(
        2000, "Approximate number of cortical vertices per subject.", unit="vertices", ge=30, le=20000
    )
    tr_s: float = opt(2.0, "Repetition time.", unit="s", ge=0.3, le=5)
    clip_s: float = opt(2.0, "Duration of a clip.", unit="s", ge=0.5, le=10)
    scene_clips: tuple[int, int] = opt(
        (1, 3), "Fewest and most consecutive clips that share a scene.", unit="clips"
    )
    lags_s: tuple[float, ...] = opt(
        (6.0,), "Default lags of the study, from a clip's onset to its response.", unit="s", min_length=1
    )
    signed_change: float = opt(
        0.8,
        "Fraction of motion vertices tuned to signed change (darker, redder) instead of direction.",
        ge=0,
        le=1,
    )
    fps: int = opt(24, "Frame rate of the films.", unit="1/s", ge=4, le=120)
    frame_px: int = opt(64, "Height and width of the films.", unit="px", ge=32, le=1024, multiple_of=2)

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_layout(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return _LAYOUT_DEFAULTS.get(str(values.get("layout")), {}) | values
        return values

    @model_validator(mode="after")
    def _fits_the_layout(self) -> SimulateConfig:
        faults = []
        if self.layout == "hcp":
            if not 2 <= self.segments <= 4:
                faults.append(f"segments {self.segments}: the layout has 2 to 4 films")
            if self.repeats != 1 or self.test_segments != 1 or self.test_repeats != self.segments:
                faults.append("every film has one run, and its last part is the test film")
            if self.clip_s != 1:
                faults.append(f"clip_s {self.clip_s:g}: the layout has clips of 1 s")
        if self.layout == "algonauts2021":
            if self.segments != 1 or self.test_segments != 1 or self.repeats != self.test_repeats:
                faults.append("the layout has one set of clips per split, and shows all clips equally often")
            if self.tr_s != self.clip_s or self.lags_s != (0.0,):
                faults.append("the layout stores one response per clip: tr_s is clip_s, and lags_s is 0")
        if faults:
            raise ValueError(f"layout {self.layout}: {'; '.join(faults)}")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> SimulateConfig:
        frames = self.clip_s * self.fps
        if abs(frames - round(frames)) > 1e-6:
            raise ValueError(
                f"clip_s {self.clip_s:g} and fps {self.fps}: a clip must have a whole number of frames, "
                f"not {frames:g}"
            )
        if not 1 <= self.scene_clips[0] <= self.scene_clips[1]:
            raise ValueError(f"scene_clips {self.scene_clips} is not a range such as (1, 3)")
        if self.layout == "algonauts2021":
            return self
        latest = TAIL_S + self.clip_s - 1.5 * self.tr_s
        wrong = [lag for lag in self.lags_s if not LATE_START_S <= lag <= latest]
        if wrong:
            raise ValueError(
                f"lags_s {wrong}: runs begin {LATE_START_S:g} s after the film and end {TAIL_S:g} s "
                f"after it, so lags must be between {LATE_START_S:g} and {math.floor(latest * 10) / 10:g} s"
            )
        return self
