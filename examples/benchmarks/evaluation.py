"""Evaluation: mindanim's scoring against per-clip loops over skimage and OpenCV, as in published code.

    python examples/benchmarks/evaluation.py [--clips 120] [--size 64] [--frames 8] [--threads 2] [--loop 120]

Both score the same simulated films, one after the other in one process, and must agree to 1e-6. The loop
scores the first `--loop` films and is extrapolated to all. The table gives CPU seconds of both, their ratio,
the ratio of elapsed times, and how the cost grows with the number of clips. mindanim scores `--threads` clips
at a time, and the loop's OpenCV may use all cores; on a busy machine only the CPU ratio is meaningful.

For a clip's own pair alone, flow metrics cannot be ten times as fast: nearly all of the loop's time is
OpenCV's Farneback, one call per pair of frames, and its numbers are the definition to 1e-6. Only the rest and
idle cores can be saved there. The gain of an evaluation is in the third row: no flow is computed twice,
however many comparisons use it. `--clips 1200 --size 512 --loop 60` runs a test set of CC2017's size; its
films are in temporary files (15 GB), not in memory.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from mindanim.metrics import frame_order
from mindanim.metrics.families.catalogue import catalogue
from mindanim.metrics.families.metric import Setting
from mindanim.metrics.families.nway_classification import class_hits
from mindanim.metrics.floors import Frozen, gray_clip, plan_shuffles
from mindanim.metrics.pair_scorer import PairScorer
from mindanim.metrics.with_floors import score_with_floors
from mindanim.simulation import world
from mindanim.vocabulary.scratch import IN_TEMPORARY

Films = list[NDArray[np.uint8]]
TRIALS, PERMUTATIONS, SHUFFLES = 100, 20, 9
TEST_SET = 1200
"""Test clips of CC2017."""


def released(size: int) -> tuple[str, ...]:
    """The metrics that the released code computes."""
    return ("ssim.rgb7", "psnr.db", "hue.cosine", f"epe.farneback{size}", f"ae.farneback{size}")


def films(seed: int, clips: int, frames: int, size: int) -> Films:
    """Films of the simulated world, each (frame, height, width, rgb) uint8, in a temporary file."""
    scenes = world.film(np.random.default_rng(seed), clips)
    times = np.arange(frames) * 2.0 / frames
    kept = IN_TEMPORARY.array((clips, frames, size, size, 3), np.uint8)
    for clip, scene in zip(kept, scenes, strict=True):
        clip[:] = world.render(scene, times, size=size).frames
    return list(kept)


def timed(work: Callable[[], Any]) -> tuple[NDArray[np.float64], Any]:
    """Return CPU seconds (of all threads), elapsed seconds and the result."""
    began = np.array([time.process_time(), time.perf_counter()])
    result = work()
    return np.array([time.process_time(), time.perf_counter()]) - began, result


def loop_pixel(truths: Films, recons: Films) -> NDArray[np.float64]:
    """SSIM, PSNR and hue cosine, clip by clip and frame by frame."""
    scores = []
    for truth, recon in zip(truths, recons, strict=True):
        rows = []
        for one, other in zip(recon, truth, strict=True):
            error = np.mean((one / 1.0 - other / 1.0) ** 2)
            hues = [cv2.cvtColor(image, cv2.COLOR_BGR2HSV)[:, :, 0] / 360.0 for image in (one, other)]
            cosine = np.sum(hues[0] * hues[1]) / np.sqrt(np.sum(hues[0] ** 2) * np.sum(hues[1] ** 2))
            ssim = structural_similarity(one, other, data_range=255, channel_axis=-1)
            rows.append((ssim, 20 * math.log10(255 / math.sqrt(error)), cosine))
        scores.append(np.mean(rows, axis=0))
    return np.array(scores)


def loop_flow(film: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Flow between consecutive frames."""
    gray = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in film]
    steps = zip(gray[:-1], gray[1:], strict=True)
    return np.array([cv2.calcOpticalFlowFarneback(*step, None, 0.5, 3, 15, 3, 5, 1.2, 0) for step in steps])


def loop_motion(truths: Films, recons: Films) -> NDArray[np.float64]:
    """End-point and angular error, clip by clip."""
    scores = []
    for truth, recon in zip(truths, recons, strict=True):
        first, second = loop_flow(truth), loop_flow(recon)
        lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
        cosine = np.clip((first * second).sum(axis=-1) / (lengths + 1e-8), -1, 1)
        scores.append((np.linalg.norm(first - second, axis=-1).mean(), np.degrees(np.arccos(cosine)).mean()))
    return np.array(scores)


def loop_orders(truth: NDArray[np.uint8], recon: NDArray[np.uint8]) -> None:
    """The motion shuffle test of one clip, with the flow computed again for every permutation."""
    rng = np.random.default_rng(0)
    for _ in range(PERMUTATIONS):
        loop_motion([truth], [recon[rng.permutation(len(recon))]])


def loop_classes(truth: NDArray[np.float64], logits: NDArray[np.float64]) -> float:
    """50-way classification by random trials."""
    rng, hits = np.random.default_rng(0), 0
    for one, other in zip(truth, logits, strict=True):
        own = np.argsort(one)[-3:]
        others = np.setdiff1d(np.arange(len(one)), own)
        for _ in range(TRIALS):
            drawn = rng.choice(others, 49, replace=False)
            hits += other[own].max() > other[drawn].max()
    return hits / (TRIALS * len(truth))


def main() -> None:
    """Time both and print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("clips", 120), ("size", 64), ("frames", 8), ("threads", 2)):
        options.add_argument(f"--{name}", type=int, default=default)
    options.add_argument("--loop", type=int, default=None, help="clips that the loop scores; all by default")
    given = options.parse_args()
    looped = min(given.loop or given.clips, given.clips)
    truths, recons = (films(seed, given.clips, given.frames, given.size) for seed in (0, 1))
    setting = Setting(given.clips, truths[0].shape)
    own = np.stack([np.arange(given.clips)] * 2, axis=1)
    rows: list[tuple[str, NDArray[np.float64], NDArray[np.float64]]] = []

    for group, loop, ids in (
        ("pixel", loop_pixel, ("ssim.rgb7", "psnr.db", "hue.cosine")),
        ("motion", loop_motion, (f"epe.farneback{given.size}", f"ae.farneback{given.size}")),
    ):
        metrics = [metric for metric in catalogue(setting, (group,))[0] if metric.id in ids]
        scorer = PairScorer(truths, {}, metrics, threads=given.threads)
        seconds, scores = timed(lambda scorer=scorer: scorer.score(recons, own, {}))
        slow, expected = timed(lambda loop=loop: loop(truths[:looped], recons[:looped]))
        found = np.stack([scores[name][:looped] for name in ids], axis=1)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        rows.append((f"{group} metrics, {given.clips} pairs", slow * given.clips / looped, seconds))
    rows.append(("both together", *(np.sum([row[side] for row in rows], axis=0) for side in (1, 2))))

    metrics = [metric for group in ("pixel", "motion") for metric in catalogue(setting, (group,))[0]]
    metrics = [metric for metric in metrics if metric.id in released(given.size)]
    scorer = PairScorer(truths, {}, metrics, threads=given.threads)
    plan = plan_shuffles(["test"] * given.clips, [str(clip) for clip in range(given.clips)], SHUFFLES)
    single = {"gray": gray_clip(truths[0].shape), "mean-image": truths[0]}
    seconds, _ = timed(lambda: score_with_floors(scorer, recons, None, plan, single, {}))
    seconds_all = seconds
    sets = [recons, Frozen(recons), *([clip] * given.clips for clip in single.values())]
    pairs = plan.pairs()
    slow = rows[-1][1] / given.clips * (len(pairs) + len(sets) * given.clips)
    rows.append((f"both, with floors, {SHUFFLES} shuffles (loop extrapolated)", slow, seconds))
    per_clip = seconds / given.clips
    half = given.clips // 2
    part = plan_shuffles(["test"] * half, [str(clip) for clip in range(half)], SHUFFLES)
    smaller = PairScorer(truths[:half], {}, metrics, threads=given.threads)
    of_half, _ = timed(lambda: score_with_floors(smaller, recons[:half], None, part, single, {}))

    few = min(4, given.clips)
    names = [str(clip) for clip in range(few)]
    seconds, _ = timed(
        lambda: frame_order.score_test_set(truths[:few], recons[:few], names, PERMUTATIONS, 0, given.threads)
    )
    slow, _ = timed(lambda: loop_orders(truths[0], recons[0]))
    rows.append((f"motion shuffle test, {PERMUTATIONS} orders (loop: one clip)", slow, seconds / few))

    truth, logits = np.random.default_rng(0).standard_normal((2, given.clips * given.frames, 1000))
    seconds, _ = timed(lambda: class_hits(truth, logits, 50))
    slow, _ = timed(lambda: loop_classes(truth, logits))
    rows.append((f"50-way hits of 1,000 classes ({TRIALS} drawn trials)", slow, seconds))

    print(
        f"{given.clips} clips of {given.frames} frames at {given.size} px, {given.threads} threads; "
        f"the loop scored {looped}\n"
    )
    print(f"{'CPU seconds':56}{'loop':>9}{'mindanim':>10}{'ratio':>8}{'elapsed ratio':>15}")
    for name, slow, seconds in rows:
        ratios = slow / seconds
        print(f"{name:56}{slow[0]:9.2f}{seconds[0]:10.2f}{ratios[0]:8.1f}{ratios[1]:15.1f}")
    minutes = seconds_all / 60
    took = f"{given.clips} clips took {minutes[0]:.1f} CPU minutes, {minutes[1]:.1f} elapsed"
    if given.clips < TEST_SET:
        took += f"; {TEST_SET} would take {TEST_SET * per_clip[0] / 60:.0f} CPU minutes"
    print(
        f"\nwith floors: {of_half[0] / half:.3f} CPU seconds per clip of {half}, {per_clip[0]:.3f} per clip "
        f"of {given.clips}; {took}"
    )


if __name__ == "__main__":
    main()
