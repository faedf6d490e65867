"""Options of `mindanim evaluate`."""

from __future__ import annotations

from typing import Literal

from mindanim.config.fields import StageConfig, opt

Group = Literal["semantic", "pixel", "motion", "feature"]


class EvaluateConfig(StageConfig):
    """What is scored, beside what, and how sure one can be."""

    subset: bool = opt(False, "Score videos that lack some test clips; every table then says so.", flag=True)
    groups: tuple[Group, ...] = opt(
        ("semantic", "pixel", "motion", "feature"), "Groups of metrics to compute.", flag=True, min_length=1
    )
    ceiling: str = opt(
        "oracle", "Label of the videos made from true features; they are the ceiling.", flag=True
    )
    no_brain: str = opt(
        "nobrain", "Label of the videos made from noise responses; they are a floor.", flag=True
    )
    motion_test: bool = opt(True, "Test whether the order of the frames matters (costs most).", flag=True)
    report_clips: int = opt(
        60, "Most clips shown in the report, spread over the test set.", unit="clips", flag=True, ge=0
    )
    seed: int = opt(0, "Seed of all resampling.", flag=True, ge=0)
    image_classifier: str | None = opt("demo", "Image classifier: demo, a local folder, a hub id, or none.")
    video_classifier: str | None = opt("demo", "Video classifier: demo, a local folder, a hub id, or none.")
    clip: str | None = opt("demo", "CLIP model: demo, a local folder, an open_clip name, or none.")
    shuffles: int = opt(
        9, "Circular shifts per segment for the shuffled floor and its test.", unit="shifts", ge=1
    )
    block_clips: int = opt(
        0,
        "Length of a block where segments are too few to be blocks; 0 is a twelfth of the test set, 8 to 40.",
        unit="clips",
        ge=0,
    )
    bootstraps: int = opt(2000, "Bootstrap resamples of each interval.", ge=100)
    permutations: int = opt(4999, "Permutations of each test.", ge=19)
    motion_permutations: int = opt(999, "Frame orders drawn for each clip in the motion test.", ge=19)
    batch_frames: int = opt(
        128,
        "Frames shown to a network at a time when --batch is not given.",
        unit="frames",
        identity=False,
        ge=1,
    )
