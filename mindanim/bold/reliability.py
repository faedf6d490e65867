"""How well the responses to a segment repeat, from its runs' cleaned signal, some voxels at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Protocol

import numpy as np

from mindanim.bold.clean import Cleaned, inner
from mindanim.bold.noise_ceiling import split_half
from mindanim.bold.response_plan import PlannedSegment
from mindanim.bold.voxel_selection import repeat_correlation
from mindanim.config.preprocess import PreprocessConfig
from mindanim.vocabulary.arrays import Float


class Repeats(Protocol):
    """Takes the cleaned signal of a segment's runs and tells how well they agree."""

    def add(self, part: slice, cleaned: Sequence[Cleaned]) -> None:
        """Take some voxels of every run, in the order of the runs."""

    def result(self, deviations: Float) -> Float:
        """``(voxel,)``: in training the correlation of the repeats, in the test set the reliability of their
        mean; NaN where it is not defined.

        Args:
            deviations: ``(run, voxel)`` of the cleaned signal.
        """


def repeats_of(segment: PlannedSegment, voxels: int, config: PreprocessConfig) -> Repeats:
    """What measures the repeats of a segment."""
    if segment.split == "test":
        return _TestSegment(segment, voxels, config)
    if segment.in_step and all(run.sampling.whole for run in segment.runs):
        return _WholeWindows(segment, voxels)
    return _Sampled(segment, voxels)


class _WholeWindows:
    """Mean correlation of the repeats, where a response is read from every volume of the window.

    Then the signals have no mean, and their deviations are known: a pair of repeats costs one inner product,
    taken while both are in the processor's cache. What remains is done for all voxels at once at the end.
    """

    def __init__(self, segment: PlannedSegment, voxels: int) -> None:
        self._pairs = list(combinations(range(len(segment.runs)), 2))
        self._volumes = segment.runs[0].sampling.volumes
        self._products = np.empty((len(self._pairs), voxels))

    def add(self, part: slice, cleaned: Sequence[Cleaned]) -> None:
        for products, (one, other) in zip(self._products, self._pairs, strict=True):
            inner(cleaned[one].residual, cleaned[other].residual, out=products[part])

    def result(self, deviations: Float) -> Float:
        total = np.zeros(deviations.shape[1])
        with np.errstate(divide="ignore", invalid="ignore"):
            for products, (one, other) in zip(self._products, self._pairs, strict=True):
                total += products / (deviations[one] * deviations[other])
        return np.where((deviations > 0).all(0), total / (self._volumes * len(self._pairs)), np.nan)


class _Sampled:
    """Mean correlation of the repeats at the times that responses are read, or, where runs show the clips in
    different orders, of their responses clip by clip."""

    def __init__(self, segment: PlannedSegment, voxels: int) -> None:
        self._segment = segment
        self._row = np.full(voxels, np.nan)

    def add(self, part: slice, cleaned: Sequence[Cleaned]) -> None:
        pairs = zip(self._segment.runs, cleaned, strict=True)
        self._row[part] = self._measure([run.sampling(one.residual) for run, one in pairs])

    def result(self, deviations: Float) -> Float:
        return self._row

    def _measure(self, signals: list[Float]) -> Float:
        """What is wanted, from the signal ``(voxel, time)`` of every run at the times that its clips need."""
        if self._segment.in_step:
            return repeat_correlation(np.stack(signals))
        return repeat_correlation(self._responses(signals).reshape(len(signals), len(signals[0]), -1))

    def _responses(self, signals: list[Float]) -> Float:
        """``(repeat, voxel, clip, lag)``."""
        runs = self._segment.runs
        return np.stack([signal[:, run.index] for run, signal in zip(runs, signals, strict=True)])


class _TestSegment(_Sampled):
    """Reliability of the mean response over clips, mean over lags; repeats as they are scaled."""

    def __init__(self, segment: PlannedSegment, voxels: int, config: PreprocessConfig) -> None:
        super().__init__(segment, voxels)
        self._config = config

    def _measure(self, signals: list[Float]) -> Float:
        if self._config.standardize == "transductive":
            scales = [signal.std(1, keepdims=True) for signal in signals]
            signals = [
                np.divide(signal, scale, out=np.zeros_like(signal), where=scale > 0)
                for signal, scale in zip(signals, scales, strict=True)
            ]
        responses = self._responses(signals)
        if self._config.lag_mode == "mean":
            responses = responses.mean(3, keepdims=True)
        lags = [split_half(responses[..., lag]) for lag in range(responses.shape[3])]
        return np.asarray(np.mean(lags, axis=0))
