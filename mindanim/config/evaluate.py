"""Options of `mindanim evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import field_validator, model_validator

from mindanim.config.option import StageConfig, opt
from mindanim.config.variants import GIVEN

Group = Literal["semantic", "pixel", "motion", "feature"]
Layout = Literal["plain", "mind-video", "mind-animator", "neuroclips"]

_FOLDER: dict[str, tuple[Any, ...]] = {"videos": (GIVEN,)}
_SUBJECT: dict[str, tuple[Any, ...]] = {"videos": (None,)}


class EvaluateConfig(StageConfig):
    """What is scored, compared with what, and how uncertain it is."""

    # 2: films are the unit of intervals and tests, slow trends are removed from shifts, and classifiers read
    # what their own processors give
    stage_version = 2

    videos: Path | None = opt(
        None, "Score this folder of clips made elsewhere (gif, mp4, webp, npy).", flag=True, identity=False
    )
    truth: Path | None = opt(
        None,
        "Folder of their ground truth, if not in the same files.",
        flag=True,
        identity=False,
        only=_FOLDER,
    )
    layout: Layout = opt("plain", "How the files of --videos are named and cut.", flag=True, only=_FOLDER)
    size: int | None = opt(
        None,
        "Resize the clips of --videos and --truth to this square first.",
        unit="px",
        flag=True,
        ge=7,
        only=_FOLDER,
    )
    frames: int | None = opt(
        None, "Use this many equally spaced frames of each clip of --videos and --truth.", ge=1, only=_FOLDER
    )
    border: int | None = opt(
        None,
        "Border between and around the halves of a file with both truth and reconstruction; none infers it "
        "from the file's size.",
        unit="px",
        ge=0,
        only={"layout": ("mind-video", "mind-animator")},
    )
    clip_table: Path | None = opt(
        None,
        "TSV with clip_id, and segment or caption, of the clips of --videos.",
        identity=False,
        only=_FOLDER,
    )
    subset: bool = opt(False, "Score videos that lack some test clips; every table then says so.", flag=True)
    groups: tuple[Group, ...] = opt(
        ("semantic", "pixel", "motion", "feature"), "Groups of metrics to compute.", flag=True, min_length=1
    )
    metrics: tuple[str, ...] = opt((), "Compute only these metrics of the groups, by identifier.")
    ceiling: str = opt(
        "oracle", "Label of the videos from true features, the ceiling; or none.", only=_SUBJECT
    )
    no_brain: str = opt(
        "nobrain", "Label of the videos from noise responses, a floor; or none.", only=_SUBJECT
    )
    repeats: tuple[str, ...] = opt(
        ("odd", "even"),
        "Labels of the videos from each half of the repeats, a second ceiling; or none.",
        only=_SUBJECT,
    )
    pool: tuple[Path, ...] = opt(
        (),
        "Folders of other studies' stimuli, whose clips enlarge the retrieval pool.",
        identity=False,
        only=_SUBJECT,
    )
    compare: tuple[str, ...] = opt(
        (),
        "Labels of this subject's other evaluations to compare with, clip by clip; or all.",
        flag=True,
        identity=False,
    )
    motion_test: bool = opt(
        True, "Test whether the order of the frames matters (the slowest part).", flag=True
    )
    report_clips: int = opt(
        60, "Most clips in the report: best, median, worst, and others at random.", unit="clips", ge=0
    )
    seed: int = opt(0, "Seed of all resampling.", flag=True, ge=0)
    image_classifier: str | None = opt("demo", "Image classifier: demo, a local folder, a hub id, or none.")
    video_classifier: str | None = opt("demo", "Video classifier: demo, a local folder, a hub id, or none.")
    clip: str | None = opt("demo", "CLIP model: demo, a local folder, an open_clip name, or none.")
    diffusion: str | None = opt(
        "demo",
        "Diffusion model that encoded the stimuli, needed to show the nearest training clips; or none.",
        only=_SUBJECT,
    )
    vifi: Path | None = opt(None, "Checkpoint of ViFi-CLIP (ViT-B/16), for VIFI; or none.")
    raft: Path | None = opt(None, "Checkpoint of torchvision's RAFT, small or large; or none.")
    weights: dict[str, Path] = opt(
        {}, "Weights of the networks of further metrics, NAME=PATH,...", identity=False
    )
    fvd: bool = opt(
        False,
        "Also compute the Frechet distance of the video classifier's features.",
        only={"video_classifier": (GIVEN,)},
    )
    released: bool = opt(
        False, "Also score N-way classification by random trials, as the released code does."
    )
    shuffles: int = opt(
        0,
        "Circular shifts per film for the shuffled floor and its test; 0 is 9, or 39 if all clips are one "
        "film.",
        unit="shifts",
        ge=0,
    )
    block_clips: int = opt(
        0,
        "Length of the blocks inside films that intervals for these films only are over; 0 is a twelfth of "
        "the test set, between 8 and 40.",
        unit="clips",
        ge=0,
    )
    bootstraps: int = opt(2000, "Bootstrap resamples of each interval.", ge=100)
    permutations: int = opt(4999, "Permutations of each test.", ge=19)
    motion_permutations: int = opt(
        999, "Frame orders drawn per clip in the motion test.", ge=19, only={"motion_test": (True,)}
    )
    batch_frames: int = opt(
        128,
        "Frames per forward pass of a network, unless --batch is given.",
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
            raise ValueError("give two labels, one for each half (repeats=odd,even), or repeats=none")
        return value

    @model_validator(mode="after")
    def _folders(self) -> Self:
        if self.videos is not None and self.layout == "plain" and self.truth is None:
            raise ValueError("the layout plain needs the ground truth; add --truth FOLDER")
        return self
