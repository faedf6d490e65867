"""All scores of a test set: those of the reconstructions, their floors and their ceilings, clip by clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim import console
from mindanim.metrics.families.semantic import Answers, recognised
from mindanim.metrics.floors import Frozen, Shuffles
from mindanim.metrics.inputs.decoded_features import DecodedFeatures
from mindanim.metrics.inputs.test_set import Contender
from mindanim.metrics.pair_scorer import PairScorer, Scores
from mindanim.vocabulary.arrays import Float, Frames
from mindanim.vocabulary.clips import Clips

ORACLE, REPEAT = CEILINGS = ("oracle", "repeat")
HALVES = ("odd repeats", "even repeats")


class OneClip:
    """One clip used for every test clip: the training mean, or gray."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int, /) -> Frames:
        return self.frames


@dataclass(frozen=True)
class Shuffled:
    """Scores of one metric with reconstructions of other clips; rows are truths.

    Attributes:
        scores: (pair,).
        shifted_at: (clip, shift), the pair of each entry of `Shuffles.shifted`; -1 where there is none.
        partners_at: The same for `Shuffles.partners`.
        sources: (clip, shift), `Shuffles.partners`.
        shifted_sources: (clip, shift), `Shuffles.shifted`.
    """

    scores: Float
    shifted_at: NDArray[np.intp]
    partners_at: NDArray[np.intp]
    sources: NDArray[np.intp]
    shifted_sources: NDArray[np.intp]

    @property
    def shifted(self) -> Float:
        """(clip, shift) as `Shuffles.shifted`, NaN where there is none."""
        return self._table(self.shifted_at)

    @property
    def partners(self) -> Float:
        """(clip, shift) as `Shuffles.partners`, NaN where there is none."""
        return self._table(self.partners_at)

    def _table(self, places: NDArray[np.intp]) -> Float:
        table: Float = np.full(places.shape, np.nan)
        there = places >= 0
        table[there] = self.scores[places[there]]
        return table

    @property
    def floor(self) -> Float:
        """The floor of each ground truth, (clip,): the mean over its partners; NaN where undefined."""
        partners = self.partners
        kept = ~np.isnan(partners)
        count = kept.sum(axis=1)
        total = np.where(kept, partners, 0).sum(axis=1)
        floor: Float = np.full(len(count), np.nan)
        np.divide(total, count, out=floor, where=count > 0)
        return floor

    def differences(self, own: Float) -> Float:
        """What each clip contributes to the mean difference between `own` (clip,) and the floor; (clip,).

        The floor is a mean over pairs, in which a clip takes part as a truth and as a reconstruction. Both
        parts are subtracted: own score, less the row's mean, less the column's, plus the overall mean. This
        is the influence of the clip on the difference (Hoeffding's projection of a two-sample statistic);
        subtracting the rows only would leave in the reconstructions' general quality, and its variance.
        """
        partners = self.partners
        kept = ~np.isnan(partners)
        overall = partners[kept].mean() if kept.any() else np.nan
        columns: Float = np.zeros(len(own))
        np.add.at(columns, self.sources[kept], partners[kept] - overall)
        per_truth = kept.sum() / max(1, kept.any(axis=1).sum())
        influence: Float = own - self.floor - columns / max(1.0, per_truth)
        return influence


@dataclass(frozen=True)
class Scored:
    """Every score of a test set.

    Attributes:
        own: Metric -> (clip,), of the reconstructions.
        shuffled: Metric -> its scores with other clips.
        floors: Floor -> metric -> (clip,); without the metrics that do not apply to it.
        ceilings: The same for ceilings.
        recognised: (clip,) bool, see `recognised`.
        answers: Of the networks to the reconstructions.
    """

    own: Scores
    shuffled: dict[str, Shuffled]
    floors: dict[str, Scores]
    ceilings: dict[str, Scores]
    recognised: NDArray[np.bool_] | None
    answers: Answers


def score_with_floors(
    scorer: PairScorer,
    clips: Clips,
    features: DecodedFeatures | None,
    shuffles: Shuffles,
    single: Mapping[str, Frames],
    contenders: Mapping[str, Contender],
) -> Scored:
    """Score reconstructions and everything they are compared with.

    Args:
        scorer: Has the ground truths.
        clips: The reconstructions, in the order of the truths.
        features: Their decoded features.
        shuffles: Which reconstructions of other clips each truth is compared with.
        single: Floors that are one clip for all, each (frame, height, width, rgb) uint8.
        contenders: Other videos by name. `ORACLE` is a ceiling; the two `HALVES`, the second scored as if the
            first were the truth, are another; all others are floors.
    """
    count = len(scorer.truth)
    same = np.arange(count)
    diagonal = np.stack([same, same], axis=1)
    answers = scorer.ask(clips)
    pairs = np.concatenate([diagonal, shuffles.pairs()])
    values = scorer.score(clips, pairs, answers, features, "own and shuffled pairs")
    own = {name: scores[:count] for name, scores in values.items()}
    console.detail(f"{len(pairs)} pairs scored")
    at = [_places(pairs[count:], table) for table in (shuffles.shifted, shuffles.partners)]
    shuffled = {
        name: Shuffled(scores[count:], at[0], at[1], shuffles.partners, shuffles.shifted)
        for name, scores in values.items()
    }

    def score(other: Contender, title: str, by: PairScorer = scorer) -> Scores:
        return by.score(other.clips, diagonal, by.ask(other.clips), other.features, title)

    floors: dict[str, Scores] = {}
    for name, frames in single.items():
        one = OneClip(frames)
        at_first = np.stack([same, np.zeros_like(same)], axis=1)
        floors[name] = scorer.score(one, at_first, scorer.ask(one), None, name)
    frozen = Frozen(clips)
    floors["frozen"] = scorer.score(frozen, diagonal, scorer.ask_frozen(answers, frozen), None, "frozen")
    ceilings: dict[str, Scores] = {}
    for name, other in contenders.items():
        if name == ORACLE:
            ceilings[name] = score(other, name)
        elif name not in HALVES:
            floors[name] = score(other, name)
    if all(name in contenders for name in HALVES):
        first, second = (contenders[name].clips for name in HALVES)
        ceilings[REPEAT] = score(Contender(second, None), "halves of the repeats", scorer.of(first))
    return Scored(own, shuffled, floors, ceilings, recognised(scorer.answers, answers), answers)


def _places(pairs: NDArray[np.intp], recons: NDArray[np.intp]) -> NDArray[np.intp]:
    """Where in `pairs`, (pair, 2) in ascending order, each truth's `recons`, (clip, shift), are."""
    clips = len(recons)
    keys = pairs[:, 0] * clips + pairs[:, 1]
    wanted = np.arange(clips)[:, None] * clips + recons
    return np.where(recons < 0, -1, np.searchsorted(keys, wanted))
