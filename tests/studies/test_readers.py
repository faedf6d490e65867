"""Readers by name: those of this package, those of others, and names that no reader has."""

from __future__ import annotations

from pathlib import Path

import pytest

from mindanim.cli import app
from mindanim.errors import InputError, MissingError, UsageError
from mindanim.studies import READERS, has_reader, open_study
from tests import plugins

READER = """
from mindanim.studies import Facts, Segment, Study
from mindanim.studies.base import regular_clips


class Dots:
    def __init__(self, root, *, allow_partial, options):
        self.root, self.allow_partial, self.options = root, allow_partial, options
        segment = Segment("dots", "train", clips=2, repeats=1, start_s=0.0, volumes=9)
        self.facts = Facts("dots", "Moving dots", "own", (1,), 1.0, 2.0, (4.0,), (segment,), "", "", "")

    def clips(self):
        return regular_clips(self.facts)

    def films(self):
        return []

    def runs(self, subject):
        return []

    check = inventory = runs

    def captions(self):
        return None

    atlas = captions
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
    assert study.options == {"dots": "many"} and study.allow_partial  # type: ignore[attr-defined]
    assert [clip.clip_id for clip in study.clips()] == ["dots-0001", "dots-0002"] and study.captions() is None


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


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("def clips(self):\n        return {'a': 1}", "clips() returned a dict, not a list of Clip"),
        ("def clips(self):\n        return ['a']", "a list with a str, not only Clip"),
        ("def clips(self):\n        return self.facts", "clips() returned a Facts"),
        ("def clips(self):\n        return 1 / 0", "clips() failed: ZeroDivisionError"),
        ("def clips(self, more):\n        return []", "clips() failed: TypeError"),
        ("other = 1", "The study has no clips()."),
    ],
)
def test_what_a_reader_of_another_package_returns_is_checked(
    change: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = READER.replace("def clips(self):\n        return regular_clips(self.facts)", change)
    assert source != READER
    plugins.install(tmp_path / "site", "mindanim.readers", "dots", "plugged:Dots", source, monkeypatch)
    with pytest.raises(InputError, match="reader of plugged 1.2") as caught:
        open_study("dots", tmp_path).clips()
    assert why in caught.value.why


def test_a_reader_that_fails_or_has_other_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (old, new, why) in enumerate(
        [
            ("self.facts = Facts(", "self.facts = (", "facts is of type tuple, not Facts"),
            ("allow_partial, options)", "allow_partial)", "TypeError"),
        ]
    ):
        with monkeypatch.context() as patch:
            site = tmp_path / f"site{number}"
            source = READER.replace(old, new)
            plugins.install(site, "mindanim.readers", "dots", "plugged:Dots", source, patch)
            with pytest.raises(InputError, match="reader of plugged 1.2") as caught:
                open_study("dots", tmp_path)
            assert why in caught.value.why
