"""Where a study or its split may deceive: runs stored twice, clips that share signal or cross the split."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mindanim.errors import InputError
from mindanim.studies.base import Finding
from mindanim.studies.checks.leakage import exclude_option, leak
from mindanim.vocabulary.limits import SAME_EMBEDDING, SAME_LOOK

SAME_RUN_R = 0.95
"""Correlation over time and vertices above which two runs are one recording; repeats stay far below."""
HASH_SIDE = 16


def near_duplicate_runs(
    samples: Mapping[str, NDArray[np.float32]], limit: float = SAME_RUN_R
) -> list[Finding]:
    """Runs whose cleaned signals nearly coincide although their files differ: filtered or rescaled copies.

    Args:
        samples: By run name, ``(volume, voxel)`` cleaned signal of the same vertices in every run. Two runs
            are compared where they have equally many volumes; reported where the correlation over all entries
            exceeds ``limit``.
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, sample in samples.items():
        groups.setdefault(sample.shape, []).append(name)
    findings = []
    for names in groups.values():
        rows = np.stack([samples[name].ravel() for name in names])
        rows = rows - rows.mean(1, keepdims=True)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
        correlation = rows @ rows.T
        for one, other in zip(*np.nonzero(np.triu(correlation, 1) > limit), strict=True):
            text = (
                f"The runs {names[one]} and {names[other]} correlate with {correlation[one, other]:.3f} "
                f"over time and "
                "vertices: they are one recording, not two."
            )
            findings.append(
                Finding("note", "near-duplicate-run", text, data={"runs": [names[one], names[other]]})
            )
    return findings


def perceptual_hash(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Hash the look of frames, so that re-encoded, resized or dimmed copies get nearly the same bits.

    frames ``(frame, height, width, 3)`` uint8 RGB, at least 32 px high and wide.

    Returns:
        ``(frame, bit)`` bool with ``16 * 16 - 1`` bits: the signs, against their median, of the lowest
        spatial frequencies (2-D cosine transform) of the luminance. InputError for frames of another shape.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or min(frames.shape[1:3]) < 2 * HASH_SIDE:
        raise InputError(
            f"Cannot hash frames of shape {frames.shape}.",
            f"Frames are (frame, height, width, 3) and at least {2 * HASH_SIDE} px high and wide.",
        )
    luminance = frames @ np.array([0.299, 0.587, 0.114])
    rows, columns = (_low_frequencies(size) for size in frames.shape[1:3])
    spectrum = (rows @ luminance @ columns.T).reshape(len(frames), -1)[:, 1:]  # without the mean
    bits: NDArray[np.bool_] = spectrum > np.median(spectrum, axis=1, keepdims=True)
    return bits


def _low_frequencies(size: int) -> NDArray[np.float64]:
    """The first cosines over ``size`` pixels, ``(frequency, pixel)``."""
    return np.cos(np.pi * np.outer(np.arange(HASH_SIDE), np.arange(size) + 0.5) / size)


def near_duplicates(
    train_hashes: Mapping[str, NDArray[np.bool_]],
    test_hashes: Mapping[str, NDArray[np.bool_]],
    limit: float = SAME_LOOK,
    embeddings: Mapping[str, NDArray[np.float32]] | None = None,
) -> list[Finding]:
    """Clips of the test set that also occur in the training set, by what their frames look like.

    Args:
        train_hashes, test_hashes: By clip_id, ``(frame, bit)`` of :func:`perceptual_hash`; each clip may have
            its own number of frames. The distance of two clips is the mean, over the frames of the test clip,
            of the share of bits in which the most similar frame of the training clip differs; pairs up to
            ``limit`` are reported in one finding.
        embeddings: By clip_id, CLIP vector ``(feature,)`` of length 1, where there are some: pairs up to
            twice ``limit`` are then reported as well if their vectors nearly coincide, which finds copies
            that were cropped or overlaid.
    """
    if not train_hashes or not test_hashes:
        return []
    names = list(train_hashes)
    train = np.concatenate([train_hashes[name] for name in names]) * np.float32(2) - 1
    starts = np.cumsum([0, *(len(train_hashes[name]) for name in names[:-1])])
    pairs = []
    for test_name, bits in test_hashes.items():
        agreement = (bits * np.float32(2) - 1) @ train.T / bits.shape[1]
        distance = (1 - np.maximum.reduceat(agreement, starts, axis=1).mean(0)) / 2
        near = distance <= limit
        if embeddings is not None:
            for index in np.nonzero((distance > limit) & (distance <= 2 * limit))[0]:
                cosine = float(embeddings[names[index]] @ embeddings[test_name])
                near[index] = cosine >= SAME_EMBEDDING
        pairs += [
            (names[index], test_name, round(float(distance[index]), 4)) for index in np.nonzero(near)[0]
        ]
    if not pairs:
        return []
    pairs.sort(key=lambda pair: pair[2])
    count = len({pair[1] for pair in pairs})
    looks = "looks" if count == 1 else "look"
    return [
        leak(
            "near-duplicate-clips",
            f"{count} of {len(test_hashes)} test clips {looks} like a training clip, for example "
            f"{pairs[0][1]} like {pairs[0][0]}.",
            effect="Scores on them reward memorisation.",
            option=exclude_option(pair[0] for pair in pairs),
            clips=sorted({pair[0] for pair in pairs}),
            pairs=pairs[:100],
            count=len(pairs),
            limit=limit,
        )
    ]
