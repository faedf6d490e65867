"""Readers by name: those of this package, those of others, and names that no reader has."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindanim.cli import app
from mindanim.errors import MissingError, UsageError
from mindanim.studies import READERS, has_reader, open_study
from tests import plugins

READER = """
from mindanim.studies import Facts, Segment, Study


class Dots:
    def __init__(self, root, *, allow_partial, options):
        self.root, self.allow_partial, self.options = root, allow_partial, options
        segment = Segment("dots", "train", clips=2, repeats=1, start_s=0.0, volumes=9)
        self.facts = Facts("dots", "Moving dots", "own", (1,), 1.0, 2.0, (4.0,), (segment,), "", "", "")
"""


@pytest.fixture
def dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins.install(tmp_path / "site", "mindanim.readers", "moving-dots", "plugged:Dots", READER, monkeypatch)


def test_the_readers_of_this_package() -> None:
    assert {"cc2017", "hcp", "algonauts2021", "bids", "tables", "simulated"} <= set(READERS)


@pytest.mark.usefixtures("dots")
@pytest.mark.parametrize("dataset", ["moving-dots", "Moving-Dots", "moving-dots-lab2"])
def test_another_package_brings_a_reader(tmp_path: Path, dataset: str) -> None:
    assert has_reader(dataset) and "moving-dots" in READERS
    study = open_study(dataset, tmp_path, allow_partial=True, options={"dots": "many"})
    assert study.facts.title == "Moving dots" and study.root == tmp_path
    assert vars(study)["options"] == {"dots": "many"} and vars(study)["allow_partial"]


@pytest.mark.usefixtures("dots")
def test_a_near_miss_names_the_plug_in(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'moving-dots'") as caught:
        open_study("moving_dot", tmp_path)
    assert "moving-dots" in caught.value.why and "cc2017" in caught.value.why


def test_a_reader_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins.install(tmp_path / "site", "mindanim.readers", "dots", "plugged:Gone", READER, monkeypatch)
    with pytest.raises(MissingError, match="reader dots cannot be loaded from plugged:Gone") as caught:
        open_study("dots", tmp_path)
    assert "plugged 1.2" in caught.value.hint


@pytest.mark.parametrize("dataset", ["bids", "bids-lab2", "bids-lab-2", "BIDS"])
def test_what_follows_a_dash_is_the_users(dataset: str) -> None:
    assert has_reader(dataset)


@pytest.mark.parametrize("dataset", ["bid", "bidslab", "lab2-bids", ""])
def test_names_that_no_reader_has(dataset: str, tmp_path: Path) -> None:
    assert not has_reader(dataset)
    with pytest.raises(UsageError, match="There is no study called"):
        open_study(dataset, tmp_path)


@pytest.mark.usefixtures("dots")
def test_doctor_shows_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    app.main(["doctor", "--work", str(tmp_path)])
    assert "ok       reader moving-dots: from plugged 1.2" in capsys.readouterr().out
