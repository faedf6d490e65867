"""Stage-1 scores: correlations, identification among different captions, retrieval."""

from __future__ import annotations

import numpy as np
import pytest

from mindanim.metrics.families.metric import METRICS
from mindanim.metrics.inputs.correlations import clip_correlations, correlations
from mindanim.metrics.inputs.decoded_features import (
    DecodedFeatures,
    Latents,
    mean_first_latent,
    retrieval_hits,
)
from mindanim.vocabulary.arrays import numbered

CLIPS = 60


def own(count=CLIPS):
    return np.stack([np.arange(count)] * 2, axis=1)


def scored(features, names, count=CLIPS):
    return {name: METRICS[name].score(features, own(count)) for name in names}


def features_of(decoded, targets, captions, latents=None):
    similarity = clip_correlations(decoded, targets, targets.mean(axis=0))
    both = {"clip_image": similarity, "clip_text": similarity}
    return DecodedFeatures(both, numbered(captions), latents)


def unit(rng, *shape):
    rows = rng.standard_normal(shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


IDS = ("feature.clip_text.r", "feature.clip_text.2way", "feature.clip_image.50way", "retrieval.top10")


def test_perfect_decoding_reaches_the_bounds_and_scale_does_not_matter():
    targets = unit(np.random.default_rng(0), CLIPS, 16)
    scores = scored(features_of(3.0 * targets, targets, [str(clip) for clip in range(CLIPS)]), IDS)
    assert all(np.allclose(values, 1) for values in scores.values())


def test_unrelated_vectors_score_chance():
    rng = np.random.default_rng(1)
    sets = [
        scored(
            features_of(unit(rng, CLIPS, 16), unit(rng, CLIPS, 16), [str(i // 2) for i in range(CLIPS)]), IDS
        )
        for _ in range(60)
    ]
    for name, chance in zip(IDS, (0, 1 / 2, 1 / 50, 10 / CLIPS), strict=True):
        means = np.array([scores[name].mean() for scores in sets])
        assert abs(means.mean() - chance) < 4 * means.std() / np.sqrt(len(means)), name


def test_correlations_equal_numpy_after_the_mean_is_taken_away():
    rng = np.random.default_rng(2)
    decoded, targets, mean = unit(rng, 4, 9), unit(rng, 4, 9), 0.2 * rng.standard_normal(9)
    found = clip_correlations(decoded, targets, mean)
    assert found[1, 2] == pytest.approx(np.corrcoef(decoded[1] - mean, targets[2] - mean)[0, 1], abs=1e-6)


def test_a_shared_mean_vector_alone_correlates_with_nothing():
    rng = np.random.default_rng(3)
    mean = 5 * rng.standard_normal(32)
    targets = mean + rng.standard_normal((40, 32))
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    decoded = targets[rng.permutation(40)]
    plain = np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(decoded, targets, strict=True)])
    centred = np.diag(clip_correlations(decoded, targets, targets.mean(axis=0))).mean()
    assert plain > 0.9 and abs(centred) < 0.15


def test_constant_vectors_are_defined():
    rows = np.random.default_rng(4).standard_normal((3, 5))
    rows[1] = 0.3
    found = correlations(rows, rows)
    assert np.all(found[1, [0, 2]] == 0) and np.all(np.isnan(found[:, 1]))


def test_retrieval_shares_the_odds_among_equals():
    similarity = np.array([[0.5, 0.5, 0.9, 0.1]])
    target = np.array([[0, 0]])
    assert [retrieval_hits(similarity, target, top)[0] for top in (1, 2, 3)] == [0, 0.5, 1]


def test_median_rank_is_one_for_perfect_decoding():
    targets = unit(np.random.default_rng(5), CLIPS, 16)
    assert features_of(targets, targets, [str(clip) for clip in range(CLIPS)]).median_rank() == 1


def test_latent_scores_see_first_frames_and_differences_apart():
    rng = np.random.default_rng(6)
    true = rng.standard_normal((3, 4, 2, 5, 5)).astype(np.float16)
    wrong_first = true.copy()
    wrong_first += rng.standard_normal((3, 1, 2, 5, 5)).astype(np.float16) * 3
    frozen = np.broadcast_to(true[:, :1], true.shape)
    mean = mean_first_latent(true, np.array([0, 1, 2]))
    assert mean == pytest.approx(true[:, 0].astype(float).mean(axis=0))
    names = ("feature.latent.r", "feature.latent_diff.r")

    def means(decoded):
        found = scored(DecodedFeatures({}, np.arange(3), Latents(decoded, true, mean)), names, 3)
        return [found[name].mean() for name in names]

    assert means(true) == pytest.approx([1, 1])
    assert means(frozen) == pytest.approx([1, 0])
    first, difference = means(wrong_first)
    assert first < 0.7 and difference == pytest.approx(1, abs=1e-4)


def test_latents_are_identified_among_those_of_other_captions():
    rng = np.random.default_rng(7)
    count = 70  # more than are looked at together
    true = rng.standard_normal((count, 3, 2, 4, 4)).astype(np.float16)
    true[5, 1:] = true[5, 0]  # this clip stands still
    captions = np.arange(count) // 2
    names = [f"feature.{kind}.{ways}way" for kind in ("latent", "latent_diff") for ways in (2, 50)]

    def means(decoded):
        features = DecodedFeatures({}, captions, Latents(decoded, true, np.zeros((2, 4, 4))))
        found = scored(features, names, count)
        assert all(np.isnan(found[name][5]) == ("diff" in name) for name in names)
        return [float(np.nanmean(found[name])) for name in names]

    assert means(true) == pytest.approx([1, 1, 1, 1])
    unrelated = rng.standard_normal(true.shape)
    assert means(unrelated) == pytest.approx([0.5, 0.02, 0.5, 0.02], abs=0.12)
    frozen = np.broadcast_to(true[:, :1], true.shape)
    assert means(frozen) == pytest.approx([1, 1, 0.5, 0.02]), "no difference is as near to all"
