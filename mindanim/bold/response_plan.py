"""Which volumes of which runs make up which responses: all that is decided before data are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.clean import Cleaned, clean, drift_basis, extend_basis
from mindanim.bold.confounds import displacement, read_confounds
from mindanim.bold.formats.run_reader import RunReader
from mindanim.bold.formats.series import Series, common_voxels, on_voxels
from mindanim.bold.timing import Sampling, Timing, outside, sampling
from mindanim.bold.voxels import Voxels
from mindanim.config.preprocess import PreprocessConfig
from mindanim.errors import InputError, MindanimError, raise_together
from mindanim.vocabulary.arrays import Float
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.limits import TR_TOLERANCE
from mindanim.vocabulary.runs import Run
from mindanim.vocabulary.words import names_and_more


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """An opened run with the film times to read from it and what to remove from it.

    Only the window of volumes that responses come from is cleaned, as the released code does by trimming
    first.

    Attributes:
        index: ``(clip, lag)`` Which of these times belong to which clip of the segment.
        basis: ``(regressor, volume)`` Orthonormal, of the drifts and confounds.
        displacement: ``(volume,)`` How far the head moved since the volume before, mm, where known.
    """

    facts: Run
    bold: Series
    sampling: Sampling
    index: NDArray[np.intp]
    basis: Float
    displacement: Float | None = None

    def mapped(self) -> PlannedRun:
        """The same run with its data mapped once, for several reads; see :meth:`Series.mapped`."""
        return replace(self, bold=self.bold.mapped())

    def cleaned(self, voxels: NDArray[np.intp] | slice) -> Cleaned:
        """Read and detrend ``voxels`` of the plan, over the window of volumes."""
        return clean(self.bold.signal(voxels, self.sampling.window), self.basis)


@dataclass(frozen=True, eq=False)
class PlannedSegment:
    """A film, or clips that are shown together: the clips in order, and the runs that show them by repeat."""

    name: str
    split: str
    clips: tuple[Clip, ...]
    runs: tuple[PlannedRun, ...]

    @property
    def in_step(self) -> bool:
        """Whether all runs show the clips in one order, so that the times read from them belong together."""
        first, *others = self.runs
        return all(np.array_equal(first.index, run.index) for run in others)


@dataclass(frozen=True, eq=False)
class Plan:
    """All segments, training first, over the voxels that all runs have.

    Attributes:
        outside_masks: Voxels of some run's mask that are not in every run's.
        dropped: Clips left out because their response is outside a run.
        clamped: Samples taken from a run's first or last volume instead, over all runs.
        tr_mismatches: Runs whose header states another TR than the study, where that was allowed.
    """

    voxels: Voxels
    lags_s: tuple[float, ...]
    segments: tuple[PlannedSegment, ...]
    dropped: tuple[str, ...] = ()
    clamped: int = 0
    tr_mismatches: tuple[str, ...] = ()
    outside_masks: int = 0

    def of(self, split: str) -> list[PlannedSegment]:
        """The segments of a split."""
        return [segment for segment in self.segments if segment.split == split]

    def clips(self, split: str) -> list[Clip]:
        """The clips of a split in the order of the arrays."""
        return [clip for segment in self.of(split) for clip in segment.clips]

    def repeats(self, split: str) -> int:
        """Most runs of any segment of a split, counted by the highest repeat number."""
        return max((run.facts.repeat for segment in self.of(split) for run in segment.runs), default=0)

    def most_bytes(self, config: PreprocessConfig) -> int:
        """Size of the response arrays if as many voxels are selected as the options allow."""
        voxels = len(self.voxels)
        if config.voxels and config.selection != "none":
            voxels = min(voxels, config.voxels)
        arrays = sum(len(self.clips(split)) * (self.repeats(split) + 1) for split in ("train", "test"))
        lags = 1 if config.lag_mode == "mean" else len(self.lags_s)
        return 4 * arrays * lags * voxels


def make_plan(
    runs: Sequence[Run], clips: Sequence[Clip], lags_s: Sequence[float], config: PreprocessConfig
) -> Plan:
    """Open all runs and lay out when each clip's response is read.

    Segments without a run are left out; a study reader decides whether that is acceptable.

    Raises:
        InputError: Lists together every run that cannot be opened, and where runs have different brain
            models, no training run is left, or responses are outside their run and ``config.edge`` is
            ``error``, or none of a split's are left.
    """
    reader = RunReader(config.structures)
    by_segment: dict[str, list[Run]] = {}
    for run in runs:
        by_segment.setdefault(run.segment, []).append(run)
    segments, problems, beyond, mismatches = [], [], [], []
    for name, facts in by_segment.items():
        wanted = [clip for clip in clips if clip.segment == name]
        lost = np.zeros(len(wanted), dtype=bool)
        for run in facts:
            lost |= outside(_timing(run, wanted, lags_s), run.start_s, run.tr_s, run.volumes)
        if lost.any() and config.edge != "nearest":
            beyond += [clip.clip_id for clip, far in zip(wanted, lost, strict=True) if far]
            wanted = [clip for clip, far in zip(wanted, lost, strict=True) if not far]
        if not wanted:
            continue
        planned = []
        for run in sorted(facts, key=lambda run: run.repeat):
            try:
                bold = reader.open(
                    run.path,
                    volumes=run.volumes,
                    tr_s=run.tr_s if config.check_tr else None,
                    mask=run.mask,
                    axes=run.axes,
                    load=run.load,
                )
            except MindanimError as error:
                problems.append(error)
                continue
            if bold.tr_s is not None and abs(bold.tr_s - run.tr_s) > TR_TOLERANCE * run.tr_s:
                mismatches.append(run.name)
            try:
                planned.append(_plan_run(run, bold, _timing(run, wanted, lags_s), config))
            except InputError as error:
                problems.append(error)
        segments.append(PlannedSegment(name, facts[0].split, tuple(wanted), tuple(planned)))
    raise_together(problems)
    emptied = {run.split for run in runs} - {segment.split for segment in segments}
    if beyond and (config.edge == "error" or emptied):
        raise _outside(beyond, lags_s)
    ordered = tuple(sorted(segments, key=lambda segment: segment.split != "train"))
    if not ordered or ordered[0].split != "train":
        raise InputError("No training run is left.", "Voxels and statistics are fitted on training runs.")
    voxels, outside_masks = common_voxels([run.bold for segment in ordered for run in segment.runs])
    plan = Plan(
        voxels,
        tuple(lags_s),
        tuple(_on(segment, voxels) for segment in ordered),
        tuple(beyond),
        tr_mismatches=tuple(mismatches),
        outside_masks=outside_masks,
    )
    return replace(plan, clamped=sum(run.sampling.clamped for segment in ordered for run in segment.runs))


def _timing(run: Run, clips: Sequence[Clip], lags_s: Sequence[float]) -> Timing:
    """The times that the responses to clips are read at in a run."""
    return Timing.of([run.when(clip) for clip in clips], lags_s)


def _plan_run(run: Run, bold: Series, timing: Timing, config: PreprocessConfig) -> PlannedRun:
    sampled = sampling(timing, run.start_s, run.tr_s, run.volumes, config.interpolation)
    basis = drift_basis(
        config.detrend, sampled.volumes, run.tr_s, order=config.detrend_order, period_s=config.high_pass_s
    )
    if config.confounds and run.confounds is None:
        raise InputError(
            f"{run.name} has no confounds.",
            f"{', '.join(config.confounds)} cannot be regressed out without a table for this run.",
            "Add fMRIPrep's tables to the study, or leave out --set confounds",
        )
    if run.confounds is None:
        return PlannedRun(run, bold, sampled, timing.index, basis)
    if config.confounds:
        table = read_confounds(run.confounds, config.confounds, config.confounds_motion, bold.volumes)
        basis = extend_basis(basis, table[:, sampled.window])
    return PlannedRun(run, bold, sampled, timing.index, basis, displacement(run.confounds, bold.volumes))


def _outside(beyond: Sequence[str], lags_s: Sequence[float]) -> InputError:
    lags = ", ".join(f"{lag:g}" for lag in lags_s)
    return InputError(
        f"The responses of {len(beyond)} clips are outside their run: {names_and_more(beyond)}.",
        f"They are read {lags} s after the clip's onset, before the run's first or after its last volume.",
        "Check the TR, or choose other lags. To leave these clips out, where others remain: --set edge=drop; "
        "to take the nearest volume: --set edge=nearest",
    )


def _on(segment: PlannedSegment, voxels: Voxels) -> PlannedSegment:
    """The segment with all runs over the common voxels."""
    runs = (replace(run, bold=on_voxels(run.bold, voxels)) for run in segment.runs)
    return replace(segment, runs=tuple(runs))
