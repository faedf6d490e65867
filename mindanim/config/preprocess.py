"""Options of ``mindanim preprocess``."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mindanim.config.option import StageConfig, opt


class PreprocessConfig(StageConfig):
    """How BOLD runs become responses per clip."""

    # 2: clips whose response is outside their run are dropped. 3: voxels are tested over time within runs.
    stage_version = 3

    lags_s: tuple[float, ...] | None = opt(
        None,
        "Delays from clip onset at which the BOLD signal is sampled as the response, one or more. none: the "
        "study's own.",
        unit="s",
        flag=True,
        min_length=1,
    )
    lag_mode: Literal["stack", "mean"] = opt(
        "stack", "Give several lags to the decoders separately, or average them."
    )
    interpolation: Literal["cubic", "linear"] = opt(
        "cubic", "Interpolation between volumes where a lag is not a multiple of the TR."
    )
    edge: Literal["drop", "nearest", "error"] = opt(
        "drop",
        "Clips whose response falls outside the run: drop and count them, use the nearest volume, or stop.",
    )
    structures: tuple[str, ...] = opt(
        ("cortex",),
        "Structures of dense CIFTI runs to use: cortex, subcortex, all, or by name, e.g. thalamus.",
        min_length=1,
    )
    detrend: Literal["polynomial", "cosine", "none"] = opt(
        "polynomial", "Model of slow drifts removed from every run."
    )
    detrend_order: int = opt(
        4, "Degree of the drift polynomial.", flag=True, ge=0, le=20, only={"detrend": ("polynomial",)}
    )
    high_pass_s: float = opt(
        128.0,
        "Cutoff period of the cosine drift model; slower drifts are removed.",
        unit="s",
        gt=0,
        only={"detrend": ("cosine",)},
    )
    confounds: tuple[
        Literal["motion", "wm_csf", "global_signal", "compcor", "high_pass", "ica_aroma"], ...
    ] = opt(
        (),
        "Confounds to regress out with the drifts, by nilearn's names; needs fMRIPrep's confound tables.",
    )
    confounds_motion: Literal["basic", "derivatives", "power2", "full"] = opt(
        "full",
        "Motion confounds: 6 parameters, with derivatives or squares (12), or with both (24).",
        only={"confounds": ("motion",)},
    )
    standardize: Literal["training", "transductive"] = opt(
        "training",
        "Scale test responses by the training runs' statistics, or (transductive) by their own.",
        flag=True,
    )
    selection: Literal["reliability", "variance", "none"] = opt(
        "reliability",
        "Select voxels by response reliability or temporal variance, or keep all.",
        flag=True,
    )
    voxels: int = opt(
        4500,
        "Most voxels to keep, best first; 0 keeps all that pass.",
        unit="voxels",
        flag=True,
        ge=0,
        only={"selection": ("reliability", "variance")},
        neutral=0,  # all voxels, as without a selection
    )
    reliability_test: Literal["flips", "ttest"] = opt(
        "flips",
        "Test of the repeats' agreement: over time within runs, by sign flips, or (as published) over "
        "segments, by a t test.",
        flag=True,
    )
    flips: int = opt(
        1000,
        "Random sign flips of the reliability test.",
        ge=100,
        le=100_000,
        only={"reliability_test": ("flips",)},
    )
    run_locked: Literal["remove", "keep"] = opt(
        "remove",
        "What all runs have at the same time after their start, for example a transient: remove it from the "
        "reliability test, which takes two segments, or keep it.",
        only={"reliability_test": ("flips",)},
    )
    alternative: Literal["greater", "two-sided"] = opt(
        "greater", "Reliability test: one-sided, or (as released) two-sided."
    )
    correction: Literal["fdr", "bonferroni", "maximum", "none"] = opt(
        "fdr",
        "Multiple-comparison correction of the reliability test; maximum (sign flips only) compares with the "
        "largest statistic of all voxels.",
    )
    alpha: float = opt(
        0.05,
        "Largest corrected p value of a selected voxel; 1 sets no threshold.",
        flag=True,
        gt=0,
        le=1,
        only={"selection": ("reliability",)},
        neutral=1,  # no threshold, as without a test
    )
    selection_exclude: tuple[str, ...] = opt(
        (), "Training segments left out of voxel selection, for example those that validate a decoder."
    )
    roi: tuple[str, ...] = opt(
        (), "Keep only voxels of these regions, e.g. V1,V2,MT; mmp-visual stands for 12 areas.", flag=True
    )
    atlas: str = opt(
        "",
        "Regions: mmp, yeo7, yeo17, a CIFTI dlabel or a NIfTI label file; empty uses the study's own.",
        flag=True,
        identity=False,
    )
    purge_s: float = opt(
        0.0,
        "Drop training clips that end or begin within this time of a test clip in the same run.",
        unit="s",
        ge=0,
    )
    exclude: tuple[str, ...] = opt(
        (), "Clips to drop, by clip_id; @FILE reads them from a file, one per line."
    )
    check_tr: bool = opt(
        True, "Stop if a run's header and the study disagree on the TR; otherwise trust the study."
    )

    @model_validator(mode="after")
    def _lags_are_times(self) -> PreprocessConfig:
        if self.lags_s is not None and len(set(self.lags_s)) < len(self.lags_s):
            raise ValueError("lags_s names a lag twice")
        return self

    @model_validator(mode="after")
    def _correction_fits_the_test(self) -> PreprocessConfig:
        if self.correction == "maximum" and self.reliability_test == "ttest":
            raise ValueError("correction = maximum takes reliability_test = flips")
        return self
