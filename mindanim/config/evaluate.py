"""Options of `mindanim evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import field_validator, model_validator

from mindanim.config.option import StageConfig, opt

Group = Literal["semantic", "pixel", "motion", "feature"]
Layout = Literal["plain", "mind-video", "mind-animator", "neuroclips"]


class EvaluateConfig(StageConfig):
    """What is scored, beside what, and how sure one can be."""

    videos: Path | None = opt(
        None, "Score this folder of clips made elsewhere (gif, mp4, webp, npy).", flag=True, identity=False
    )
    truth: Path | None = opt(
        None, "Folder of their ground truth, where it is not in the same files.", flag=True, identity=False
    )
    layout: Layout = opt("plain", "How the files of --videos are named and cut.", flag=True)
    size: int | None = opt(
        None, "Resize the clips of --videos and --truth to this square first.", unit="px", flag=True, ge=7
    )
    frames: int | None = opt(
        None, "Take this many equally spaced frames of each clip of --videos and --truth.", ge=1
    )
    border: int | None = opt(
        None,
        "Border between and around the halves of a file that holds both; none finds it by its size.",
        unit="px",
        ge=0,
    )
    clip_table: Path | None = opt(
        None, "TSV with clip_id, and segment or caption, of the clips of --videos.", identity=False
    )
    subset: bool = opt(False, "Score videos that lack some test clips; every table then says so.", flag=True)
    groups: tuple[Group, ...] = opt(
        ("semantic", "pixel", "motion", "feature"), "Groups of metrics to compute.", flag=True, min_length=1
    )
    ceiling: str = opt("oracle", "Label of the videos made from true features, the ceiling; or none.")
    no_brain: str = opt("nobrain", "Label of the videos made from noise responses, a floor; or none.")
    repeats: tuple[str, ...] = opt(
        ("odd", "even"),
        "Labels of the videos made from each half of the repeats, a second ceiling; or none.",
    )
    pool: tuple[Path, ...] = opt(
        (),
        "Folders of other studies' stimuli; their clips join the test clips in the large retrieval pool.",
        identity=False,
    )
    compare: tuple[str, ...] = opt(
        (),
        "Labels of other evaluations of this subject to compare with, clip by clip; all takes what is there.",
        flag=True,
        identity=False,
    )
    motion_test: bool = opt(True, "Test whether the order of the frames matters (costs most).", flag=True)
    report_clips: int = opt(
        60, "Most clips shown in the report: best, median, worst, and others at random.", unit="clips", ge=0
    )
    seed: int = opt(0, "Seed of all resampling.", flag=True, ge=0)
    image_classifier: str | None = opt("demo", "Image classifier: demo, a local folder, a hub id, or none.")
    video_classifier: str | None = opt("demo", "Video classifier: demo, a local folder, a hub id, or none.")
    clip: str | None = opt("demo", "CLIP model: demo, a local folder, an open_clip name, or none.")
    diffusion: str | None = opt(
        "demo", "Diffusion model that encoded the stimuli, to show the nearest training clips; or none."
    )
    vifi: Path | None = opt(None, "Checkpoint of ViFi-CLIP (ViT-B/16), for VIFI; or none.")
    raft: Path | None = opt(None, "Checkpoint of torchvision's RAFT, small or large; or none.")
    fvd: bool = opt(False, "Also compute the Frechet distance of the video classifier's features.")
    released: bool = opt(False, "Also score N-way classification by drawn trials, as the released code does.")
    shuffles: int = opt(
        0,
        "Circular shifts per segment for the shuffled floor and its test; 0 is 9, or 39 where all clips are "
        "one segment.",
        unit="shifts",
        ge=0,
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

    @field_validator("videos", "truth", "clip_table", "vifi", "raft")
    @classmethod
    def _home(cls, value: Path | None) -> Path | None:
        return value.expanduser() if value is not None else None

    @field_validator("pool")
    @classmethod
    def _homes(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(folder.expanduser() for folder in value)

    @field_validator("ceiling", "no_brain")
    @classmethod
    def _none(cls, value: str) -> str:
        return "" if value.lower() == "none" else value

    @field_validator("repeats")
    @classmethod
    def _two(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) not in (0, 2):
            raise ValueError("name two labels, one for each half (repeats=odd,even), or say repeats=none")
        return value

    @model_validator(mode="after")
    def _folders(self) -> Self:
        if self.videos is None and (self.truth is not None or self.layout != "plain"):
            raise ValueError("--truth and --layout speak of a folder of videos; add --videos FOLDER")
        if self.videos is not None and self.layout == "plain" and self.truth is None:
            raise ValueError("the layout plain needs the ground truth; add --truth FOLDER")
        return self
