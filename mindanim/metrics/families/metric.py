"""What is known of a metric: identifier, direction, bounds, chance, and what it needs.

An identifier names one definition, for ever; a change of definition raises the version. Results are
comparable only where identifiers, versions, clips, frames, resolution and backbones agree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Group = Literal["semantic", "pixel", "motion", "feature"]
GROUPS: tuple[Group, ...] = ("semantic", "pixel", "motion", "feature")
NETWORKS = ("image_classifier", "video_classifier", "clip", "vifi", "raft")
MEASURED = "no formula: compare with the shuffled floor"


@dataclass(frozen=True)
class PoolSize:
    """How many clips a retrieval pool holds, and which ones: results from unlike pools cannot be compared."""

    clips: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One definition.

    bounds: smallest and largest possible value, None where there is none. chance: the value expected of
    exchangeable scores, None where there is no formula; chance_source says which. needs: what must be there
    to compute it. resolution, frames: of the clips it is computed on, (height, width); zero where it does not
    look at frames. pool: what is searched, where that is more than the test clips.
    """

    id: str
    name: str
    group: Group
    bounds: tuple[float | None, float | None]
    needs: tuple[str, ...]
    note: str
    resolution: tuple[int, int] = (0, 0)
    frames: int = 0
    pool: PoolSize | None = None
    version: int = 1
    direction: Literal["higher", "lower"] = "higher"
    chance: float | None = None
    chance_source: str = MEASURED
    reference: str = "defined by mindanim"

    @property
    def sign(self) -> float:
        """1 when higher is better, -1 when lower is: goodness = sign * value."""
        return 1.0 if self.direction == "higher" else -1.0

    @property
    def networks(self) -> tuple[str, ...]:
        """The configuration fields of the networks it looks through."""
        return tuple(need for need in self.needs if need in NETWORKS)

    @property
    def backbone(self) -> str | None:
        """The first of them, if any."""
        return next(iter(self.networks), None)


@dataclass(frozen=True)
class Refusal:
    """A metric that cannot be computed here, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class Setting:
    """What there is to score.

    clips, frames, height, width: of the test set. image_classes, video_classes: 0 without such a classifier.
    video_frames: frames the video classifier takes. clip_name: the CLIP model, "" without one. vifi, raft:
    whether these networks are there. released: whether N-way hits are also to be drawn as released.
    distractors: the smallest number of clips of another caption that any clip has. decoded: which decoded
    features there are, of "clip" and "latents". pool: the large retrieval pool, where one was named.
    """

    clips: int
    frames: int
    height: int
    width: int
    image_classes: int = 0
    video_classes: int = 0
    video_frames: int = 0
    clip_name: str = ""
    vifi: bool = False
    raft: bool = False
    released: bool = False
    distractors: int = 0
    decoded: frozenset[str] = frozenset()
    pool: PoolSize | None = None


def slug(name: str) -> str:
    """A model's name as part of an identifier: "ViT-B-32/openai" -> "vitb32openai"; of a path, the last
    part."""
    parts = [part for part in re.split(r"[/@]", name) if part]
    short = parts[-1] if name.startswith((".", "/", "~")) and parts else name
    return re.sub(r"[^a-z0-9]", "", short.lower())


def flow_size(height: int, width: int) -> str:
    """The resolution as part of an identifier: "64", or "48x64" for frames that are not square."""
    return str(height) if height == width else f"{height}x{width}"
