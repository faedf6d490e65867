"""Options of ``mindanim preprocess``."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from mindanim.config.option import StageConfig, opt


class PreprocessConfig(StageConfig):
    """How BOLD runs become responses per clip."""

    lags_s: tuple[float, ...] | None = opt(
        None,
        "Time from a clip's onset to the signal taken as its response; several are possible. None: the "
        "study's own.",
        unit="s",
        flag=True,
        min_length=1,
    )
    lag_mode: Literal["stack", "mean"] = opt(
        "stack", "Keep several lags side by side as input of the decoders, or average them."
    )
    interpolation: Literal["cubic", "linear"] = opt(
        "cubic", "How to read the signal between volumes where a lag is no multiple of the TR."
    )
    edge: Literal["error", "drop", "nearest"] = opt(
        "error",
        "What to do with clips whose response lies outside the run: stop, leave them out, or take the "
        "nearest volume.",
    )
    structures: tuple[str, ...] = opt(
        ("cortex",),
        "Structures of dense CIFTI runs to take: cortex, subcortex, all, or by name, e.g. thalamus.",
        min_length=1,
    )
    detrend: Literal["polynomial", "cosine", "none"] = opt(
        "polynomial", "Model of slow drifts removed from every run."
    )
    detrend_order: int = opt(4, "Highest degree of the drift polynomial.", flag=True, ge=0, le=20)
    high_pass_s: float = opt(
        128.0, "Longest period that the cosine model leaves in the signal.", unit="s", gt=0
    )
    confounds: tuple[
        Literal["motion", "wm_csf", "global_signal", "compcor", "high_pass", "ica_aroma"], ...
    ] = opt(
        (),
        "Confounds regressed out together with the drifts, by nilearn's names; needs fMRIPrep's tables.",
    )
    confounds_motion: Literal["basic", "derivatives", "power2", "full"] = opt(
        "full", "Motion confounds: 6 parameters, with derivatives or squares (12), or both (24)."
    )
    standardize: Literal["training", "transductive"] = opt(
        "training",
        "Scale test responses by the training runs' statistics, or (transductive) by the test set's own.",
        flag=True,
    )
    selection: Literal["reliability", "variance", "none"] = opt(
        "reliability",
        "Choose voxels by how well responses repeat, by temporal variance, or take all.",
        flag=True,
    )
    voxels: int = opt(
        4500, "Most voxels to keep, best first; 0 keeps all that pass.", unit="voxels", flag=True, ge=0
    )
    alternative: Literal["greater", "two-sided"] = opt(
        "greater", "Reliability test: positive reproducibility only, or (as released) negative too."
    )
    correction: Literal["fdr", "bonferroni", "none"] = opt(
        "fdr", "Correction of the reliability test for many voxels."
    )
    alpha: float = opt(
        0.05, "Largest corrected p value of a chosen voxel; 1 sets no threshold.", flag=True, gt=0, le=1
    )
    selection_exclude: tuple[str, ...] = opt(
        (), "Training segments kept out of the choice of voxels, for example those that validate a decoder."
    )
    roi: tuple[str, ...] = opt(
        (), "Keep voxels of these regions only, e.g. V1,V2,MT; mmp-visual is a list of 12.", flag=True
    )
    atlas: str = opt(
        "",
        "Regions: mmp, yeo7, yeo17, a CIFTI dlabel or a NIfTI file of labels; empty takes the study's own.",
        flag=True,
        identity=False,
    )
    purge_s: float = opt(
        0.0,
        "Leave out training clips that end or begin within this time of a test clip in the same run.",
        unit="s",
        ge=0,
    )
    exclude: tuple[str, ...] = opt(
        (), "Clips to leave out, by clip_id; @FILE reads them from a file, one a line."
    )
    check_tr: bool = opt(
        True, "Stop where a run's header states another TR than the study; otherwise trust the study."
    )

    @model_validator(mode="after")
    def _lags_are_times(self) -> PreprocessConfig:
        if self.lags_s is not None and len(set(self.lags_s)) < len(self.lags_s):
            raise ValueError("lags_s names a lag twice")
        return self
