"""Semantic metrics through tiny random networks and through a stand-in whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mindanim import backbones
from mindanim.metrics.families.metric import METRICS
from mindanim.metrics.families.semantic import consistency, recognised
from mindanim.metrics.floors import Frozen
from mindanim.metrics.networks import ask, ask_frozen
from mindanim.metrics.pair_scorer import PairScorer
from tests.metrics.films import noise
from tests.tiny import tiny_clip_folder, tiny_image_classifier_folder, tiny_video_classifier_folder

FRAMES = 4
PAIRS = np.array([[0, 0], [1, 1], [2, 2], [0, 2]])


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    video = tiny_video_classifier_folder(folder / "video", frames=FRAMES)
    return {
        "image_classifier": backbones.load_image_classifier(
            str(tiny_image_classifier_folder(folder / "image"))
        ),
        "video_classifier": backbones.load_video_classifier(str(video)),
        "clip": backbones.load_clip(str(tiny_clip_folder(folder / "clip"))),
    }


def clips(seed, count=3):
    rng = np.random.default_rng(seed)
    return [noise(rng, FRAMES, 32, 32, 3) for _ in range(count)]


def test_batches_do_not_change_the_answers(networks):
    shown = clips(0)
    one, all_at_once = (ask(shown, networks, batch) for batch in (1, 3))
    for name in ("image_logits", "video_logits", "embeddings"):
        assert one[name] == pytest.approx(all_at_once[name], abs=1e-5)
    assert one["image_logits"].shape == (3, FRAMES, 60) and one["video_logits"].shape == (3, 24)
    alone = networks["image_classifier"].logits(torch.from_numpy(shown[1][2]).permute(2, 0, 1)[None] / 255)
    assert one["image_logits"][1, 2] == pytest.approx(alone[0].numpy(), abs=1e-5)


def test_a_perfect_reconstruction_is_always_right(networks):
    ids = [
        "2way.image",
        "50way.image",
        "50way.image.top1",
        "2way.video",
        "2way.video.top1",
        "clipvideo.<name>",
    ]
    scorer = PairScorer(clips(1), networks, [METRICS[name] for name in ids], 2)
    answers = scorer.ask(clips(1))
    scores = scorer.score(clips(1), PAIRS[:3], answers)
    assert list(scores) == ids and all(np.allclose(values, 1, atol=1e-6) for values in scores.values())
    assert recognised(answers, answers).all()


def test_frozen_answers_need_the_video_classifier_only(networks):
    shown = clips(2)
    frozen = Frozen(shown)
    answers = ask(shown, networks, 2)
    quick, slow = ask_frozen(answers, frozen, networks, 2), ask(frozen, networks, 2)
    for name in ("image_logits", "video_logits", "embeddings"):
        assert quick[name] == pytest.approx(slow[name], abs=1e-4)
    assert consistency.score(answers, slow) == pytest.approx(1)


def test_consistency_never_looks_at_the_truth(networks):
    recon = ask(clips(3), networks, 2)
    scores = [consistency.score(ask(clips(seed), networks, 2), recon) for seed in (4, 5)]
    assert np.array_equal(*scores)


def answers_of(image):
    return {"image_logits": image.astype(np.float32)}


def test_exchangeable_answers_score_three_in_n_plus_two():
    rng = np.random.default_rng(6)
    truth, recon = (answers_of(rng.standard_normal((3000, 2, 60))) for _ in range(2))
    for ways in (2, 50):
        hits = METRICS[f"{ways}way.image"].score(truth, recon)
        assert abs(hits.mean() - 3 / (ways + 2)) < 4 * hits.std() / np.sqrt(len(hits))


def test_recognised_needs_half_of_the_frames():
    truth = np.tile(np.arange(10.0), (2, 4, 1))  # best classes 7, 8, 9
    recon = np.zeros((2, 4, 10))
    recon[0, :2, 8] = 1
    recon[0, 2:, 0] = 1
    recon[1, :1, 9] = 1
    recon[1, 1:, 3] = 1
    assert recognised(answers_of(truth), answers_of(recon)).tolist() == [True, False]
    assert recognised({}, {}) is None


def test_a_missing_network_is_an_error_not_a_guess():
    with pytest.raises(KeyError, match="image_logits"):
        PairScorer(clips(7), {}, [METRICS["2way.image"]]).score(clips(7), PAIRS, {})
