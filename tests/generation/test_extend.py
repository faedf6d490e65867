"""Videos of some clips, extended later: what is there is kept, and the result is that of one run."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mindanim.artifacts import Artifact, Planned, ShareDone, staleness
from mindanim.artifacts.draft import Draft
from mindanim.artifacts.lineage import input_entry
from mindanim.cli.app import main
from mindanim.errors import InputError
from mindanim.generation.features import Features
from mindanim.generation.generator import Generator
from mindanim.metrics.inputs.test_set import read_test_set
from mindanim.stages.generate import generate
from tests.generation.study import TEST, config, make_study, options

FIRST = [f"test1-{n:04}" for n in (1, 2, 3)]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("work")
    make_study(work)
    return work


@pytest.fixture(scope="module")
def whole(work: Path) -> Artifact:
    return run_stage(work, "whole")


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the clips that the network samples."""
    names: list[str] = []
    frames = Generator.frames

    def counted(self: Generator, given: Features, clip_ids: Sequence[str]) -> np.ndarray:
        names.extend(clip_ids)
        return frames(self, given, clip_ids)

    monkeypatch.setattr(Generator, "frames", counted)
    return names


def run_stage(work: Path, label: str, *, run: dict[str, object] | None = None, **changes: object) -> Artifact:
    return generate(
        config(work / "model", **changes), options(work, label=label, **({"batch": 3} | (run or {})))
    )


def clips(videos: Artifact) -> list[str]:
    return list(videos.table("clips.tsv")["clip_id"])


def test_the_rest_is_made_and_the_result_is_that_of_one_run(
    work: Path, whole: Artifact, sampled: list[str]
) -> None:
    part = run_stage(work, "grown", limit=3)
    assert clips(part) == FIRST and part.identity == whole.identity
    assert [finding["code"] for finding in part.findings] == ["subset"]
    written = {name: part.file(f"clips/{name}.npy").stat().st_mtime_ns for name in FIRST}
    sampled.clear()
    with pytest.raises(Planned) as dry:
        run_stage(work, "grown", run={"dry_run": True})
    assert dry.value.plan.action == "extend" and "lacks 4 of the 7 asked for" in dry.value.plan.reason
    grown = run_stage(work, "grown", run={"batch": None})
    assert sampled == clips(whole)[3:], "the first three are not sampled again, in batches as before"
    assert grown.digest == whole.digest and grown.facts == whole.facts
    assert grown.manifest["methods"] == whole.manifest["methods"] and grown.findings == []
    for name, before in written.items():
        assert grown.file(f"clips/{name}.npy").stat().st_mtime_ns == before
    assert not list((grown.path.parent / ".replaced").glob("videos-grown*")), "all it had is in the new one"


def test_clips_that_are_there_are_not_made_again(
    work: Path, sampled: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run_stage(work, "some", clips="2-4")
    sampled.clear()
    capsys.readouterr()
    assert clips(run_stage(work, "some", clips="3")) == ["test1-0002", "test1-0003", "test1-0004"]
    assert not sampled and "the 1 clips asked for and 2 more" in capsys.readouterr().err
    both = run_stage(work, "some", clips="1,4,6", run={"batch": 1})
    assert sampled == ["test1-0001", "test1-0006"]
    assert clips(both) == [f"test1-{n:04}" for n in (1, 2, 3, 4, 6)] and both.facts["clips"] == 5


def test_what_was_made_from_fewer_clips_is_stale_and_says_why(work: Path) -> None:
    part = run_stage(work, "stale", limit=2)
    entry = input_entry(part, part.path.with_name("evaluation"))
    manifest = part.manifest | {"inputs": {"videos": entry}}
    scored = Artifact(part.path.with_name("evaluation"), "evaluation", "e", manifest)
    assert staleness(scored) == []
    run_stage(work, "stale", limit=4)
    assert "2 clips then, 4 now" in " ".join(staleness(scored))


def test_a_stopped_run_of_fewer_clips_is_carried_over(
    work: Path, whole: Artifact, sampled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped after its findings were recorded, before the manifest."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Draft, "seal", stop)
        run_stage(work, "stopped", limit=3)
    sampled.clear()
    grown = run_stage(work, "stopped")
    assert sampled == clips(whole)[3:] and grown.digest == whole.digest and grown.findings == []


def test_a_stopped_run_of_more_clips_is_cut_to_what_is_finished(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("mindanim.stages.generate._Work._finish", stop)
        run_stage(work, "cut")
    (partial,) = (work / "noise/sub-01").glob(".videos-cut.partial-*")
    (partial / "clips/test1-0007.npy").unlink()  # its film is there, its frames are not
    cut = run_stage(work, "cut", limit=1)
    assert clips(cut) == [f"test1-{n:04}" for n in range(1, TEST)]
    assert "view/test1-0007.mp4" not in cut.outputs and len(cut.array("decoded_clip.npy")) == TEST - 1


def test_a_sealed_part_that_was_not_put_in_place_is_extended(
    work: Path, whole: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(sys.modules["mindanim.artifacts.produce"], "_put_in_place", stop)
        run_stage(work, "sealed", limit=3)
    assert run_stage(work, "sealed").digest == whole.digest


def test_a_changed_clip_is_not_taken_over(work: Path) -> None:
    part = run_stage(work, "changed", limit=2)
    frames = part.path / "clips/test1-0002.npy"
    content = bytearray(frames.read_bytes())
    content[-1] ^= 1
    frames.write_bytes(content)
    with pytest.raises(InputError, match="test1-0002.npy has another content"):
        run_stage(work, "changed")
    assert Artifact.load(part.path).identity == part.identity, "what is there stays"


def test_shares_extend_together(work: Path, whole: Artifact, sampled: list[str]) -> None:
    run_stage(work, "shared", limit=3)
    sampled.clear()
    with pytest.raises(ShareDone):
        run_stage(work, "shared", run={"shard": "1/2", "batch": 1})
    assert len(Artifact.load(work / "noise/sub-01/videos-shared").table("clips.tsv")) == 3
    grown = run_stage(work, "shared", run={"shard": "2/2", "batch": 1})
    assert sorted(sampled) == clips(whole)[3:] and clips(grown) == clips(whole)


def test_files_are_copied_where_links_are_not_possible(
    work: Path, whole: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError("no hard links here")

    run_stage(work, "copied", limit=3)
    monkeypatch.setattr(os, "link", no_links)
    assert run_stage(work, "copied").digest == whole.digest


def test_the_command_that_evaluation_suggests_makes_the_rest(work: Path, whole: Artifact) -> None:
    """Also where the clips were chosen by name."""
    for label, chosen in (("few", {"limit": 2}), ("named", {"clips": ",".join(FIRST[:2])})):
        part = run_stage(work, label, **chosen)
        fmri, stimuli = (
            Artifact.load(path) for path in (part.path.parent / "fmri", work / "noise" / "stimuli")
        )
        with pytest.raises(InputError, match="have no reconstruction") as caught:
            read_test_set(fmri, stimuli, part, subset=False)
        _, _, command = caught.value.hint.partition("To generate the rest: ")
        main(shlex.split(command)[1:])
        assert clips(Artifact.load(part.path)) == clips(whole)
