"""Networks that only some users have, on tiny checkpoints in their formats; drawn trials; set distance."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from mindanim.backbones import load_raft, load_vifi
from mindanim.errors import InputError
from mindanim.metrics.families.frechet import describe_distance, frechet_distance
from mindanim.metrics.families.motion import raft_end_point_error
from mindanim.metrics.families.nway_classification import class_hits, drawn_hits
from mindanim.metrics.families.semantic import VIFI_GATE, consistency, gated_consistency, vifi
from mindanim.metrics.pair_scorer import PairScorer
from mindanim.vocabulary.arrays import to_tensor
from tests.metrics.films import panned, texture


@pytest.fixture(scope="module")
def vifi_file(tmp_path_factory):
    """A two-layer tower in ViFi-CLIP's format, behind DistributedDataParallel's prefix."""
    from open_clip.transformer import QuickGELU, VisionTransformer

    torch.manual_seed(0)
    tower = VisionTransformer(32, 16, 64, 2, 1, 4.0, output_dim=12, act_layer=QuickGELU)
    model = {f"module.image_encoder.{name}": value for name, value in tower.state_dict().items()}
    model |= {
        "module.logit_scale": torch.tensor(4.6),
        "module.prompt_learner.complete_text_embeddings": torch.zeros(2),
    }
    file = tmp_path_factory.mktemp("vifi") / "vifi.pth"
    torch.save({"model": model, "epoch": 3}, file)
    return file, tower.eval()


def test_vifi_is_the_mean_of_the_towers_embeddings(vifi_file):
    file, tower = vifi_file
    clips = torch.rand(3, 4, 3, 32, 32)
    found = load_vifi(file).embed_clips(clips)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    with torch.no_grad():
        frames = tower(((clips - mean) / std).flatten(0, 1)).reshape(3, 4, -1).mean(dim=1)
    torch.testing.assert_close(found, torch.nn.functional.normalize(frames, dim=-1))


def test_a_checkpoint_of_another_kind_is_refused_and_never_executed(vifi_file, tmp_path):
    other = tmp_path / "other.pth"
    torch.save({"model": {"encoder.weight": torch.zeros(2)}}, other)
    with pytest.raises(InputError, match="no image tower"):
        load_vifi(other)
    content = torch.load(vifi_file[0], weights_only=True)
    content["model"].pop("module.image_encoder.transformer.resblocks.1.ln_2.bias")
    torch.save(content, other)
    with pytest.raises(InputError, match="whole vision transformer(.|\n)*ln_2.bias"):
        load_vifi(other)
    torch.save({"model": Trap()}, other)
    for load in (load_vifi, load_raft):
        with pytest.raises(InputError, match=r"other\.pth(.|\n)*Error: (.|\n)*Name a "):
            load(other)
    assert not Trap.sprung


class Trap:
    """An object whose unpickling would be noticed."""

    sprung = False

    def __reduce__(self):
        return (_spring, ())


def _spring():
    Trap.sprung = True


def test_gated_consistency_is_zero_for_clips_that_vifi_does_not_recognise():
    rng = np.random.default_rng(0)
    embeddings = rng.standard_normal((2, 5, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=-1, keepdims=True)
    truth = np.array([[1.0, 0.0], [1.0, 0.0]], np.float32)
    recon = np.array([[VIFI_GATE + 0.01, 0.7], [VIFI_GATE - 0.01, 0.8]], np.float32)
    given = {"vifi": truth}, {"embeddings": embeddings, "vifi": recon}
    assert vifi.score(*given) == pytest.approx(recon[:, 0])
    assert gated_consistency.score(*given).tolist() == [consistency.score(*given)[0], 0.0]


def test_raft_scores_pairs_and_a_truth_against_itself_is_zero(tmp_path):
    from torchvision.models.optical_flow import raft_small

    torch.manual_seed(0)
    torch.save(raft_small(weights=None).state_dict(), tmp_path / "raft.pth")
    network = load_raft(tmp_path / "raft.pth")
    films = [panned(texture(np.random.default_rng(seed), 132, 10), (2, 1), 2, 132, 10) for seed in (0, 1)]
    flow = network.flow(torch.rand(2, 3, 132, 140))
    assert flow.shape == (1, 2, 132, 140)
    scorer = PairScorer(films, {"raft": network}, [raft_end_point_error])
    found = scorer.score(films, np.array([[0, 0], [0, 1], [1, 1]]), scorer.ask(films))["epe.raft"]
    assert found[[0, 2]].tolist() == [0, 0]
    across, down = np.moveaxis(np.subtract(*(network.flow(to_tensor(film)).numpy() for film in films)), 1, 0)
    assert found[1] == pytest.approx(np.hypot(across, down).mean(), rel=1e-6) and found[1] > 0


def test_a_hundred_thousand_drawn_trials_agree_with_the_closed_form():
    rng = np.random.default_rng(5)
    truth, answer = rng.standard_normal((2, 1, 60))
    for ways in (2, 50):
        exact = class_hits(truth, answer, ways)[0]
        drawn = drawn_hits(truth, answer, ways, trials=100_000)[0]
        assert drawn == pytest.approx(exact, abs=4 * np.sqrt(0.25 / 100_000))


def test_the_frechet_distance_equals_its_textbook_form():
    rng = np.random.default_rng(6)
    first, second = rng.standard_normal((60, 5)), 0.7 * rng.standard_normal((80, 5)) + 0.3
    covariances = [np.cov(features, rowvar=False) for features in (first, second)]
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    entry = describe_distance(first, first, None)
    assert not entry["reliable"] and "60 clips, it needs 2048" in entry["note"]
    wide = rng.standard_normal((3, 1025))
    assert describe_distance(wide, wide, None)["needed"] == 2050, "twice as many clips as features"
