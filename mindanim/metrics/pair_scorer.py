"""Scoring pairs of clips with any set of metrics; reconstructions and floors all go through this one code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim import console
from mindanim.metrics.families.metric import (
    NETWORKS,
    AnswerMetric,
    Column,
    FeatureMetric,
    FrameMetric,
    Metric,
)
from mindanim.metrics.families.motion import single_threaded_opencv
from mindanim.metrics.families.semantic import Answers
from mindanim.metrics.inputs.decoded_features import DecodedFeatures
from mindanim.metrics.networks import ask, ask_frozen
from mindanim.vocabulary.arrays import Float
from mindanim.vocabulary.clips import Clips
from mindanim.vocabulary.scratch import IN_TEMPORARY, Scratch

Scores = dict[str, Float]
"""Metric identifier -> one score per pair, NaN where undefined."""

_MEMORY = 1 << 30
"""Bytes of clip descriptions to keep, for each of truths and reconstructions; more are computed again."""
_ROWS = 64
"""Pairs whose answers are gathered at a time: 8 frames of 1,000 classes each make 4 MB."""


class PairScorer:
    """Scores any clips against one set of ground truths.

    Args:
        truth: The ground truths.
        networks: Those the metrics look through, by name.
        metrics: What to compute.
        batch: Clips shown to a network at a time.
        threads: For metrics that look at frames without a network.
        scratch: Where to put scores and answers.
    """

    def __init__(
        self,
        truth: Clips,
        networks: Mapping[str, Any],
        metrics: Sequence[Metric],
        batch: int = 16,
        threads: int = 1,
        scratch: Scratch = IN_TEMPORARY,
    ) -> None:
        self.truth, self.networks, self.metrics = truth, networks, list(metrics)
        self.batch, self.threads, self.scratch = batch, threads, scratch
        asked = {name for metric in metrics for name in metric.networks if NETWORKS[name].ask is not None}
        self._asked = {name: networks[name] for name in networks if name in asked}
        self.answers = self.ask(truth)
        self._passes = self._plan(metrics)
        self._truths = [one.described(truth, reused=True) for one in self._passes]

    def of(self, truth: Clips) -> PairScorer:
        """The same scorer for other ground truths."""
        return PairScorer(truth, self.networks, self.metrics, self.batch, self.threads, self.scratch)

    def ask(self, clips: Clips) -> dict[str, NDArray[np.float32]]:
        """The answers of the metrics' networks to some clips."""
        return ask(clips, self._asked, self.batch, self.scratch)

    def ask_frozen(self, answers: Answers, frozen: Clips) -> dict[str, NDArray[np.float32]]:
        """The same for clips whose first frame is held, given the answers to the moving ones."""
        return ask_frozen(answers, frozen, self._asked, self.batch, self.scratch)

    def score(
        self,
        clips: Clips,
        pairs: NDArray[np.intp],
        answers: Answers,
        features: DecodedFeatures | None = None,
        title: str = "scoring",
    ) -> Scores:
        """Score pairs of ground truths and `clips`.

        Args:
            clips: Reconstructions, or what replaces them.
            pairs: (pair, 2), the numbers of a truth and of a clip.
            answers: Of the networks to `clips`.
            features: Decoded features of `clips`; without them the feature metrics are left out.
            title: What to call this in the progress display.

        Returns:
            One (pair,) array per metric and further column.
        """
        by_answers = [metric for metric in self.metrics if isinstance(metric, AnswerMetric)]
        by_features = [metric for metric in self.metrics if isinstance(metric, FeatureMetric)]
        by_features = by_features if features is not None else []
        by_frames = [each for one in self._passes for each, _ in one.scored]
        names = [one.id for one in (*by_answers, *by_features, *by_frames)]
        table: Float = self.scratch.array((len(names), len(pairs)), np.float64)
        scores = dict(zip(names, table, strict=True))
        for metric in by_answers:
            for start in range(0, len(pairs), _ROWS):
                first, second = pairs[start : start + _ROWS].T
                truth = {name: self.answers[name][first] for name in metric.reads}
                recon = {name: answers[name][second] for name in metric.reads}
                scores[metric.id][start : start + _ROWS] = metric.score(truth, recon)
        if features is not None:
            for by_feature in by_features:
                scores[by_feature.id][:] = by_feature.score(features, pairs)
        for one, truths in zip(self._passes, self._truths, strict=True):
            self._score_frames(one, truths, clips, pairs, scores, title)
        return scores

    def _plan(self, metrics: Sequence[Metric]) -> list[_Pass]:
        """One pass over the pairs for all metrics without a network, one for each set of networks."""
        found: dict[tuple[str, ...], list[FrameMetric]] = {}
        for metric in metrics:
            if isinstance(metric, FrameMetric):
                found.setdefault(metric.networks, []).append(metric)
        return [_Pass(names, [self.networks[name] for name in names], some) for names, some in found.items()]

    def _score_frames(
        self,
        one: _Pass,
        truths: Callable[[int], list[Any]],
        clips: Clips,
        pairs: NDArray[np.intp],
        scores: Scores,
        title: str,
    ) -> None:
        """Fill `scores`, metric -> (pair,), in one pass over the pairs."""
        describe = one.described(clips, reused=len(np.unique(pairs[:, 1])) < len(pairs))
        scored = [(scores[each.id], each, place) for each, place in one.scored]

        def score_truth(rows: NDArray[np.intp]) -> None:
            truth = truths(int(pairs[rows[0], 0]))
            for row in rows:
                recon = describe(int(pairs[row, 1]))
                for values, each, place in scored:
                    values[row] = each.score(truth[place], recon[place])

        order = np.argsort(pairs[:, 0], kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(pairs[order, 0])) + 1)
        groups = [groups[number] for number in _visiting_order(pairs, len(self.truth), len(clips))]
        followed: console.Progress[None] = console.progress(len(groups), ", ".join((title, *one.names)))
        with single_threaded_opencv(), ThreadPoolExecutor(self.threads) as pool, followed:
            # A network uses all cores by itself, and is asked from this thread.
            for _ in map(score_truth, groups) if one.names else pool.map(score_truth, groups):
                followed.advance()


class _Pass:
    """Metrics that are scored in one pass over the pairs.

    Attributes:
        names: Of the networks they look through.
        scored: The metrics and their further columns, each with the number of the description it takes.
    """

    def __init__(
        self, names: tuple[str, ...], networks: Sequence[Any], metrics: Sequence[FrameMetric]
    ) -> None:
        self.names, self._networks = names, networks
        self._describers = list(dict.fromkeys(metric.describe for metric in metrics))
        columns = {column.id: (column, metric) for metric in metrics for column in metric.columns}
        each: list[tuple[FrameMetric | Column, FrameMetric]] = [(metric, metric) for metric in metrics]
        each += columns.values()
        self.scored: list[tuple[FrameMetric | Column, int]] = [
            (one, self._describers.index(metric.describe)) for one, metric in each
        ]

    def described(self, clips: Clips, reused: bool) -> Callable[[int], list[Any]]:
        """A function that describes a clip by its number; if clips are `reused`, it remembers as many as fit
        into `_MEMORY`."""

        def describe(index: int) -> list[Any]:
            frames = np.ascontiguousarray(clips[index])
            return [describer(frames, *self._networks) for describer in self._describers]

        kept = _MEMORY // (clips[0].nbytes + _bytes(describe(0))) if reused and len(clips) else 0
        return lru_cache(maxsize=max(2, kept))(describe)


def _bytes(description: Any) -> int:
    """Bytes of all arrays and tensors in a description."""
    if hasattr(description, "nbytes"):
        return int(description.nbytes)
    if isinstance(description, Mapping):
        parts: Any = description.values()
    elif isinstance(description, (list, tuple)):
        parts = description
    else:
        parts = vars(description).values() if hasattr(description, "__dict__") else ()
    return sum(_bytes(part) for part in parts)


def _visiting_order(pairs: NDArray[np.intp], truths: int, clips: int) -> list[int]:
    """The order in which to score the truths of some pairs (numbers among those that occur), so that pairs
    that share a clip follow each other closely and few descriptions have to be kept.

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
