"""Error rates of intervals and tests on scores without any effect, correlated like those of films.

`python -m tests.metrics.levels` prints the table of docs/explanation/measurements.md in a quarter of an hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from mindanim.metrics.inference.intervals import Interval, block_interval, make_blocks
from mindanim.metrics.inference.significance import paired_test
from mindanim.vocabulary.arrays import numbered

SIMULATIONS = 4000
# Blocks -> (segments, clips of each, length of a block, 0 for the automatic one).
SETS = {5: (1, 40, 0), 10: (10, 12, 0), 12: (3, 40, 0), 23: (23, 12, 0)}
CORRELATIONS = (0.0, 0.3, 0.7)


def autoregressive(rng, sims, segments, clips, correlation):
    """AR(1) scores of variance 1, (sim, clip), that begin afresh in every segment."""
    fresh = rng.standard_normal((sims, segments, clips))
    for clip in range(1, clips):
        fresh[..., clip] *= np.sqrt(1 - correlation**2)
        fresh[..., clip] += correlation * fresh[..., clip - 1]
    return fresh.reshape(sims, segments * clips)


def layout(blocks):
    """Segments, clips of each, block and segment of each clip."""
    segments, clips, length = SETS[blocks]
    names = [f"test{segment:02d}" for segment in range(segments) for _ in range(clips)]
    found = make_blocks(names, length)
    assert len(np.unique(found)) == blocks
    return segments, clips, found, numbered(names)


def lognormal(spread):
    """Scores with a long right tail, less their mean."""
    return lambda gauss: np.exp(spread * gauss) - np.exp(spread**2 / 2)


def rarely_zero(share):
    """1 but for a share of zeros, less the mean: a proportion near 1 in every block."""
    return lambda gauss: (gauss >= ndtri(share)) - (1 - share)


def mostly_nothing(share):
    """A share of scores between 0 and 1, the others between 0 and .001, less the mean."""
    mean = share / 2 + (1 - share) / 2000

    def scores(gauss):
        uniform = ndtr(gauss)
        low = uniform < 1 - share
        return np.where(low, uniform / (1 - share) / 1000, (uniform - 1 + share) / share) - mean

    return scores


SCORES = {
    "Gaussian": lambda gauss: gauss,
    "log-normal, spread .5": lognormal(0.5),
    "log-normal, spread 1": lognormal(1.0),
    "10 % zeros, else 1": rarely_zero(0.1),
    "2 % zeros, else 1": rarely_zero(0.02),
    "10 % from 0 to 1, else near 0": mostly_nothing(0.1),
}


@dataclass(frozen=True)
class Found:
    """What was found in sets whose mean is truly 0: an interval each, a one- and a two-sided p value."""

    intervals: Sequence[Interval]
    p: Sequence[tuple[float, float]]

    @property
    def misses(self) -> float:
        return float(np.mean([not one.low <= 0 <= one.high for one in self.intervals]))

    @property
    def above(self) -> float:
        """Share of intervals that lie above 0: nominally half of those that miss."""
        return float(np.mean([one.low > 0 for one in self.intervals]))

    @property
    def levels(self) -> tuple[float, float]:
        """How often the one-sided and the two-sided test find something at 5 %."""
        one, two = (np.array(self.p) <= 0.05).mean(axis=0)
        return float(one), float(two)


def simulate(blocks: int, correlation: float, scores: str = "Gaussian", sims: int = SIMULATIONS) -> Found:
    """Intervals and tests of `sims` sets in which there is nothing to find."""
    rng = np.random.default_rng([blocks, round(10 * correlation), list(SCORES).index(scores)])
    segments, clips, members, films = layout(blocks)
    intervals, p = [], []
    for values in SCORES[scores](autoregressive(rng, sims, segments, clips, correlation)):
        intervals.append(block_interval(values, members, 199, rng, films))
        p.append(tuple(paired_test(values, members, 199, rng, two, films).p for two in (False, True)))
    return Found(intervals, p)


def main() -> None:
    names = {blocks: f"{blocks}: {made[0]} x {made[1]} clips" for blocks, made in SETS.items()}
    print("| scores | blocks | correlation | interval misses | above | test, one-sided | two-sided |")
    print("|---|---|---|---|---|---|---|")
    for scores in SCORES:
        for blocks in SETS:
            found = [simulate(blocks, correlation, scores) for correlation in CORRELATIONS]
            cells = [
                " / ".join(f"{100 * share:.1f}" for share in shares)
                for shares in (
                    [one.misses for one in found],
                    [one.above for one in found],
                    [one.levels[0] for one in found],
                    [one.levels[1] for one in found],
                )
            ]
            print(f"| {scores} | {names[blocks]} | 0 / .3 / .7 | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
