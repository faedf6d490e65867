"""Columns of the tables that stages write and others read: their meaning and unit."""

from __future__ import annotations

FMRI_CLIPS = {
    "clip_id": "segment and number of the clip within it, from 1",
    "split": "train or test",
    "segment": "part of the study that was shown and recorded in one piece",
    "film": "film the clip is taken from",
    "index": "number of the clip within its segment, from 1",
    "onset_s": "s from the onset of the film",
    "duration_s": "s",
    "lags_s": "s from the clip's onset to the signal taken as its response, one per lag",
    "volumes": "volumes of the segment's first run, from 0, that the response at each lag is read at; 2.5 "
    "lies between volumes 2 and 3",
    "repeats": "runs averaged",
}
FMRI_VOXELS = {
    "structure": "CIFTI structure; n/a where the runs name none",
    "vertex": "index on the structure's mesh, from 0; n/a off the surface",
    "i": "index in the volume, from 0; n/a outside volumes",
    "j": "see i",
    "k": "see i",
    "x_mm": "mm to the right in the runs' space (MNI where they are); n/a where unknown",
    "y_mm": "mm to the front",
    "z_mm": "mm upwards",
    "region": "region of the atlas, or the name that the runs' files give",
    "reliability": "correlation of repeats, mean over training segments",
    "t": "one-sample t of Fisher-transformed correlations over segments",
    "p": "uncorrected p of t; n/a where the voxel was no candidate",
    "noise_ceiling": "highest correlation a noise-free prediction can reach with the mean test response",
    "selected": "1 where the voxel was chosen",
    "column": "position on the arrays' voxel axis, from 0; n/a where not chosen",
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
