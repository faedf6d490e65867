"""Findings on runs that are one recording, clips that share signal, and films that cross the split."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mindanim.errors import InputError
from mindanim.simulation.world import film, render
from mindanim.studies.checks.duplicates import near_duplicate_runs, near_duplicates, perceptual_hash

TIMES = np.arange(8) / 4


def scenes(seed: int, clips: int) -> dict[str, np.ndarray]:
    shots = film(np.random.default_rng(seed), clips)
    return {f"{seed}-{index}": render(shot, TIMES).frames for index, shot in enumerate(shots)}


def test_a_filtered_copy_of_a_run_is_found_and_repeats_are_not() -> None:
    rng = np.random.default_rng(0)
    response = rng.standard_normal((100, 40))
    first, second = (response + rng.standard_normal((100, 40)) for _ in range(2))
    copy = (0.3 * first + 0.02 * rng.standard_normal((100, 40))).astype(np.float32)
    other = rng.standard_normal((90, 40)).astype(np.float32)
    samples = {
        "a": first.astype(np.float32),
        "b": second.astype(np.float32),
        "copy of a": copy,
        "short": other,
    }
    findings = near_duplicate_runs(samples)
    assert [finding.data["runs"] for finding in findings] == [["a", "copy of a"]]


def test_a_silent_run_is_no_duplicate_of_another() -> None:
    silent = np.zeros((10, 4), np.float32)
    assert near_duplicate_runs({"one": silent, "other": silent.copy()}) == []


@pytest.mark.parametrize("change", ["resized", "dimmed", "noisy", "compressed"])
def test_a_degraded_copy_across_the_split_is_found(change: str) -> None:
    rng = np.random.default_rng(1)
    train, test = scenes(0, 30), scenes(1, 20)
    frames = train["0-4"]
    copies = {
        "resized": [cv2.resize(frame, (48, 40), interpolation=cv2.INTER_AREA) for frame in frames],
        "dimmed": (frames * 0.7).astype(np.uint8),
        "noisy": np.clip(frames + rng.normal(0, 8, frames.shape), 0, 255).astype(np.uint8),
        "compressed": [
            cv2.imdecode(cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
            for frame in frames
        ],
    }
    test["copy"] = np.stack(list(copies[change]))
    findings = near_duplicates(
        *({name: perceptual_hash(one) for name, one in split.items()} for split in (train, test))
    )
    assert len(findings) == 1
    assert [pair[:2] for pair in findings[0].data["pairs"]] == [("0-4", "copy")]


def test_different_scenes_are_no_duplicates() -> None:
    train, test = ({name: perceptual_hash(one) for name, one in scenes(seed, 150).items()} for seed in (2, 3))
    assert near_duplicates(train, test) == []
    assert near_duplicates({}, test) == []


def test_a_shifted_cut_with_another_number_of_frames_is_found() -> None:
    shot = film(np.random.default_rng(5), 1)[0]
    train = perceptual_hash(render(shot, np.arange(0, 2, 0.1)).frames)
    test = perceptual_hash(render(shot, np.arange(0.45, 1.6, 0.25)).frames)
    assert len(near_duplicates({"one": train}, {"other": test})) == 1


@pytest.mark.parametrize("shape", [(8, 16, 16, 3), (64, 64, 3), (8, 64, 64)])
def test_frames_that_cannot_be_hashed(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="Cannot hash frames"):
        perceptual_hash(np.zeros(shape, np.uint8))


def test_a_cropped_copy_is_found_with_clip_vectors() -> None:
    train, test = scenes(0, 30), scenes(1, 20)
    cropped = train["0-4"][:, 1:-1, 1:-1]
    test["copy"] = np.stack([cv2.resize(frame, (64, 64)) for frame in cropped])
    hashes = [{name: perceptual_hash(one) for name, one in split.items()} for split in (train, test)]
    rng = np.random.default_rng(0)
    vectors = {name: rng.standard_normal(64).astype(np.float32) for name in (*train, *test)}
    vectors["copy"] = vectors["0-4"] + 0.05 * vectors["copy"]
    vectors = {name: vector / np.linalg.norm(vector) for name, vector in vectors.items()}
    assert near_duplicates(*hashes, limit=0.08) == []
    findings = near_duplicates(*hashes, limit=0.08, embeddings=vectors)
    assert [pair[:2] for pair in findings[0].data["pairs"]] == [("0-4", "copy")]
    assert "--set exclude=0-4" in findings[0].text
