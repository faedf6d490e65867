"""The page on one's own study is followed to the letter, with small networks and few steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindanim.artifacts import Artifact
from tests.cli.conftest import Call
from tests.cli.films import write_film
from tests.cli.test_init import bids
from tests.documentation import ROOT, commands, words

# The page's commands stay as they are: the environment makes the work small.
SMALL = {
    "MINDANIM_DEVICE": "cpu",
    "MINDANIM_PREPROCESS_ALPHA": "1",
    "MINDANIM_PREPROCESS_DETREND_ORDER": "1",
    "MINDANIM_ENCODE_STIMULI_VIEWS": "1",
    "MINDANIM_ENCODE_STIMULI_EDITS": "none",
    "MINDANIM_TRAIN_SEMANTIC_EPOCHS": "2",
    "MINDANIM_TRAIN_SEMANTIC_VALIDATE_EVERY": "1",
    "MINDANIM_TRAIN_STRUCTURE_DECODER": "ridge",
    "MINDANIM_TRAIN_MOTION_DECODER": "ridge",
    "MINDANIM_GENERATE_STEPS": "2",
    "MINDANIM_GENERATE_LIMIT": "3",
    "MINDANIM_EVALUATE_SUBSET": "yes",
    "MINDANIM_EVALUATE_CEILING": "none",
    "MINDANIM_EVALUATE_NO_BRAIN": "none",
    "MINDANIM_EVALUATE_REPEATS": "none",
    "MINDANIM_EVALUATE_DIFFUSION": "none",
    "MINDANIM_EVALUATE_METRICS": "ssim.rgb7,psnr.db",
}
RUNS = {
    f"task-movie_run-{number}": [(4.0, 32.0 if film != "zoo.mp4" else 16.0, film)]
    for number, film in enumerate(("park.mp4", "sea side.mp4", "zoo.mp4") * 2, 1)
}


def test_the_page_runs_from_init_to_the_report(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = bids(tmp_path / "mystudy", RUNS)
    for film, seconds in (("park.mp4", 32), ("sea side.mp4", 32), ("zoo.mp4", 16)):
        write_film(study / "stimuli" / film, seconds)
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    page = [line for line in commands(ROOT / "docs/how-to/own-study.md") if "FOLDER" not in line]
    assert [line.split()[1] for line in page[:9]] == [
        "init", "doctor", "preprocess", "encode-stimuli", "train-semantic", "train-structure", "train-motion",
        "generate", "evaluate",
    ]  # fmt: skip
    for line in page[:9]:
        result = call(*(word.replace("/data/mystudy", str(study)) for word in words(line)))
        assert result.code == 0, f"{line}\n{result.err}"
        if line.split()[1] == "init":
            rows = Path("captions.tsv").read_text().splitlines()
            filled = [row + f"a red square number {number % 7}" for number, row in enumerate(rows[1:])]
            Path("captions.tsv").write_text("\n".join([rows[0], *filled]))
    work = Path("mindanim-work/bids-mystudy")
    evaluation = Artifact.load(next(work.glob("sub-*/evaluation")))
    assert "<h1>Mine, subject" in evaluation.file("report.html").read_text()
    recipes = {Artifact.load(path.parent).recipe for path in work.glob("**/manifest.json")}
    assert recipes == {"demo"}, "study.toml names it"
    metrics = evaluation.file("metrics.json").read_text()
    assert str(tmp_path) not in metrics and "mindanim-work" not in metrics
