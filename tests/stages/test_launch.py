"""`accelerate launch` on two processes: the same command, the same loss curve."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from mindanim.artifacts import Artifact
from mindanim.config.run import RunOptions
from tests.stages.test_train import make_fmri, make_stimuli

LAUNCH = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
LAUNCH += " --dynamo_backend no --main_process_port 0"
# All random parts are on: dropout, zeroed responses, augmented views; and batches that do not split evenly.
STAGE = "-m mindanim train-semantic --dataset planted --subject 1 --epochs 3 --batch-size 33 --device cpu"
STAGE += " --set head_widths=32 --set epsilon=0.001"


def test_two_launched_processes_give_the_loss_curve_of_one(tmp_path: Path) -> None:
    run = RunOptions(dataset="planted", subject=1, work=tmp_path, device="cpu")
    make_fmri(run)
    make_stimuli(run)
    place = ["--work", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    commands = [
        [sys.executable, *STAGE.split(), *place, "--label", "one"],
        [sys.executable, *LAUNCH.split(), *STAGE.split(), *place, "--label", "two"],
    ]
    said = []
    for words in commands:
        done = subprocess.run(
            words, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    folder = tmp_path / "planted" / "sub-01"
    assert said[1].count(str(folder)) == 1, "one process speaks"
    one, two = (Artifact.load(folder / f"semantic-{label}") for label in ("one", "two"))
    assert one.identity == two.identity and two.manifest["environment"]["processes"] == 2
    for column in one.table("history.tsv"):
        left, right = (artifact.table("history.tsv")[column] for artifact in (one, two))
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6, err_msg=column)
