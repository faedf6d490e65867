"""Scoring pairs of clips with any set of metrics; reconstructions and floors all go through this one code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mindanim import console
from mindanim.metrics import motion, pixel, semantic
from mindanim.metrics.features import FeatureScorer
from mindanim.metrics.floors import Clips
from mindanim.metrics.registry import Metric

Scores = dict[str, NDArray[np.float64]]
"""Metric identifier -> one score per pair, NaN where undefined."""

T = TypeVar("T")

_MEMORY = 400 << 20
"""Bytes of clip descriptions to keep, for each of truths and reconstructions; more are computed again."""
_DESCRIPTION = 9
"""Bytes of both descriptions of a clip together, per byte of its frames (measured: 6.5 and 2.4)."""


class Judge:
    """Scores any clips against one set of ground truths.

    truth: the ground truths. networks: for the semantic metrics. metrics: what to compute. batch: clips shown
    to a network at a time. threads: for the pixel and motion metrics.
    """

    def __init__(
        self,
        truth: Clips,
        networks: semantic.Networks,
        metrics: Sequence[Metric],
        batch: int = 16,
        threads: int = 1,
    ) -> None:
        self.truth, self.networks, self.metrics = truth, networks, list(metrics)
        self.batch, self.threads = batch, threads
        self.answers = semantic.ask(truth, self._asked(), batch)
        self._describe_truth = _described(truth, self._pixel, self._motion)

    def ask(self, clips: Clips) -> semantic.Answers:
        """What the networks that the metrics need say of some clips."""
        return semantic.ask(clips, self._asked(), self.batch)

    def ask_frozen(self, answers: semantic.Answers, frozen: Clips) -> semantic.Answers:
        """The same of clips whose first frame is held, given the answers to the moving ones."""
        return semantic.ask_frozen(answers, frozen, self._asked(), self.batch)

    def score(
        self,
        clips: Clips,
        pairs: NDArray[np.intp],
        answers: semantic.Answers,
        features: FeatureScorer | None = None,
        title: str = "scoring",
    ) -> Scores:
        """Score `pairs` of ground truths and `clips`.

        pairs: (pair, 2), a truth's and a clip's number. answers: the networks' to `clips`. features: of the
        same clips; without them the feature metrics are left out. Returns one (pair,) array per metric.
        """
        framewise = [metric for metric in self.metrics if "frames" in metric.needs]
        semantic_ids = [metric.id for metric in self.metrics if metric.backbone is not None]
        scores = semantic.score(self.answers, answers, pairs, semantic_ids)
        if features is not None:
            scores |= features.score(
                pairs, [metric.id for metric in self.metrics if metric.group == "feature"]
            )
        if framewise:
            scores |= self._score_frames(clips, pairs, [metric.id for metric in framewise], title)
        return scores

    def _score_frames(self, clips: Clips, pairs: NDArray[np.intp], ids: list[str], title: str) -> Scores:
        describe = _described(clips, self._pixel, self._motion)
        values = {name: np.empty(len(pairs)) for name in ids}

        def score_truth(rows: NDArray[np.intp]) -> None:
            truth = self._describe_truth(int(pairs[rows[0], 0]))
            for row in rows:
                recon = describe(int(pairs[row, 1]))
                found: dict[str, float] = {}
                if truth[0] is not None and recon[0] is not None:
                    found |= pixel.score(truth[0], recon[0])
                if truth[1] is not None and recon[1] is not None:
                    found |= motion.score(truth[1], recon[1])
                for name in ids:
                    values[name][row] = found[_short(name)]

        order = np.argsort(pairs[:, 0], kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(pairs[order, 0])) + 1)
        with motion.single_threaded_opencv(), ThreadPoolExecutor(self.threads) as pool:
            done = pool.map(score_truth, groups)
            followed: console.Progress[None] = console.progress(len(groups), title)
            with followed:
                for _ in done:
                    followed.advance()
        return values

    @property
    def _pixel(self) -> bool:
        return any(metric.group == "pixel" for metric in self.metrics)

    @property
    def _motion(self) -> bool:
        return any(metric.group == "motion" and "frames" in metric.needs for metric in self.metrics)

    def _asked(self) -> semantic.Networks:
        """Only the networks that some metric needs."""
        needed = {metric.backbone for metric in self.metrics}
        return semantic.Networks(
            **{name: network for name, network in vars(self.networks).items() if name in needed}
        )


Description = tuple[pixel.PixelDescription | None, motion.MotionDescription | None]


def _described(clips: Clips, pixels: bool, moves: bool) -> Callable[[int], Description]:
    """A function that describes a clip by its number and remembers as many as memory is set aside for."""

    def describe(index: int) -> Description:
        frames = np.ascontiguousarray(clips[index])
        return pixel.describe(frames) if pixels else None, motion.describe(frames) if moves else None

    kept = _MEMORY // (_DESCRIPTION * clips[0].size) if len(clips) else 0
    return lru_cache(maxsize=max(2, kept))(describe)


def _short(identifier: str) -> str:
    """The identifier without its resolution: "epe.farneback64" is "epe"."""
    return identifier.partition(".farneback")[0]
