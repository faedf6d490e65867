"""The work folder: places, what is recorded, and how dataset and data folder are found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mindanim.artifacts import Workspace, find_data, find_dataset, with_data
from mindanim.artifacts.workspace import data_variable, datasets
from mindanim.config.names import KINDS
from mindanim.config.run_options import RunOptions
from mindanim.errors import InputError, UsageError
from tests.ground.toy import make, options


def test_places(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "cc2017")
    assert workspace.stimuli("x") == tmp_path / "cc2017/stimuli-x"
    assert workspace.stage(3, "semantic") == tmp_path / "cc2017/sub-03/semantic"
    run = options(tmp_path, subject=12, label="seed2")
    assert Workspace.of(run).place(run, "motion") == tmp_path / "toy/sub-12/motion-seed2"
    assert Workspace.of(run).place(run, "stimuli") == tmp_path / "toy/stimuli-seed2"


def test_a_label_begins_after_the_first_dash_whatever_it_holds(tmp_path: Path) -> None:
    make(tmp_path)
    run = options(tmp_path, use={"fmri": "seed-2_b"})
    with pytest.raises(InputError, match="--label seed-2_b"):
        Workspace.of(run).read(run, "fmri")
    make(tmp_path, factor=5.0, run={"label": "seed-2_b"})
    assert Workspace.of(run).read(run, "fmri").path.name == "fmri-seed-2_b"
    assert not any("-" in kind for kind in KINDS), "no kind may be taken for one with a label"


@pytest.mark.parametrize(
    ("label", "use", "read"),
    [
        ("", {}, "fmri"),
        ("other", {}, "fmri"),
        ("five", {}, "fmri-five"),
        ("", {"fmri": "five"}, "fmri-five"),
        ("other", {"fmri": "five"}, "fmri-five"),
        ("five", {"fmri": ""}, "fmri"),
    ],
)
def test_an_input_is_the_one_in_use_else_the_own_label_else_the_plain_one(
    tmp_path: Path, label: str, use: dict[str, str], read: str
) -> None:
    make(tmp_path)
    make(tmp_path, factor=5.0, run={"label": "five"})
    run = options(tmp_path, label=label, use=use)
    assert Workspace.of(run).read(run, "fmri").path.name == read


def test_a_missing_input_names_the_command_and_the_variants(tmp_path: Path) -> None:
    make(tmp_path, run={"label": "five"})
    run = options(tmp_path)
    with pytest.raises(InputError) as caught:
        Workspace.of(run).read(run, "fmri")
    words = ["Run: mindanim", "preprocess", "--dataset", "toy", "--subject", "1", "--work", str(tmp_path)]
    assert caught.value.hint == " ".join(words), "it runs when pasted"
    assert "fmri-five" in caught.value.why and "--use fmri=LABEL" in caught.value.why
    with pytest.raises(InputError, match="mindanim encode-stimuli --dataset toy"):
        Workspace.of(run).read(run, "stimuli")


def test_artifacts_are_listed_in_the_order_of_the_stages(tmp_path: Path) -> None:
    for kind in ("videos", "semantic", "fmri", "stimuli"):
        make(tmp_path, kind)
    make(tmp_path, "fmri", run={"subject": 2})
    found = [
        artifact.path.relative_to(tmp_path / "toy") for artifact in Workspace(tmp_path, "toy").artifacts()
    ]
    assert [str(path) for path in found] == [
        "stimuli",
        "sub-01/fmri",
        "sub-01/semantic",
        "sub-01/videos",
        "sub-02/fmri",
    ]


class TestDescription:
    def test_it_is_bids_and_remembers_the_data_folder(self, tmp_path: Path) -> None:
        data = tmp_path / "raw data, 100%"
        data.mkdir()
        make(tmp_path / "work", run={"data": data})
        record = json.loads((tmp_path / "work/toy/dataset_description.json").read_text())
        assert record["DatasetType"] == "derivative" and record["BIDSVersion"]
        assert record["GeneratedBy"][0]["Name"] == "mindanim"
        assert Workspace(tmp_path / "work", "toy").recorded_data() == data

    def test_a_command_without_data_keeps_what_is_recorded(self, tmp_path: Path) -> None:
        data = tmp_path / "raw"
        data.mkdir()
        make(tmp_path, run={"data": data})
        make(tmp_path, "semantic")
        assert Workspace(tmp_path, "toy").recorded_data() == data

    def test_a_reused_artifact_records_where_the_data_are_now(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("old", "new", "new"):
            (tmp_path / name).mkdir(exist_ok=True)
            make(tmp_path / "work", run={"data": tmp_path / name})
        assert Workspace(tmp_path / "work", "toy").recorded_data() == tmp_path / "new"
        said = capsys.readouterr().err
        assert said.count("different study") == 1
        for word in (str(tmp_path / "old"), str(tmp_path / "new"), "--dataset toy-NAME"):
            assert word in said.replace("\n", "")

    def test_a_broken_one_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "toy").mkdir()
        (tmp_path / "toy/dataset_description.json").write_text("{")
        with pytest.raises(InputError, match=r"dataset_description\.json is not a readable JSON file"):
            Workspace(tmp_path, "toy").recorded_data()


class TestDataset:
    def test_the_only_one_is_found(self, tmp_path: Path) -> None:
        make(tmp_path)
        assert find_dataset(RunOptions(work=tmp_path)).dataset == "toy"

    def test_a_given_one_counts(self, tmp_path: Path) -> None:
        make(tmp_path)
        assert find_dataset(RunOptions(work=tmp_path, dataset="hcp")).dataset == "hcp"

    def test_several_are_listed(self, tmp_path: Path) -> None:
        make(tmp_path)
        make(tmp_path, run={"dataset": "other"})
        assert datasets(tmp_path) == ["other", "toy"]
        with pytest.raises(UsageError, match="has 2: other, toy"):
            find_dataset(RunOptions(work=tmp_path))

    def test_none_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="has none yet"):
            find_dataset(RunOptions(work=tmp_path / "nowhere"))

    def test_foreign_folders_are_no_datasets(self, tmp_path: Path) -> None:
        (tmp_path / "photos").mkdir()
        assert datasets(tmp_path) == []


class TestData:
    @pytest.fixture
    def folders(self, tmp_path: Path) -> dict[str, Path]:
        names = ("flag", "own", "general", "recorded")
        folders = {name: tmp_path / name for name in names}
        for folder in folders.values():
            folder.mkdir()
        make(tmp_path / "work", run={"data": folders["recorded"]})
        return folders

    def test_the_order_of_the_four(
        self, tmp_path: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = options(tmp_path / "work")
        assert find_data(run) == (
            folders["recorded"],
            str(tmp_path / "work/toy/dataset_description.json"),
        )
        monkeypatch.setenv("MINDANIM_DATA", str(folders["general"]))
        assert find_data(run) == (folders["general"], "MINDANIM_DATA")
        monkeypatch.setenv("MINDANIM_DATA_TOY", str(folders["own"]))
        assert find_data(run) == (folders["own"], "MINDANIM_DATA_TOY")
        given = run.model_copy(update={"data": folders["flag"]})
        assert find_data(given) == (folders["flag"], "--data")
        assert with_data(given).data == folders["flag"]

    def test_a_folder_that_is_not_there_is_an_error_and_not_passed_over(
        self, tmp_path: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MINDANIM_DATA_TOY", str(tmp_path / "typo"))
        with pytest.raises(InputError, match=r"typo does not exist"):
            find_data(options(tmp_path / "work"))

    def test_nothing_known_names_all_four(self, tmp_path: Path) -> None:
        with pytest.raises(InputError) as caught:
            with_data(options(tmp_path))
        for place in ("--data", "MINDANIM_DATA_TOY", "MINDANIM_DATA", "dataset_description.json"):
            assert place in caught.value.why

    def test_the_variable_of_a_dataset(self) -> None:
        assert data_variable("algonauts-2021") == "MINDANIM_DATA_ALGONAUTS_2021"
