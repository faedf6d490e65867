"""The large retrieval pool: what occurs in two studies is found by the look of its frames or by CLIP."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest

from mindanim.errors import InputError
from mindanim.metrics.inputs.retrieval_pool import check_pool, read_pool
from mindanim.metrics.inputs.vectors import Vectors
from mindanim.simulation.world import film, render
from mindanim.studies.checks.duplicates import perceptual_hash
from mindanim.vocabulary.scratch import IN_TEMPORARY
from tests.stages.evaluation_inputs import make, run_options

DIM, OWN, OTHER = 64, 20, 30


def frames(seed, clips):
    """A middle frame of each clip, (clip, 64, 64, 3) uint8."""
    shots = film(np.random.default_rng(seed), clips)
    return [render(shot, np.array([1.0])).frames[0] for shot in shots]


def vectors(seed, clips):
    rows = np.random.default_rng(seed).standard_normal((clips, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def stimuli(work, pictures, seen, version=0, hashes=True):
    """A stimuli artifact; pictures may be of any size. version: that of unlike studies differs."""
    names = [f"seg1-{clip:04d}" for clip in range(len(pictures))]

    def build(draft):
        draft.save_table("clips.tsv", pd.DataFrame({"clip_id": names}), units={})
        for name in ("clip_image", "clip_text"):
            draft.save_array(f"{name}.npy", seen[:, None], axes="clip view feature")
        if hashes:
            bits = np.concatenate([perceptual_hash(picture[None]) for picture in pictures])
            draft.save_array("frame_hash.npy", bits, axes="clip bit")

    return make(run_options(work), "stimuli", build, version=version)


def pool_of(own, *others):
    decoded = Vectors(vectors(9, OWN), np.arange(OWN))
    return read_pool(decoded, own, np.arange(OWN), others, np.zeros(DIM), IN_TEMPORARY)


def resized(frame, rng):
    size = int(rng.integers(40, 200)), int(rng.integers(40, 200))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA if size[0] < 64 else cv2.INTER_LINEAR)


def encoded(frame, rng):
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 95))]
    return cv2.imdecode(cv2.imencode(".jpg", frame, quality)[1], cv2.IMREAD_COLOR)


def both(frame, rng):
    return encoded(resized(frame, rng), rng)


@pytest.mark.parametrize("change", [resized, encoded, both])
@pytest.mark.parametrize("seed", range(4))
def test_copies_of_frames_are_left_out_and_no_other_frames(tmp_path, change, seed):
    rng = np.random.default_rng(seed)
    held, strange = frames([1, seed], OWN), frames([2, seed], OTHER)
    copied = rng.choice(OTHER, size=6, replace=False)
    for place, source in zip(copied, rng.choice(OWN, size=6, replace=False), strict=True):
        strange[place] = change(held[source], rng)
    own = stimuli(tmp_path / "own", held, vectors(1, OWN))
    # CLIP takes the copies for something else: only their look tells.
    found = pool_of(own, stimuli(tmp_path / "other", strange, vectors(2, OTHER), version=1))
    assert (found.duplicates, found.by_hash, found.by_clip) == (6, 6, 0)
    assert found.clips == OWN + OTHER - 6 and found.similarities.shape == (OWN, OTHER - 6)


def test_a_clip_counts_once_however_it_was_found(tmp_path):
    held, strange = frames(3, OWN), frames(4, OTHER)
    seen, others = vectors(3, OWN), vectors(4, OTHER)
    strange[0] = held[0]  # by its look alone
    others[1] = seen[1]  # by CLIP alone
    strange[2], others[2] = held[2], seen[2]  # by both
    strange[4] = strange[3]  # twice in the other study
    own = stimuli(tmp_path / "own", held, seen)
    other = stimuli(tmp_path / "other", strange, others, version=1)
    found = pool_of(own, other)
    assert (found.duplicates, found.by_hash, found.by_clip) == (4, 3, 2)
    # A third study with the same clips adds none.
    again = pool_of(own, other, stimuli(tmp_path / "third", strange, others, version=2))
    assert again.clips == found.clips and again.duplicates == found.duplicates + OTHER


def test_stimuli_without_hashes_are_refused_by_name(tmp_path):
    own = stimuli(tmp_path / "own", frames(5, OWN), vectors(5, OWN))
    old = stimuli(tmp_path / "old", frames(6, OWN), vectors(6, OWN), version=1, hashes=False)
    with pytest.raises(InputError, match=r"old(.|\n)*no frame_hash.npy(.|\n)*encode-stimuli .*--force"):
        check_pool(own, [old])


def test_the_hash_of_the_pool_names_its_clips_and_nothing_else(tmp_path):
    own = stimuli(tmp_path / "own", frames(7, OWN), vectors(7, OWN))
    pictures, seen = frames(8, OTHER), vectors(8, OTHER)
    other = stimuli(tmp_path / "other", pictures, seen, version=1)
    names = [f"seg1-{clip:04d}" for clip in range(OTHER)]

    def expected(first, second, kept):
        parts = [first.identity, *(f"\0{name}" for name in names[:OWN]), second.identity]
        return hashlib.sha256("".join([*parts, *(f"\0{names[clip]}" for clip in kept)]).encode()).hexdigest()

    assert pool_of(own, other).sha256 == expected(own, other, range(OTHER))
    assert pool_of(own, other).sha256 == pool_of(own, other).sha256
    # The same study with one clip that the test set holds already: its hash is of those that are left.
    held = stimuli(tmp_path / "held", [frames(7, OWN)[0], *pictures[1:]], seen, version=1)
    assert held.identity == other.identity
    assert pool_of(own, held).sha256 == expected(own, held, range(1, OTHER)) != pool_of(own, other).sha256
    third = stimuli(tmp_path / "third", pictures, seen, version=2)
    assert pool_of(own, third).sha256 == expected(own, third, range(OTHER)) != pool_of(own, other).sha256
