"""First pass over the runs: which voxels are usable, and how well their responses repeat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.atlas import in_regions
from mindanim.bold.clean import Cleaned
from mindanim.bold.noise_ceiling import noise_ceiling
from mindanim.bold.reliability import repeats_of
from mindanim.bold.repeat_test import RepeatEvidence, RepeatTest, length
from mindanim.bold.response_plan import Plan, PlannedSegment
from mindanim.bold.selection_limits import check_repeats, repeated
from mindanim.bold.voxel_blocks import blocks, parts
from mindanim.bold.voxel_selection import adjust, best, fisher_z, t_test
from mindanim.config.preprocess import PreprocessConfig
from mindanim.config.suggestion import suggested
from mindanim.errors import ConfigError, InputError
from mindanim.vocabulary.arrays import Float

_SAMPLED_VOXELS = 200
_FEW_SEGMENTS = 4


@dataclass(frozen=True, eq=False)
class Survey:
    """What the runs say about every voxel. Nothing but its validity and its ceiling comes from test runs.

    Attributes:
        segments: Names of the training segments with two or more repeats that entered the reliability.
        correlation: ``(segment, voxel)`` mean correlation of the repeats of each of them; NaN where
            undefined.
        ceiling: ``(voxel,)`` highest correlation that a noise-free prediction can reach with the mean test
            response; NaN where test films were not repeated.
        variance: ``(voxel,)`` mean over training runs of the detrended signal's variance, file's unit
            squared.
        non_finite, constant: ``(voxel,)`` number of runs, of either split, in which a voxel is so.
        repeats: Agreement of the repeats under sign flips; None for a t test, or if nothing was repeated.
        samples: Run name -> ``(volume, voxel)`` cleaned, standardised signal of some voxels, for the audit.
    """

    segments: tuple[str, ...]
    correlation: Float
    ceiling: Float
    variance: Float
    non_finite: NDArray[np.int64]
    constant: NDArray[np.int64]
    repeats: RepeatEvidence | None
    samples: dict[str, NDArray[np.float32]]

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Voxels ``(voxel,)`` that are finite and not constant in every run."""
        return np.logical_not((self.non_finite > 0) | (self.constant > 0))


@dataclass(frozen=True, eq=False)
class Selection:
    """The chosen voxels and why.

    Attributes:
        reliability: ``(voxel,)`` mean over segments of the repeats' correlation.
        statistic, p: ``(voxel,)`` of its test, in deviations under sign flips or Student's t; p is NaN
            where a voxel is no candidate.
        adjusted: ``(voxel,)`` p corrected for the number of candidates.
        candidates: ``(voxel,)`` which are usable and within the wanted regions.
        columns: Indices into the plan's voxels of the chosen ones, ascending.
        passed: Number of candidates that passed the threshold, before the limit.
    """

    reliability: Float
    statistic: Float
    p: Float
    adjusted: Float
    candidates: NDArray[np.bool_]
    columns: NDArray[np.intp]
    passed: int


def survey(plan: Plan, config: PreprocessConfig, advance: Callable[[], None] = lambda: None) -> Survey:
    """Read every run once, block by block.

    Args:
        advance: Called once per segment.
    """
    voxels = len(plan.voxels)
    variance, (non_finite, constant) = np.zeros(voxels), np.zeros((2, voxels), dtype=np.int64)
    spread = np.unique(np.linspace(0, voxels - 1, min(_SAMPLED_VOXELS, voxels)).astype(np.intp))
    samples: dict[str, NDArray[np.float32]] = {}
    correlation: dict[str, Float] = {}
    tested = repeated(plan, config)
    test = RepeatTest(tested, voxels, config) if tested and config.reliability_test == "flips" else None
    repeatable = [np.full(voxels, np.nan)]
    for segment in sorted(plan.segments, key=length, reverse=True):
        repeats = repeats_of(segment, voxels, config) if len(segment.runs) >= 2 else None
        if test is not None:
            test.begin(segment)
        read = _Read.nothing(len(segment.runs), voxels)
        volumes = max(run.sampling.volumes for run in segment.runs)
        for block in blocks(voxels):
            runs = [run.mapped() for run in segment.runs]
            for part in parts(block, volumes):
                cleaned = [read.note(place, part, run.cleaned(part)) for place, run in enumerate(runs)]
                if repeats is not None:
                    repeats.add(part, cleaned)
                if test is not None:
                    test.add(part, cleaned)
                del cleaned  # so that the next part takes its place in the cache
        non_finite += read.non_finite.sum(0)
        constant += read.constant.sum(0)
        if segment.split == "train":
            variance += np.square(read.deviation).sum(0)
        if repeats is not None and segment.split == "test":
            repeatable.append(repeats.result(read.deviation))
        elif repeats is not None and segment in tested:
            correlation[segment.name] = repeats.result(read.deviation)
        samples |= _samples(segment, spread)
        advance()
    return Survey(
        segments=tuple(segment.name for segment in tested),
        correlation=np.array([correlation[segment.name] for segment in tested]).reshape(-1, voxels),
        ceiling=noise_ceiling(_mean(np.array(repeatable))),
        variance=variance / sum(len(segment.runs) for segment in plan.of("train")),
        non_finite=non_finite,
        constant=constant,
        repeats=None if test is None else test.result(),
        samples={run.facts.name: samples[run.facts.name] for one in plan.segments for run in one.runs},
    )


@dataclass(frozen=True, eq=False)
class _Read:
    """What a segment's runs turned out to hold, each ``(run, voxel)``; see :class:`Cleaned`."""

    deviation: Float
    non_finite: NDArray[np.bool_]
    constant: NDArray[np.bool_]

    @classmethod
    def nothing(cls, runs: int, voxels: int) -> _Read:
        return cls(np.zeros((runs, voxels)), *np.zeros((2, runs, voxels), dtype=bool))

    def note(self, run: int, part: slice, cleaned: Cleaned) -> Cleaned:
        self.deviation[run, part] = cleaned.deviation
        self.non_finite[run, part] = cleaned.non_finite
        self.constant[run, part] = cleaned.constant
        return cleaned


def check_options(plan: Plan, regions: NDArray[np.str_] | None, config: PreprocessConfig) -> None:
    """ConfigError where the study lacks what the options ask for: segments, repeats, an atlas, regions."""
    train = {segment.name: len(segment.runs) for segment in plan.of("train")}
    if unknown := set(config.selection_exclude) - train.keys():
        raise ConfigError(
            f"selection_exclude names {', '.join(sorted(unknown))}.",
            f"The training segments are: {', '.join(train)}.",
            "Correct --set selection_exclude=[...].",
        )
    if config.selection == "reliability":
        check_repeats(plan, config)
    if config.roi:
        _within(regions, config)


def _within(regions: NDArray[np.str_] | None, config: PreprocessConfig) -> NDArray[np.bool_]:
    if regions is None:
        raise ConfigError(
            "--roi needs an atlas.",
            "The study has no atlas.",
            "Give one with --atlas FILE.dlabel.nii",
        )
    return in_regions(regions, config.roi)


def _samples(segment: PlannedSegment, voxels: NDArray[np.intp]) -> dict[str, NDArray[np.float32]]:
    samples = {}
    for run in segment.runs:
        cleaned = run.cleaned(voxels)
        scale = np.where(cleaned.deviation > 0, cleaned.deviation, np.inf)
        samples[run.facts.name] = (cleaned.residual / scale[:, None]).T.astype(np.float32)
    return samples


def select(found: Survey, regions: NDArray[np.str_] | None, config: PreprocessConfig) -> Selection:
    """Choose voxels as ``config`` says, from the training runs' statistics.

    Args:
        regions: ``(voxel,)`` Region names, needed where ``config.roi`` is given.

    Raises:
        InputError: Nothing is left.
    """
    candidates = found.usable
    if config.roi:
        candidates = candidates & _within(regions, config)
    statistic, p = _tested(found, config)
    p = np.where(candidates, p, np.nan)
    if config.correction == "maximum":
        nothing = np.full_like(p, np.nan)
        adjusted = (
            nothing if found.repeats is None else found.repeats.family_wise(config.alternative, candidates)
        )
    else:
        adjusted = adjust(p, config.correction)
    if config.selection == "reliability":
        passed = adjusted <= config.alpha
        columns = best(p, statistic, passed, config.voxels)
    else:
        passed = candidates
        order = -found.variance if config.selection == "variance" else np.zeros(len(candidates))
        columns = best(order, order, passed, config.voxels if config.selection == "variance" else 0)
    if not len(columns):
        raise _nothing(found, candidates, adjusted, config)
    return Selection(_mean(found.correlation), statistic, p, adjusted, candidates, columns, int(passed.sum()))


def _tested(found: Survey, config: PreprocessConfig) -> tuple[Float, Float]:
    """Statistic and p value ``(voxel,)`` of the reliability; NaN where nothing was repeated."""
    if config.reliability_test == "ttest":
        t, p, _ = t_test(fisher_z(found.correlation), config.alternative)
        return t, p
    if found.repeats is None:
        return np.full_like(found.variance, np.nan), np.full_like(found.variance, np.nan)
    return found.repeats.z, found.repeats.p(config.alternative)


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
        others = f"; none of the others is in {', '.join(config.roi)}" if config.roi else ""
        flawed = int((~found.usable).sum())
        return InputError(
            "No usable voxel is left.",
            f"{flawed} of {len(candidates)} voxels are constant or not finite in some run{others}.",
            f"Choose other regions, or check the runs: {suggested('doctor', '--only', 'data')}",
        )
    smallest = float(np.nanmin(adjusted)) if np.isfinite(adjusted).any() else float("nan")
    count = len(found.segments)
    if config.reliability_test == "ttest":
        power = f"A t test over {count} segments has little power; --reliability-test flips tests over time. "
    elif config.run_locked == "remove" and 2 <= count <= _FEW_SEGMENTS:
        power = (
            f"With {count} segments, removing what all runs have in common costs 1/{count} of the data; "
            "--set run_locked=keep keeps it, if no run starts with a transient. "
        )
    else:
        power = ""
    return InputError(
        f"No voxel of {int(candidates.sum())} responds reliably (smallest {config.correction} p "
        f"{smallest:.2g}).",
        f"The threshold is alpha = {config.alpha:g} over {count} segments. Either the runs are "
        "short or few, or they do not belong to the film, or the timing is wrong.",
        f"Check lag and runs first. {power}Or choose --set correction=none, a larger --alpha, or, for the "
        "best voxels whatever their p, --alpha 1",
    )
