"""The floor `nearest-train`: the training clip whose features are nearest to the decoded ones."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mindanim import console
from mindanim.artifacts import Artifact
from mindanim.backbones.protocols import DiffusionBackbone
from mindanim.metrics.inputs.correlations import clip_correlations, correlations
from mindanim.metrics.inputs.decoded_features import mean_first_latent
from mindanim.metrics.inputs.test_set import ArrayClips, Contender, TestSet
from mindanim.metrics.inputs.vectors import Vectors
from mindanim.vocabulary.arrays import Frames
from mindanim.vocabulary.scratch import IN_TEMPORARY, Scratch

NEAREST = "nearest-train"


def nearest_training_floor(
    videos: Artifact, stimuli: Artifact, test: TestSet, backbone: DiffusionBackbone, scratch: Scratch
) -> Contender | str:
    """The nearest training clips as the autoencoder shows them, or why they cannot be shown.

    Args:
        videos: With the decoded features.
        stimuli: With the latents of the training clips.
        test: The clips that are scored.
        backbone: The diffusion model that encoded the stimuli.
        scratch: Where to put the frames, so that memory does not grow with the number of clips.
    """
    latents = stimuli.array("latents.npy")
    if latents.shape[2:] != backbone.latent_shape:
        return "the autoencoder does not fit the latents of the stimuli."
    unique, place = np.unique(nearest_training_clips(videos, stimuli, test, scratch), return_inverse=True)
    frames: Frames = scratch.array((len(unique), *test.shape), np.uint8)
    with console.progress(len(unique), "nearest training clips") as follow:
        for number, row in enumerate(unique):
            shown = _decoded(backbone, latents[row])
            if shown.shape != test.shape:
                return f"the autoencoder shows {shown.shape}, the clips are {test.shape}."
            frames[number] = shown
            follow.advance()
    return Contender(ArrayClips(frames, place.tolist()), None)


def _decoded(backbone: DiffusionBackbone, latents: NDArray[np.floating]) -> Frames:
    """(frame, channel, height, width) latents -> (frame, height, width, rgb) uint8."""
    frames = backbone.decode_latents(torch.from_numpy(np.asarray(latents, np.float32)))
    shown: Frames = (frames * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return shown


def nearest_training_clips(
    videos: Artifact, stimuli: Artifact, test: TestSet, scratch: Scratch = IN_TEMPORARY
) -> NDArray[np.intp]:
    """The training clip nearest to what was decoded for each test clip, (clip,) rows of the stimuli.

    Nearest: the largest correlation of the decoded CLIP vector with the training clips' captions; among clips
    of one caption (all, if all captions are alike), the largest correlation of the first frames' latents; the
    first clip if these are alike as well.
    """
    order = {clip: row for row, clip in enumerate(videos.table("clips.tsv")["clip_id"])}
    rows = [order[clip] for clip in test.clip_ids]
    train = np.flatnonzero(stimuli.table("clips.tsv")["split"] == "train")
    targets = Vectors(stimuli.array("clip_text.npy"), train)
    similarity = clip_correlations(
        Vectors(videos.array("decoded_clip.npy"), rows), targets, targets.mean(), scratch
    )
    latents, decoded = stimuli.array("latents.npy"), videos.array("decoded_latents.npy")
    mean = mean_first_latent(latents, train).ravel()
    nearest = np.empty(len(rows), np.intp)
    for place, row in enumerate(rows):
        tied = train[_largest(similarity[place])]
        first = decoded[row, 0].astype(np.float64).reshape(1, -1) - mean
        firsts = latents[tied, 0].astype(np.float64).reshape(len(tied), -1) - mean
        nearest[place] = tied[_largest(correlations(first, firsts)[0])[0]]
    return nearest


def _largest(similarity: NDArray[np.float64]) -> NDArray[np.intp]:
    """Where the largest values are; everywhere if none is defined, since targets that are all alike do not
    tell clips apart."""
    known = np.nan_to_num(similarity, nan=-np.inf)
    return np.flatnonzero(known == known.max())
