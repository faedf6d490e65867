"""Clips that are read batch by batch train the same decoder as clips that are all on the device."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.decoders.build import build
from mindanim.decoders.fit import fit_decoder
from mindanim.decoders.fit_result import Fitted
from mindanim.decoders.training.feed import Feed, fits, placed
from mindanim.decoders.training_examples import Examples
from tests.decoders.planted import SHAPES, machine, planted

CPU = torch.device("cpu")
SMALL = {"epochs": 3, "batch_size": 30, "zero_fraction": 0.1}
MOTION = SMALL | {"width": 8, "heads": 2, "feedforward": 8, "fmri_width": 12, "first_frames": "both"}


def semantic(folder: Path, **more: Any) -> Fitted:
    data, config = planted(), TrainSemanticConfig.model_validate(SMALL | {"head_widths": (12,)} | more)
    return fit_decoder(config, data.semantic, SHAPES, data.split, machine(folder))


def structure(folder: Path, **more: Any) -> Fitted:
    data, config = planted(), TrainStructureConfig.model_validate(SMALL | {"standardise": True} | more)
    return fit_decoder(config, data.structure, SHAPES, data.split, machine(folder))


def motion(folder: Path, **more: Any) -> Fitted:
    data, config = planted(), TrainMotionConfig.model_validate(MOTION | {"target": "difference"} | more)
    return fit_decoder(config, data.motion, SHAPES, data.split, machine(folder))


def framewise(folder: Path, **more: Any) -> Fitted:
    return motion(folder, decoder="mlp", **more)


@pytest.mark.parametrize("fit", [semantic, structure, motion, framewise])
def test_streamed_or_not_the_decoder_has_the_same_bits(fit: Any, tmp_path: Path) -> None:
    for name in ("always", "never"):
        (tmp_path / name).mkdir()
    streamed, resident = (fit(tmp_path / name, stream_data=name) for name in ("always", "never"))
    weights = resident.decoder.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in streamed.decoder.state_dict().items())
    assert streamed.history.equals(resident.history) and streamed.facts == resident.facts


class Stop(BaseException):
    pass


@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_streamed_training_that_was_stopped_ends_the_same(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cut", "whole"):
        (tmp_path / name).mkdir()
    whole = motion(tmp_path / "whole")
    take, taken = Feed.take, []

    def dying(self: Feed, rows: torch.Tensor, following: torch.Tensor | None) -> Any:
        taken.append(rows)
        if len(taken) > stop:
            raise Stop
        return take(self, rows, following)

    with monkeypatch.context() as patch:
        patch.setattr(Feed, "take", dying)
        with pytest.raises(Stop):
            motion(tmp_path / "cut", stream_data="always", checkpoint_s=0)
    resumed = motion(tmp_path / "cut", stream_data="always", checkpoint_s=0)
    weights = whole.decoder.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in resumed.decoder.state_dict().items())


class Watched(Feed):
    """A feed that notes which rows it reads, in the order of reading."""

    def __init__(self, examples: Examples) -> None:
        super().__init__(examples, CPU, streamed=True)
        self.read: list[list[int]] = []

    def _read(self, rows: torch.Tensor) -> tuple[Examples, Any]:
        self.read.append(rows.tolist())
        if rows[0] == 99:
            raise OSError("the disk is gone")
        return super()._read(rows)


def test_one_batch_is_read_ahead_and_no_more() -> None:
    data = planted().structure
    feed = Watched(data)
    batches = [torch.tensor([3, 1]), torch.tensor([7]), torch.tensor([0, 5]), torch.tensor([9])]
    found = [feed.take(batches[0], batches[1]), feed.take(batches[1], batches[2])]
    # An order that was not foretold, as after a resumption, is read when asked for.
    found.append(feed.take(batches[3], None))
    feed.close()
    assert feed.read == [[3, 1], [7], [0, 5], [9]]
    for rows, batch in zip((batches[0], batches[1], batches[3]), found, strict=True):
        assert torch.equal(batch.latents, data.latents[data.fit[rows]])
        assert torch.equal(batch.responses, data.responses[data.fit[rows]])


def test_a_failure_to_read_ahead_is_an_error_of_the_training() -> None:
    feed = Watched(planted().structure)
    feed.take(torch.tensor([1]), torch.tensor([99]))
    with pytest.raises(OSError, match="the disk is gone"):
        feed.take(torch.tensor([99]), None)
    feed.close()


def test_clips_move_to_a_gpu_if_they_fit_beside_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    data, gpu = planted().motion, torch.device("cuda", 0)
    decoder = build("structure", {"decoder": "mlp", "width": 8}, SHAPES)
    weights = sum(parameter.nbytes for parameter in decoder.parameters())
    needed = 2 * data.nbytes + 4 * weights
    for free, expected in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (free, 10**12))
        assert fits(data, decoder, gpu) == expected
    # What does not fit stays where it is, unless it must move.
    config = TrainMotionConfig()
    assert placed(data, decoder, config, gpu) is data
    assert fits(data, decoder, CPU) and placed(data, decoder, config, CPU).latents is data.latents
    moved: list[torch.device] = []
    monkeypatch.setattr(type(data), "to", lambda self, device: moved.append(device))
    placed(data, decoder, config.model_copy(update={"stream_data": "never"}), gpu)
    assert moved == [gpu]


_CHILD = """
import sys
from pathlib import Path
import numpy as np, torch
import mindanim.decoders.training.loop as training
from mindanim.config.train import TrainStructureConfig
from mindanim.decoders.base import Shapes
from mindanim.decoders.validation_split import Split
from mindanim.decoders.training_examples import StructureExamples
from mindanim.decoders.fit import fit_decoder
from tests.decoders.planted import machine
def private():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024
latents = torch.from_numpy(np.load(sys.argv[1], mmap_mode="c"))[: int(sys.argv[3])]
rows = torch.arange(len(latents))
split = Split(rows[8:].numpy(), rows[:8].numpy(), rows[:0].numpy(), np.array(["a"] * len(rows)), "")
data = StructureExamples(torch.randn(len(rows), 6), rows[8:], rows[:8], latents)
most = []
take = training._Run.take
def watched(self, step, epoch):
    take(self, step, epoch)
    most.append(private())
training._Run.take = watched
shapes = Shapes((1, 6), latents=(2, 1, 1, latents.shape[1]))
options = {"epochs": 1, "batch_size": 8, "width": 4, "blocks": 0, "stream_data": "always"}
config = TrainStructureConfig(standardise=True, **options)
fit_decoder(config, data, shapes, split, machine(Path(sys.argv[2])))
print(max(most))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
def test_memory_does_not_grow_with_the_clips(tmp_path: Path) -> None:
    """Latents of 0.5 MB per clip in a file, through the standardisation and one epoch."""
    file = np.lib.format.open_memmap(tmp_path / "latents.npy", "w+", np.float16, (480, 1 << 18))
    for row in range(len(file)):
        file[row] = row
    file.flush()
    most = []
    for clips in (80, 480):
        words = [sys.executable, "-c", _CHILD, str(tmp_path / "latents.npy"), str(tmp_path), str(clips)]
        place = Path(__file__).parents[2]
        done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        most.append(int(done.stdout.split()[-1]))
    # The 400 clips more are 210 MB in float16.
    assert most[1] - most[0] < 50, most


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_fed_from_pinned_memory() -> None:
    device = torch.device("cuda", torch.cuda.current_device())
    data = planted().motion
    assert data.at(torch.tensor([1, 2]), pinned=True).latents.is_pinned()
    feed = Feed(data, device, streamed=True)
    batches = [torch.randperm(len(data.fit))[:9] for _ in range(20)]
    for rows, following in zip(batches, [*batches[1:], None], strict=True):
        batch = feed.take(rows, following)
        assert batch.latents.device == device
        assert torch.equal(batch.latents.cpu(), data.latents[data.fit[rows]])
    feed.close()
