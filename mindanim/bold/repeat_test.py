"""Whether a voxel's response repeats: the agreement of repeats against that of sign-flipped repeats.

The unit is time within runs. Rotated to the principal components of autocorrelated noise (of what detrending
and sampling leave of it), noise has independent coefficients, whatever the strength of its autocorrelation.
Without a common response, any of them might as well have had the other sign, so the agreement under random
signs is the agreement to be expected by chance. Spectral surrogates of this kind need no stationary ends
(Pirondini et al. 2016, IEEE Signal Processing Letters 23:1275), unlike circular shifts.

What all runs have at the same time after their start is no response to a film. Of every run only its
difference from the mean of earlier segments is tested; such recursive residuals are independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.clean import Cleaned, divide, remove_drift
from mindanim.bold.response_plan import PlannedRun, PlannedSegment
from mindanim.bold.voxel_blocks import blocks
from mindanim.bold.voxel_selection import Alternative
from mindanim.config.preprocess import PreprocessConfig
from mindanim.vocabulary.arrays import Float
from mindanim.vocabulary.scratch import IN_TEMPORARY

_AUTOCORRELATION = 0.9
"""Of the reference noise, from one volume to the next. For first-order noise of 0 to .97 the variance of the
agreement is then right within 1 % (`examples/benchmarks/repeat_calibration.py`)."""
_NOTHING = 1e-6
"""Share of the largest variance up to which a component holds nothing but rounding."""
_MOST_GROUPS = 4
"""More repeats are averaged into so many groups first: 37 of the 45 pairs of 10 repeats remain."""
_SEED = 20150

Single = NDArray[np.float32]


def removes_run_locked(segments: Sequence[PlannedSegment], config: PreprocessConfig) -> bool:
    """Whether what all runs have in common leaves the test of these segments: as asked, and possible."""
    return config.run_locked == "remove" and sum(segment.in_step for segment in segments) >= 2


def length(segment: PlannedSegment) -> int:
    """Number of times at which its runs are read."""
    return len(segment.runs[0].sampling.positions)


def group_repeats(count: int) -> list[list[int]]:
    """Repeats, from 0, in at most four groups of about equal size."""
    groups = min(count, _MOST_GROUPS)
    return [list(range(count))[start::groups] for start in range(groups)]


def noise_components(covariance: Float) -> Single:
    """Components ``(time, component)`` of a noise covariance ``(time, time)``, without empty ones."""
    variance, vectors = np.linalg.eigh(covariance)
    kept = variance > _NOTHING * max(float(variance[-1]), 0.0)
    return np.ascontiguousarray(vectors[:, kept], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class RepeatEvidence:
    """The agreement of every voxel's repeats and what random signs make of it.

    Attributes:
        agreement: ``(voxel,)`` sum over segments, pairs of repeats and times.
        variance: ``(voxel,)`` its variance over all signs.
        null: ``(voxel, draw)`` the agreement under random signs, the same for all voxels.
        group_agreement, group_variance: ``(group, voxel)`` the same for the pairs of one group of repeats
            with the others, under signs of that group alone.
    """

    agreement: Float
    variance: Float
    null: Single
    group_agreement: Float
    group_variance: Float

    @property
    def z(self) -> Float:
        """``(voxel,)`` agreement in deviations over all signs; NaN where the signal is constant."""
        return _over_root(self.agreement, self.variance)

    def p(self, alternative: Alternative) -> Float:
        """P values ``(voxel,)``: the share of draws, or, where it is smaller, the bound of the tail.

        Of the bounds of several groups, twice the mean is valid (Rueschendorf 1982).
        """
        fold = np.abs if alternative == "two-sided" else np.asarray
        agreement, exceeding = fold(self.agreement.astype(np.float32)), np.empty(len(self.null), np.intp)
        for rows in blocks(len(exceeding)):  # the draws of all voxels may be larger than memory
            exceeding[rows] = np.count_nonzero(fold(self.null[rows]) >= agreement[rows, None], axis=1)
        p = (1 + exceeding) / (1 + self.null.shape[1])
        z = _over_root(self.group_agreement, self.group_variance)
        sided = z if alternative == "greater" else np.abs(z)
        tails = np.minimum(tail_bound(sided) * (1 if alternative == "greater" else 2), 1.0)
        told = np.isfinite(z)
        mean = np.where(told, tails, 0.0).sum(0) / np.maximum(told.sum(0), 1)
        bound = np.where(told.any(0), mean * (2 if len(z) > 2 else 1), 1.0)
        return np.where(self.variance > 0, np.minimum(p, bound), np.nan)

    def family_wise(self, alternative: Alternative, candidates: NDArray[np.bool_]) -> Float:
        """P values ``(voxel,)`` against the largest z of all ``candidates`` in every draw; NaN elsewhere."""
        tested = candidates & (self.variance > 0)
        adjusted = np.full(len(tested), np.nan)
        if tested.any():
            scale = np.sqrt(self.variance[tested]).astype(np.float32)
            fold = np.abs if alternative == "two-sided" else np.asarray
            largest = np.full(self.null.shape[1], -np.inf, np.float32)
            for voxel, deviation in zip(np.flatnonzero(tested), scale, strict=True):
                np.maximum(largest, fold(self.null[voxel]) / deviation, out=largest)
            below = np.searchsorted(np.sort(largest), fold(self.z[tested]))
            adjusted[tested] = (1 + len(largest) - below) / (1 + len(largest))
        return adjusted


def tail_bound(z: Float | float) -> Float:
    """Bound of the probability that a sum with random signs is `z` or more of its deviations: 3.18 times the
    normal tail (Bentkus and Dzindzalieta 2015, Bernoulli 21:1231)."""
    from scipy.special import ndtr

    return np.asarray(np.minimum(ndtr(-np.asarray(z)) / (4 * ndtr(-np.sqrt(2))), 1.0))


def _over_root(value: Float, variance: Float) -> Float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, value / np.sqrt(variance), np.nan)


@dataclass(frozen=True, eq=False)
class _Group:
    """Repeats of one segment that enter as their mean.

    Attributes:
        runs: Their places among the segment's runs.
        scale: ``(time,)`` makes the mean, or its difference from earlier segments', one of unit noise.
        share: ``(time,)`` turns the sum of earlier segments into their mean; None: nothing is subtracted.
        drifts: ``(regressor, time)`` removed from the difference. Longer runs lost other drifts, so what they
            have in common with this one differs by a drift.
    """

    runs: list[int]
    scale: Float
    share: Float | None = None
    drifts: Float | None = None


@dataclass(frozen=True, eq=False)
class _Step:
    """How one segment enters the test: pairs of groups with their noise's components, and random signs
    ``(group, component, draw)``."""

    segment: PlannedSegment
    groups: list[_Group]
    pairs: list[tuple[int, int, Single]]
    signs: Single


class RepeatTest:
    """Gathers the agreement of repeats, one segment after the other, some voxels at a time.

    Per voxel it keeps one float32 for every draw, and one for every group of repeats and volume of the
    longest run, in temporary files.
    """

    def __init__(self, segments: Sequence[PlannedSegment], voxels: int, config: PreprocessConfig) -> None:
        """Prepare for `segments`, which have two or more runs each; longer ones must come first."""
        self._draws = config.flips
        self._order = [segment.name for segment in segments]
        self._contrasts = removes_run_locked(segments, config)
        self._longest = max((length(segment) for segment in segments if segment.in_step), default=0)
        longest = self._longest if self._contrasts else 0
        most = max((len(group_repeats(len(segment.runs))) for segment in segments), default=0)
        self._summed: Single = IN_TEMPORARY.array((most, voxels, longest), np.float32)
        self._count, self._noise = np.zeros((most, longest)), np.zeros((most, longest, longest))
        self._known: list[tuple[Float, Single]] = []
        self._agreement, self._variance = np.zeros((2, voxels))
        self._null: Single = IN_TEMPORARY.array((voxels, self._draws), np.float32)
        self._groups = np.zeros((2, most, voxels))
        self._step: _Step | None = None

    def begin(self, segment: PlannedSegment) -> None:
        """Announce the segment that the next signals are from; those of untested ones are ignored."""
        self._step = self._planned(segment) if segment.name in self._order else None

    def add(self, part: slice, cleaned: Sequence[Cleaned]) -> None:
        """Take some voxels of every run of the segment, in the order of the runs."""
        if (step := self._step) is None:
            return
        signals = [self._signal(step.segment, place, run) for place, run in enumerate(cleaned)]
        means = [self._group_signal(number, group, part, signals) for number, group in enumerate(step.groups)]
        coefficients: dict[tuple[int, int], Single] = {}
        linked: dict[int, Single] = {}
        for one, other, components in step.pairs:
            for group in (one, other):
                if (group, id(components)) not in coefficients:
                    coefficients[group, id(components)] = means[group] @ components
            product = coefficients[one, id(components)] * coefficients[other, id(components)]
            self._agreement[part] += product.sum(1)
            self._variance[part] += np.vecdot(product, product)
            signs = step.signs[one] * step.signs[other]
            self._null[part] += product @ signs[: product.shape[1]]
            for group in (one, other):
                linked[group] = linked[group] + product if group in linked else product
        for group, product in linked.items():
            self._groups[0, group, part] += product.sum(1)
            self._groups[1, group, part] += np.vecdot(product, product)

    def result(self) -> RepeatEvidence:
        """The evidence of all segments so far."""
        return RepeatEvidence(self._agreement, self._variance, self._null, *self._groups)

    def _signal(self, segment: PlannedSegment, place: int, cleaned: Cleaned) -> Single:
        """``(voxel, time)`` of one run in its deviations, clip by clip where runs differ in their order."""
        run = segment.runs[place]
        signal = run.sampling(divide(cleaned.residual, cleaned.deviation)).astype(np.float32)
        return signal if segment.in_step else signal[:, run.index.ravel()]

    def _group_signal(self, number: int, group: _Group, part: slice, signals: list[Single]) -> Single:
        total = sum((signals[place] for place in group.runs[1:]), signals[group.runs[0]])
        mean = total / len(group.runs)
        if group.share is not None:
            earlier = self._summed[number, part, : mean.shape[1]]
            mean -= earlier * group.share.astype(np.float32)
            earlier += total
        mean *= group.scale
        if group.drifts is not None:
            mean -= (mean @ group.drifts.T) @ group.drifts
        return np.asarray(mean, dtype=np.float32)

    def _planned(self, segment: PlannedSegment) -> _Step:
        noise = [_noise(run, segment.in_step) for run in segment.runs]
        times, groups, covariances = len(noise[0]), [], []
        for number, runs in enumerate(group_repeats(len(noise))):
            total = np.sum([noise[place] for place in runs], axis=0)
            group, covariance = _Group(runs, np.full(times, len(runs) ** 0.5)), total / len(runs) ** 2
            if self._contrasts and segment.in_step:
                count = self._count[number, :times]
                share = np.divide(1.0, count, out=np.zeros(times), where=count > 0)
                scale = np.where(count > 0, 1 / np.sqrt(1 / len(runs) + share), 0.0)
                group = _Group(runs, scale, share, self._drifts(segment.runs[runs[0]]))
                covariance += self._noise[number, :times, :times] * np.outer(share, share)
                self._noise[number, :times, :times] += total
                self._count[number, :times] += len(runs)
            covariance *= np.outer(group.scale, group.scale)
            if group.drifts is not None:
                covariance = remove_drift(remove_drift(covariance, group.drifts).T.copy(), group.drifts)
            groups.append(group)
            covariances.append(covariance)
        usable = [number for number, group in enumerate(groups) if group.scale.any()]
        pairs = [(one, other, self._components(covariances[one])) for one, other in combinations(usable, 2)]
        most = max((components.shape[1] for _, _, components in pairs), default=0)
        rng = np.random.default_rng([_SEED, self._order.index(segment.name)])
        signs = rng.integers(0, 2, (len(groups), most, self._draws), dtype=np.int8)
        return _Step(segment, groups, pairs, (2 * signs - 1).astype(np.float32))

    def _drifts(self, run: PlannedRun) -> Float | None:
        """Orthonormal drifts at the times of a run; None for the longest."""
        if len(run.sampling.positions) == self._longest:
            return None
        return np.linalg.qr(run.sampling(run.basis).T)[0].T

    def _components(self, covariance: Float) -> Single:
        """Those of an equal covariance are reused: most studies have few kinds of runs."""
        unit = covariance / np.trace(covariance)
        for known, components in self._known:
            if known.shape == unit.shape and np.allclose(known, unit, rtol=0, atol=1e-9):
                return components
        self._known.append((unit, noise_components(unit)))
        return self._known[-1][1]


def _noise(run: PlannedRun, in_step: bool) -> Float:
    """Covariance of the reference noise at the times, or clip by clip, that a run is read at."""
    volumes = run.sampling.volumes
    apart = np.abs(np.subtract.outer(np.arange(volumes), np.arange(volumes)))
    root = np.linalg.cholesky(_AUTOCORRELATION**apart).T
    sampled = run.sampling(root - (root @ run.basis.T) @ run.basis)
    sampled = sampled if in_step else sampled[:, run.index.ravel()]
    return np.asarray(sampled.T @ sampled)
