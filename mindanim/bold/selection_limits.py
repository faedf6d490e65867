"""Whether a study's repeats suffice to choose voxels by reliability; decided before data are read."""

from __future__ import annotations

from mindanim.bold.repeat_test import removes_run_locked, tail_bound
from mindanim.bold.response_plan import Plan, PlannedSegment
from mindanim.config.preprocess import PreprocessConfig
from mindanim.errors import ConfigError

_ELSE = "--selection variance, or --selection none with --roi"


def repeated(plan: Plan, config: PreprocessConfig) -> list[PlannedSegment]:
    """The training segments whose repeats are tested: two or more runs, and not excluded."""
    return [
        segment
        for segment in plan.of("train")
        if len(segment.runs) >= 2 and segment.name not in config.selection_exclude
    ]


def smallest_p(plan: Plan, config: PreprocessConfig) -> float:
    """Smallest p value, not corrected, that sign flips can reach in this study; 1 if nothing is repeated."""
    free = free_times(repeated(plan, config), config)
    drawn = max(2.0**-free, 1 / (config.flips + 1))
    return drawn if config.correction == "maximum" else min(drawn, float(tail_bound(free**0.5)))


def free_times(segments: list[PlannedSegment], config: PreprocessConfig) -> int:
    """Number of signs that can flip: the times of all segments, less drifts and what runs have in common."""
    free = {segment.name: _free(segment) for segment in segments}
    in_step = [free[segment.name] for segment in segments if segment.in_step]
    return sum(free.values()) - (max(in_step) if removes_run_locked(segments, config) else 0)


def _free(segment: PlannedSegment) -> int:
    """Independent values of the segment's shortest run, without its drifts and confounds."""
    return min(
        max(min(run.sampling.volumes, len(run.sampling.positions)) - len(run.basis), 0)
        for run in segment.runs
    )


def check_repeats(plan: Plan, config: PreprocessConfig) -> None:
    """ConfigError where the reliability test has no repeats, or could not pass its threshold at all."""
    usable = repeated(plan, config)
    if not usable:
        raise ConfigError(
            "Voxels cannot be chosen by reliability: no training segment has two or more repeats.",
            "Only repeats show whether a voxel responds to the film. Without them, nothing keeps voxels of "
            "pure noise out, and their reliability stays unknown.",
            f"Choose explicitly: {_ELSE}",
        )
    if config.reliability_test == "ttest":
        if len(usable) < 2:
            raise ConfigError(
                "The t test over segments has 1 segment with two or more repeats; it needs at least 2.",
                "Its unit is the segment. With few segments it also has little power.",
                f"Test over time instead with --reliability-test flips, or choose {_ELSE}",
            )
        return
    smallest = smallest_p(plan, config)
    threshold = config.alpha / (len(plan.voxels) if config.correction == "bonferroni" else 1)
    if smallest > threshold and config.alpha < 1:
        removed, keep = (
            (" and what all runs have in common", ", --set run_locked=keep")
            if removes_run_locked(usable, config)
            else ("", "")
        )
        more = ", a larger --set flips=N" if 1 / (config.flips + 1) > threshold else ""
        raise ConfigError(
            f"No voxel can pass: the smallest p value possible is {smallest:.2g}, the threshold "
            f"{threshold:.2g}.",
            f"{len(usable)} repeated segments leave {free_times(usable, config)} independent time points "
            f"after drifts{removed}; the test draws {config.flips} sign flips of them.",
            f"More or longer repeated runs help, a lower --detrend-order{more}{keep}. Otherwise --alpha 1 "
            f"keeps the best, whatever their p; or choose {_ELSE}",
        )
