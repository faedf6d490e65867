"""How much faster the preprocessing is than the same work done one vertex at a time, as published code does.

    python examples/benchmarks/preprocess.py               # CC2017's size: 59,412 vertices, 18 segments
    python examples/benchmarks/preprocess.py --vertices 20000 --segments 6

Both sides get the same numbers, and their results are compared. The slow side works on a subsample of the
vertices; its time is extrapolated in proportion, since its cost per vertex does not depend on their number.
Times are CPU seconds, which other programs on the machine hardly change: the best of several rounds, in which
the two sides take turns. Set OMP_NUM_THREADS=1. Reading is timed on a run of 91,282 grayordinates that is
written to a temporary folder first, and so lies in the memory of the operating system.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from mindanim.bold.clean import deviation, divide, drift_basis, remove_drift
from mindanim.bold.read import RunReader
from mindanim.bold.select import fisher_z, repeat_correlation, t_test
from mindanim.bold.survey import blocks

TR_S, ORDER = 2.0, 4
ROUNDS = 3


def clean(signal: np.ndarray) -> np.ndarray:
    basis = drift_basis("polynomial", signal.shape[1], TR_S, order=ORDER)
    cleaned = np.empty(signal.shape)
    for block in blocks(len(signal)):
        residual = remove_drift(signal[block].astype(np.float64), basis)
        cleaned[block] = divide(residual, deviation(residual))
    return cleaned


def clean_by_vertex(signal: np.ndarray) -> np.ndarray:
    cleaned = np.empty(signal.shape)
    volume = np.arange(signal.shape[1], dtype=np.float64)
    for vertex, series in enumerate(signal.astype(np.float64)):
        residual = series - np.polyval(np.polyfit(volume, series, ORDER), volume)
        cleaned[vertex] = (residual - residual.mean()) / residual.std()
    return cleaned


def correlate(repeats: np.ndarray) -> np.ndarray:
    return np.concatenate([repeat_correlation(repeats[:, block]) for block in blocks(repeats.shape[1])])


def correlate_by_vertex(repeats: np.ndarray) -> np.ndarray:
    return np.array(
        [np.corrcoef(repeats[0, vertex], repeats[1, vertex])[0, 1] for vertex in range(repeats.shape[1])]
    )


def test_by_vertex(values: np.ndarray) -> np.ndarray:
    return np.array([stats.ttest_1samp(column, 0.0, alternative="greater").pvalue for column in values.T])


def seconds(*sides: Callable[[], np.ndarray]) -> list[tuple[float, np.ndarray]]:
    """Least CPU time of each side over the rounds, and its result."""
    best = [(np.inf, np.empty(0))] * len(sides)
    for _ in range(ROUNDS):
        for index, work in enumerate(sides):
            began = time.process_time()
            result = work()
            best[index] = min(best[index][0], time.process_time() - began), result
    return best


def report(step: str, fast: float, slow: float, share: float, difference: float) -> None:
    print(
        f"{step:46s} {fast:9.3f} s {slow / share:10.1f} s {slow / share / fast:7.0f} x   {difference:.1e}",
        flush=True,
    )


def reading(folder: Path, volumes: int) -> tuple[float, float, float]:
    """Seconds to open a run and read its cortex: nibabel, ours, ours once the brain models are known."""
    import nibabel as nib
    from nibabel.cifti2 import BrainModelAxis, Cifti2Image, SeriesAxis

    left = BrainModelAxis.from_surface(np.arange(29_696), 32_492, name="cortex_left")
    right = BrainModelAxis.from_surface(np.arange(29_716), 32_492, name="cortex_right")
    grid = np.ones((1, 250, 128), dtype=bool)
    grid.flat[91_282 - 59_412 :] = False
    volume = BrainModelAxis.from_mask(grid, affine=np.eye(4), name="thalamus_left")
    data = np.random.default_rng(0).standard_normal((volumes, 91_282), dtype=np.float32)
    image = Cifti2Image(data, header=(SeriesAxis(0, TR_S, volumes), left + right + volume))
    image.nifti_header.set_intent("ConnDenseSeries")
    path = folder / "run.dtseries.nii"
    nib.save(image, path)
    reader = RunReader()
    (by_nibabel, theirs), (first, _), (known, ours) = seconds(
        lambda: nib.load(path).get_fdata(dtype=np.float32)[:, :59_412],
        lambda: RunReader().open(path).signal(slice(None)),
        lambda: reader.open(path).signal(slice(None)),
    )
    assert np.array_equal(theirs.T, ours)
    return by_nibabel, first, known


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vertices", type=int, default=59_412)
    parser.add_argument("--volumes", type=int, default=240)
    parser.add_argument("--segments", type=int, default=18)
    parser.add_argument("--slow-vertices", type=int, default=1_000, help="vertices the slow side works on")
    asked = parser.parse_args()
    few = min(asked.slow_vertices, asked.vertices)
    share = few / asked.vertices
    rng = np.random.default_rng(0)
    drift = 300 * np.linspace(-1, 1, asked.volumes) ** 3
    runs = 1e4 + drift + 50 * rng.standard_normal((2, asked.vertices, asked.volumes), dtype=np.float32)

    print(
        f"{asked.vertices} vertices, {asked.volumes} volumes, {asked.segments} segments of 2 repeats; "
        f"slow side on {few} vertices, extrapolated"
    )
    print(f"{'':46s} {'mindanim':>11s} {'by vertex':>12s} {'ratio':>10s}   largest difference")
    (fast, cleaned), (slow, reference) = seconds(
        lambda: clean(runs[0]), lambda: clean_by_vertex(runs[0, :few])
    )
    report("one run: detrend, z-score", fast, slow, share, np.abs(cleaned[:few] - reference).max())

    both, times = np.stack([cleaned, clean(runs[1])]), asked.segments
    (fast, correlation), (slow, reference) = seconds(
        lambda: correlate(both), lambda: correlate_by_vertex(both[:, :few])
    )
    difference = np.abs(correlation[:few] - reference).max()
    report(f"reproducibility, {times} segments (1 timed)", times * fast, times * slow, share, difference)

    values = fisher_z(0.1 + 0.1 * rng.standard_normal((asked.segments, asked.vertices)))
    (fast, p), (slow, reference) = seconds(lambda: t_test(values)[1], lambda: test_by_vertex(values[:, :few]))
    report("t tests over segments", fast, slow, share, np.abs(p[:few] - reference).max())

    with tempfile.TemporaryDirectory() as folder:
        by_nibabel, first, known = reading(Path(folder), asked.volumes + 5)
    print(
        f"\nreading a run of 91,282 grayordinates, cortex as float64: nibabel {by_nibabel:.3f} s; mindanim "
        f"{first:.3f} s for the first run, {known:.3f} s for each further one ({by_nibabel / known:.0f} x)"
    )


if __name__ == "__main__":
    main()
