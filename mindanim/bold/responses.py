"""Second pass over the runs: the chosen voxels' standardised responses to every clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.clean import divide
from mindanim.bold.plan import Plan, PlannedRun, PlannedSegment
from mindanim.bold.survey import blocks
from mindanim.config.preprocess import PreprocessConfig

Float = NDArray[np.float64]
OpenArray = Callable[[str, tuple[int, ...]], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Responses:
    """The arrays of one split, float32, in units of the standard deviation over clips.

    mean: ``(clip, lag, voxel)`` average over repeats.
    repeats: ``(repeat, clip, lag, voxel)``, NaN where a repeat is missing; ``mean`` is their average.
    """

    mean: NDArray[np.float32]
    repeats: NDArray[np.float32]


def extract(
    plan: Plan,
    columns: NDArray[np.intp],
    training_sd: Float,
    config: PreprocessConfig,
    open_array: OpenArray,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Responses]:
    """Fill the response arrays of both splits.

    columns: chosen voxels.
    training_sd: ``(voxel,)`` deviation of the detrended training runs, for all of the plan's voxels.
    open_array: makes a float32 array of a name and shape, memory-mapped as a rule.
    advance: called once per run.

    A training run is divided by its own deviation. A test run is divided by that of the training runs, or,
    with ``standardize="transductive"``, by its own. Averages over repeats are then z-scored per lag and
    voxel: both splits by the mean and deviation over *training* clips, or, transductively, each by its own.
    """
    lags = 1 if config.lag_mode == "mean" else len(plan.lags_s)
    result = {}
    for split in ("train", "test"):
        clips, count = len(plan.clips(split)), plan.repeats(split)
        mean = open_array(f"{split}_responses.npy", (clips, lags, len(columns)))
        repeats = open_array(f"{split}_repeats.npy", (count, clips, lags, len(columns)))
        own = split == "train" or config.standardize == "transductive"
        for segment, rows in rows_of(plan, split):
            repeats[:, rows] = np.nan
            for run in segment.runs:
                for block in blocks(len(columns)):
                    scale = None if own else training_sd[columns[block]]
                    target = repeats[run.facts.repeat - 1, rows]
                    target[:, :, block] = _run_responses(segment, run, columns[block], scale, config)
                advance()
            there = [run.facts.repeat - 1 for run in segment.runs]
            for block in blocks(len(columns)):
                mean[rows, :, block] = repeats[there, rows, :, block].mean(0, dtype=np.float64)
        result[split] = Responses(mean, repeats)
    for block in blocks(len(columns)):
        statistics = {
            split: _statistics(plan, split, made.mean[..., block]) for split, made in result.items()
        }
        for split, made in result.items():
            centre, scale = statistics["train" if config.standardize == "training" else split]
            for _, rows in rows_of(plan, split):
                for array in (made.mean[rows], *made.repeats[:, rows]):
                    array[..., block] = (array[..., block] - centre) / scale
    return result


def rows_of(plan: Plan, split: str) -> list[tuple[PlannedSegment, slice]]:
    """Each segment of a split with its rows in the split's arrays."""
    rows, start = [], 0
    for segment in plan.of(split):
        rows.append((segment, slice(start, start + len(segment.clips))))
        start += len(segment.clips)
    return rows


def _run_responses(
    segment: PlannedSegment,
    run: PlannedRun,
    voxels: NDArray[np.intp],
    scale: Float | None,
    config: PreprocessConfig,
) -> Float:
    """Responses ``(clip, lag, voxel)`` of one run; scale ``(voxel,)`` or None for the run's own deviation."""
    cleaned = run.cleaned(voxels)
    signal = divide(cleaned.residual, cleaned.deviation if scale is None else scale)
    responses = np.moveaxis(run.sampling(signal)[:, segment.timing.index], 0, -1)
    return responses.mean(1, keepdims=True) if config.lag_mode == "mean" else responses


def _statistics(plan: Plan, split: str, mean: NDArray[np.float32]) -> tuple[Float, Float]:
    """Mean and deviation over clips, ``(lag, voxel)`` float64; a deviation of 0 becomes 1."""
    segments = [rows for _, rows in rows_of(plan, split)]
    clips = max(len(mean), 1)
    centre = sum((mean[rows].sum(0, dtype=np.float64) for rows in segments), np.zeros(mean.shape[1:])) / clips
    squares = sum((np.square(mean[rows] - centre).sum(0) for rows in segments), np.zeros(mean.shape[1:]))
    deviation = np.sqrt(squares / clips)
    return centre, np.where(deviation > 0, deviation, 1.0)
