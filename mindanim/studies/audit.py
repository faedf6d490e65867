"""Where a study or its split may deceive: runs stored twice, clips that share signal or cross the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mindanim.errors import InputError
from mindanim.studies.base import Clip, Finding

HRF_S = 10.0
"""Time after which the response to a clip has largely passed, seconds: nearer clips share signal."""
SAME_RUN_R = 0.95
"""Correlation over time and vertices above which two runs are one recording; repeats stay far below."""
HASH_SIDE = 16
SAME_CLIP = 0.12
"""Share of hash bits up to which two clips are taken for the same film."""


def near_duplicate_runs(
    samples: Mapping[str, NDArray[np.float32]], limit: float = SAME_RUN_R
) -> list[Finding]:
    """Runs whose cleaned signals nearly coincide although their files differ: filtered or rescaled copies.

    samples: by run name, ``(volume, voxel)`` cleaned signal of the same vertices in every run. Two runs are
    compared where they have equally many volumes; reported where the correlation over all entries exceeds
    ``limit``.
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


def close_in_time(clips: Sequence[Clip], window_s: float = HRF_S) -> list[Finding]:
    """Training clips so close to a test clip of the same film that their responses overlap.

    window_s: gap between the end of one clip and the onset of the other below which they share signal,
    seconds.
    """
    pairs = []
    films: dict[str, list[Clip]] = {}
    for clip in clips:
        films.setdefault(clip.film, []).append(clip)
    for film in films.values():
        train = [clip for clip in film if clip.split == "train"]
        for test in (clip for clip in film if clip.split == "test"):
            near = [clip.clip_id for clip in train if _gap_s(clip, test) < window_s]
            pairs += [(name, test.clip_id) for name in near]
    if not pairs:
        return []
    text = (
        f"{len({test for _, test in pairs})} test clips lie within {window_s:g} s of a training clip of the "
        f"same film: "
        f"their responses overlap, for example {pairs[0][0]} and {pairs[0][1]}."
    )
    return [Finding("note", "close-in-time", text, data={"pairs": pairs[:100], "count": len(pairs)})]


def _gap_s(one: Clip, other: Clip) -> float:
    first, second = sorted((one, other), key=lambda clip: clip.onset_s)
    return second.onset_s - (first.onset_s + first.duration_s)


def perceptual_hash(frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Hash the look of frames, so that re-encoded, resized or dimmed copies get nearly the same bits.

    frames ``(frame, height, width, 3)`` uint8 RGB, at least 32 px high and wide. Returns ``(frame, bit)``
    bool with ``16 * 16 - 1`` bits: the signs, against their median, of the lowest spatial frequencies (2-D
    cosine transform) of the luminance. InputError for frames of another shape.
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
    limit: float = SAME_CLIP,
) -> list[Finding]:
    """Clips of the test set that also occur in the training set, by what their frames look like.

    train_hashes, test_hashes: by clip_id, ``(frame, bit)`` of :func:`perceptual_hash`; each clip may have its
    own number of frames. The distance of two clips is the mean, over the frames of the test clip, of the
    share of bits in which the most similar frame of the training clip differs; pairs up to ``limit`` are
    reported in one finding.
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
        pairs += [
            (names[index], test_name, round(float(distance[index]), 4))
            for index in np.nonzero(distance <= limit)[0]
        ]
    if not pairs:
        return []
    pairs.sort(key=lambda pair: pair[2])
    text = (
        f"{len({pair[1] for pair in pairs})} of {len(test_hashes)} test clips look like a training clip, "
        f"for example "
        f"{pairs[0][1]} like {pairs[0][0]}. Scores on them reward memory."
    )
    return [
        Finding(
            "note",
            "near-duplicate-clips",
            text,
            data={"pairs": pairs[:100], "count": len(pairs), "limit": limit},
        )
    ]
