"""Cost of fitting ridge decoders at the size of CC2017: private memory and CPU time.

    python examples/benchmarks/ridge.py              # 4,320 clips, 4,500 voxels; minutes, 1.2 GB of disk
    python examples/benchmarks/ridge.py --clips 720 --side 32

Responses and latents are random and in memory-mapped files, as in training. Memory is the process's private
memory (Linux's RssAnon, sampled fifty times a second) minus what it held before: pages of mapped files can be
reclaimed at any time. Each fit runs in its own process. A motion decoder's fit includes the first frames that
ridge decodes for its validation, as for every motion decoder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mindanim.config.train import TrainMotionConfig, TrainStructureConfig
from mindanim.decoders.base import Shapes
from mindanim.decoders.fit import fit_decoder
from mindanim.decoders.fit_result import Fitted
from mindanim.decoders.load_examples import decode_first_frames
from mindanim.decoders.training.fit_network import Machine
from mindanim.decoders.training_examples import MotionExamples, StructureExamples
from mindanim.decoders.validation_split import blocked_split

KINDS = ("structure", "motion-frame", "motion-difference")
SEGMENTS, CAUSES, AT_ONCE = 18, 64, 120


class Peak:
    """Peak private memory of this process while the block runs, minus that before, in bytes."""

    def __enter__(self) -> Peak:
        self.before = self.most = private()
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.done.wait(0.02):
            self.most = max(self.most, private())

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    @property
    def grown(self) -> int:
        return self.most - self.before


def private() -> int:
    """Private memory of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def write(folder: Path, given: argparse.Namespace) -> None:
    """Write random responses, and latents with some shared causes."""
    rng = np.random.default_rng(0)
    np.save(folder / "responses.npy", rng.standard_normal((given.clips, given.voxels)).astype(np.float32))
    shape = (given.clips, given.frames, 4 * given.side**2)
    latents = np.lib.format.open_memmap(folder / "latents.npy", "w+", np.float16, shape)
    loadings = rng.standard_normal((CAUSES, shape[1] * shape[2])).astype(np.float32) / CAUSES**0.5
    for start in range(0, given.clips, AT_ONCE):
        rows = slice(start, min(start + AT_ONCE, given.clips))
        causes = rng.standard_normal((rows.stop - rows.start, CAUSES)).astype(np.float32)
        latents[rows] = (causes @ loadings).reshape(-1, *shape[1:])
    latents.flush()


def fit(kind: str, folder: Path, given: argparse.Namespace) -> Fitted:
    """Fit one decoder to the files."""
    responses, latents = (
        torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in ("responses", "latents")
    )
    row = np.arange(given.clips)
    per = -(-given.clips // SEGMENTS)
    segment = [f"segment {number}" for number in row // per]
    clips = pd.DataFrame({"segment": segment, "film": segment, "onset_s": 2.0 * (row % per)})
    split = blocked_split(clips, 0.1, 20.0, 6)
    common = {
        "responses": responses,
        "fit": torch.from_numpy(split.fit),
        "validation": torch.from_numpy(split.validation),
    }
    shapes = Shapes((1, given.voxels), latents=(given.frames, 4, given.side, given.side))
    machine = Machine(torch.device("cpu"), torch.float32, folder / "training.pt")
    if kind == "structure":
        config = TrainStructureConfig(decoder="ridge")
        return fit_decoder(config, StructureExamples(**common, latents=latents[:, 0]), shapes, split, machine)
    motion = TrainMotionConfig(decoder="ridge", target=kind.removeprefix("motion-"))
    decoded = decode_first_frames(motion, responses, latents[:, 0], split)
    return fit_decoder(
        motion, MotionExamples(**common, latents=latents, decoded=decoded), shapes, split, machine
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--clips", type=int, default=4320)
    parser.add_argument("--voxels", type=int, default=4500)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--side", type=int, default=64, help="side of a frame's latent (four channels)")
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.kind:
        begun = time.process_time()
        with Peak() as peak:
            fit(given.kind, given.folder, given)
        seconds = time.process_time() - begun
        print(f"{given.kind:20}{peak.grown / 1e9:7.2f} GB{seconds:8.0f} CPU s", flush=True)
        return
    shared = [f"--{name}={getattr(given, name)}" for name in ("clips", "voxels", "frames", "side")]
    print(f"{', '.join(shared)}; {torch.get_num_threads()} threads, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), given)
        for kind in given.kinds:
            words = [sys.executable, __file__, *shared, f"--kind={kind}", f"--folder={folder}"]
            subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
