"""Science as a test: nothing is found where nothing was planted, and only motion is lost where motion is not.

Small studies, linear decoders: what is tested is that no stage leaks, not how well networks decode.
`examples/controls.py` does the same at a larger size with the demo's decoders.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import mindanim

FILMS = {"segments": 5, "clips": 30, "test_segments": 2, "test_clips": 20, "test_repeats": 6}
SUBJECTS = 3


def scores(work: Path, subjects: int = SUBJECTS, **control: bool) -> list[dict[str, dict[str, Any]]]:
    """Scores by identifier of each subject, after all stages on a study of its own.

    The subjects see the same films, which are encoded once; cortex, response and noise are drawn for each.
    """
    shared = {"dataset": "simulated", "work": work}
    mindanim.simulate(
        data=work / "study", subjects=subjects, vertices=500, snr=3.0, seed=1, **FILMS, **control
    )
    mindanim.encode_stimuli(**shared, data=work / "study", views=1)
    return [subject_scores({**shared, "subject": number}) for number in range(1, subjects + 1)]


def subject_scores(subject: dict[str, Any]) -> dict[str, dict[str, Any]]:
    mindanim.preprocess(**subject, correction="none")
    mindanim.train_semantic(**subject, decoder="ridge")
    mindanim.train_structure(**subject, decoder="ridge")
    mindanim.train_motion(**subject, decoder="ridge", target="difference")
    mindanim.generate(**subject, steps=6, strength=0.5)
    done = mindanim.evaluate(**subject, bootstraps=200, permutations=99, motion_permutations=99)
    found = json.loads(done.file("metrics.json").read_text())["scores"]
    return {score["id"]: score for score in found if "shuffled" in score["floors"]}


def above(score: dict[str, Any]) -> bool:
    """Whether the interval of score minus shuffled floor excludes zero."""
    return bool(score["floors"]["shuffled"]["above"])


def test_unrelated_bold_gives_nothing_above_the_floor(tmp_path: Path) -> None:
    studies = scores(tmp_path / "null", null=True)
    found = [above(score) for study in studies for score in study.values()]
    # The scores of one subject hang together, so the nominal 5 % is no bound; a leak lifts most of them.
    assert sum(found) <= 0.2 * len(found)
    decoded = [study["feature.clip_text.2way"]["value"] for study in studies]
    assert max(decoded) < 0.65  # chance .5


def test_without_motion_the_motion_scores_alone_fall_to_their_floor(tmp_path: Path) -> None:
    still = scores(tmp_path / "frozen", no_motion=True)
    (moving,) = scores(tmp_path / "moving", subjects=1)
    for name in ("flow.corr", "flow.direction"):
        assert not any(above(one[name]) for one in still), [one[name] for one in still]
    for name in ("feature.clip_text.2way", "feature.latent.r"):
        assert all(above(one[name]) for one in still), [one[name] for one in still]
    for name in ("feature.latent_diff.r", "feature.clip_text.2way", "feature.latent.r"):
        assert above(moving[name]), moving[name]
    largest = max(abs(one["feature.latent_diff.r"]["value"]) for one in still)
    assert moving["feature.latent_diff.r"]["value"] > 2 * largest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
