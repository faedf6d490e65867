"""Which volumes of which runs make up which responses: all that is decided before data are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.align import Float, Sampling, Timing, outside, sampling
from mindanim.bold.clean import deviation, drift_basis, flaws, remove_drift
from mindanim.bold.read import TR_TOLERANCE, BoldRun, Cortex, RunReader
from mindanim.config.preprocess import PreprocessConfig
from mindanim.errors import InputError, MindanimError, raise_together


class RunFacts(Protocol):
    """What is needed of a study's run; times in seconds, see :class:`mindanim.studies.Run`."""

    @property
    def name(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def split(self) -> str: ...
    @property
    def segment(self) -> str: ...
    @property
    def repeat(self) -> int: ...
    @property
    def start_s(self) -> float: ...
    @property
    def tr_s(self) -> float: ...
    @property
    def volumes(self) -> int: ...


class ClipFacts(Protocol):
    """What is needed of a study's clip; times in seconds, see :class:`mindanim.studies.Clip`.

    shown_s: when the clip begins on the clock of its segment's runs; onset_s: when it does in its film.
    """

    @property
    def clip_id(self) -> str: ...
    @property
    def segment(self) -> str: ...
    @property
    def onset_s(self) -> float: ...
    @property
    def shown_s(self) -> float: ...


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """An opened run with the film times to read from it and the drifts to remove.

    Only the window of volumes that responses come from is cleaned, as the released code does by trimming
    first.
    """

    facts: RunFacts
    bold: BoldRun
    sampling: Sampling
    basis: Float

    def cleaned(self, voxels: NDArray[np.intp] | slice) -> Cleaned:
        """Read and detrend ``voxels`` of the cortex."""
        raw = self.bold.signal(voxels, self.sampling.window)
        non_finite, constant = flaws(raw)
        raw[non_finite | constant] = 0.0
        residual = remove_drift(raw, self.basis)
        return Cleaned(residual, deviation(residual), non_finite, constant)

    def flaws(self, voxels: NDArray[np.intp] | slice) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which voxels are not finite, and which constant, in the window."""
        return flaws(self.bold.signal(voxels, self.sampling.window))


@dataclass(frozen=True, eq=False)
class Cleaned:
    """Detrended signal ``(voxel, volume)`` of a run's window; its deviation and flaws, each ``(voxel,)``."""

    residual: Float
    deviation: Float
    non_finite: NDArray[np.bool_]
    constant: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PlannedSegment:
    """A film: its clips in order, the film times they need, and its runs by repeat."""

    name: str
    split: str
    clips: tuple[ClipFacts, ...]
    timing: Timing
    runs: tuple[PlannedRun, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """All segments, training first, over one common cortex.

    dropped: clips left out because their response lies outside a run.
    clamped: samples taken from a run's first or last volume instead, over all runs.
    tr_mismatches: runs whose header states another TR than the study, where that was allowed.
    """

    cortex: Cortex
    lags_s: tuple[float, ...]
    segments: tuple[PlannedSegment, ...]
    dropped: tuple[str, ...] = ()
    clamped: int = 0
    tr_mismatches: tuple[str, ...] = ()

    def of(self, split: str) -> list[PlannedSegment]:
        """The segments of a split."""
        return [segment for segment in self.segments if segment.split == split]

    def clips(self, split: str) -> list[ClipFacts]:
        """The clips of a split in the order of the arrays."""
        return [clip for segment in self.of(split) for clip in segment.clips]

    def repeats(self, split: str) -> int:
        """Most runs of any segment of a split, counted by the highest repeat number."""
        return max((run.facts.repeat for segment in self.of(split) for run in segment.runs), default=0)


def make_plan(
    runs: Sequence[RunFacts], clips: Sequence[ClipFacts], lags_s: Sequence[float], config: PreprocessConfig
) -> Plan:
    """Open all runs and lay out when each clip's response is read.

    Segments without a run are left out; a study reader decides whether that is acceptable. Raises InputError
    that lists together every run that cannot be opened, and where runs have different brain models, no
    training run is left, or responses lie outside their run and ``config.edge`` is ``error``.
    """
    reader = RunReader()
    by_segment: dict[str, list[RunFacts]] = {}
    for run in runs:
        by_segment.setdefault(run.segment, []).append(run)
    segments, problems, beyond, mismatches = [], [], [], []
    for name, facts in by_segment.items():
        wanted = [clip for clip in clips if clip.segment == name]
        timing = Timing.of([clip.shown_s for clip in wanted], lags_s)
        lost = np.zeros(len(wanted), dtype=bool)
        for run in facts:
            lost |= outside(timing, run.start_s, run.tr_s, run.volumes)
        if lost.any() and config.edge != "nearest":
            beyond += [clip.clip_id for clip, far in zip(wanted, lost, strict=True) if far]
            wanted = [clip for clip, far in zip(wanted, lost, strict=True) if not far]
            timing = Timing.of([clip.shown_s for clip in wanted], lags_s)
        if not wanted:
            continue
        planned = []
        for run in sorted(facts, key=lambda run: run.repeat):
            try:
                bold = reader.open(run.path, volumes=run.volumes, tr_s=run.tr_s if config.check_tr else None)
            except MindanimError as error:
                problems.append(error)
                continue
            if abs(bold.tr_s - run.tr_s) > TR_TOLERANCE * run.tr_s:
                mismatches.append(run.name)
            planned.append(_plan_run(run, bold, timing, config))
        segments.append(PlannedSegment(name, facts[0].split, tuple(wanted), timing, tuple(planned)))
    raise_together(problems)
    if beyond and config.edge == "error":
        raise _outside(beyond, lags_s)
    ordered = tuple(sorted(segments, key=lambda segment: segment.split != "train"))
    if not ordered or ordered[0].split != "train":
        raise InputError("No training run is left.", "Voxels and statistics are fitted on training runs.")
    plan = Plan(
        _common_cortex(ordered), tuple(lags_s), ordered, tuple(beyond), tr_mismatches=tuple(mismatches)
    )
    return replace(plan, clamped=sum(run.sampling.clamped for segment in ordered for run in segment.runs))


def _plan_run(run: RunFacts, bold: BoldRun, timing: Timing, config: PreprocessConfig) -> PlannedRun:
    sampled = sampling(timing, run.start_s, run.tr_s, run.volumes, config.interpolation)
    basis = drift_basis(
        config.detrend, sampled.volumes, run.tr_s, order=config.detrend_order, period_s=config.high_pass_s
    )
    return PlannedRun(run, bold, sampled, basis)


def _outside(beyond: Sequence[str], lags_s: Sequence[float]) -> InputError:
    shown = ", ".join(beyond[:6]) + (f" and {len(beyond) - 6} more" if len(beyond) > 6 else "")
    lags = ", ".join(f"{lag:g}" for lag in lags_s)
    return InputError(
        f"The responses of {len(beyond)} clips lie outside their run: {shown}.",
        f"They are read {lags} s after the clip's onset, before the run's first or after its last volume.",
        "Choose other lags, or say what to do: --set edge=drop leaves these clips out, --set edge=nearest "
        "takes the nearest volume.",
    )


def _common_cortex(segments: Sequence[PlannedSegment]) -> Cortex:
    runs = [run for segment in segments for run in segment.runs]
    cortex = runs[0].bold.cortex
    others = [run.bold for run in runs if not run.bold.cortex.same_as(cortex)]
    if others:
        sizes = ", ".join(f"{bold.path.name} ({len(bold.cortex)})" for bold in others[:6])
        raise InputError(
            f"{len(others)} runs hold other cortical vertices than {runs[0].bold.path.name} "
            f"({len(cortex)}): {sizes}.",
            "Responses of one vertex must come from one place in all runs.",
            "Process all runs to the same mesh and brain models.",
        )
    return cortex
