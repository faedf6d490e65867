"""Scoring pairs of clips with any set of metrics; reconstructions and floors all go through this one code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mindanim import console
from mindanim.metrics.families import motion, pixel, semantic
from mindanim.metrics.families.feature import FeatureScorer
from mindanim.metrics.families.metric import Metric
from mindanim.metrics.inputs.scratch import IN_TEMPORARY, Scratch
from mindanim.vocabulary.arrays import to_tensor
from mindanim.vocabulary.clips import Clips

Scores = dict[str, NDArray[np.float64]]
"""Metric identifier -> one score per pair, NaN where undefined."""

T = TypeVar("T")

_MEMORY = 1 << 30
"""Bytes of clip descriptions to keep, for each of truths and reconstructions; more are computed again."""
_DESCRIPTION = 6
"""Bytes of both descriptions of a clip together, per byte of its frames (1.7, with the frames, and 3.7)."""
MOTION = {"epe", "ae", "flow.corr", "flow.direction"}


class Judge:
    """Scores any clips against one set of ground truths.

    truth: the ground truths. networks: for the semantic metrics. metrics: what to compute. batch: clips shown
    to a network at a time. threads: for the pixel and motion metrics. scratch: room for scores and answers.
    """

    def __init__(
        self,
        truth: Clips,
        networks: semantic.Networks,
        metrics: Sequence[Metric],
        batch: int = 16,
        threads: int = 1,
        scratch: Scratch = IN_TEMPORARY,
    ) -> None:
        self.truth, self.networks, self.metrics = truth, networks, list(metrics)
        self.batch, self.threads, self.scratch = batch, threads, scratch
        self.answers = self.ask(truth)
        self._describe_truth = _described(truth, self._pixel, self._motion, reused=True)

    def of(self, truth: Clips) -> Judge:
        """The same judge of other ground truths."""
        return Judge(truth, self.networks, self.metrics, self.batch, self.threads, self.scratch)

    def ask(self, clips: Clips) -> semantic.Answers:
        """What the networks that the metrics need say of some clips."""
        return semantic.ask(clips, self._asked(), self.batch, self.scratch)

    def ask_frozen(self, answers: semantic.Answers, frozen: Clips) -> semantic.Answers:
        """The same of clips whose first frame is held, given the answers to the moving ones."""
        return semantic.ask_frozen(answers, frozen, self._asked(), self.batch, self.scratch)

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
        framewise = [metric.id for metric in self.metrics if "frames" in metric.needs]
        if any(metric.group == "pixel" for metric in self.metrics):
            framewise += [pixel.GRAY_TRUTH, pixel.GRAY_RECON]
        through = [metric.id for metric in self.metrics if metric.networks and not _is_raft(metric)]
        decoded = [metric.id for metric in self.metrics if metric.group == "feature" and features is not None]
        rafts = [metric.id for metric in self.metrics if _is_raft(metric)]
        names = [*through, *decoded, *rafts, *framewise]
        table: NDArray[np.float64] = self.scratch.array((len(names), len(pairs)), np.float64)
        scores = dict(zip(names, table, strict=True))
        for name in through:
            scores[name][:] = semantic.score(self.answers, answers, pairs, [name])[name]
        if features is not None:
            for name in decoded:
                scores[name][:] = features.score(pairs, [name])[name]
        for name in rafts:
            scores[name][:] = self._score_raft(clips, pairs, title)
        if framewise:
            self._score_frames(clips, pairs, {name: scores[name] for name in framewise}, title)
        return scores

    def _score_raft(self, clips: Clips, pairs: NDArray[np.intp], title: str) -> NDArray[np.float64]:
        """End-point errors between RAFT's flows of truths and clips, (pair,) px."""
        network = self.networks.raft
        if network is None:
            raise ValueError("epe.raft was asked for without RAFT")

        def flows(shown: Clips) -> Callable[[int], NDArray[np.float32]]:
            def flow(index: int) -> NDArray[np.float32]:
                found: NDArray[np.float32] = network.flow(to_tensor(shown[index])).cpu().numpy()
                return found

            return lru_cache(maxsize=max(2, _MEMORY // (8 * shown[0].size)))(flow)

        true, made = flows(self.truth), flows(clips)
        errors = np.empty(len(pairs))
        followed: console.Progress[None] = console.progress(len(pairs), f"{title}, RAFT")
        with followed:
            for truth in _visiting_order(pairs, len(self.truth), len(clips)):
                for row in np.flatnonzero(pairs[:, 0] == np.unique(pairs[:, 0])[truth]):
                    difference = true(int(pairs[row, 0])) - made(int(pairs[row, 1]))
                    errors[row] = np.linalg.norm(difference, axis=1).mean(dtype=np.float64)
                    followed.advance()
        return errors

    def _score_frames(self, clips: Clips, pairs: NDArray[np.intp], values: Scores, title: str) -> None:
        """Fill `values`, metric -> (pair,), with the pixel and motion metrics."""
        reused = len(np.unique(pairs[:, 1])) < len(pairs)
        describe = _described(clips, self._pixel, self._motion, reused)
        short = {_short(name) for name in values}

        def score_truth(rows: NDArray[np.intp]) -> None:
            truth = self._describe_truth(int(pairs[rows[0], 0]))
            for row in rows:
                recon = describe(int(pairs[row, 1]))
                found: dict[str, float] = {}
                if truth[0] is not None and recon[0] is not None:
                    found |= pixel.score(truth[0], recon[0], short)
                if truth[1] is not None and recon[1] is not None:
                    found |= motion.score(truth[1], recon[1], short & MOTION)
                for name, scores in values.items():
                    scores[row] = found[_short(name)]

        order = np.argsort(pairs[:, 0], kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(pairs[order, 0])) + 1)
        groups = [groups[number] for number in _visiting_order(pairs, len(self.truth), len(clips))]
        with motion.single_threaded_opencv(), ThreadPoolExecutor(self.threads) as pool:
            done = pool.map(score_truth, groups)
            followed: console.Progress[None] = console.progress(len(groups), title)
            with followed:
                for _ in done:
                    followed.advance()

    @property
    def _pixel(self) -> bool:
        return any(metric.group == "pixel" for metric in self.metrics)

    @property
    def _motion(self) -> bool:
        return any(metric.group == "motion" and "frames" in metric.needs for metric in self.metrics)

    def _asked(self) -> semantic.Networks:
        """Only the networks that some metric needs."""
        needed = {network for metric in self.metrics for network in metric.networks} - {"raft"}
        return semantic.Networks(
            **{name: network for name, network in vars(self.networks).items() if name in needed}
        )


def _visiting_order(pairs: NDArray[np.intp], truths: int, clips: int) -> list[int]:
    """In which order to score the truths of some pairs (numbers among those that occur), so that pairs that
    share a clip lie close together and few descriptions need be kept.

    Evenly spaced shifts tie clips together in small groups; the reverse Cuthill-McKee order finds them.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    places = pairs[:, 0], truths + pairs[:, 1]
    size = truths + clips
    ones = np.ones(2 * len(pairs), np.int8)
    graph = coo_matrix((ones, (np.concatenate(places), np.concatenate(places[::-1]))), shape=(size, size))
    rank = np.argsort(reverse_cuthill_mckee(graph.tocsr(), symmetric_mode=True))
    return [int(number) for number in np.argsort(rank[np.unique(pairs[:, 0])], kind="stable")]


Description = tuple[pixel.PixelDescription | None, motion.MotionDescription | None]


def _described(clips: Clips, pixels: bool, moves: bool, reused: bool) -> Callable[[int], Description]:
    """A function that describes a clip by its number and, if it is `reused`, remembers as many as memory is
    set aside for."""

    def describe(index: int) -> Description:
        frames = np.ascontiguousarray(clips[index])
        return pixel.describe(frames) if pixels else None, motion.describe(frames) if moves else None

    kept = _MEMORY // (_DESCRIPTION * clips[0].size) if len(clips) and reused else 0
    return lru_cache(maxsize=max(2, kept))(describe)


def _is_raft(metric: Metric) -> bool:
    return "raft" in metric.needs


def _short(identifier: str) -> str:
    """The identifier without its resolution: "epe.farneback64" is "epe"."""
    return identifier.partition(".farneback")[0]
