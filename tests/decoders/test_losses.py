import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.training.losses import add_l1_gradient, info_nce, initial_logit_scale, moving_mse
from mindanim.decoders.training.schedules import l1_penalty, learning_rate, noam


def naive_info_nce(
    predicted: torch.Tensor, target: torch.Tensor, scale: float, positives: torch.Tensor
) -> float:
    total = 0.0
    count = len(predicted)
    for a, b, wanted in ((predicted, target, positives), (target, predicted, positives.T)):
        for i in range(count):
            logits = [scale * float(functional.cosine_similarity(a[i], b[j], dim=0)) for j in range(count)]
            log_sum = math.log(sum(math.exp(logit) for logit in logits))
            mates = [j for j in range(count) if bool(wanted[i, j])]
            total += sum(log_sum - logits[j] for j in mates) / len(mates) / count / 2
    return total


@pytest.mark.parametrize("labels", [[0, 1, 2, 3, 4], [0, 1, 0, 2, 1], [3, 3, 3, 3, 3]])
def test_multi_positive_info_nce_equals_a_loop(labels: list[int]) -> None:
    torch.manual_seed(1)
    predicted, target = torch.randn(5, 4), torch.randn(5, 4)
    same = torch.tensor(labels)
    positives = same[:, None] == same
    loss = info_nce(predicted, target, torch.tensor(math.log(10.0)), positives)
    assert float(loss) == pytest.approx(naive_info_nce(predicted, target, 10.0, positives), rel=1e-5)


def test_info_nce_without_equal_captions_is_clips() -> None:
    torch.manual_seed(2)
    predicted, target = torch.randn(6, 3), torch.randn(6, 3)
    scale = initial_logit_scale(0.07)
    cosine = functional.normalize(predicted) @ functional.normalize(target).T / 0.07
    own = torch.arange(6)
    expected = (functional.cross_entropy(cosine, own) + functional.cross_entropy(cosine.T, own)) / 2
    assert torch.allclose(info_nce(predicted, target, scale, torch.eye(6, dtype=torch.bool)), expected)


def test_equal_captions_are_not_pushed_apart() -> None:
    # Two clips share a caption and are decoded alike: nothing is left to gain.
    target = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    predicted = target.clone().requires_grad_()
    positives = torch.ones(2, 2, dtype=torch.bool)
    loss = info_nce(predicted + 0.0, target, torch.tensor(0.0), positives)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(math.log(2))
    assert predicted.grad is not None and float(predicted.grad.abs().max()) < 1e-7


def test_l1_gradient_equals_autograd() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        network[0].weight[0, 0] = 0.0
    inputs = torch.randn(5, 4)

    network(inputs).square().mean().backward()
    add_l1_gradient(network.parameters(), 0.01)
    added = [parameter.grad.clone() for parameter in network.parameters()]

    network.zero_grad()
    penalty = sum(parameter.abs().sum() for parameter in network.parameters())
    (network(inputs).square().mean() + 0.01 * penalty).backward()
    for mine, parameter in zip(added, network.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad)


def test_moving_mse_weighs_what_changes() -> None:
    torch.manual_seed(4)
    predicted, target, latents = torch.randn(3, 2, 5), torch.randn(3, 2, 5), torch.randn(3, 3, 5)
    torch.testing.assert_close(
        moving_mse(predicted, target, latents, 0.0), functional.mse_loss(predicted, target)
    )
    change = latents[:, 1:] - latents[:, :1]
    weight = 1 + 3 * change**2 / (change**2).mean()
    expected = ((predicted - target) ** 2 * weight).sum() / weight.sum()
    torch.testing.assert_close(moving_mse(predicted, target, latents, 3.0), expected)


def test_noam_schedule_of_the_paper() -> None:
    rates = [noam(step, 16384, 50) for step in range(1, 400)]
    assert max(rates) == rates[49] == pytest.approx(1 / 128 / math.sqrt(50))
    assert rates[49] == pytest.approx(1.1e-3, rel=0.01)
    assert rates[24] == pytest.approx(rates[49] / 2)
    assert rates[199] == pytest.approx(rates[49] / 2)
    assert learning_rate(TrainMotionConfig(), 49, 68, 16384) == rates[49]


def test_other_schedules() -> None:
    paper = TrainSemanticConfig()
    assert learning_rate(paper, 0, 10, 1) == 2e-4
    assert learning_rate(paper, 25, 10, 1) == pytest.approx(2e-4 * 0.999**2)
    cosine = TrainSemanticConfig(schedule="cosine", epochs=2, warmup_steps=4, learning_rate=1.0)
    assert [learning_rate(cosine, step, 10, 1) for step in (0, 3, 4, 12, 20)] == pytest.approx(
        [0.25, 1.0, 1.0, 0.5, 0.0]
    )
    constant = TrainSemanticConfig(schedule="constant", learning_rate=0.5)
    assert {learning_rate(constant, step, 10, 1) for step in range(50)} == {0.5}


def test_l1_penalty_decays_or_compounds() -> None:
    plain = TrainStructureConfig(l1_penalty=1.0, l1_decay=0.1)
    released = TrainStructureConfig(l1_penalty=1.0, l1_decay=0.1, l1_compounds=True)
    compounded = 1.0
    for epoch in range(6):
        compounded *= math.exp(-0.1 * epoch)
        assert l1_penalty(plain, epoch) == pytest.approx(math.exp(-0.1 * epoch))
        assert l1_penalty(released, epoch) == pytest.approx(compounded)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_info_nce_is_exact_under_autocast(dtype: torch.dtype) -> None:
    """Cosines rounded to bfloat16 and multiplied by 1 / 0.07 would be off by some hundredths."""
    torch.manual_seed(4)
    target = torch.randn(16, 64)
    predicted, positives = target + 0.5 * torch.randn(16, 64), torch.eye(16, dtype=torch.bool)
    expected = info_nce(predicted, target, initial_logit_scale(0.07), positives)
    with torch.autocast("cpu", dtype):
        found = info_nce(predicted, target, initial_logit_scale(0.07), positives)
    assert torch.equal(found, expected)
