"""A metric of another package, found by its entry point."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from mindanim.errors import ConfigError, InputError, MissingError
from mindanim.metrics.families.catalogue import chosen
from mindanim.metrics.families.metric import AnswerMetric, FeatureMetric, FrameMetric
from mindanim.stages.evaluate import evaluate
from mindanim.vocabulary import registry
from tests.stages.evaluation_inputs import make_inputs, make_videos, run_options, truth, unrelated
from tests.stages.test_evaluate import quick, scores_of

brightness = FrameMetric(
    id="brightness.error",
    name="Brightness error",
    group="pixel",
    bounds=(0.0, 255.0),
    direction="lower",
    needs=("frames",),
    note="Difference of mean brightness.",
    describe=lambda frames: float(frames.mean()),
    score=lambda one, other: abs(one - other),
)


@pytest.fixture
def installed(monkeypatch):
    """Makes an entry point of this name and value look installed."""

    def install(name, value):
        point = EntryPoint(name, f"tests.metrics.test_plugin:{value}", "mindanim.metrics")
        monkeypatch.setattr(registry, "entry_points", lambda group: [point] * (group == point.group))

    return install


def test_it_is_scored_with_floors_and_reported_like_any_other(installed, tmp_path):
    installed("brightness.error", "brightness")
    run = run_options(tmp_path / "work")
    make_videos(run, make_inputs(run), unrelated)
    found = evaluate(quick(groups=("pixel",), motion_test=False), run)
    entry = scores_of(found)["brightness.error"]
    gaps = [abs(truth(clip).mean() - unrelated(clip).mean()) for clip in range(16)]
    assert entry["value"] == pytest.approx(np.mean(gaps)) and entry["resolution"] == [32, 32]
    assert entry["floors"]["gray"]["value"] == pytest.approx(
        np.mean([abs(truth(clip).mean() - 128) for clip in range(16)])
    )
    assert set(entry["floors"]) == set(scores_of(found)["psnr.db"]["floors"])
    assert "shuffled:brightness.error" in found.table("per_clip.tsv")
    assert "Brightness error" in found.file("table.md").read_text()


def fail(*_):
    raise ValueError("inside")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"describe": fail}, "ValueError: inside"),
        ({"score": fail}, "ValueError: inside"),
        ({"score": lambda one, other: np.zeros(3)}, "TypeError"),
    ],
)
def test_an_error_in_it_names_its_package(change, why, installed, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.metrics.test_plugin.brightness", replace(brightness, **change))
    installed("brightness.error", "brightness")
    run = run_options(tmp_path / "work")
    make_videos(run, make_inputs(run), unrelated)
    with pytest.raises(InputError, match="metric.* of tests.metrics.test_plugin failed") as caught:
        evaluate(quick(groups=("pixel",), motion_test=False), run)
    assert why in caught.value.why


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        (lambda pairs: np.zeros(1), r"shape (1,), expected one number per pair: (3,)"),
        (lambda pairs: 0.5, r"shape (), expected"),
        (lambda pairs: np.zeros((3, 1)), r"shape (3, 1), expected"),
        (lambda pairs: np.zeros(3, complex), "score returned complex128"),
        (lambda pairs: ["a"] * 3, "could not convert"),
    ],
)
def test_scores_of_answers_and_features_are_one_per_pair(scores, why, installed, monkeypatch):
    common = {"name": "own", "group": "feature", "bounds": (0.0, 1.0), "note": ""}
    features = FeatureMetric(id="own.one", needs=("decoded_clip",), score=lambda _, p: scores(p), **common)
    answers = AnswerMetric(
        id="own.one", needs=("clip",), reads=("clip",), score=lambda _, r: scores(r["clip"]), **common
    )
    rows = np.zeros((3, 2))
    for made, given in ((features, (None, rows)), (answers, ({"clip": rows}, {"clip": rows}))):
        monkeypatch.setattr("tests.metrics.test_plugin.brightness", made)
        installed("own.one", "brightness")
        (found,) = chosen(ids=("own.one",))
        with pytest.raises(
            InputError, match="The metric own.one of tests.metrics.test_plugin failed"
        ) as caught:
            found.score(*given)
        assert why in caught.value.why


def test_something_else_under_the_name_of_a_metric_is_an_error(installed):
    installed("other", "brightness")
    with pytest.raises(ConfigError, match="no metric other"):
        chosen()
    installed("brightness.error", "pytest")
    with pytest.raises(MissingError, match="is not a metric"):
        chosen()
