"""All scores of a test set: the reconstructions' own, their floors' and their ceiling's, clip by clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim import console
from mindanim.metrics.families.feature import FeatureScorer
from mindanim.metrics.families.semantic import Answers, recognised
from mindanim.metrics.floors import Frozen, Shuffles
from mindanim.metrics.pair_scorer import Judge, Scores
from mindanim.vocabulary.clips import Clips


class OneClip:
    """A set of a single clip, which stands for all: the training mean, or gray."""

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        return self.frames


@dataclass(frozen=True)
class Contender:
    """Videos of the same clips by other means (an oracle, a generator without brain), in the same order."""

    clips: Clips
    features: FeatureScorer | None


@dataclass(frozen=True)
class Places:
    """Numbers of the pairs in the two tables of `Shuffles`, (clip, shift) each, -1 where there is none."""

    shifted: NDArray[np.intp]
    partners: NDArray[np.intp]


@dataclass(frozen=True)
class Shuffled:
    """Scores of one metric with reconstructions of other clips; rows are truths.

    scores: (pair,). places: where in it the pairs of `Shuffles` are. sources: (clip, shift), the
    reconstructions in `partners`.
    """

    scores: NDArray[np.float64]
    places: Places
    sources: NDArray[np.intp]

    @property
    def shifted(self) -> NDArray[np.float64]:
        """(clip, shift) as `Shuffles.shifted`, NaN where there is none."""
        return _at(self.scores, self.places.shifted)

    @property
    def partners(self) -> NDArray[np.float64]:
        """(clip, shift) as `Shuffles.partners`, NaN where there is none."""
        return _at(self.scores, self.places.partners)

    @property
    def floor(self) -> NDArray[np.float64]:
        """The floor of each ground truth, (clip,): the mean over its partners; NaN where undefined."""
        partners = self.partners
        kept = ~np.isnan(partners)
        count = kept.sum(axis=1)
        total = np.where(kept, partners, 0).sum(axis=1)
        floor: NDArray[np.float64] = np.full(len(count), np.nan)
        np.divide(total, count, out=floor, where=count > 0)
        return floor

    def differences(self, own: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each clip contributes to the mean difference between `own` (clip,) and the floor; (clip,).

        The floor is a mean over pairs, in which a clip takes part as a truth and as a reconstruction. Both
        parts are taken out: own score, less the row's mean, less the column's, plus the overall mean. This is
        the influence of the clip on the difference (Hoeffding's projection of a two-sample statistic); taking
        out the rows only would leave the reconstructions' general quality in, and with it its variance.
        """
        partners = self.partners
        kept = ~np.isnan(partners)
        overall = partners[kept].mean() if kept.any() else np.nan
        columns: NDArray[np.float64] = np.zeros(len(own))
        np.add.at(columns, self.sources[kept], partners[kept] - overall)
        per_truth = kept.sum() / max(1, kept.any(axis=1).sum())
        influence: NDArray[np.float64] = own - self.floor - columns / max(1.0, per_truth)
        return influence


@dataclass(frozen=True)
class Scored:
    """Every score of a test set.

    own and each of floors and ceilings: metric -> (clip,). shuffled: metric -> its scores with other clips. A
    floor or ceiling lacks the metrics that do not apply to it. recognised: (clip,) bool, or None. answers:
    what the networks say of the reconstructions.
    """

    own: Scores
    shuffled: dict[str, Shuffled]
    floors: dict[str, Scores]
    ceilings: dict[str, Scores]
    recognised: NDArray[np.bool_] | None
    answers: Answers


def score_clips(
    judge: Judge,
    clips: Clips,
    features: FeatureScorer | None,
    shuffles: Shuffles,
    single: Mapping[str, NDArray[np.uint8]],
    others: Mapping[str, Contender],
    ceiling: Contender | None,
    halves: tuple[Clips, Clips] | None = None,
) -> Scored:
    """Score reconstructions and everything that stands beside them.

    clips: the reconstructions, in the order of the judge's truths. features: their decoded features. single:
    floors that are one clip for all, (frame, height, width, rgb) uint8. others: floors with videos of their
    own. ceiling: the oracle's videos, if there are any. halves: videos made from either half of the repeats;
    the second, scored as if the first were the truth, says how far two readings of one brain agree.
    """
    count = len(judge.truth)
    same = np.arange(count)
    diagonal = np.stack([same, same], axis=1)
    answers = judge.ask(clips)
    pairs = np.concatenate([diagonal, shuffles.pairs()])
    values = judge.score(clips, pairs, answers, features, "own and shuffled pairs")
    own = {name: scores[:count] for name, scores in values.items()}
    console.detail(f"{len(pairs)} pairs scored")
    places = _places(pairs[count:], shuffles)
    shuffled = {name: Shuffled(scores[count:], places, shuffles.partners) for name, scores in values.items()}

    floors: dict[str, Scores] = {}
    for name, frames in single.items():
        one = OneClip(frames)
        at_first = np.stack([same, np.zeros_like(same)], axis=1)
        floors[name] = judge.score(one, at_first, judge.ask(one), None, name)
    frozen = Frozen(clips)
    floors["frozen"] = judge.score(frozen, diagonal, judge.ask_frozen(answers, frozen), None, "frozen")
    for name, other in others.items():
        floors[name] = _score_contender(judge, other, diagonal, name)
    ceilings: dict[str, Scores] = {}
    if ceiling is not None:
        ceilings["oracle"] = _score_contender(judge, ceiling, diagonal, "oracle")
    if halves is not None:
        first = judge.of(halves[0])
        asked = first.ask(halves[1])
        ceilings["repeat"] = first.score(halves[1], diagonal, asked, None, "halves of the repeats")
    return Scored(own, shuffled, floors, ceilings, recognised(judge.answers, answers), answers)


def _score_contender(judge: Judge, other: Contender, pairs: NDArray[np.intp], title: str) -> Scores:
    return judge.score(other.clips, pairs, judge.ask(other.clips), other.features, title)


def _places(pairs: NDArray[np.intp], plan: Shuffles) -> Places:
    """pairs: (pair, 2) in ascending order, as `Shuffles.pairs` gives them."""
    clips = len(plan.shifted)
    keys = pairs[:, 0] * clips + pairs[:, 1]

    def of(recons: NDArray[np.intp]) -> NDArray[np.intp]:
        wanted = np.arange(clips)[:, None] * clips + recons
        return np.where(recons < 0, -1, np.searchsorted(keys, wanted))

    return Places(of(plan.shifted), of(plan.partners))


def _at(scores: NDArray[np.float64], places: NDArray[np.intp]) -> NDArray[np.float64]:
    table: NDArray[np.float64] = np.full(places.shape, np.nan)
    there = places >= 0
    table[there] = scores[places[there]]
    return table
