"""What a metric is, and the registries of metrics and of the networks they look through.

A metric is one object. An identifier names one definition for ever; a change of definition raises the
version. Results are comparable only where identifiers, versions, clips, frames, resolution and backbones
agree.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from mindanim.config.evaluate import Group
from mindanim.vocabulary.arrays import Float
from mindanim.vocabulary.registry import Registry

if TYPE_CHECKING:
    import torch

    from mindanim.metrics.inputs.decoded_features import DecodedFeatures
    from mindanim.metrics.inputs.retrieval_pool import Pool

GROUPS: tuple[Group, ...] = get_args(Group)
MEASURED = "no formula: compare with the shuffled floor"
ANIMATOR = "Lu et al. 2025, arXiv:2405.03280 (Mind-Animator), released evaluation code"
UNIT, SIGNED = (0.0, 1.0), (-1.0, 1.0)
"""Bounds of shares and of correlations."""

T = TypeVar("T")
M = TypeVar("M", bound="Metric")


@dataclass(frozen=True)
class Loading:
    """How a network is loaded; `frames` is the number of frames per clip that it will see."""

    device: torch.device | str
    dtype: torch.dtype | None
    offline: bool
    frames: int


@dataclass(frozen=True, kw_only=True)
class Network:
    """A frozen network that metrics look through, found by its name.

    Attributes:
        name: What metrics call it in `needs`, and the option that says which one to use.
        load: Makes the network from its name on the hub or its file.
        missing: Why a metric cannot be computed without it.
        hub: Whether users name a model (`demo`, a folder, a hub id) instead of a file or folder of weights.
        answers: Names of what `ask` returns.
        ask: Shows clips, (clip, frame, channel, height, width) float32 in [0, 1], to the network; one (clip,
            ...) tensor for each of `answers`. None for networks that metrics ask clip by clip.
        by_frame: Whether the answers are (clip, frame, ...) and no frame's answer depends on other frames.
    """

    name: str
    load: Callable[[str | Path, Loading], Any]
    missing: str
    hub: bool = False
    answers: tuple[str, ...] = ()
    ask: Callable[[Any, torch.Tensor], tuple[torch.Tensor, ...]] | None = None
    by_frame: bool = False


NETWORKS: Registry[Network] = Registry("network", Network)


def network(**fields: Any) -> Callable[[Callable[[str | Path, Loading], Any]], Network]:
    """A decorator that registers a network by its `load` function; fields as of `Network`."""

    def register(load: Callable[[str | Path, Loading], Any]) -> Network:
        return NETWORKS.add(fields["name"], Network(load=load, **fields))

    return register


@dataclass(frozen=True)
class Setting:
    """What there is to score.

    Attributes:
        clips: Number of test clips.
        shape: (frame, height, width, rgb) of every clip.
        networks: Loaded networks by name.
        names: What the user called them.
        features: The decoded features, None if they are not known.
        released: Whether to score N-way classification by drawn trials as well.
    """

    clips: int
    shape: tuple[int, ...]
    networks: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    features: DecodedFeatures | None = None
    released: bool = False

    @property
    def size(self) -> str:
        """The resolution as part of an identifier: "64", or "48x64" for frames that are not square."""
        _, height, width, _ = self.shape
        return str(height) if height == width else f"{height}x{width}"

    def lacks(self, need: str) -> str:
        """Why `need` is not there; empty if it is."""
        if need == "frames":
            return ""
        if need == "decoded_clip":
            return "" if self.features else "the videos have no decoded CLIP vectors"
        if need == "decoded_latents":
            has = self.features is not None and self.features.latents is not None
            return "" if has else "the videos have no decoded latents"
        return "" if need in self.networks else NETWORKS[need].missing


@dataclass(frozen=True)
class Column:
    """A further column of per_clip.tsv, needed to interpret a metric."""

    id: str
    unit: str
    score: Callable[[Any, Any], float]


def _always(setting: Setting) -> bool:
    return True


def _nothing(setting: Setting) -> str:
    return ""


def _no_details(setting: Setting) -> dict[str, Any]:
    return {}


def no_remark(setting: Setting, own: Mapping[str, Float]) -> str:
    return ""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One definition; its subclasses say how a score is computed.

    Attributes:
        id: Identifier, or its pattern until `details` completes it.
        name: Short name in tables.
        group: Section of the tables.
        bounds: Smallest and largest possible value; None where there is none.
        needs: What must be there: ``frames``, ``decoded_clip``, ``decoded_latents`` or names of networks.
        note: What to know when reading it.
        direction: Which values are better.
        chance: Expected value of exchangeable scores; None without a formula.
        chance_source: The formula.
        reference: Where it was published.
        version: Raised when the definition changes.
        min_frames: Fewest frames of a clip.
        min_side: Smallest side of a frame, px.
        rank: Position among the metrics by which clips can be ranked in the report, from 1; 0 for never.
        offered: Whether it is mentioned at all.
        check: A further reason why it cannot be computed; empty if there is none.
        details: Fields that depend on what is scored.
        remark: What to add to the note, given the scores of the reconstructions.
        resolution: (height, width) of the clips; zero for metrics that do not look at frames.
        frames: Number of frames of the clips, likewise.
        pool: The clips searched, if more than the test clips.
    """

    id: str
    name: str
    group: Group
    bounds: tuple[float | None, float | None]
    needs: tuple[str, ...]
    note: str
    direction: Literal["higher", "lower"] = "higher"
    chance: float | None = None
    chance_source: str = MEASURED
    reference: str = "defined by mindanim"
    version: int = 1
    min_frames: int = 1
    min_side: int = 1
    rank: int = 0
    offered: Callable[[Setting], bool] = _always
    check: Callable[[Setting], str] = _nothing
    details: Callable[[Setting], dict[str, Any]] = _no_details
    remark: Callable[[Setting, Mapping[str, Float]], str] = no_remark
    resolution: tuple[int, int] = (0, 0)
    frames: int = 0
    pool: Pool | None = None

    @property
    def sign(self) -> float:
        """1 if higher is better, -1 if lower is: goodness = sign * value."""
        return 1.0 if self.direction == "higher" else -1.0

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks it looks through."""
        return tuple(need for need in self.needs if need in NETWORKS)

    @property
    def backbone(self) -> str | None:
        """The first of them, if any."""
        return next(iter(self.networks), None)

    def of(self, setting: Setting) -> Metric:
        """This metric with everything that depends on what is scored."""
        frames, height, width, _ = setting.shape
        seen: dict[str, Any] = {"resolution": (height, width), "frames": frames} if self.looks else {}
        return replace(self, **seen, **self.details(setting))

    @property
    def looks(self) -> bool:
        """Whether it looks at frames."""
        return True

    def refused(self, setting: Setting) -> str:
        """Why it cannot be computed; empty if it can."""
        frames, height, width, _ = setting.shape
        for need in self.needs:
            if reason := setting.lacks(need):
                return reason
        if frames < self.min_frames:
            return f"it needs {self.min_frames} frames, the clips have {frames}"
        if min(height, width) < self.min_side:
            return f"it needs frames of at least {self.min_side} px, these are {height} x {width} px"
        return self.check(setting)


METRICS: Registry[Metric] = Registry("metric", Metric)
"""Metrics by identifier, or by its pattern, such as ``epe.farneback<size>``."""


def _as_is(frames: Any) -> Any:
    return frames


@dataclass(frozen=True, kw_only=True)
class FrameMetric(Metric):
    """A metric that describes each clip by itself and compares two descriptions.

    Attributes:
        describe: Takes (frame, height, width, rgb) uint8 and the networks in `needs`; metrics with the same
            function share the description, which is computed once per clip.
        score: Takes the descriptions of a truth and a reconstruction; NaN if undefined.
        columns: What else to write for each clip.
    """

    describe: Callable[..., Any] = _as_is
    score: Callable[[Any, Any], float]
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AnswerMetric(Metric):
    """A metric that compares the answers of networks, which see every clip once.

    Attributes:
        reads: Names of the answers (`Network.answers`).
        score: Takes the answers to the truths and to the reconstructions of some pairs, name -> (pair, ...);
            returns (pair,) float64.
    """

    reads: tuple[str, ...]
    score: Callable[[Mapping[str, NDArray[np.float32]], Mapping[str, NDArray[np.float32]]], Float]


@dataclass(frozen=True, kw_only=True)
class FeatureMetric(Metric):
    """A metric that compares decoded with true features.

    Attributes:
        score: Takes all features and the pairs, (pair, 2), rows of target and decoded features; returns
            (pair,) float64.
    """

    score: Callable[[DecodedFeatures, NDArray[np.intp]], Float]

    @property
    def looks(self) -> bool:
        return False


def metric(kind: type[M], **fields: Any) -> Callable[[Callable[..., Any]], M]:
    """A decorator that registers a metric by its `score` function; fields as of `kind`."""

    def register(score: Callable[..., Any]) -> M:
        made = kind(**(fields | {"score": score}))
        METRICS.add(made.id, made)
        return made

    return register


def once_per_pair(function: Callable[[T, T], Any]) -> Callable[[T, T], Any]:
    """Keep a function's last result in each thread, for metrics that share an intermediate result: the
    metrics of a pair are scored one after another."""
    kept = threading.local()

    @wraps(function)
    def of(truth: T, recon: T) -> Any:
        first, second, result = getattr(kept, "last", (None, None, None))
        if first is not truth or second is not recon:
            result = function(truth, recon)
            kept.last = truth, recon, result
        return result

    return of


def slug(name: str) -> str:
    """A model's name as part of an identifier: "ViT-B-32/openai" -> "vitb32openai"; of a path or a
    file of weights, the last part, so that it is the same wherever the model is stored."""
    stated, _, file = name.partition("@")
    name = f"{stated}@{file.rpartition('/')[2]}"
    name, local = re.subn(r"^local-dir:", "", name)
    parts = [part for part in re.split(r"[/@]", name) if part]
    short = parts[-1] if parts and (local or name.startswith((".", "/", "~"))) else name
    return re.sub(r"[^a-z0-9]", "", short.lower())
