"""Large weights move block by block during the backward pass, to where one step of Adam would take them."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mindanim.config.train import TrainConfig
from mindanim.decoders.batch_sharing import ShareDropout
from mindanim.decoders.models import blockwise_linear as blockwise
from mindanim.decoders.models.blockwise_linear import Linear, row_blocks
from mindanim.decoders.training import optimizer_step as stepping
from mindanim.decoders.training.optimizer_step import Stepper

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockwise, "_ELEMENTS", 40)
    monkeypatch.setattr(blockwise, "_ROWS", 5)


class Network(nn.Module):
    """Two large weights: one that is used once, one that is used as ``use`` says."""

    def __init__(self, use: Callable[[nn.Linear, Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.use = Linear(12, 12), Linear(12, 12), use

    def forward(self, inputs: Tensor) -> Tensor:
        return self.use(self.second, self.first(inputs).relu())


def once(layer: nn.Linear, values: Tensor) -> Tensor:
    return torch.as_tensor(layer(values))


def twice(layer: nn.Linear, values: Tensor) -> Tensor:
    return torch.as_tensor(layer(layer(values)))


def tied(layer: nn.Linear, values: Tensor) -> Tensor:
    return functional.linear(layer(values), layer.weight.T)


def checkpointed(layer: nn.Linear, values: Tensor) -> Tensor:
    return torch.as_tensor(torch.utils.checkpoint.checkpoint(layer, values, use_reentrant=False))


def train(stepper: Stepper, network: nn.Module, steps: range, dtype: torch.dtype = torch.float32) -> None:
    for step in steps:
        torch.manual_seed(step)
        inputs = torch.randn(3, 4, 12)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32), stepper.forward():
            loss = network(inputs).float().square().mean()
        stepper.step(loss, rate=0.01, penalty=0.002)
        assert all(parameter.grad is None for parameter in network.parameters())


def close(one: nn.Module, other: nn.Module) -> None:
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("use", "dtype"),
    [(use, torch.float32) for use in (once, twice, checkpointed)] + [(once, torch.bfloat16)],
)
def test_blocks_move_as_the_whole(use: Callable[[nn.Linear, Tensor], Tensor], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = Network(use)
    other = copy.deepcopy(network)
    assert [len(block) for block in row_blocks(network.first.weight)] == [5, 5, 2]
    blocks = Stepper([*network.parameters()], TrainConfig(), CPU, torch.float32)
    # A bound on the norm, though it binds nothing, needs all gradients at once.
    whole = Stepper([*other.parameters()], TrainConfig(clip_norm=1e9), CPU, torch.float32)
    assert len(blocks.blocks[network.first.weight]) == 3 and len(whole.blocks[other.first.weight]) == 1
    for step in range(4):
        train(blocks, network, range(step, step + 1), dtype)
        train(whole, other, range(step, step + 1), dtype)
        close(network, other)
    moved = {network.first.weight, network.second.weight} if use is once else {network.first.weight}
    assert blocks.blockwise.handed_over == moved


def test_a_weight_with_another_use_is_refused() -> None:
    network = Network(tied)
    stepper = Stepper([*network.parameters()], TrainConfig(), CPU, torch.float32)
    with pytest.raises(RuntimeError, match=r"is used elsewhere too: make it a torch\.nn\.Linear"):
        train(stepper, network, range(1))
    network.second = nn.Linear(12, 12)
    stepper = Stepper([*network.parameters()], TrainConfig(), CPU, torch.float32)
    train(stepper, network, range(1))


def test_a_state_serves_blocks_and_wholes() -> None:
    """A training that was begun alone may go on in several processes, or on a GPU, and the other way."""
    torch.manual_seed(0)
    network = Network(once)
    other = copy.deepcopy(network)
    limits = (0.0, 1e9)
    stepper = Stepper([*network.parameters()], TrainConfig(clip_norm=limits[0]), CPU, torch.float32)
    reference = Stepper([*other.parameters()], TrainConfig(), CPU, torch.float32)
    for begin in range(0, 6, 2):
        train(stepper, network, range(begin, begin + 2))
        train(reference, other, range(begin, begin + 2))
        close(network, other)
        kept = copy.deepcopy(stepper.state_dict())
        stepper.close()
        limits = limits[::-1]
        stepper = Stepper([*network.parameters()], TrainConfig(clip_norm=limits[0]), CPU, torch.float32)
        stepper.load_state_dict(kept)


def test_weight_decay_shrinks_weights_by_its_share_of_the_learning_rate() -> None:
    network = Network(once)
    before = network.first.weight.detach().clone()
    stepper = Stepper([*network.parameters()], TrainConfig(weight_decay=0.5), CPU, torch.float32)
    with stepper.forward():
        loss = 0 * network(torch.ones(3, 12)).sum()
    stepper.step(loss, rate=0.1, penalty=0.0)
    torch.testing.assert_close(network.first.weight.detach(), before * (1 - 0.1 * 0.5))


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float16), (torch.float16, torch.bfloat16)])
def test_a_training_goes_on_in_another_precision(dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    """A cluster may give the second half of a training to a GPU without bfloat16."""
    network = Network(once)
    before, after = dtypes
    first = Stepper([*network.parameters()], TrainConfig(), CPU, before)
    train(first, network, range(2), before)
    kept = copy.deepcopy(first.state_dict())
    first.close()
    second = Stepper([*network.parameters()], TrainConfig(), CPU, after)
    second.load_state_dict(kept)
    train(second, network, range(2, 4), after)
    assert second.state_dict()["steps"] == [4.0] * len(kept["steps"])


def test_an_overflow_in_another_process_skips_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(once)
    before = copy.deepcopy(network.state_dict())
    stepper = Stepper([*network.parameters()], TrainConfig(), CPU, torch.float16)

    def with_infinity(parameters: list[nn.Parameter]) -> None:
        for parameter in parameters:
            assert parameter.grad is not None and bool(parameter.grad.isfinite().all())
            parameter.grad += torch.inf

    monkeypatch.setattr(stepping, "sum_gradients", with_infinity)
    train(stepper, network, range(1), torch.float16)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_only_the_gradients_of_one_block_are_there() -> None:
    network = Network(once)
    stepper = Stepper([*network.parameters()], TrainConfig(), CPU, torch.float32)
    seen: list[int] = []
    move = stepper._move_block

    def watched(block: nn.Parameter) -> None:
        gradients = [one.grad for blocks in stepper.blocks.values() for one in blocks if one.grad is not None]
        seen.append(sum(gradient.numel() for gradient in gradients))
        move(block)

    stepper._move_block = watched  # type: ignore[method-assign]
    train(stepper, network, range(1))
    assert max(seen) == 5 * 12 and sum(seen) == sum(one.numel() for one in network.parameters())


@pytest.mark.parametrize("p", [0.0, 0.15, 0.3, 0.5, 1.0])
def test_dropout_is_torchs_own(p: float) -> None:
    values, other = (torch.randn(6, 5, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    values.requires_grad_()
    other.requires_grad_()
    torch.manual_seed(2)
    ours = ShareDropout(p)(values)
    torch.manual_seed(2)
    theirs = functional.dropout(other, p)
    assert torch.equal(ours, theirs)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    assert torch.equal(values.grad, other.grad)  # type: ignore[arg-type]
