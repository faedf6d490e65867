"""The reader of the simulated study, and opening a study by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mindanim.errors import InputError, UsageError
from mindanim.studies import open_study
from tests.cc2017_tree import write_simulated


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    return write_simulated(folder, train={"seg1": 8, "seg2": 8}, test={"test1": 6, "test2": 7}).root


def test_facts_come_from_the_study(root: Path) -> None:
    study = open_study("simulated", root)
    assert study.facts.lags_s == (4.0,)
    assert study.facts.repeats == {"train": 2, "test": 3}
    assert [(one.name, one.clips, one.start_s, one.volumes) for one in study.facts.segments] == [
        ("seg1", 8, 2.0, 13),
        ("seg2", 8, 2.0, 13),
        ("test1", 6, 2.0, 11),
        ("test2", 7, 0.0, 13),
    ]
    assert len(study.runs(1)) == 10
    assert [row.status for row in study.check(1)] == ["ok"]
    captions = study.captions()
    assert captions is not None
    assert captions["seg02-0003"] == "clip 3 of seg2"
    assert study.atlas() == root / "atlas.dlabel.nii"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"tr_s": None}, "malformed"),
        ({"layout": "shelf"}, "layout 'shelf'"),
        ({"segments": ["seg1"]}, "malformed"),
        ({"repeats": {"train": 2}}, "malformed"),
    ],
)
def test_malformed_facts(root: Path, tmp_path: Path, change: dict[str, object], why: str) -> None:
    declared = json.loads((root / "mindanim-study.json").read_text())
    (tmp_path / "Subject01").mkdir()
    (tmp_path / "mindanim-study.json").write_text(json.dumps(declared | change))
    with pytest.raises(InputError, match=why):
        open_study("simulated", tmp_path)


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "not a readable JSON file"), ("{}", "lacks subjects, tr_s"), ("[]", "lacks subjects")],
)
def test_facts_that_are_no_facts(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "mindanim-study.json").write_text(text)
    with pytest.raises(InputError, match=why):
        open_study("simulated", tmp_path)


def test_a_folder_without_facts_or_atlas(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no mindanim-study\.json"):
        open_study("simulated", tmp_path)
    (tmp_path / "Subject01").mkdir()
    (tmp_path / "mindanim-study.json").write_text((root / "mindanim-study.json").read_text())
    with pytest.raises(InputError, match=r"atlas\.dlabel\.nii is missing"):
        open_study("simulated", tmp_path).atlas()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cc2018", "Did you mean 'cc2017'"),
        ("cc-2017", "Did you mean 'cc2017'"),
        ("simulatd", "Did you mean 'simulated'"),
        ("hcp7t", "no study called 'hcp7t'"),
        ("algonauts-2021", "Did you mean 'algonauts2021'"),
        ("boldmoments", "no reader for BOLD Moments"),
        ("zzz", "no study called 'zzz'"),
    ],
)
def test_names_without_a_reader(root: Path, name: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        open_study(name, root)
    assert "algonauts2021, bids, cc2017, hcp, tables, simulated" in str(caught.value)


def test_names_are_read_in_any_case_and_the_folder_must_exist(root: Path) -> None:
    assert open_study("Simulated", root).facts.name == "simulated"
    with pytest.raises(InputError, match="is not a folder"):
        open_study("simulated", root / "nowhere")
