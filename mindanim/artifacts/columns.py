"""Columns of the tables that stages write and others read: their meaning and unit."""

from __future__ import annotations

FMRI_CLIPS = {
    "clip_id": "segment and number of the clip within it, from 1",
    "split": "train or test",
    "segment": "part of the study that was shown and recorded without a break",
    "film": "film that the clip is from",
    "index": "number of the clip within its segment, from 1",
    "onset_s": "s from the onset of the film",
    "duration_s": "s",
    "lags_s": "s from the clip's onset to the signal used as its response, one per lag",
    "volumes": "volumes of the segment's first run, from 0, at which the response is read, one per lag; 2.5 "
    "is halfway between volumes 2 and 3",
    "repeats": "runs averaged",
}
FMRI_VOXELS = {
    "structure": "CIFTI structure; n/a if the runs name none",
    "vertex": "index on the structure's mesh, from 0; n/a off the surface",
    "i": "index in the volume, from 0; n/a outside volumes",
    "j": "see i",
    "k": "see i",
    "x_mm": "mm to the right in the space of the runs (MNI if they are in MNI); n/a if unknown",
    "y_mm": "mm to the front",
    "z_mm": "mm upwards",
    "region": "region of the atlas, or the name in the run's files",
    "reliability": "correlation of repeats, mean over training segments",
    "statistic": "of the reliability test: agreement of the repeats in deviations under sign flips, or t "
    "over segments; n/a if nothing was repeated",
    "p": "its uncorrected p value; n/a if the voxel was not a candidate",
    "noise_ceiling": "highest correlation a noise-free prediction can reach with the mean test response",
    "selected": "1 if the voxel was selected",
    "column": "position on the voxel axis of the arrays, from 0; n/a if not selected",
}
STIMULI_CLIPS = {
    "clip_id": "segment and number, from 1",
    "split": "train or test",
    "segment": "film segment",
    "film": "film file",
    "onset_s": "s after the film's onset",
    "duration_s": "s",
    "caption": "what the clip shows",
}
COLUMNS = {
    ("fmri", "clips.tsv"): FMRI_CLIPS,
    ("fmri", "voxels.tsv"): FMRI_VOXELS,
    ("stimuli", "clips.tsv"): STIMULI_CLIPS,
}
"""Columns by kind of artifact and table."""
