"""Artifacts: built once, reused, refused, set aside, and stale when what they were made from changes."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mindanim.artifacts import Artifact, Draft, Planned, Source, Workspace, identity_of, staleness
from mindanim.artifacts.artifact import MANIFEST
from mindanim.config import invocation
from mindanim.errors import InputError
from tests.ground.toy import SOURCE, ToyConfig, build_toy, make


def never(draft: Draft) -> None:
    raise AssertionError("nothing was to be built")


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_finished_artifact_reads_back(tmp_path: Path) -> None:
    artifact = make(tmp_path, factor=3.0)
    assert artifact.path == tmp_path / "toy/sub-01/fmri"
    assert artifact.identity == identity_of("fmri", ToyConfig(factor=3.0), {"numbers": SOURCE}, seed=0)
    np.testing.assert_array_equal(artifact.array("values.npy"), [0, 3, 6])
    assert not artifact.array("values.npy").flags.writeable
    assert artifact.table("clips.tsv")["clip_id"].tolist() == ["0000", "0001", "0002"]
    assert artifact.json("about.json") == {"rows": 3} and artifact.facts == {"rows": 3}
    assert contents(artifact.path.parent) == {"fmri"}, "nothing is left beside it"
    assert contents(artifact.path) == {*artifact.outputs, MANIFEST, "config.toml", "log.txt"}


def test_the_manifest_describes_every_output(tmp_path: Path) -> None:
    outputs = make(tmp_path).outputs
    assert outputs["filled.npy"]["shape"] == [3, 2] and outputs["filled.npy"]["dtype"] == "float32"
    assert outputs["filled.npy"]["axes"] == "clip feature" and outputs["values.npy"]["unit"] == "x"
    assert outputs["clips.tsv"]["columns"] == {"clip_id": "", "value": "x"}
    assert outputs["clips.tsv"]["rows"] == 3
    assert all(len(entry["sha256"]) == 64 and entry["bytes"] > 0 for entry in outputs.values())


def test_the_same_again_is_reused_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = make(tmp_path)
    again = make(tmp_path, build=never, run={"device": "cuda", "batch": 4}, clip="elsewhere")
    assert again.manifest == first.manifest
    assert "nothing to do, same inputs and options" in capsys.readouterr().err


def test_the_precision_is_recorded_and_said_where_another_one_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(precision: str) -> str:
        make(tmp_path, build=never, run={"precision": precision})
        return capsys.readouterr().err

    def stopped(draft: Draft) -> None:
        draft.computes_in("fp16")
        raise KeyboardInterrupt

    def build(draft: Draft) -> None:
        draft.computes_in("bf16")
        build_toy(ToyConfig())(draft)

    assert make(tmp_path, build=build).facts["precision"] == "bf16"
    assert "(computed in bf16)" in said("auto") and "computed" not in said("bf16")
    assert "(computed in bf16; --force computes it in fp32)" in said("fp32")
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, build=stopped, factor=3.0, run={"label": "two"})
    assert make(tmp_path, build=build, factor=3.0, run={"label": "two"}).facts["precision"] == "fp16, bf16"
    assert "precision" not in make(tmp_path, run={"label": "none"}).facts


def test_a_fact_that_is_no_number_is_null(tmp_path: Path) -> None:
    """Identification among clips that all have the same caption, for one."""

    def build(draft: Draft) -> None:
        draft.fact(accuracy=float("nan"), chance=0.5, name="n")

    assert make(tmp_path, build=build).facts == {"accuracy": None, "chance": 0.5, "name": "n"}


def test_other_options_are_refused_with_the_difference(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(InputError) as caught:
        make(tmp_path, build=never, factor=5.0, lags=(4.0, 6.0))
    assert caught.value.why.splitlines() == [
        "option factor: 2.0 -> 5.0",
        "option lags: [4.0] -> [4.0, 6.0]",
    ]
    assert "--force" in caught.value.hint and "--label" in caught.value.hint


def test_other_inputs_are_refused_with_the_difference(tmp_path: Path) -> None:
    film = tmp_path / "films/seg1.mp4"
    film.parent.mkdir()
    film.write_bytes(b"old")
    make(tmp_path, inputs={"films": Source.of_files("films", [film], film.parent)})
    film.write_bytes(b"changed")
    new = film.with_name("seg2.mp4")
    new.write_bytes(b"new")
    with pytest.raises(InputError) as caught:
        make(tmp_path, build=never, inputs={"films": Source.of_files("films", [film, new], film.parent)})
    assert "input films" in caught.value.why
    assert "added: seg2.mp4" in caught.value.why and "changed: seg1.mp4" in caught.value.why
    with pytest.raises(InputError, match="input films: is no longer used"):
        make(tmp_path, build=never)


def test_a_label_keeps_both(tmp_path: Path) -> None:
    make(tmp_path)
    other = make(tmp_path, factor=5.0, run={"label": "five"})
    assert other.path.name == "fmri-five" and contents(other.path.parent) == {"fmri", "fmri-five"}


def test_force_sets_aside_and_never_deletes(tmp_path: Path) -> None:
    first = make(tmp_path)
    second = make(tmp_path, factor=5.0, run={"force": True})
    third = make(tmp_path, factor=5.0, run={"force": True})
    aside = [Artifact.load(path) for path in sorted((first.path.parent / ".replaced").iterdir())]
    assert [old.identity for old in aside] == [first.identity, second.identity]
    assert third.identity == second.identity and not aside[0].problems()


def test_what_is_no_artifact_is_in_the_way(tmp_path: Path) -> None:
    mine = tmp_path / "toy/sub-01/fmri"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="in the way"):
        make(tmp_path, build=never)
    make(tmp_path, run={"force": True})
    (aside,) = (mine.parent / ".replaced").iterdir()
    assert (aside / "thesis.txt").read_text() == "precious"


def test_an_empty_folder_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "toy/sub-01/fmri").mkdir(parents=True)
    assert make(tmp_path).facts == {"rows": 3}


@pytest.mark.parametrize("damage", ["remove", "truncate"])
def test_a_damaged_artifact_is_not_reused(tmp_path: Path, damage: str) -> None:
    file = make(tmp_path).path / "values.npy"
    if damage == "remove":
        file.unlink()
    else:
        file.write_bytes(b"")
    with pytest.raises(InputError, match=r"values\.npy"):
        make(tmp_path, build=never)
    with pytest.raises(InputError, match=r"values\.npy"):
        Artifact.load(file.parent).file("values.npy")
    assert make(tmp_path, run={"force": True}).problems() == []


class TestStaleness:
    def chain(self, work: Path, factor: float = 2.0, **run: object) -> tuple[Artifact, Artifact]:
        fmri = make(work, factor=factor, run=run)
        return fmri, make(work, "semantic", {"fmri": fmri}, run=run)

    def test_a_fresh_chain_is_not_stale(self, tmp_path: Path) -> None:
        _, semantic = self.chain(tmp_path)
        assert staleness(semantic) == []
        assert make(tmp_path, "videos", {"semantic": semantic}).kind == "videos"

    def test_an_input_whose_input_changed_is_refused_and_says_why(self, tmp_path: Path) -> None:
        _, semantic = self.chain(tmp_path)
        make(tmp_path, factor=5.0, run={"force": True})
        with pytest.raises(InputError) as caught:
            make(tmp_path, "videos", {"semantic": semantic}, build=never)
        assert "semantic" in caught.value.what and "stale" in caught.value.what
        assert "factor: 2.0 -> 5.0" in caught.value.why and "fmri" in caught.value.why
        words = shlex.split(caught.value.hint.removeprefix("Run: "))
        assert words[:3] == ["mindanim", "train-semantic", "--config"] and Path(words[3]).is_file()
        assert words[4:] == ["--force", "--work", str(tmp_path)]

    def test_a_change_further_up_counts_too(self, tmp_path: Path) -> None:
        _, semantic = self.chain(tmp_path)
        videos = make(tmp_path, "videos", {"semantic": semantic})
        make(tmp_path, factor=5.0, run={"force": True})
        assert any("semantic was made from a different fmri" in reason for reason in staleness(videos))

    def test_the_stale_stage_itself_refuses_to_be_reused(self, tmp_path: Path) -> None:
        self.chain(tmp_path)
        fmri = make(tmp_path, factor=5.0, run={"force": True})
        with pytest.raises(InputError, match=r"input fmri: \w+ -> \w+ \(factor: 2\.0 -> 5\.0\)"):
            make(tmp_path, "semantic", {"fmri": fmri}, build=never)

    def test_a_rebuild_with_another_result_makes_stale(self, tmp_path: Path) -> None:
        fmri, semantic = self.chain(tmp_path)

        def otherwise(draft: Draft) -> None:
            build_toy(ToyConfig())(draft)
            draft.save_json("about.json", {"rows": "many"})

        again = make(tmp_path, build=otherwise, run={"force": True})
        assert again.identity == fmri.identity and again.digest != fmri.digest
        assert "a different result" in " ".join(staleness(semantic))
        with pytest.raises(InputError, match="a different result"):
            make(tmp_path, "semantic", {"fmri": again}, build=never)

    def test_a_rebuild_with_the_same_result_does_not(self, tmp_path: Path) -> None:
        _, semantic = self.chain(tmp_path)
        make(tmp_path, run={"force": True})
        assert staleness(semantic) == []

    def test_raw_files_that_changed_make_stale(self, tmp_path: Path) -> None:
        run = tmp_path / "raw/run1.nii"
        run.parent.mkdir()
        run.write_bytes(b"bold")
        fmri = make(tmp_path, inputs={"runs": Source.of_files("runs", [run], run.parent)})
        run.write_bytes(b"BOLD!")
        with pytest.raises(InputError, match=r"files have changed: run1\.nii"):
            make(tmp_path, "semantic", {"fmri": fmri}, build=never)

    def test_an_input_that_was_removed_cannot_be_compared(self, tmp_path: Path) -> None:
        fmri, semantic = self.chain(tmp_path)
        shutil.rmtree(fmri.path)
        assert staleness(semantic) == []

    def test_a_moved_work_folder_stays_whole(self, tmp_path: Path) -> None:
        _, semantic = self.chain(tmp_path / "before")
        (tmp_path / "before").rename(tmp_path / "after")
        moved = Artifact.load(tmp_path / "after/toy/sub-01/semantic")
        assert staleness(moved) == [] and moved.manifest == semantic.manifest
        make(tmp_path / "after", factor=5.0, run={"force": True})
        assert staleness(moved) != []

    def test_damaged_inputs_are_refused(self, tmp_path: Path) -> None:
        fmri, _ = self.chain(tmp_path)
        (fmri.path / "values.npy").unlink()
        with pytest.raises(InputError, match="input fmri is damaged"):
            make(tmp_path, "structure", {"fmri": fmri}, build=never)


class TestDryRun:
    def plan(self, work: Path, **more: object) -> Planned:
        with pytest.raises(Planned) as caught:
            make(work, build=never, run={"dry_run": True}, **more)
        return caught.value

    def test_it_writes_nothing(self, tmp_path: Path) -> None:
        assert self.plan(tmp_path).plan.action == "build"
        assert list(tmp_path.iterdir()) == []

    def test_it_tells_what_would_be_skipped(self, tmp_path: Path) -> None:
        make(tmp_path)
        assert self.plan(tmp_path).plan.action == "skip"

    def test_it_refuses_what_would_be_refused(self, tmp_path: Path) -> None:
        make(tmp_path)
        with pytest.raises(InputError):
            make(tmp_path, build=never, run={"dry_run": True}, factor=5.0)


def test_too_little_room_is_an_error_before_any_work(tmp_path: Path) -> None:
    from mindanim.artifacts import produce
    from tests.ground.toy import options

    run = options(tmp_path)
    with pytest.raises(InputError, match="GB free"):
        produce(
            "fmri",
            Workspace.of(run).place(run, "fmri"),
            config=ToyConfig(),
            inputs={},
            run=run,
            seed=None,
            build=never,
            expected_bytes=10**18,
        )
    assert list(tmp_path.iterdir()) == []


class TestInterrupted:
    """A build that fails leaves its work; the next run continues it."""

    def failing(self, config: ToyConfig, after: int) -> object:
        def build(draft: Draft) -> None:
            filled = draft.open_array("filled.npy", (config.rows, 2), "float32", axes="clip feature")
            for row in range(after):
                filled[row] = 7
                filled.flush()
                draft.mark_done(f"row {row}")
            draft.methods("First try.")
            draft.scratch("checkpoint.bin").write_bytes(b"half")
            raise KeyboardInterrupt

        return build

    def test_a_rerun_continues_it(self, tmp_path: Path) -> None:
        seen = {}

        def build(draft: Draft) -> None:
            seen.update(resumed=draft.resumed, scratch=draft.scratch("checkpoint.bin").read_bytes())
            build_toy(ToyConfig())(draft)

        with pytest.raises(KeyboardInterrupt):
            make(tmp_path, build=self.failing(ToyConfig(), 2))
        assert not (tmp_path / "toy/sub-01/fmri").exists()
        artifact = make(tmp_path, build=build)
        assert seen == {"resumed": True, "scratch": b"half"}
        np.testing.assert_array_equal(artifact.array("filled.npy")[:, 0], [7, 7, 4])
        assert artifact.manifest["sessions"] == 2
        assert artifact.manifest["methods"] == ["First try.", "Numbers were multiplied."]
        assert contents(artifact.path.parent) == {"fmri"}

    def test_a_partial_of_another_identity_is_left_alone(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path, build=self.failing(ToyConfig(), 1))
        (partial,) = (tmp_path / "toy/sub-01").iterdir()
        before = contents(partial)
        artifact = make(tmp_path, factor=9.0)
        assert artifact.manifest["sessions"] == 1
        assert contents(artifact.path.parent) == {"fmri", partial.name} and contents(partial) == before

    def test_the_log_keeps_the_traceback(self, tmp_path: Path) -> None:
        def build(draft: Draft) -> None:
            raise ZeroDivisionError("of all things")

        with pytest.raises(ZeroDivisionError):
            make(tmp_path, build=build)
        (log,) = tmp_path.rglob("log.txt")
        assert "ZeroDivisionError: of all things" in log.read_text()

    def test_an_array_of_another_shape_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path, build=self.failing(ToyConfig(), 1))

        def build(draft: Draft) -> None:
            draft.open_array("filled.npy", (9, 9), "float64", axes="clip feature")

        with pytest.raises(InputError, match=r"filled\.npy is float32 \(3, 2\)"):
            make(tmp_path, build=build)


class TestDraft:
    def draft(self, folder: Path) -> Draft:
        draft = Draft(folder)
        draft.begin()
        return draft

    def test_text_survives_a_table(self, tmp_path: Path) -> None:
        hard = ["nan", "NA", "None", 'a "quoted" one', "tab\there", "comma, and", "ünïcode", "007"]
        table = pd.DataFrame({"clip_id": hard, "value": [0.1, np.nan, 1 / 3, 1e-300, 1e300, -0.0, 2.0, 3.0]})

        def build(draft: Draft) -> None:
            draft.save_table("t.tsv", table, units={"value": "s"})

        read = make(tmp_path, build=build).table("t.tsv")
        assert read["clip_id"].tolist() == hard
        np.testing.assert_array_equal(read["value"].to_numpy(), table["value"].to_numpy())

    def test_axes_and_units_are_checked(self, tmp_path: Path) -> None:
        draft = self.draft(tmp_path)
        with pytest.raises(ValueError, match="2 dimensions"):
            draft.save_array("a.npy", np.zeros((2, 2)), axes="clip")
        with pytest.raises(ValueError, match="do not exist: volts"):
            draft.save_table("t.tsv", pd.DataFrame({"a": [1]}), units={"volts": "V"})

    def test_a_failed_write_leaves_nothing(self, tmp_path: Path) -> None:
        draft = self.draft(tmp_path)
        with pytest.raises(RuntimeError), draft.write("clips/one.npy") as path:
            path.write_bytes(b"half")
            raise RuntimeError
        assert list((tmp_path / "clips").iterdir()) == []

    @pytest.mark.parametrize("name", [MANIFEST, "log.txt", "scratch/x.bin"])
    def test_reserved_names_are_no_outputs(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(ValueError, match="not a name"), self.draft(tmp_path).write(name):
            raise AssertionError("not entered")

    def test_nan_is_no_json(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="JSON"):
            self.draft(tmp_path).save_json("m.json", {"score": float("nan")})

    def test_what_was_said_twice_is_kept_once(self, tmp_path: Path) -> None:
        draft = self.draft(tmp_path)
        for _ in range(2):
            draft.methods("We did.")
            draft.finding("close", "Two clips are close.", clips=["a", "b"])
        draft.fact(n=1)
        draft.fact(n=2)
        parts = draft.complete()
        assert parts["methods"] == ["We did."] and len(parts["findings"]) == 1 and parts["facts"] == {"n": 2}

    def test_half_a_line_in_the_journal_is_no_entry(self, tmp_path: Path) -> None:
        self.draft(tmp_path).mark_done("one")
        with (tmp_path / ".journal.jsonl").open("a") as journal:
            journal.write('{"entry": "done", "st')
        again = Draft(tmp_path)
        assert again.is_done("one") and again.resumed
        again.begin()
        assert again.complete()["sessions"] == 2


class TestManifest:
    def test_origins_of_options(self, tmp_path: Path) -> None:
        config = ToyConfig(factor=3.0, rows=2)
        asked = invocation.Invocation(("mindanim", "toy"), config, {"factor": "--factor", "rows": "recipe x"})
        with invocation.invoked(asked):
            manifest = make(tmp_path, factor=3.0, rows=2, seed=9).manifest
        assert manifest["command"] == ["mindanim", "toy"]
        assert manifest["config"]["factor"] == {
            "value": 3.0,
            "origin": "--factor",
            "identity": True,
            "changed": True,
        }
        assert manifest["config"]["rows"]["origin"] == "recipe x"
        assert manifest["config"]["seed"]["origin"] == "computed"
        assert manifest["config"]["clip"]["identity"] is False

    def test_origins_of_a_config_made_in_python(self, tmp_path: Path) -> None:
        manifest = make(tmp_path, factor=3.0).manifest
        assert manifest["config"]["factor"]["origin"] == "argument"
        assert manifest["config"]["rows"]["origin"] == "default"

    def test_a_newer_layout_is_refused(self, tmp_path: Path) -> None:
        file = make(tmp_path).path / MANIFEST
        file.write_text(json.dumps(json.loads(file.read_text()) | {"schema_version": 99}))
        with pytest.raises(InputError, match="newer mindanim"):
            Artifact.load(file.parent)

    @pytest.mark.parametrize("text", ["", "[]", "{}", "{"])
    def test_a_broken_one_is_named(self, tmp_path: Path, text: str) -> None:
        (tmp_path / MANIFEST).write_text(text)
        with pytest.raises(InputError, match="is not a manifest"):
            Artifact.load(tmp_path)

    def test_an_unknown_output_gets_a_suggestion(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"did you mean 'values\.npy'"):
            make(tmp_path).file("value.npy")
