"""Second pass over the runs: the chosen voxels' standardised responses to every clip."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.clean import divide
from mindanim.bold.response_plan import Plan, PlannedRun, PlannedSegment
from mindanim.bold.voxel_blocks import blocks, cut, parts
from mindanim.config.preprocess import PreprocessConfig
from mindanim.vocabulary.arrays import Float

OpenArray = Callable[[str, tuple[int, ...]], NDArray[np.float32]]

_AT_ONCE = 1 << 24
"""Bytes of responses that are computed before they are written. Pages of the disk are then met few times."""


@dataclass(frozen=True, eq=False)
class Responses:
    """The arrays of one split, float32, in units of the standard deviation over clips.

    Attributes:
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

    A training run is divided by its own deviation. A test run is divided by that of the training runs, or,
    with ``standardize="transductive"``, by its own. Averages over repeats are then z-scored per lag and
    voxel: both splits by the mean and deviation over *training* clips, or, transductively, each by its own.

    Args:
        columns: Chosen voxels.
        training_sd: ``(voxel,)`` deviation of the detrended training runs, for all of the plan's voxels.
        open_array: Makes a float32 array of a name and shape, usually memory-mapped.
        advance: Called once per run.
    """
    lags = 1 if config.lag_mode == "mean" else len(plan.lags_s)
    result = {}
    for split in ("train", "test"):
        clips, count = len(plan.clips(split)), plan.repeats(split)
        mean = open_array(f"{split}_responses.npy", (clips, lags, len(columns)))
        repeats = open_array(f"{split}_repeats.npy", (count, clips, lags, len(columns)))
        result[split] = Responses(mean, repeats)
        own = split == "train" or config.standardize == "transductive"
        for segment, rows in rows_of(plan, split):
            there = [run.facts.repeat - 1 for run in segment.runs]
            repeats[[repeat for repeat in range(count) if repeat not in there], rows] = np.nan
            columns_at_once = max(1, _AT_ONCE // (4 * len(segment.clips) * lags))
            for repeat, run in zip(there, segment.runs, strict=True):
                for some in cut(0, len(columns), columns_at_once):
                    scale = None if own else training_sd[columns[some]]
                    repeats[repeat, rows, :, some] = _run_responses(run, columns[some], scale, config)
                    _let_go(repeats)
                advance()
            for few in _few_clips(mean, rows):
                total = sum((repeats[repeat, few].astype(np.float64) for repeat in there), np.zeros(()))
                mean[few] = total / len(there)
                _let_go(repeats)
    statistics = {split: _statistics(made.mean) for split, made in result.items()}
    for split, made in result.items():
        centre, scale = statistics["train" if config.standardize == "training" else split]
        for responses in (made.mean, *made.repeats):
            for rows in _few_clips(responses):
                responses[rows] = (responses[rows] - centre) / scale
    return result


def _few_clips(responses: NDArray[np.float32], rows: slice | None = None) -> Iterator[slice]:
    """Slices of ``(clip, lag, voxel)`` responses of some ten MB: whole rows, in the order on disk."""
    step = max(1, _AT_ONCE // (4 * max(responses[:1].size, 1)))
    start, stop = (0, len(responses)) if rows is None else (rows.start, rows.stop)
    for few in cut(start, stop, step):
        yield few
        _let_go(responses)


def _let_go(*arrays: NDArray[np.float32]) -> None:
    """Unmap the pages of memory-mapped arrays. What was written stays with the system, which brings it to
    the disk when it likes; without this the process would hold as much as it has written."""
    for array in arrays:
        if isinstance(mapped := getattr(array, "_mmap", None), mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)


def rows_of(plan: Plan, split: str) -> list[tuple[PlannedSegment, slice]]:
    """Each segment of a split with its rows in the split's arrays."""
    rows, start = [], 0
    for segment in plan.of(split):
        rows.append((segment, slice(start, start + len(segment.clips))))
        start += len(segment.clips)
    return rows


def _run_responses(
    run: PlannedRun,
    voxels: NDArray[np.intp],
    scale: Float | None,
    config: PreprocessConfig,
) -> NDArray[np.float32]:
    """Responses ``(clip, lag, voxel)`` of one run; scale ``(voxel,)`` or None for the run's own deviation."""
    lags = 1 if config.lag_mode == "mean" else run.index.shape[1]
    responses = np.empty((len(run.index), lags, len(voxels)), np.float32)
    for block in blocks(len(voxels)):
        mapped = run.mapped()
        for part in parts(block, run.sampling.volumes):
            cleaned = mapped.cleaned(voxels[part])
            signal = divide(cleaned.residual, cleaned.deviation if scale is None else scale[part])
            sampled = np.moveaxis(run.sampling(signal)[:, run.index], 0, -1)
            responses[..., part] = sampled.mean(1, keepdims=True) if config.lag_mode == "mean" else sampled
    return responses


def _statistics(mean: NDArray[np.float32]) -> tuple[Float, Float]:
    """Mean and deviation over clips, ``(lag, voxel)`` float64; a deviation of 0 becomes 1."""
    clips = max(len(mean), 1)
    nothing = np.zeros(mean.shape[1:])
    centre = sum((mean[rows].sum(0, dtype=np.float64) for rows in _few_clips(mean)), nothing) / clips
    squares = sum((np.square(mean[rows] - centre).sum(0) for rows in _few_clips(mean)), nothing)
    deviation = np.sqrt(squares / clips)
    return centre, np.where(deviation > 0, deviation, 1.0)
