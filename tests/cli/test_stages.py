"""A stage from the command line: options, results, plans, errors, exit codes."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mindanim import console
from mindanim.artifacts import Artifact
from mindanim.errors import ConfigError, MissingError
from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("toy_stage")

RUN = ("preprocess", "--dataset", "toy", "--subject", "1")
FMRI = Path("mindanim-work/toy/sub-01/fmri")


def raising(error: BaseException) -> Callable[..., None]:
    def stage(config: object, run: object) -> None:
        raise error

    return stage


class TestRunning:
    def test_the_result_is_on_stdout_and_the_news_on_stderr(self, call: Call) -> None:
        first = call(*RUN)
        assert (first.code, first.out) == (0, f"{FMRI}\n")
        again = call(*RUN)
        assert again.out == first.out and "nothing to do" in again.err

    def test_quiet_says_nothing(self, call: Call) -> None:
        call(*RUN)
        assert call(*RUN, "-q").err == ""

    def test_flags_sets_and_files_arrive(self, call: Call) -> None:
        Path("mine.toml").write_text('[preprocess]\nnote = "from the file"\nrows = 9\n')
        result = call(
            *RUN, "--rows", "2", "--no-careful", "--lags", "4,6", "--set", "names=V1,V2", "-c", "mine.toml"
        )
        assert result.code == 0, result.err
        manifest = Artifact.load(FMRI).manifest
        values = {name: entry["value"] for name, entry in manifest["config"].items()}
        assert (values["rows"], values["careful"], values["lags"]) == (2, False, [4, 6])
        assert (values["names"], values["note"]) == (["V1", "V2"], "from the file")
        origins = {name: entry["origin"] for name, entry in manifest["config"].items()}
        assert (origins["rows"], origins["names"], origins["note"]) == ("--rows", "--set names", "mine.toml")
        assert manifest["command"][:2] == ["mindanim", "preprocess"]

    def test_its_own_config_toml_does_the_same_again(self, call: Call) -> None:
        call(*RUN, "--rows", "5", "--label", "five")
        result = call("preprocess", "--config", f"{FMRI}-five/config.toml")
        assert result.code == 0 and "nothing to do" in result.err

    def test_json(self, call: Call) -> None:
        record = json.loads(call(*RUN, "--json").out)
        assert record["kind"] == "fmri" and record["path"] == str(FMRI) and record["facts"] == {"rows": 3}
        assert record["outputs"]["values.npy"]["shape"] == [3]

    def test_the_dataset_and_the_work_folder_from_the_environment(
        self, call: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MINDANIM_DATASET", "toy")
        monkeypatch.setenv("MINDANIM_WORK", "elsewhere")
        assert call("preprocess", "-s", "2").out == "elsewhere/toy/sub-02/fmri\n"
        monkeypatch.delenv("MINDANIM_DATASET")
        assert call("preprocess", "-s", "1").code == 0, "the only dataset there is"

    def test_the_data_folder_is_remembered(self, call: Call) -> None:
        Path("raw").mkdir()
        call(*RUN, "--data", "raw")
        rows = json.loads(call(*RUN, "--explain", "--json").out)["options"]
        (row,) = [row for row in rows if row["option"] == "data"]
        assert Path(row["value"]) == Path("raw").resolve() and "dataset_description.json" in row["origin"]


class TestPlans:
    def test_dry_run(self, call: Call) -> None:
        plan = call(*RUN, "--dry-run")
        assert plan.code == 0 and plan.out.startswith("fmri: would run: not there yet")
        assert not FMRI.exists()
        call(*RUN)
        assert call(*RUN, "-n").out.startswith("fmri: nothing to do: same inputs and options")
        forced = call(*RUN, "-n", "--force")
        assert "would be set aside" in forced.out
        assert json.loads(call(*RUN, "-n", "--json").out)["action"] == "skip"

    def test_explain_runs_nothing_and_needs_no_dataset(self, call: Call) -> None:
        result = call("preprocess", "--explain", "--rows", "8")
        assert result.code == 0 and not FMRI.exists()
        (line,) = [line for line in result.out.splitlines() if line.split()[:1] == ["rows"]]
        assert line.split() == ["rows", "8", "rows", "--rows", "Rows", "of", "the", "table."]
        assert all(line == line.rstrip() for line in result.out.splitlines())


class TestErrors:
    @pytest.mark.parametrize(
        ("words", "code", "says"),
        [
            ((*RUN, "--rows", "many"), 2, ["rows = 'many'", "--rows"]),
            ((*RUN, "--rwos", "3"), 2, ["--rwos", "--rows"]),
            ((*RUN, "--note", "x"), 2, ["--set note=VALUE"]),
            ((*RUN, "--recipe", "papr"), 3, ["unknown recipe 'papr'", "paper"]),
            ((*RUN, "--config", "gone.toml"), 3, ["gone.toml does not exist"]),
            ((*RUN, "--data", "gone"), 4, ["gone does not exist", "--data"]),
            (("preprocess", "--dataset", "tyo", "-s", "1"), 2, ["'tyo'", "toy"]),
            (("preprocess", "--dataset", "toy"), 2, ["--subject"]),
            (("preprocess", "-s", "1"), 2, ["No dataset", "MINDANIM_DATASET"]),
            (("preproces",), 2, ["preproces", "preprocess"]),
            (("--verison",), 2, ["--verison", "--version"]),
        ],
    )
    def test_what_is_wrong_and_how_to_mend_it(
        self, call: Call, words: tuple[str, ...], code: int, says: list[str]
    ) -> None:
        result = call(*words)
        assert (result.code, result.out) == (code, "")
        assert result.err.startswith("Error: ")
        for part in says:
            assert part in result.err

    @pytest.mark.parametrize(
        ("words", "code", "kind"),
        [
            ((*RUN, "--rows", "many"), 2, "UsageError"),
            ((*RUN, "--recipe", "papr"), 3, "ConfigError"),
            ((*RUN, "--data", "gone"), 4, "InputError"),
            (("show", "nowhere"), 4, "InputError"),
            (("report", "--dataset", "toy"), 4, "InputError"),
            (("doctor", "--only", "data"), 2, "UsageError"),
            (("preproces",), 2, "UsageError"),
        ],
    )
    def test_errors_as_json(self, call: Call, words: tuple[str, ...], code: int, kind: str) -> None:
        result = call(*words, "--json")
        error = json.loads(result.out)["error"]
        assert error.keys() == {"type", "exit_code", "what", "why", "hint"}
        assert (error["type"], error["exit_code"], result.code) == (kind, code, code)
        assert error["what"] in result.err

    def test_a_fault_of_the_program_as_json(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.ground.toy.toy", raising(ZeroDivisionError("oops")))
        error = json.loads(call(*RUN, "--json").out)["error"]
        assert (error["type"], error["exit_code"], error["what"]) == ("ZeroDivisionError", 1, "oops")
        monkeypatch.setattr("tests.ground.toy.toy", raising(KeyboardInterrupt()))
        assert json.loads(call(*RUN, "--json").out)["error"]["exit_code"] == 130

    def test_a_refusal_shows_the_difference_and_the_way_on(self, call: Call) -> None:
        call(*RUN)
        result = call(*RUN, "--factor", "4")
        assert result.code == 4
        assert "  option factor: 2.0 -> 4.0\n" in result.err and "--label NAME" in result.err

    @pytest.mark.parametrize(
        ("error", "code"),
        [(ConfigError("c"), 3), (MissingError("m"), 5), (KeyboardInterrupt(), 130)],
    )
    def test_exit_codes(
        self, call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
    ) -> None:
        monkeypatch.setattr("tests.ground.toy.toy", raising(error))
        assert call(*RUN).code == code

    def test_a_fault_of_the_program(
        self, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        log = tmp_path / "log.txt"
        log.touch()
        monkeypatch.setattr(console, "_last_log", log)
        monkeypatch.setattr("tests.ground.toy.toy", raising(ZeroDivisionError("oops")))
        result = call(*RUN)
        assert result.code == 1 and "ZeroDivisionError: oops" in result.err
        assert str(log) in result.err and "--debug" in result.err and "Traceback" not in result.err
        assert "Traceback" in call(*RUN, "--debug").err

    @pytest.mark.parametrize(
        "error",
        [
            MemoryError("Unable to allocate 2 TiB"),
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        ],
    )
    def test_too_little_memory_is_no_fault_of_the_program(
        self, call: Call, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        monkeypatch.setattr("tests.ground.toy.toy", raising(error))
        result = call(*RUN)
        assert result.code == 1 and str(error) in result.err
        assert (
            "Out of memory" in result.err
            and "batch_size" in result.err
            and "a bug in mindanim" not in result.err
        )

    def test_a_full_disk_is_no_fault_of_the_program(
        self, call: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tests.ground.toy.toy", raising(OSError(28, "No space left on device")))
        result = call(*RUN)
        assert result.code == 4 and "free some space" in result.err.lower()

    def test_being_told_to_stop_gives_locks_back(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        def stage(config: object, run: object) -> None:
            from mindanim.artifacts.lock import locked

            with locked(Path("x.lock")):
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr("tests.ground.toy.toy", stage)
        result = call(*RUN)
        assert result.code == 143 and not Path("x.lock").exists()
        assert "Terminated. The same command continues" in result.err

    def test_offline_is_told_to_the_libraries(self, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        seen = {}

        def stage(config: object, run: object) -> None:
            import os

            seen["offline"] = os.environ.get("HF_HUB_OFFLINE")

        monkeypatch.setattr("tests.ground.toy.toy", stage)
        call(*RUN, "--offline")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert seen == {"offline": "1"}


def test_no_command_prints_the_help(call: Call) -> None:
    result = call()
    assert result.code == 0 and "encode-stimuli" in result.out


def test_version(call: Call) -> None:
    assert call("--version").out.startswith("mindanim 0.")
    assert sys.argv == ["mindanim", "--version"]
