"""The stages as Python functions."""

from __future__ import annotations

from pathlib import Path

import pytest

import mindanim
from mindanim.errors import UsageError
from tests.cli.conftest import Call

pytestmark = pytest.mark.usefixtures("toy_stage")


def test_it_does_what_the_command_line_does(tmp_path: Path, call: Call) -> None:
    artifact = mindanim.preprocess(
        dataset="toy",
        subject=1,
        work=tmp_path / "mindanim-work",
        factor=3,
        lags=(4, 6),
        names="V1,V2",
        limit=None,
    )
    assert isinstance(artifact, mindanim.Artifact) and artifact.options["lags"] == [4, 6]
    assert artifact.manifest["command"][0].startswith("mindanim.preprocess(dataset='toy', subject=1")
    words = ("--factor", "3", "--lags", "4,6", "--set", "names=V1,V2")
    result = call("preprocess", "--dataset", "toy", "--subject", "1", *words)
    assert result.code == 0 and "nothing to do" in result.err


def test_config_files_and_recipes(tmp_path: Path) -> None:
    first = mindanim.preprocess(dataset="toy", subject=1, work=tmp_path, rows=7)
    again = mindanim.preprocess(work=tmp_path, config=first.path / "config.toml")
    assert again.identity == first.identity
    with pytest.raises(mindanim.MindanimError, match="unknown recipe"):
        mindanim.preprocess(dataset="toy", subject=1, work=tmp_path, recipe="nope")


def test_wrong_arguments(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown option 'factr': did you mean 'factor'"):
        mindanim.preprocess(dataset="toy", subject=1, work=tmp_path, factr=3)
    with pytest.raises(UsageError, match="argument rows"):
        mindanim.preprocess(dataset="toy", subject=1, work=tmp_path, rows=0)


def test_the_seven_and_nothing_else() -> None:
    assert set(dir(mindanim)) >= {
        "preprocess",
        "encode_stimuli",
        "train_semantic",
        "train_structure",
        "train_motion",
        "generate",
        "evaluate",
    }
    for name in dir(mindanim):
        assert getattr(mindanim, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'preprocces'"):
        mindanim.preprocces  # noqa: B018
    assert mindanim.train_motion.__name__ == "train_motion"
