import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mindanim.config.training import TrainConfig, TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.base import Decoder, build
from mindanim.decoders.fit import fit_motion, fit_semantic, fit_structure
from mindanim.decoders.fitting import Fitted
from mindanim.decoders.training import Progress, Task, train
from mindanim.errors import ConfigError
from tests.decoders.planted import SHAPES, machine, planted

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
    return fit_semantic(config, data.semantic, SHAPES, data.split, machine(folder))


def motion(folder: Path) -> Fitted:
    data = planted()
    return fit_motion(MOTION, data.motion, SHAPES, data.split, machine(folder))


def assert_equal(one: Decoder, other: Decoder) -> None:
    left, right = one.state_dict(), other.state_dict()
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("fit", [semantic, motion])
@pytest.mark.parametrize("stop", [1, 4, 5, 8])
def test_a_stopped_training_ends_as_an_uninterrupted_one(
    fit: object, stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(fit)
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = fit(tmp_path / "whole")
    import mindanim.decoders.training as training

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
import mindanim.decoders.training as training
from tests.decoders.test_training import motion
folder, slow = Path(sys.argv[1]), float(sys.argv[2])
original = training._Run.take
def take(self, step, epoch):
    original(self, step, epoch)
    print(step, flush=True)
    time.sleep(slow)
training._Run.take = take
fitted = motion(folder)
torch.save(fitted.decoder.state_dict(), folder / "result.pt")
"""


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def start(program: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_kill_minus_nine(tmp_path: Path, one_thread: None) -> None:
    for name in ("cut", "whole"):
        (tmp_path / name).mkdir()
    doomed = start(_CHILD, str(tmp_path / "cut"), "60")
    assert doomed.stdout is not None
    doomed.stdout.readline()
    doomed.kill()
    doomed.communicate()
    assert doomed.returncode == -signal.SIGKILL
    again = start(_CHILD, str(tmp_path / "cut"), "0")
    whole = motion(tmp_path / "whole").decoder.state_dict()
    said, problems = again.communicate()
    assert again.returncode == 0, problems
    # The first step was saved before the kill, and is not done again.
    assert said.split()[0] == "1"
    cut = torch.load(tmp_path / "cut" / "result.pt", weights_only=True)
    assert all(torch.equal(cut[name], whole[name]) for name in whole)


def test_training_does_not_touch_data_or_the_global_generator(tmp_path: Path) -> None:
    data = planted()
    before = {name: value.clone() for name, value in vars(data.semantic).items()}
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    fit_semantic(SEMANTIC, data.semantic, SHAPES, data.split, machine(tmp_path))
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


class _Scripted(Task[Decoder]):
    """One parameter that counts the steps, and validation figures that are given beforehand."""

    rows = 4

    def __init__(self, script: list[float], loss: float = 1.0) -> None:
        super().__init__(build("structure", {"decoder": "ridge"}, SHAPES))
        self.count = torch.nn.Parameter(torch.zeros(()))
        self.script, self.value = script, loss

    def losses(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": -self.count * self.value}

    def validate(self) -> dict[str, float]:
        return {"loss": self.script.pop(0), "score": 0.0}


def run(task: Task[Decoder], folder: Path, **options: object) -> Progress:
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


def test_last_epoch_and_sparse_validation(tmp_path: Path) -> None:
    task = _Scripted([5.0, 6.0, 7.0])
    course = run(task, tmp_path, epochs=5, validate_every=2, select="last")
    assert [row["epoch"] for row in course.history] == [2, 4, 5]
    assert course.best_epoch == 5 and task.count.item() == pytest.approx(10.0, abs=0.01)


def test_divergence_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nan in epoch 1"):
        run(_Scripted([1.0], loss=float("nan")), tmp_path, epochs=2)


def test_averaged_weights_are_what_is_kept(tmp_path: Path) -> None:
    task = _Scripted([1.0])
    run(task, tmp_path, epochs=1, ema=0.999)
    # After steps to 1 and 2 with warm-up decays 1/10 and 2/11.
    assert task.count.item() == pytest.approx((0.9 * 1) * 2 / 11 + 2 * 9 / 11, abs=0.01)


_PARALLEL = """
import sys
from pathlib import Path
import torch
from accelerate import PartialState
from mindanim import runtime
from tests.decoders.test_training import structure
PartialState(cpu=True)
fitted = structure(Path(sys.argv[1]))
torch.save(fitted.decoder.state_dict(), Path(sys.argv[1]) / f"{runtime.rank()}.pt")
"""


def structure(folder: Path) -> Fitted:
    # A large epsilon keeps Adam from blowing up rounding differences of tiny gradients.
    config = TrainStructureConfig(
        epochs=2, batch_size=25, width=8, dropout=0, zero_fraction=0, learning_rate=0.01, epsilon=0.01
    )
    data = planted()
    return fit_structure(config, data.structure, SHAPES, data.split, machine(folder))


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    children = [start(_PARALLEL, str(tmp_path), RANK=rank, LOCAL_RANK=rank, **world) for rank in ("0", "1")]
    (tmp_path / "alone").mkdir()
    alone = structure(tmp_path / "alone").decoder.state_dict()
    for child in children:
        _, problems = child.communicate()
        assert child.returncode == 0, problems
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for name, value in alone.items():
        assert torch.equal(first[name], second[name])
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5)
