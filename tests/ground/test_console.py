"""Which messages go to stderr and to the log, and when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mindanim import console


@pytest.fixture(autouse=True)
def normal() -> Iterator[None]:
    yield
    console.set_verbosity(console.NORMAL)


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        (console.QUIET, ["warning: w"]),
        (console.NORMAL, ["s", "t", "warning: w"]),
        (console.VERBOSE, ["s", "d", "t", "warning: w"]),
    ],
)
def test_levels(level: int, heard: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    console.set_verbosity(level)
    console.say("s")
    console.detail("d")
    console.step("t")
    console.warn("w")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == heard and captured.out == ""


def test_other_processes_of_a_launch_only_warn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    console.say("s")
    console.warn("w")
    assert capsys.readouterr().err == "warning: w\n"


def test_a_log_hears_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    console.set_verbosity(console.QUIET)
    log = tmp_path / "log.txt"
    with console.logging_to(log):
        console.say("[brackets] are text")
        console.detail("d")
    console.say("later")
    lines = log.read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["[brackets] are text", "d"]
    assert console.last_log() == log
    log.unlink()
    assert console.last_log() is None and capsys.readouterr().err == ""


def test_progress_passes_items_through(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(console.progress([1, 2, 3], "Counting")) == [1, 2, 3]
    assert list(console.progress(iter("ab"), "Spelling")) == ["a", "b"]
    assert capsys.readouterr().err == "", "what takes no time is not worth a line"


def test_progress_off_a_terminal_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress(100, "Training") as bar:
        for _ in range(4):
            now[0] += 6
            bar.advance(10, loss=0.123456, epoch=3)
    assert capsys.readouterr().err.splitlines() == [
        "Training: 20/100 (20 %), about 48 s left, loss 0.1235, epoch 3",
        "Training: 40/100 (40 %), about 36 s left, loss 0.1235, epoch 3",
        "Training: 40 in 24 s, loss 0.1235, epoch 3",
    ]


def test_progress_of_unknown_length(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    with console.progress(None, "Reading") as bar:
        now[0] += 4000
        bar.advance()
    assert capsys.readouterr().err.splitlines() == ["Reading: 1", "Reading: 1 in 1 h 06 min"]


def test_bars_on_a_terminal_may_be_nested(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: True)
    with console.progress(2, "Outer") as outer:
        for _ in console.progress(range(3), "Inner"):
            console.say("news in between")
        outer.advance(2)
    assert capsys.readouterr().err.count("news in between") == 3


def test_a_number_of_steps_cannot_be_iterated() -> None:
    with pytest.raises(TypeError, match="advance"):
        list(console.progress(3, "Steps"))
