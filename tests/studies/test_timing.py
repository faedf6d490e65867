"""`mindanim show --timing`: the figure says when clips were shown and which volumes they read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mindanim.config.run_options import RunOptions
from mindanim.errors import UsageError
from mindanim.report import timing_figure
from mindanim.stages.show_timing import draw_timing
from tests.studies.layouts import SIZES, simulate


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("timing") / "study", "hcp", subjects=1)


def options(root: Path, work: Path) -> RunOptions:
    return RunOptions(dataset="simulated", data=root, work=work)


def test_a_run_with_all_that_lies_in_it(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr(timing_figure, "draw_timing", lambda path, run: (path.touch(), drawn.append(run)))
    title = draw_timing(tmp_path / "figures" / "timing.png", "repeat:2", options(root, tmp_path))
    assert "repeat repeat 2" in title and "MOVIE2" in title and (tmp_path / "figures/timing.png").exists()
    run = drawn[0]
    clips, test_clips = SIZES["hcp"]["clips"], SIZES["hcp"]["test_clips"]
    assert [clip.split for clip in run.clips] == ["train"] * clips + ["test"] * test_clips
    assert (run.clips[0].at_s, run.clips[-1].at_s) == (16.0, 65.0)
    assert (run.volumes, run.tr_s, run.lags_s) == (82, 1.0, (4.0,))


@pytest.mark.parametrize("wanted", ["", "MOVIE3", "repeat"])
def test_the_figure_is_a_picture(root: Path, tmp_path: Path, wanted: str) -> None:
    draw_timing(tmp_path / "timing.png", wanted, options(root, tmp_path))
    assert (tmp_path / "timing.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("path", "wanted", "why"),
    [("timing.txt", "", "not a .png file"), ("timing.png", "MOVIE9", "has no run 'MOVIE9'")],
)
def test_what_cannot_be_drawn(root: Path, tmp_path: Path, path: str, wanted: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        draw_timing(tmp_path / path, wanted, options(root, tmp_path))
    assert not list(tmp_path.iterdir())
