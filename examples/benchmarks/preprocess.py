"""Speed of the preprocessing compared with the same work done one vertex at a time, as in published code.

    python examples/benchmarks/preprocess.py               # CC2017's size: 59,412 vertices, 18 segments
    python examples/benchmarks/preprocess.py --vertices 20000 --segments 6
    python examples/benchmarks/preprocess.py --study       # a subject of CC2017: 36 + 50 runs, 8 GB
    python examples/benchmarks/preprocess.py --study --selection none   # the whole cortex, 6 GB more

Both sides get the same numbers, and their results may differ by at most 1e-6. The slow side works on a
subsample of the vertices; its time is extrapolated in proportion, since its cost per vertex does not depend
on their number. Times are CPU seconds, which other programs on the machine hardly change: the best of several
rounds in which the two sides take turns. Set OMP_NUM_THREADS=1.

What is timed:

- Detrend and z-score of one run: numpy.polyfit, numpy.polyval and a division for every vertex, against
  bold.clean over all of them, block by block.
- Reproducibility: numpy.corrcoef for every vertex and segment, on clean signals, against what the pipeline
  spends on the same numbers. It correlates the repeats of a block while both are in the processor's cache, so
  the correlation has no time of its own: it is the time of the pipeline's first pass (survey) over a segment
  of two runs, minus that of the same pass over the same two runs as segments of one run each, which have no
  correlation.
- Both together: that pass, which also counts flaws, against detrending, z-scoring and correlating by vertex.
- t tests: scipy.stats.ttest_1samp for every vertex, against all of them at once.
- Reading: a run of 91,282 grayordinates that has just been written to a temporary folder, so it is in the
  operating system's cache.

With --study the whole stage runs in its own process on synthetic files of CC2017's size and layout. Its time
is compared with that of only reading the same voxels: first the whole cortex, then the selected voxels.
Memory is the process's peak: its private memory, and including pages of mapped files, which the system
reclaims when it needs them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from mindanim.bold.clean import clean, divide, drift_basis
from mindanim.bold.formats.run_reader import RunReader
from mindanim.bold.formats.series import Series
from mindanim.bold.response_plan import Plan, PlannedRun, PlannedSegment
from mindanim.bold.survey import survey
from mindanim.bold.timing import Timing, sampling
from mindanim.bold.voxel_blocks import blocks, parts
from mindanim.bold.voxel_selection import fisher_z, t_test
from mindanim.bold.voxels import Voxels
from mindanim.config.preprocess import PreprocessConfig

if TYPE_CHECKING:
    from nibabel.cifti2 import BrainModelAxis

TR_S, ORDER = 2.0, 4
ROUNDS, SURVEY_ROUNDS = 5, 60
"""The reproducibility is a small difference of two times, so both are taken more often."""
TOLERANCE = 1e-6
FLIPPED = 20
"""Vertices of the slow side of the sign flips, which takes about a second for each."""


@dataclass(frozen=True)
class SyntheticRun:
    """A run in memory, as a response plan expects it."""

    segment: str
    repeat: int
    volumes: int
    path: Path = Path("memory")
    split: str = "train"
    start_s: float = 0.0
    tr_s: float = TR_S
    mask: Path | None = None
    axes: str | None = None
    confounds: Path | None = None
    load: None = None
    shown_s: Mapping[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.segment} repeat {self.repeat}"


def planned(segments: dict[str, list[np.ndarray]]) -> Plan:
    """The response plan of these runs, each ``(vertex, volume)``, with clips of one volume."""
    made = []
    for name, runs in segments.items():
        vertices, volumes = runs[0].shape
        timing = Timing.of([TR_S * volume for volume in range(volumes)], [0.0])
        voxels = Voxels.unplaced("columns", vertices)
        basis = drift_basis("polynomial", volumes, TR_S, order=ORDER)
        parts_of = tuple(
            PlannedRun(
                SyntheticRun(name, repeat, volumes),
                Series(Path("memory"), TR_S, volumes, voxels, np.arange(vertices), lambda run=run: run.T),
                sampling(timing, 0.0, TR_S, volumes, "cubic"),
                timing.index,
                basis,
            )
            for repeat, run in enumerate(runs, start=1)
        )
        made.append(PlannedSegment(name, "train", (), parts_of))
    return Plan(voxels, (0.0,), tuple(made))


def zscored(signal: np.ndarray) -> np.ndarray:
    basis = drift_basis("polynomial", signal.shape[1], TR_S, order=ORDER)
    result = np.empty(signal.shape)
    for part in parts(slice(0, len(signal)), signal.shape[1]):
        cleaned = clean(signal[part].astype(np.float64), basis)
        result[part] = divide(cleaned.residual, cleaned.deviation)
    return result


def clean_by_vertex(signal: np.ndarray) -> np.ndarray:
    cleaned = np.empty(signal.shape)
    volume = np.arange(signal.shape[1], dtype=np.float64)
    for vertex, series in enumerate(signal.astype(np.float64)):
        residual = series - np.polyval(np.polyfit(volume, series, ORDER), volume)
        cleaned[vertex] = (residual - residual.mean()) / residual.std()
    return cleaned


def correlate_by_vertex(repeats: np.ndarray) -> np.ndarray:
    return np.array(
        [np.corrcoef(repeats[0, vertex], repeats[1, vertex])[0, 1] for vertex in range(repeats.shape[1])]
    )


def test_by_vertex(values: np.ndarray) -> np.ndarray:
    return np.array([stats.ttest_1samp(column, 0.0, alternative="greater").pvalue for column in values.T])


def seconds(*sides: Callable[[], np.ndarray], rounds: int = ROUNDS) -> list[tuple[float, np.ndarray]]:
    """Shortest CPU time of each side over the rounds, and its result."""
    best = [(np.inf, np.empty(0))] * len(sides)
    for _ in range(rounds):
        for index, work in enumerate(sides):
            began = time.process_time()
            result = work()
            best[index] = min(best[index][0], time.process_time() - began), result
    return best


def flips(vertices: int, volumes: int, segments: int, few: int) -> None:
    """Time the test over time within runs, and compare its z with that of single vertices."""
    rng, names = np.random.default_rng(1), [f"seg{number}" for number in range(1, segments + 1)]
    several = [50 * rng.standard_normal((vertices, volumes), dtype=np.float32) for _ in range(4)]
    runs = {name: [several[at % 4], several[(at + 1 + at // 4) % 4]] for at, name in enumerate(names)}
    plan = planned(runs)
    tracemalloc.start()
    ((both, z),) = seconds(lambda: flipped(plan), rounds=1)
    memory = tracemalloc.get_traced_memory()[1] / 1e9
    tracemalloc.stop()
    t_only = PreprocessConfig(reliability_test="ttest")
    ((apart, _),) = seconds(lambda: survey(plan, t_only).variance, rounds=1)
    slow_runs = {name: [run[:few] for run in pair] for name, pair in runs.items()}
    ((slow, reference),) = seconds(lambda: flip_by_vertex(slow_runs), rounds=1)
    slow *= vertices / few
    difference = float(np.abs(z[:few] - reference).max())
    report(f"1,000 sign flips, {segments} segments", both - apart, slow, difference, tolerance=1e-3)
    print(f"{'':46s} with reading and cleaning {both:.1f} s; at most {memory:.2f} GB", flush=True)


def flipped(plan: Plan) -> np.ndarray:
    evidence = survey(plan, PreprocessConfig()).repeats
    assert evidence is not None
    evidence.p("greater")
    return evidence.z


def flip_by_vertex(runs: dict[str, list[np.ndarray]]) -> np.ndarray:
    """Z of the agreement of two repeats, one vertex at a time: the difference of every segment from the mean
    of earlier ones, in the components of autocorrelated noise, and 1,000 sign flips."""
    (volumes,) = {run.shape[1] for pair in runs.values() for run in pair}
    basis = drift_basis("polynomial", volumes, TR_S, order=ORDER)
    left = np.eye(volumes) - basis.T @ basis
    noise = 0.9 ** np.abs(np.subtract.outer(np.arange(volumes), np.arange(volumes)))
    components = np.linalg.eigh(left @ noise @ left)[1][:, len(basis) :]
    rng, z = np.random.default_rng(0), []
    cleaned = [[clean_by_vertex(run) for run in pair] for pair in runs.values()]
    for vertex in range(len(cleaned[0][0])):
        agreement = variance = 0.0
        null = np.zeros(1000)
        for number, pair in enumerate(cleaned[1:], start=1):
            coefficients = []
            for repeat, run in enumerate(pair):
                earlier = np.mean([one[repeat][vertex] for one in cleaned[:number]], axis=0)
                scaled = (run[vertex] - earlier) / np.sqrt(1 + 1 / number)
                coefficients.append(scaled @ components)
            products = coefficients[0] * coefficients[1]
            agreement += products.sum()
            variance += (products**2).sum()
            null += np.array([(products * rng.choice([-1, 1], len(products))).sum() for _ in range(1000)])
        assert 0 <= (null >= agreement).mean() <= 1
        z.append(agreement / np.sqrt(variance))
    return np.array(z)


def report(step: str, fast: float, slow: float, difference: float, tolerance: float = TOLERANCE) -> None:
    ratio = f"{slow / fast:7.0f} x" if fast > 0 else "  too little to measure"
    print(f"{step:46s} {fast:9.4f} s {slow:10.1f} s {ratio}   {difference:.1e}", flush=True)
    assert difference < tolerance, f"{step}: the two sides differ by {difference:.1e}"


def reading(folder: Path, volumes: int) -> tuple[float, float, float]:
    """Seconds to open a run and read its cortex: nibabel, mindanim, mindanim with known brain models."""
    import nibabel as nib
    from nibabel.cifti2 import Cifti2Image, SeriesAxis

    data = np.random.default_rng(0).standard_normal((volumes, 91_282), dtype=np.float32)
    image = Cifti2Image(data, header=(SeriesAxis(0, TR_S, volumes), brain()))
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


def brain() -> BrainModelAxis:
    """The standard 91,282 grayordinates, 59,412 of them cortical."""
    from nibabel.cifti2 import BrainModelAxis

    left = BrainModelAxis.from_surface(np.arange(29_696), 32_492, name="cortex_left")
    right = BrainModelAxis.from_surface(np.arange(29_716), 32_492, name="cortex_right")
    grid = np.ones((1, 250, 128), dtype=bool)
    grid.flat[91_282 - 59_412 :] = False
    return left + right + BrainModelAxis.from_mask(grid, affine=np.eye(4), name="thalamus_left")


def write_study(folder: Path, segments: int, tests: int, repeats: int) -> int:
    """Write one subject's runs in CC2017's layout, a tenth of the cortex responding; return their number."""
    import nibabel as nib
    from nibabel.cifti2 import Cifti2Image, SeriesAxis

    films = {f"seg{number}": 240 for number in range(1, segments + 1)}
    shown = {f"test{number}": 240 for number in range(1, tests + 1)}
    declared = {
        "subjects": [1],
        "tr_s": TR_S,
        "clip_s": TR_S,
        "segments": films,
        "test": shown,
        "repeats": {"train": 2, "test": repeats},
        "lags_s": [4.0],
    }
    (folder / "mindanim-study.json").write_text(json.dumps(declared))
    rng, axis, count = np.random.default_rng(0), brain(), 0
    noise = 50 * rng.standard_normal((246, len(axis)), dtype=np.float32)
    for name in films | shown:
        volumes = 246 if name in ("test2", "test3", "test4", "test5") else 245
        response = 30 * rng.standard_normal((volumes, 5_941), dtype=np.float32)
        for repeat in range(1, (2 if name in films else repeats) + 1):
            data = 1e4 + np.roll(noise, count * 997, axis=1)[:volumes]  # each run gets another vertex's noise
            data[:, :5_941] += response
            image = Cifti2Image(data, header=(SeriesAxis(0, TR_S, volumes), axis))
            image.nifti_header.set_intent("ConnDenseSeries")
            place = "CC2017_Purdue/Subject01/video_fmri_dataset/subject1/fmri"
            path = folder / place / name / "cifti" / f"{name}_{repeat}_Atlas.dtseries.nii"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(image, path)
            count += 1
    return count


def held() -> tuple[float, float]:
    """Current memory of this process in GB: private, and with mapped files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {
        name: int(rest.split()[0]) / 1e6 for name, rest in (line.split(":") for line in lines if "kB" in line)
    }
    return sizes["RssAnon"], sizes["VmRSS"]


def run_stage(folder: Path, work: Path, selection: str) -> None:
    """Run the stage on a study, then read the same files twice without processing them."""
    import threading

    from mindanim.config.run_options import RunOptions
    from mindanim.stages.preprocess import preprocess

    peaks, done = [held()], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peaks.append(held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, cpu = time.perf_counter(), time.process_time()
    run = RunOptions(dataset="simulated", data=folder, subject=1, work=work)
    made = preprocess(PreprocessConfig(alpha=1, selection=selection), run)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    done.set()
    watcher.join()
    own, mapped = (max(values) for values in zip(*peaks, strict=True))
    began, reader = time.process_time(), RunReader()
    columns = made.table("voxels.tsv").query("selected == 1").index.to_numpy()
    for path in sorted(folder.rglob("*.dtseries.nii")):
        series = reader.open(path)
        for block in blocks(len(series.voxels)):
            series.signal(block, slice(1, 241))
        for block in blocks(len(columns)):
            series.signal(columns[block], slice(1, 241))
    reading = time.process_time() - began
    written = sum(path.stat().st_size for path in made.path.rglob("*.npy")) / 1e9
    print(
        f"whole stage: {took:.0f} s ({cpu:.0f} s of CPU), {made.facts['voxels']} voxels chosen, "
        f"{written:.1f} GB written; reading alone {reading:.0f} s of CPU; memory at most {own:.2f} GB of its "
        f"own, {mapped:.2f} GB with mapped files",
        flush=True,
    )


def study(segments: int, tests: int, repeats: int, selection: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "study"
        folder.mkdir()
        count = write_study(folder, segments, tests, repeats)
        size = sum(path.stat().st_size for path in folder.rglob("*.nii")) / 1e9
        print(f"{count} runs of 91,282 grayordinates, {size:.1f} GB", flush=True)
        work = Path(place) / "work"
        command = [sys.executable, __file__, "--stage", str(folder), str(work), "--selection", selection]
        subprocess.run(command, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vertices", type=int, default=59_412)
    parser.add_argument("--volumes", type=int, default=240)
    parser.add_argument("--segments", type=int, default=18)
    parser.add_argument("--slow-vertices", type=int, default=1_000, help="vertices the slow side works on")
    parser.add_argument("--study", action="store_true", help="time the whole stage on synthetic files")
    parser.add_argument("--tests", type=int, default=5, help="test films of --study")
    parser.add_argument("--repeats", type=int, default=10, help="runs per test film of --study")
    parser.add_argument(
        "--selection", choices=("reliability", "none"), default="reliability", help="voxels of --study"
    )
    parser.add_argument("--stage", nargs=2, type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.stage:
        return run_stage(*asked.stage, asked.selection)
    if asked.study:
        return study(asked.segments, asked.tests, asked.repeats, asked.selection)
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
    (fast, cleaned), (slow_clean, reference) = seconds(
        lambda: zscored(runs[0]), lambda: clean_by_vertex(runs[0, :few])
    )
    report("one run: detrend, z-score", fast, slow_clean / share, np.abs(cleaned[:few] - reference).max())

    clean_already = np.stack([reference, clean_by_vertex(runs[1, :few])])
    pair = planned({"seg1": [runs[0], runs[1]]})
    alone = planned({"seg1": [runs[0]], "seg2": [runs[1]]})
    config, times = PreprocessConfig(reliability_test="ttest"), asked.segments
    (both, correlation), (apart, _) = seconds(
        lambda: survey(pair, config).correlation[0],
        lambda: survey(alone, config).variance,
        rounds=SURVEY_ROUNDS,
    )
    ((slow, by_vertex),) = seconds(lambda: correlate_by_vertex(clean_already))
    difference = np.abs(correlation[:few] - by_vertex).max()
    slow, slow_clean = slow / share, slow_clean / share
    report(f"reproducibility, {times} segments (1 timed)", times * (both - apart), times * slow, difference)
    step = f"clean and reproducibility, {times} segments"
    report(step, times * both, times * (slow + 2 * slow_clean), difference)

    values = fisher_z(0.1 + 0.1 * rng.standard_normal((asked.segments, asked.vertices)))
    (fast, p), (slow, reference) = seconds(lambda: t_test(values)[1], lambda: test_by_vertex(values[:, :few]))
    report("t tests over segments", fast, slow / share, np.abs(p[:few] - reference).max())
    flips(asked.vertices, asked.volumes, asked.segments, min(few, FLIPPED))

    with tempfile.TemporaryDirectory() as folder:
        by_nibabel, first, known = reading(Path(folder), asked.volumes + 5)
    print(
        f"\nreading a run of 91,282 grayordinates, cortex as float64: nibabel {by_nibabel:.3f} s; mindanim "
        f"{first:.3f} s for the first run, {known:.3f} s for each further one ({by_nibabel / known:.0f} x)"
    )


if __name__ == "__main__":
    main()
