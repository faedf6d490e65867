"""First pass over the runs: which vertices are usable, and how well their responses repeat in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.plan import Plan, PlannedSegment
from mindanim.bold.regions import in_regions
from mindanim.bold.select import adjust, best, check_repeats, fisher_z, repeat_correlation, t_test
from mindanim.config.preprocess import PreprocessConfig
from mindanim.errors import ConfigError, InputError

Float = NDArray[np.float64]

VOXELS_AT_ONCE = 1024
_SAMPLED_VOXELS = 200


@dataclass(frozen=True, eq=False)
class Survey:
    """What the training runs, and the mere validity of the test runs, say about every cortical vertex.

    segments: names of the training segments with two or more repeats that entered the reliability.
    correlation: ``(segment, voxel)`` mean correlation of the repeats of each of them; NaN where undefined.
    variance: ``(voxel,)`` mean over training runs of the detrended signal's variance, file's unit squared.
    non_finite, constant: ``(voxel,)`` number of runs, of either split, in which a vertex is so.
    samples: run name -> ``(volume, voxel)`` cleaned, standardised signal of some vertices, for the audit.
    """

    segments: tuple[str, ...]
    correlation: Float
    variance: Float
    non_finite: NDArray[np.int64]
    constant: NDArray[np.int64]
    samples: dict[str, NDArray[np.float32]]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Vertices ``(voxel,)`` that are finite and not constant in every run."""
        return np.logical_not((self.non_finite > 0) | (self.constant > 0))


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen voxels and why.

    reliability: ``(voxel,)`` mean over segments of the repeats' correlation.
    t, p: ``(voxel,)`` of its test; p is NaN where a vertex is no candidate.
    adjusted: ``(voxel,)`` p corrected for the number of candidates.
    candidates: ``(voxel,)`` which vertices are usable and within the wanted regions.
    columns: indices into the cortex of the chosen ones, ascending.
    passed: number of candidates that passed the threshold, before the limit.
    """

    reliability: Float
    t: Float
    p: Float
    adjusted: Float
    candidates: NDArray[np.bool_]
    columns: NDArray[np.intp]
    passed: int


def blocks(count: int) -> Iterator[slice]:
    """Slices of at most 1,024 voxels, so that memory does not grow with the mesh."""
    return (slice(start, min(start + VOXELS_AT_ONCE, count)) for start in range(0, count, VOXELS_AT_ONCE))


def survey(plan: Plan, config: PreprocessConfig, advance: Callable[[], None] = lambda: None) -> Survey:
    """Read every run once, block by block.

    advance: called once per segment.
    """
    voxels = len(plan.voxels)
    non_finite, constant = np.zeros((2, voxels), dtype=np.int64)
    variance = np.zeros(voxels)
    spread = np.unique(np.linspace(0, voxels - 1, min(_SAMPLED_VOXELS, voxels)).astype(np.intp))
    samples: dict[str, NDArray[np.float32]] = {}
    rows, names = [], []
    chosen = {
        segment.name
        for segment in plan.of("train")
        if len(segment.runs) >= 2 and segment.name not in config.selection_exclude
    }
    for segment in plan.segments:
        if segment.split == "train":
            row = np.full(voxels, np.nan)
            for block in blocks(voxels):
                row[block] = _survey_block(segment, block, variance, non_finite, constant)
            if segment.name in chosen:
                names.append(segment.name)
                rows.append(row)
        else:
            for run in segment.runs:
                for block in blocks(voxels):
                    bad, flat = run.flaws(block)
                    non_finite[block] += bad
                    constant[block] += flat
        samples |= _samples(segment, spread)
        advance()
    variance /= sum(len(segment.runs) for segment in plan.of("train"))
    return Survey(tuple(names), np.array(rows).reshape(-1, voxels), variance, non_finite, constant, samples)


def check_options(plan: Plan, regions: NDArray[np.str_] | None, config: PreprocessConfig) -> None:
    """ConfigError where the study lacks what the options ask for: segments, repeats, an atlas, regions."""
    train = {segment.name: len(segment.runs) for segment in plan.of("train")}
    if unknown := set(config.selection_exclude) - train.keys():
        raise ConfigError(
            f"selection_exclude names {', '.join(sorted(unknown))}.",
            f"The training segments are: {', '.join(train)}.",
            "Correct --set selection_exclude=[...].",
        )
    kept = {name: count for name, count in train.items() if name not in config.selection_exclude}
    if config.selection == "reliability":
        check_repeats(kept)
    if config.roi:
        _within(regions, config)


def _within(regions: NDArray[np.str_] | None, config: PreprocessConfig) -> NDArray[np.bool_]:
    if regions is None:
        raise ConfigError(
            "--roi needs an atlas.",
            "The study has none of its own.",
            "Give one with --atlas FILE.dlabel.nii.",
        )
    return in_regions(regions, config.roi)


def _survey_block(
    segment: PlannedSegment,
    block: slice,
    variance: Float,
    non_finite: NDArray[np.int64],
    constant: NDArray[np.int64],
) -> Float:
    """Add a training segment's runs to the sums of a block.

    Returns the correlation ``(voxel,)`` of its repeats, NaN where there is one run only.
    """
    repeats = []
    for run in segment.runs:
        cleaned = run.cleaned(block)
        non_finite[block] += cleaned.non_finite
        constant[block] += cleaned.constant
        variance[block] += cleaned.deviation**2
        repeats.append(run.sampling(cleaned.residual))
    if len(repeats) < 2:
        return np.full(block.stop - block.start, np.nan)
    return repeat_correlation(np.stack(repeats))


def _samples(segment: PlannedSegment, voxels: NDArray[np.intp]) -> dict[str, NDArray[np.float32]]:
    samples = {}
    for run in segment.runs:
        cleaned = run.cleaned(voxels)
        scale = np.where(cleaned.deviation > 0, cleaned.deviation, np.inf)
        samples[run.facts.name] = (cleaned.residual / scale[:, None]).T.astype(np.float32)
    return samples


def select(found: Survey, regions: NDArray[np.str_] | None, config: PreprocessConfig) -> Selection:
    """Choose voxels as ``config`` says, from the training runs' statistics.

    regions ``(voxel,)``: region names, needed where ``config.roi`` is given. Raises InputError where nothing
    is left.
    """
    candidates = found.usable
    if config.roi:
        candidates = candidates & _within(regions, config)
    reliability, (t, p, _) = _mean(found.correlation), t_test(fisher_z(found.correlation), config.alternative)
    p = np.where(candidates, p, np.nan)
    adjusted = adjust(p, config.correction)
    if config.selection == "reliability":
        passed = adjusted <= config.alpha
        columns = best(p, t, passed, config.voxels)
    else:
        passed = candidates
        order = -found.variance if config.selection == "variance" else np.zeros(len(candidates))
        columns = best(order, order, passed, config.voxels if config.selection == "variance" else 0)
    if not len(columns):
        raise _nothing(found, candidates, adjusted, config)
    return Selection(reliability, t, p, adjusted, candidates, columns, int(passed.sum()))


def _mean(correlation: Float) -> Float:
    """Mean over segments ``(voxel,)`` of what is finite; NaN where nothing is."""
    known = np.isfinite(correlation)
    count = known.sum(0)
    total = np.where(known, correlation, 0.0).sum(0)
    mean = np.full(len(count), np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _nothing(
    found: Survey, candidates: NDArray[np.bool_], adjusted: Float, config: PreprocessConfig
) -> InputError:
    if not candidates.any():
        others = f"; none of the others lies in {', '.join(config.roi)}" if config.roi else ""
        flawed = int((~found.usable).sum())
        return InputError(
            "No usable voxel is left.",
            f"{flawed} of {len(candidates)} vertices are constant or not finite in some run{others}.",
            "Look at the runs named by: mindanim doctor --dataset; or choose other regions.",
        )
    smallest = float(np.nanmin(adjusted)) if np.isfinite(adjusted).any() else float("nan")
    return InputError(
        f"No voxel of {int(candidates.sum())} responds reliably (smallest {config.correction} p "
        f"{smallest:.2g}).",
        f"The threshold is alpha = {config.alpha:g} over {len(found.segments)} segments. Either the runs are "
        "short or few, or they do not belong to the film, or the timing is wrong.",
        "Check lag and runs; then --set correction=none, a larger --alpha, or --alpha 1 for the best "
        "whatever their p.",
    )
