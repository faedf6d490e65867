"""`accelerate launch` on two processes: the same command, the same loss curve."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mindanim import runtime
from mindanim.artifacts import Artifact
from mindanim.config.run_options import RunOptions
from tests.stages.test_train import make_fmri, make_stimuli

LAUNCH = "-m accelerate.commands.launch --num_processes 2"
# What `accelerate config` may keep, and the same in words.
SETTINGS = """
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
num_machines: 1
main_process_port: 0
"""
WORDS = " --multi_gpu --num_machines 1 --mixed_precision no --dynamo_backend no --main_process_port 0"
# All random parts are on: dropout, zeroed responses, augmented views; and batches that do not split evenly.
STAGE = "-m mindanim train-semantic --dataset planted --subject 1 --epochs 3 --batch-size 33 --device cpu"
STAGE += " --set head_widths=32 --set epsilon=0.001"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    run = RunOptions(dataset="planted", subject=1, work=tmp_path, device="cpu")
    make_fmri(run)
    make_stimuli(run)
    return tmp_path


def call(command: str, work: Path, settings: str = "") -> subprocess.CompletedProcess[str]:
    """The command, where Accelerate's own settings are as given."""
    home = work / "home"
    (home / "accelerate").mkdir(parents=True, exist_ok=True)
    if settings:
        (home / "accelerate" / "default_config.yaml").write_text(settings)
    done = subprocess.run(
        [sys.executable, *command.split(), "--work", str(work)],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_two_launched_processes_give_the_loss_curve_of_one(work: Path) -> None:
    call(f"{STAGE} --label one", work)
    said = [
        call(f"{LAUNCH}{WORDS} {STAGE} --label words", work),
        call(f"{LAUNCH} {STAGE} --label settings", work, SETTINGS),
    ]
    folder = work / "planted" / "sub-01"
    one = Artifact.load(folder / "semantic-one")
    for done, label in zip(said, ("words", "settings"), strict=True):
        assert done.stdout.count(str(folder)) == 1, "one process speaks"
        assert "but started one" not in done.stderr
        two = Artifact.load(folder / f"semantic-{label}")
        assert one.identity == two.identity and two.manifest["environment"]["processes"] == 2
        for column in one.table("history.tsv"):
            left, right = (artifact.table("history.tsv")[column] for artifact in (one, two))
            np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6, err_msg=f"{label} {column}")


@pytest.mark.skipif(torch.cuda.device_count() > 1, reason="there Accelerate starts several by itself")
def test_one_process_in_the_place_of_several_is_told(work: Path) -> None:
    done = call(f"{LAUNCH} {STAGE} --dry-run", work)
    assert done.stderr.count("but started one") == 1 and "--multi_gpu" in done.stderr


@pytest.mark.parametrize(
    ("environment", "alone"),
    [
        ({}, False),
        ({"MASTER_PORT": "29500"}, False),
        ({"ACCELERATE_MIXED_PRECISION": "no"}, False),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500"}, True),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500", "WORLD_SIZE": "2"}, False),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500", "PMI_SIZE": "2"}, False),
    ],
)
def test_launched_alone(environment: dict[str, str], alone: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCELERATE_MIXED_PRECISION", "MASTER_PORT", "WORLD_SIZE", "PMI_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert runtime.launched_alone() == alone
