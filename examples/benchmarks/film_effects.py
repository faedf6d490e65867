"""Calibration of intervals and tests where clips of one film resemble each other.

    python examples/benchmarks/film_effects.py

Prints the tables of docs/explanation/measurements.md: coverage of 95 % intervals and false positives of 5 %
tests over films and over blocks inside films, by number of films, share of the variance that films make
(intraclass correlation) and correlation of neighbouring clips (0, .3, .6, .9). Then skewed scores, films of
unequal length, and circular shifts of pair scores whose truths and reconstructions drift alike.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from mindanim.metrics.floors import plan_shuffles
from mindanim.metrics.inference.films import over_films
from mindanim.metrics.inference.intervals import block_interval, make_blocks, skew_shift
from mindanim.metrics.inference.significance import p_of_null, paired_test, shift_null
from mindanim.vocabulary.arrays import numbered

Array = NDArray[np.float64]

DESIGNS = {3: 40, 5: 240, 8: 15, 18: 20}
"""Films -> clips of each: three long ones, CC2017, the demo, many short ones."""
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1)
CORRELATIONS, BLOCK_CORRELATION = (0.0, 0.3, 0.6, 0.9), 0.3
UNEQUAL = (
    (200, 20, 20),
    (240, 240, 1),
    (300, 60, 60, 60, 60),
    (60, 50, 40, 30, 20, 15, 10, 5),
    (190, 6, 4),
    (500, 1, 1),
)
"""Clips of films; in the last two one film has more than 90 %, so that films are not the unit."""
SCORES = {
    "Gaussian": lambda gauss: gauss,
    "log-normal, spread .5": lambda gauss: np.exp(0.5 * gauss),
    "log-normal, spread 1": np.exp,
    "50-way: 10 % from 0 to 1, else near 0": lambda gauss: np.where(
        ndtr(gauss) < 0.9, ndtr(gauss) / 900, 10 * (ndtr(gauss) - 0.9)
    ),
    "PSNR: 20 dB, 2 % at 100": lambda gauss: np.where(gauss > ndtri(0.98), 100.0, 20 + 3 * gauss),
}
SIMULATIONS, BLOCK_SIMULATIONS, TREND_SIMULATIONS = 4000, 400, 200


def gaussian(rng: np.random.Generator, sims: int, films: int, clips: int, share: float, lag: float) -> Array:
    """(sim, film, clip) of mean 0 and variance 1: a film's share, and AR(1) inside films."""
    inside = rng.standard_normal((sims, films, clips))
    for clip in range(1, clips):
        inside[..., clip] *= np.sqrt(1 - lag**2)
        inside[..., clip] += lag * inside[..., clip - 1]
    return np.sqrt(share) * rng.standard_normal((sims, films, 1)) + np.sqrt(1 - share) * inside


def expected(score: str) -> float:
    """Mean of the scores over the Gaussian."""
    return float(np.mean(SCORES[score](ndtri((np.arange(1_000_000) + 0.5) / 1_000_000))))


def by_films(scores: Array) -> tuple[float, float]:
    """Coverage of the interval over films and false positives of the two-sided test, of (sim, film, clip)."""
    mean, error, df = over_films(scores.mean(axis=2), np.full(scores.shape[1], float(scores.shape[2])))
    shifted = mean / error + skew_shift(scores.reshape(len(scores), -1))
    return float(np.mean(np.abs(shifted) <= stdtrit(df, 0.975))), float(
        np.mean(2 * stdtr(df, -np.abs(shifted)) <= 0.05)
    )


def by_blocks(scores: Array, rng: np.random.Generator) -> tuple[float, float]:
    """The same over blocks inside films."""
    names = [f"film{film}" for film in range(scores.shape[1]) for _ in range(scores.shape[2])]
    blocks, films = make_blocks(names), numbered(names)
    covered, found = [], []
    for row in scores[:BLOCK_SIMULATIONS].reshape(-1, len(names)):
        one = block_interval(row, blocks, 199, rng, films)
        covered.append(one.ends is not None and one.ends[0] <= 0 <= one.ends[1])
        p = paired_test(row, blocks, 199, rng, True, films).p
        found.append(p is not None and p <= 0.05)
    return float(np.mean(covered)), float(np.mean(found))


def percent(*shares: float) -> str:
    return " / ".join(f"{100 * share:.0f}" if share >= 0.095 else f"{100 * share:.1f}" for share in shares)


def film_effects() -> None:
    print(
        "| films x clips | share of films | films: coverage | films: test | blocks: coverage | blocks: test |"
    )
    print("|---|---|---|---|---|---|")
    for films, clips in DESIGNS.items():
        for share in SHARES:
            rng = np.random.default_rng([films, round(1000 * share)])
            sets = {lag: gaussian(rng, SIMULATIONS, films, clips, share, lag) for lag in CORRELATIONS}
            over = [by_films(one) for one in sets.values()]
            cells = [*(percent(*column) for column in zip(*over, strict=True))]
            cells += [percent(one) for one in by_blocks(sets[BLOCK_CORRELATION], rng)]
            print(f"| {films} x {clips} | {share:g} | {' | '.join(cells)} |", flush=True)


def skewed() -> None:
    print("\n| scores | films x clips | share 0 | share .05 | share .1 |\n|---|---|---|---|---|")
    for score in SCORES:
        middle = expected(score)
        for films, clips in DESIGNS.items():
            cells = []
            for share in (0.0, 0.05, 0.1):
                rng = np.random.default_rng([films, round(1000 * share), len(score)])
                sets = [
                    SCORES[score](gaussian(rng, SIMULATIONS, films, clips, share, lag)) for lag in (0.3, 0.9)
                ]
                cells.append(percent(*(by_films(one - middle)[0] for one in sets)))
            print(f"| {score} | {films} x {clips} | {' | '.join(cells)} |", flush=True)


def unequal() -> None:
    print("\n| clips of the films | degrees of freedom | share 0 | .02 | .1 | 1 |\n|---|---|---|---|---|---|")
    for sizes in UNEQUAL:
        clips, rng, cells = np.array(sizes, float), np.random.default_rng(len(sizes)), []
        for share in (0.0, 0.02, 0.1, 1.0):
            spread = np.sqrt(share + (1 - share) / clips)
            mean, error, df = over_films(spread * rng.standard_normal((20_000, len(sizes))), clips)
            cells.append(percent(float(np.mean(np.abs(mean) <= error * stdtrit(df, 0.975)))))
        print(f"| {', '.join(map(str, sizes))} | {df:.1f} | {' | '.join(cells)} |", flush=True)


def trends() -> None:
    print("\n| films x clips | trend | score | unrelated, left in | removed | related, left in | removed |")
    print("|---|---|---|---|---|---|---|")
    kinds = {"none": 0.0, "line, 30 % of the variance": 0.3, "line, 70 %": 0.7, "random walk, 50 %": 0.5}
    for films, clips in ((3, 40), (8, 15), (1, 80)):
        names = [f"film{film}" for film in range(films) for _ in range(clips)]
        plan = plan_shuffles(names, [str(clip) for clip in range(len(names))], 0)
        for kind, share in kinds.items():
            for score, function in (("product", np.multiply), ("distance", lambda a, b: -np.abs(a - b))):
                rng = np.random.default_rng([films, round(100 * share), len(score)])
                found = []
                for effect in (0.0, 4 / np.sqrt(len(names))):
                    p = []
                    for _ in range(TREND_SIMULATIONS):
                        truth, recon = (drift(rng, films, clips, share, "walk" in kind) for _ in range(2))
                        recon = recon + effect * truth
                        own, shifted = function(truth, recon), function(truth[:, None], recon[plan.shifted])
                        nulls = (
                            shift_null(own, shifted, plan.runs, 199, rng, each)
                            for each in (None, plan.shifted)
                        )
                        p.append([1.0 if null is None else p_of_null(null) for null in nulls])
                    found += list((np.array(p) <= 0.05).mean(axis=0))
                cells = " | ".join(percent(one) for one in found)
                print(f"| {films} x {clips} | {kind} | {score} | {cells} |", flush=True)


def drift(rng: np.random.Generator, films: int, clips: int, share: float, walk: bool) -> Array:
    """(film * clip,) AR(1) of .3 with a trend of its own in each film."""
    line = np.sqrt(3) * np.linspace(-1, 1, clips) * rng.choice([-1.0, 1.0], (films, 1))
    if walk:
        line = rng.standard_normal((films, clips)).cumsum(axis=1)
        line = (line - line.mean(axis=1, keepdims=True)) / np.sqrt(clips / 6)
    return (np.sqrt(share) * line + np.sqrt(1 - share) * gaussian(rng, 1, films, clips, 0.0, 0.3)[0]).ravel()


TABLES = {"films": film_effects, "skewed": skewed, "unequal": unequal, "trends": trends}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", choices=[[], *TABLES], help="all without a name")
    for name in parser.parse_args().tables or TABLES:
        TABLES[name]()


if __name__ == "__main__":
    main()
