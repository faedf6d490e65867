"""False positives and power of the reliability test on noise with autocorrelation, drifts and transients.

    python examples/benchmarks/repeat_calibration.py            # a few CPU minutes

The voxels are first-order autoregressive noise, cleaned as the stage does it. Tables give the share of voxels
with p <= .05 where repeats have nothing in common: sign flips as the stage uses them, circular shifts of one
repeat against the other (the usual alternative), and the t test over segments. The last table is power.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from preprocess import ORDER, TR_S, planned

from mindanim.bold.clean import clean, drift_basis
from mindanim.bold.survey import Survey, survey
from mindanim.bold.voxel_selection import fisher_z, t_test
from mindanim.config.preprocess import PreprocessConfig

SHIFTS = 1000
Segments = list[list[np.ndarray]]
"""Runs ``(voxel, volume)`` of every repeat of every segment."""


def noise(rng: np.random.Generator, ar: float, voxels: int, volumes: int) -> np.ndarray:
    """``(voxel, volume)`` stationary first-order noise of unit variance."""
    from scipy.signal import lfilter

    fresh = rng.standard_normal((voxels, volumes + 100))
    return np.asarray(lfilter([np.sqrt(1 - ar**2)], [1, -ar], fresh, axis=1)[:, 100:])


def drift(rng: np.random.Generator, voxels: int, volumes: int) -> np.ndarray:
    """``(voxel, volume)`` a polynomial and a slow wave, of a size and phase of each run's own."""
    t = np.linspace(-1, 1, volumes)
    slow = rng.standard_normal((voxels, 3)) @ np.stack([t, t**2, t**3]) * 3
    return slow + np.sin(np.pi * t * rng.uniform(0.5, 1.5, (voxels, 1)) + rng.uniform(0, 7, (voxels, 1)))


def study(
    rng: np.random.Generator,
    ar: float,
    lengths: list[int],
    *,
    repeats: int = 2,
    voxels: int = 2000,
    drifts: bool = True,
    transient: float = 0.0,
    signal: float = 0.0,
) -> Segments:
    """Runs of noise; with a transient common to all runs of a voxel, or a response of this reliability."""
    segments = []
    for volumes in lengths:
        shared = noise(rng, 0.5, voxels, volumes)
        start = transient * np.exp(-np.arange(volumes) * TR_S / 8)
        runs = []
        for _ in range(repeats):
            own = noise(rng, ar, voxels, volumes)
            run = np.sqrt(1 - signal) * own + np.sqrt(signal) * shared + start
            runs.append(run + drift(rng, voxels, volumes) if drifts else run)
        segments.append(runs)
    return segments


def surveyed(segments: Segments, **options: object) -> Survey:
    """What the stage finds in these runs."""
    named = {f"segment {number}": runs for number, runs in enumerate(segments, start=1)}
    return survey(planned(named), PreprocessConfig(**options))  # type: ignore[arg-type]


def by_flips(segments: Segments, **options: object) -> np.ndarray:
    """P values of the stage's test."""
    evidence = surveyed(segments, **options).repeats
    assert evidence is not None
    return evidence.p("greater")


def by_t(segments: Segments) -> np.ndarray:
    """P values of the t test over segments."""
    return t_test(fisher_z(surveyed(segments, reliability_test="ttest").correlation))[1]


def by_shifts(segments: Segments, seed: int = 0) -> np.ndarray:
    """P values of circular shifts of the second repeat against the first, segment by segment."""
    rng, observed, null = np.random.default_rng(seed), 0.0, 0.0
    for runs in segments:
        volumes = runs[0].shape[1]
        basis = drift_basis("polynomial", volumes, TR_S, order=ORDER)
        one, other = (
            (run := clean(each.copy(), basis)).residual / run.deviation[:, None] for each in runs[:2]
        )
        spectrum = np.fft.rfft(one) * np.conj(np.fft.rfft(other))
        shifted = np.fft.irfft(spectrum, volumes)
        observed = observed + shifted[:, 0]
        null = null + shifted[:, rng.integers(0, volumes, SHIFTS)]
    return np.asarray((1 + (null >= observed[:, None]).sum(1)) / (1 + SHIFTS))


def share(tests: list[Callable[[Segments], np.ndarray]], make: Callable[[int], Segments], seeds: int) -> str:
    """Share of voxels with p <= .05, per test, as cells of a table."""
    hits = np.zeros(len(tests))
    for seed in range(seeds):
        segments = make(seed)
        hits += [np.mean(test(segments) <= 0.05) for test in tests]
    return " | ".join(f"{100 * hit / seeds:.1f} %" for hit in hits)


LENGTHS = {
    "1 x 20": [20],
    "2 x 20": [20, 20],
    "8 x 20": [20] * 8,
    "2 x 90": [90, 90],
    "3 x 120, 90, 60": [120, 90, 60],
    "4 x 90": [90] * 4,
    "8 x 60": [60] * 8,
    "2 x 240": [240, 240],
    "8 x 240": [240] * 8,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voxels", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()

    def made(ar: float, lengths: list[int], **more: float) -> Callable[[int], Segments]:
        return lambda seed: study(np.random.default_rng(seed), ar, lengths, voxels=asked.voxels, **more)

    keep = lambda runs: by_flips(runs, run_locked="keep")  # noqa: E731
    print("noise with drifts | AR | sign flips | run-locked kept | circular shifts | t test")
    for name, lengths in LENGTHS.items():
        for ar in (0.0, 0.3, 0.6, 0.9):
            tests = [by_flips, keep, by_shifts] + ([by_t] if len(lengths) > 1 else [])
            print(f"| {name} | {ar:g} | {share(tests, made(ar, lengths), asked.seeds)} |", flush=True)
    print("repeats (2 x 90, AR .6) | sign flips")
    for repeats in (2, 3, 4, 6, 10):
        make = made(0.6, [90, 90], repeats=repeats)
        print(f"| {repeats} | {share([by_flips, by_t], make, asked.seeds)} |", flush=True)
    print("transient of 3 deviations at the start of all runs (AR .5) | flips | kept | shifts | t test")
    for name in ("2 x 90", "4 x 90", "3 x 120, 90, 60", "8 x 60"):
        make = made(0.5, LENGTHS[name], transient=3.0)
        print(f"| {name} | {share([by_flips, keep, by_shifts, by_t], make, asked.seeds)} |", flush=True)
    print("power: p <= .05, reliability .2, AR .5 | flips | kept | t test")
    for name in ("2 x 90", "3 x 120, 90, 60", "4 x 90", "8 x 60", "8 x 240"):
        make = made(0.5, LENGTHS[name], signal=0.2)
        print(f"| {name} | {share([by_flips, keep, by_t], make, asked.seeds)} |", flush=True)


if __name__ == "__main__":
    main()
