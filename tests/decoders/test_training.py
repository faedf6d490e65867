import copy
import signal
import socket
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest
import torch

from mindanim import runtime
from mindanim.config.train import TrainConfig, TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.base import Decoder
from mindanim.decoders.batch_sharing import sharing, weighted
from mindanim.decoders.build import build
from mindanim.decoders.fit import fit_decoder
from mindanim.decoders.fit_result import Fitted
from mindanim.decoders.training.feed import Feed
from mindanim.decoders.training.loop import Progress, Task, train
from mindanim.decoders.training.optimizer_step import Stepper
from mindanim.decoders.training_examples import StructureExamples
from mindanim.errors import ConfigError, MissingError
from tests.decoders.planted import SHAPES, machine, planted
from tests.documentation import ROOT
from tests.forked import start

# Small, and with everything that draws random numbers or keeps state switched on.
SEMANTIC = TrainSemanticConfig(
    epochs=4, batch_size=30, head_widths=(12,), ema=0.9, clip_norm=1.0, schedule="cosine", warmup_steps=3
)
MOTION = TrainMotionConfig(
    epochs=3,
    batch_size=40,
    width=8,
    heads=2,
    feedforward=8,
    fmri_width=12,
    memory_tokens=2,
    target="difference",
    first_frames="both",
    zero_fraction=0.1,
    checkpoint_s=0,
)


class Stop(BaseException):
    pass


def semantic(folder: Path, config: TrainSemanticConfig = SEMANTIC) -> Fitted:
    data = planted()
    return fit_decoder(config, data.semantic, SHAPES, data.split, machine(folder))


def motion(folder: Path, config: TrainMotionConfig = MOTION) -> Fitted:
    data = planted()
    return fit_decoder(config, data.motion, SHAPES, data.split, machine(folder))


def framewise(folder: Path) -> Fitted:
    return motion(folder, MOTION.model_copy(update={"decoder": "mlp", "ema": 0.9}))


def assert_equal(one: Decoder, other: Decoder) -> None:
    left, right = one.state_dict(), other.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("fit", [semantic, motion, framewise])
@pytest.mark.parametrize("stop", [1, 4, 5, 8])
def test_a_stopped_training_ends_as_an_uninterrupted_one(
    fit: object, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(fit)
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = fit(tmp_path / "whole")
    import mindanim.decoders.training.loop as training

    original = training._Run.take
    taken = 0

    def dying(self: object, step: int, epoch: int) -> None:
        nonlocal taken
        taken += 1
        if taken > stop:
            raise Stop
        original(self, step, epoch)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "take", dying)
        with pytest.raises(Stop):
            fit(tmp_path / "cut")
    resumed = fit(tmp_path / "cut")
    assert_equal(resumed.decoder, whole.decoder)
    assert resumed.facts == whole.facts
    assert resumed.history.equals(whole.history)


_CHILD = """
import sys, time
from pathlib import Path
import torch
import mindanim.decoders.training.loop as training
from tests.decoders.test_training import MOTION, motion
folder, slow, last = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[4])
original, taken = training._Run.take, []
def take(self, step, epoch):
    original(self, step, epoch)
    print(step, flush=True)
    taken.append(step)
    if len(taken) == last:
        time.sleep(slow)
training._Run.take = take
fitted = motion(folder, MOTION.model_copy(update={"stream_data": sys.argv[3]}))
torch.save(fitted.decoder.state_dict(), folder / "result.pt")
"""


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


STEPS = 3  # per epoch, of 100 clips in batches of 40


# Killed while it sleeps after its first step or at the end of an epoch, and in whatever it does after a
# step, such as writing a checkpoint (one is written after every step). Clips that are read one batch ahead
# train the same decoder, before and after.
@pytest.mark.parametrize(
    ("steps", "sleep", "stream"),
    [(1, "60", "auto"), (3, "60", "auto"), (2, "0", "auto"), (5, "0", "auto")]
    + [(2, "60", "always"), (3, "60", "always"), (4, "0", "always")],
)
def test_kill_minus_nine(steps: int, sleep: str, stream: str, tmp_path: Path, one_thread: None) -> None:
    for name in ("cut", "whole"):
        (tmp_path / name).mkdir()
    doomed = start(_CHILD, str(tmp_path / "cut"), sleep, stream, str(steps), cwd=ROOT)
    for _ in range(steps):
        doomed.stdout.readline()
    doomed.kill()
    doomed.communicate()
    assert doomed.returncode == -signal.SIGKILL
    again = start(_CHILD, str(tmp_path / "cut"), "0", stream, "0", cwd=ROOT)
    whole = motion(tmp_path / "whole").decoder.state_dict()
    said, problems = again.communicate()
    assert again.returncode == 0, problems
    # What was saved is not done again; after an epoch's last step nothing is saved until its validation.
    saved = steps - 1 if steps % STEPS == 0 else steps
    assert int(said.split()[0]) >= saved
    cut = torch.load(tmp_path / "cut" / "result.pt", weights_only=True)
    assert all(torch.equal(cut[name], whole[name]) for name in whole)


def test_training_does_not_touch_data_or_the_global_generator(tmp_path: Path) -> None:
    data = planted()
    before = {name: value.clone() for name, value in vars(data.semantic).items()}
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fit_decoder(SEMANTIC, data.semantic, SHAPES, data.split, machine(tmp_path))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in vars(data.semantic).items())


def test_seed_decides(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    first, again = semantic(tmp_path / "a"), semantic(tmp_path / "b")
    other = semantic(tmp_path / "c", SEMANTIC.model_copy(update={"seed": 1}))
    assert_equal(first.decoder, again.decoder)
    assert not torch.equal(
        first.decoder.state_dict()["trunk.0.weight"], other.decoder.state_dict()["trunk.0.weight"]
    )


class _Scripted(Task[Decoder, StructureExamples]):
    """One parameter that counts the steps, and validation figures that are given beforehand."""

    def __init__(self, script: list[float], loss: float = 1.0) -> None:
        four = replace(planted().structure, fit=torch.arange(4))
        super().__init__(build("structure", {"decoder": "ridge"}, SHAPES), four)
        self.count = torch.nn.Parameter(torch.zeros(()))
        self.script, self.value = script, loss

    def losses(self, batch: StructureExamples) -> dict[str, torch.Tensor]:
        return {"loss": -self.count * self.value}

    def validate(self) -> dict[str, float]:
        return {"loss": self.script.pop(0), "score": 0.0}


def run(task: Task[Decoder, StructureExamples], folder: Path, **options: object) -> Progress:
    config = TrainConfig.model_validate(
        {"batch_size": 2, "learning_rate": 1.0, "schedule": "constant"} | options
    )
    place = machine(folder)
    return train(task, config, device=place.device, dtype=place.dtype, checkpoint=place.checkpoint)


def test_best_epoch_is_kept_and_training_stops_early(tmp_path: Path) -> None:
    task = _Scripted([5.0, 3.0, 4.0, 3.5, 1.0, 0.5])
    course = run(task, tmp_path, epochs=6, patience=2)
    assert course.best_epoch == 2 and len(course.history) == 4
    # Two steps of learning rate 1 per epoch: the weights are those of epoch 2, not of the last.
    assert task.count.item() == pytest.approx(4.0, abs=0.01)


def test_a_validation_that_is_no_number_is_worse_than_any_other(tmp_path: Path) -> None:
    task = _Scripted([float("nan"), 3.0, float("nan"), 2.0])
    assert run(task, tmp_path / "first", epochs=4).best_epoch == 4
    assert task.count.item() == pytest.approx(8.0, abs=0.01)
    course = run(_Scripted([float("nan"), 3.0, float("nan"), 2.0]), tmp_path / "early", epochs=4, patience=1)
    assert course.best_epoch == 2 and len(course.history) == 3
    with pytest.raises(ConfigError, match="has a validation loss that is a number"):
        run(_Scripted([float("nan")] * 2), tmp_path / "never", epochs=2)


def orders(folder: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> list[list[int]]:
    """The order in which the four clips are taken in each epoch."""
    taken: list[int] = []
    take = Feed.take

    def noted(self: Feed, rows: torch.Tensor, following: torch.Tensor | None) -> object:
        taken.extend(rows.tolist())
        return take(self, rows, following)

    with monkeypatch.context() as patch:
        patch.setattr(Feed, "take", noted)
        run(_Scripted([1.0] * 8), folder, epochs=8, **options)
    return [taken[start : start + 4] for start in range(0, len(taken), 4)]


def test_every_epoch_takes_all_clips_in_an_order_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = orders(tmp_path, monkeypatch, batch_size=3)
    assert len(first) == 8 and all(sorted(order) == [0, 1, 2, 3] for order in first)
    assert len(set(map(tuple, first))) > 4, "of 24 orders; one that is repeated in all epochs is a fault"
    (tmp_path / "training.pt").unlink(missing_ok=True)
    assert orders(tmp_path, monkeypatch, batch_size=3) == first
    (tmp_path / "training.pt").unlink(missing_ok=True)
    assert orders(tmp_path, monkeypatch, batch_size=3, seed=1) != first


def test_losses_of_an_epoch_are_means_over_clips(tmp_path: Path) -> None:
    """Batches of three clips and one: their losses weigh three to one."""
    task = _Scripted([1.0])
    course = run(task, tmp_path, epochs=1, batch_size=3)
    # The loss is -count, which moves by the learning rate of 1 after the first batch.
    assert course.history[0]["train_loss"] == pytest.approx((3 * 0.0 + 1 * -1.0) / 4, abs=0.01)


def test_last_epoch_and_sparse_validation(tmp_path: Path) -> None:
    task = _Scripted([5.0, 6.0, 7.0])
    course = run(task, tmp_path, epochs=5, validate_every=2, select="last")
    assert [row["epoch"] for row in course.history] == [2, 4, 5]
    assert course.best_epoch == 5 and task.count.item() == pytest.approx(10.0, abs=0.01)


@pytest.mark.parametrize(("wished", "expected"), [(5.0, [5, 205]), (30.0, [30, 230]), (0.0, None)])
def test_checkpoints_do_not_take_over(
    wished: float, expected: list[int] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step takes a second, writing a checkpoint ten: the next one is due 200 s after that."""
    clock, begun, save = [0.0], list[float](), torch.save

    def slow(content: object, place: Path) -> None:
        begun.append(clock[0])
        save(content, place)
        clock[0] += 10

    monkeypatch.setattr("mindanim.decoders.training.loop.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(torch, "save", slow)
    config = TrainConfig(epochs=100, batch_size=1, checkpoint_s=wished)
    place = machine(tmp_path)

    def tick(_: int) -> None:
        clock[0] += 1

    train(
        _Scripted([1.0] * 100),
        config,
        device=place.device,
        dtype=place.dtype,
        checkpoint=place.checkpoint,
        after_step=tick,
    )
    if expected is None:
        assert len(begun) == 400
    else:
        assert begun[:2] == pytest.approx(expected, abs=2)


def test_divergence_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nan in epoch 1"):
        run(_Scripted([1.0], loss=float("nan")), tmp_path, epochs=2)


def test_averaged_weights_are_what_is_kept(tmp_path: Path) -> None:
    task = _Scripted([1.0])
    run(task, tmp_path, epochs=1, ema=0.999)
    # After steps to 1 and 2 with warm-up decays 1/10 and 2/11.
    assert task.count.item() == pytest.approx((0.9 * 1) * 2 / 11 + 2 * 9 / 11, abs=0.01)


@pytest.mark.parametrize("limit", [0.0, 1e9, 0.05])
def test_a_step_is_adams_with_the_penalty(limit: float, tmp_path: Path) -> None:
    """Weight by weight during the backward pass, or all at the end (as a bound on the norm needs it)."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2))
    other = copy.deepcopy(network)
    idle = torch.nn.Parameter(torch.ones(3))
    config = TrainConfig(clip_norm=limit)
    stepper = Stepper([*network.parameters(), idle], config, torch.device("cpu"), torch.float32)
    adam = torch.optim.Adam(other.parameters(), lr=0.01)
    for step in range(4):
        inputs = torch.randn(7, 6)
        stepper.step(network(inputs).square().mean(), rate=0.01, penalty=0.002)
        assert all(parameter.grad is None for parameter in network.parameters())
        penalty = sum(parameter.abs().sum() for parameter in other.parameters())
        adam.zero_grad()
        (other(inputs).square().mean() + 0.002 * penalty).backward()
        if limit:  # the bound is on the gradient of the whole loss, with its penalty
            torch.nn.utils.clip_grad_norm_(other.parameters(), limit)
        adam.step()
        for one, two in zip(network.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)
        if step == 1:  # what a checkpoint does
            kept = copy.deepcopy(stepper.state_dict())
            stepper.close()
            stepper = Stepper([*network.parameters(), idle], config, torch.device("cpu"), torch.float32)
            stepper.load_state_dict(kept)
    assert torch.equal(idle, torch.ones(3))
    assert bool(stepper.hooks) == (limit == 0)
    stepper.close()
    network(inputs).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


_PARALLEL = """
import sys
from pathlib import Path
from mindanim import runtime
from tests.decoders.test_training import all_networks
runtime.wait_for_all()
all_networks(Path(sys.argv[1]) / str(runtime.rank()))
"""


def all_networks(folder: Path) -> None:
    """Every network with everything that draws random numbers switched on, in batches that two processes
    cannot share evenly; the weights and the losses go to ``folder``."""
    folder.mkdir()
    data, steady = planted(), {"epsilon": 0.01}  # which keeps Adam from blowing up rounding differences
    semantic = SEMANTIC.model_copy(update=steady | {"batch_size": 33})
    structure = TrainStructureConfig(epochs=2, batch_size=25, width=8, learning_rate=0.01, epsilon=0.01)
    motion = MOTION.model_copy(update=steady | {"batch_size": 33, "motion_weight": 1.0})
    patches = {"decoder": "cmg-patches", "patch_size": 2, "patch_width": 8, "patch_layers": 1}
    patched = motion.model_copy(update=patches | {"patch_heads": 2})
    framewise = motion.model_copy(update={"decoder": "mlp"})
    for name, fitted in (
        ("semantic", lambda at: fit_decoder(semantic, data.semantic, SHAPES, data.split, at)),
        ("structure", lambda at: fit_decoder(structure, data.structure, SHAPES, data.split, at)),
        ("motion", lambda at: fit_decoder(motion, data.motion, SHAPES, data.split, at)),
        ("patches", lambda at: fit_decoder(patched, data.motion, SHAPES, data.split, at)),
        ("framewise", lambda at: fit_decoder(framewise, data.motion, SHAPES, data.split, at)),
    ):
        (folder / name).mkdir()
        found = fitted(machine(folder / name))
        losses = {column: torch.tensor(found.history[column].to_numpy()) for column in found.history}
        torch.save({**found.decoder.state_dict(), **losses}, folder / f"{name}.pt")


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    world["ACCELERATE_USE_CPU"] = "true"
    children = [
        start(_PARALLEL, str(tmp_path), cwd=ROOT, RANK=rank, LOCAL_RANK=rank, **world) for rank in ("0", "1")
    ]
    all_networks(tmp_path / "alone")
    for child in children:
        _, problems = child.communicate()
        assert child.returncode == 0, problems
    for name in ("semantic", "structure", "motion", "patches", "framewise"):
        alone, first, second = (
            torch.load(tmp_path / who / f"{name}.pt", weights_only=True) for who in ("alone", "0", "1")
        )
        for part, value in alone.items():
            assert torch.equal(first[part], second[part]), (name, part)
            torch.testing.assert_close(
                first[part].float(), value.float(), rtol=1e-3, atol=1e-5, msg=f"{name} {part}"
            )


def test_shares_cover_the_batch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "world_size", lambda: 3)
    for total in (1, 2, 3, 7, 12):
        seen, weight = torch.zeros(total), 0.0
        for rank in range(3):
            monkeypatch.setattr(runtime, "rank", lambda rank=rank: rank)
            with sharing(total) as own:
                part = float(weighted(torch.ones(())))
                seen[own] += part * total / len(seen[own])
                weight += part
        torch.testing.assert_close(seen, torch.ones(total))
        assert weight == pytest.approx(1)


def test_tensorboard_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            self.folder = folder

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append((name, value, epoch))

        def flush(self) -> None:
            return None

    board = types.ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    config = TrainConfig(epochs=3, batch_size=2, validate_every=2)
    place = machine(tmp_path)
    course = train(
        _Scripted([3.0, 2.0]),
        config,
        device=place.device,
        dtype=place.dtype,
        checkpoint=place.checkpoint,
        events=tmp_path / "events",
    )
    assert [(value, epoch) for name, value, epoch in written if name == "loss/val"] == [(3.0, 2), (2.0, 3)]
    assert len(course.history) == 2
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingError, match="tensorboard"):
        train(
            _Scripted([3.0]),
            config,
            device=place.device,
            dtype=place.dtype,
            checkpoint=place.checkpoint,
            events=tmp_path / "events",
        )
