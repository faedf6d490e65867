"""What a preprocessing says about itself: sentences for a methods section, findings, and small facts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mindanim.bold.repeat_test import removes_run_locked
from mindanim.bold.response_plan import Plan
from mindanim.bold.selection_limits import repeated
from mindanim.bold.survey import Selection, Survey
from mindanim.bold.voxels import Grid, Voxels
from mindanim.config.preprocess import PreprocessConfig
from mindanim.vocabulary.limits import SIGNIFICANT
from mindanim.vocabulary.words import names_and_more

_CORRECTIONS = {
    "fdr": "Benjamini-Hochberg false discovery rate",
    "bonferroni": "Bonferroni-corrected",
    "maximum": "maximum statistic over voxels",
    "none": "uncorrected",
}


def methods(plan: Plan, selection: Selection, config: PreprocessConfig) -> list[str]:
    """The preprocessing in sentences."""
    runs = [run for segment in plan.segments for run in segment.runs]
    tr_s = runs[0].facts.tr_s
    lags = " and ".join(f"{lag:g}" for lag in plan.lags_s)
    on_grid = all(run.sampling.on_grid for run in runs)
    between = "" if on_grid else f" by {config.interpolation} interpolation between volumes"
    several = ", averaged over lags" if config.lag_mode == "mean" and len(plan.lags_s) > 1 else ""
    return [
        f"The signal of {len(plan.voxels)} {_places(plan.voxels)} was taken from {len(runs)} runs (TR "
        f"{tr_s:g} s).",
        f"{_drift_sentence(config)}{_confounds_words(config)}, over the volumes that responses are taken "
        f"from.",
        f"The response to a clip is the signal {lags} s after its onset{between}{several}, averaged over "
        f"repeats.",
        _selection_sentence(plan, selection, config),
        _scale_sentence(config),
    ]


def _places(voxels: Voxels) -> str:
    """What the voxels are, in words."""
    return "cortical vertices" if voxels.surface.all() else voxels.noun


def _confounds_words(config: PreprocessConfig) -> str:
    if not config.confounds:
        return ""
    names = [f"motion ({config.confounds_motion})" if one == "motion" else one for one in config.confounds]
    return f", jointly with the confounds {', '.join(names)} (nilearn, of fMRIPrep's tables)"


def _drift_sentence(config: PreprocessConfig) -> str:
    if config.detrend == "polynomial":
        return f"A polynomial of degree {config.detrend_order} was removed from every run by least squares"
    if config.detrend == "cosine":
        return (
            f"Discrete cosines with periods of {config.high_pass_s:g} s and more were removed from every run"
        )
    return "The mean was removed from every run"


def _selection_sentence(plan: Plan, selection: Selection, config: PreprocessConfig) -> str:
    kept = f"{len(selection.columns)} voxels were kept"
    where = f" within {', '.join(config.roi)}" if config.roi else ""
    if config.selection == "none":
        return f"All usable voxels{where} ({len(selection.columns)}) were kept."
    if config.selection == "variance":
        return f"{kept}{where}, those with the largest temporal variance in the training runs."
    test = "one-sided" if config.alternative == "greater" else "two-sided"
    threshold = (
        f", none above {config.alpha:g} ({_CORRECTIONS[config.correction]})" if config.alpha < 1 else ""
    )
    by = f"{kept}{where} by the reproducibility of training responses: "
    if config.reliability_test == "ttest":
        how = (
            "per segment the correlation of the repeats, Fisher-transformed, entered a "
            f"{test} one-sample t test over segments"
        )
    else:
        common = " what all runs have at the same time after their start was removed, and"
        how = (
            f"{common if removes_run_locked(repeated(plan, config), config) else ''} the summed products of "
            f"repeats over time, pairs and segments were compared, {test}, with {config.flips} random sign "
            "flips of the repeats in the principal components of autocorrelated noise"
        ).lstrip()
    return f"{by}{how}; voxels with the smallest p were kept{threshold}."


def _scale_sentence(config: PreprocessConfig) -> str:
    if config.standardize == "training":
        return (
            "Training runs were z-scored one by one; test runs were scaled by the training runs' deviation; "
            "averaged responses of both were z-scored by the mean and deviation of the training clips."
        )
    return "Every run and the averaged responses of either split were z-scored by their own statistics."


def findings(
    plan: Plan, surveyed: Survey, selection: Selection, config: PreprocessConfig
) -> list[tuple[str, str, dict[str, Any]]]:
    """What must travel with the responses: ``(code, text, data)``."""
    found = _left_out(plan, surveyed)
    if config.standardize == "transductive":
        text = (
            "Test responses are scaled by the test set's own statistics (transductive), unlike a new clip's: "
            "scores overstate a decoder in use. To scale by the training runs: preprocess "
            "--standardize training"
        )
        found.append(("transductive", text, {}))
    chosen = selection.columns
    tested = repeated(plan, config)
    if not tested:
        text = (
            f"No training segment was repeated, so nothing shows that the {len(chosen)} chosen voxels "
            "respond to the film: voxels of noise may be among them, and their reliability is unknown."
        )
        found.append(("no-repeats", text, {"voxels": len(chosen)}))
    if config.selection == "reliability":
        if config.reliability_test == "flips" and not removes_run_locked(tested, config):
            text = (
                "What all runs have at the same time after their start, such as a transient, counts as a "
                "response here: it was kept in the reliability test."
            )
            found.append(("run-locked", text, {"segments": len(tested)}))
        weak = int((selection.adjusted[chosen] > SIGNIFICANT).sum())
        if weak:
            text = (
                f"{weak} of {len(chosen)} chosen voxels do not respond reliably (p > {SIGNIFICANT:g}, "
                f"{_CORRECTIONS[config.correction]}): their number was set, not earned by evidence."
            )
            found.append(("unreliable-voxels", text, {"voxels": weak, "of": len(chosen)}))
        negative = int((selection.reliability[chosen] < 0).sum())
        if negative:
            text = f"{negative} of {len(chosen)} chosen voxels repeat *negatively*, which no response does."
            found.append(("negative-reliability", text, {"voxels": negative}))
    if plan.dropped:
        count = len(plan.dropped) + sum(len(plan.clips(split)) for split in ("train", "test"))
        text = (
            f"{len(plan.dropped)} of {count} clips are left out, because their run begins too late or ends "
            f"too early for their response: {names_and_more(plan.dropped, 6)}. To take the nearest volume "
            "for it: --set edge=nearest"
        )
        found.append(("dropped-clips", text, {"clips": list(plan.dropped)}))
    if plan.clamped:
        text = f"{plan.clamped} responses are outside their run and were read from its nearest volume."
        found.append(("nearest-volume", text, {"responses": plan.clamped}))
    if plan.tr_mismatches:
        text = f"{len(plan.tr_mismatches)} headers give a TR other than the study's, which was used."
        found.append(("tr-mismatch", text, {"runs": list(plan.tr_mismatches)}))
    return found


def _left_out(plan: Plan, surveyed: Survey) -> list[tuple[str, str, dict[str, Any]]]:
    """Voxels that no option excluded, and what little is left of the signal."""
    found: list[tuple[str, str, dict[str, Any]]] = []
    bad, flat = (surveyed.non_finite > 0).sum(), ((surveyed.constant > 0) & (surveyed.non_finite == 0)).sum()
    if bad or flat:
        text = (
            f"{bad + flat} of {len(plan.voxels)} voxels are left out: {bad} are not finite in some run, "
            f"{flat} constant."
        )
        found.append(("flawed-voxels", text, {"not_finite": int(bad), "constant": int(flat)}))
    if plan.outside_masks:
        text = f"{plan.outside_masks} voxels are left out: they are in the masks of some runs, not of all."
        found.append(("outside-masks", text, {"voxels": plan.outside_masks}))
    runs = [run for segment in plan.segments for run in segment.runs]
    tight = [run.facts.name for run in runs if 2 * len(run.basis) > run.sampling.volumes]
    if tight:
        text = (
            f"Drifts and confounds take more than half of the degrees of freedom of {len(tight)} runs, "
            f"for example {tight[0]}: little signal is left."
        )
        found.append(("few-degrees-of-freedom", text, {"runs": tight}))
    return found


def excluded(found: Survey, selection: Selection) -> dict[str, int]:
    """Number of voxels by what became of them; the last entry are the chosen ones."""
    non_finite = found.non_finite > 0
    constant = (found.constant > 0) & ~non_finite
    counts = {
        "all": len(found.variance),
        "not finite": int(non_finite.sum()),
        "constant": int(constant.sum()),
        "outside --roi": int((found.usable & ~selection.candidates).sum()),
        "not selected": int(selection.candidates.sum()) - len(selection.columns),
        "chosen": len(selection.columns),
    }
    return {name: count for name, count in counts.items() if count or name == "chosen"}


def facts(plan: Plan, found: Survey, selection: Selection, config: PreprocessConfig) -> dict[str, Any]:
    """Small facts for ``mindanim show``."""
    chosen = selection.columns
    return {
        "voxels": len(chosen),
        "voxels_read": len(plan.voxels),
        "voxels_passed": selection.passed,
        "voxels_not_finite": int((found.non_finite > 0).sum()),
        "voxels_constant": int((found.constant > 0).sum()),
        "voxels_outside_masks": plan.outside_masks,
        "kind": plan.voxels.kind,
        "space": _space(plan.voxels),
        "train_clips": len(plan.clips("train")),
        "test_clips": len(plan.clips("test")),
        "train_repeats": plan.repeats("train"),
        "test_repeats": plan.repeats("test"),
        "lags_s": list(plan.lags_s),
        "lags": 1 if config.lag_mode == "mean" else len(plan.lags_s),
        "median_reliability": _median(selection.reliability[chosen]),
        "median_noise_ceiling": _median(found.ceiling[chosen]),
        "standardize": config.standardize,
    }


def _space(voxels: Voxels) -> str:
    """The space that millimetres in voxels.tsv refer to."""
    if not np.isfinite(voxels.mm).any():
        return "n/a"
    grid = voxels.space
    return "MNI" if not isinstance(grid, Grid) or grid.mni else "the runs' own"


def _median(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(np.median(known)), 4) if len(known) else None


def threshold(selection: Selection, config: PreprocessConfig) -> str:
    """How many voxels passed which threshold, for the figure."""
    if config.selection != "reliability":
        return f"selection: {config.selection}"
    bound = f"p <= {config.alpha:g} ({config.correction})" if config.alpha < 1 else "no threshold"
    return f"{selection.passed} passed: {bound}"
