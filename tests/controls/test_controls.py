"""Science as a test: nothing is found where nothing was planted, and only motion is lost where motion is not.

Small studies, each of a seed of its own (films, cortex, noise), linear decoders: what is tested is that no
stage leaks, not how well networks decode. `examples/controls.py` does the same at a larger size with the
demo's decoders.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import mindanim
from mindanim.artifacts import Workspace
from mindanim.report import conclusions, verdicts

FILMS = {"segments": 5, "clips": 30, "test_segments": 8, "test_clips": 8, "test_repeats": 6}
SEEDS = (1, 2, 3)


@dataclass
class Studies:
    """Studies in one work folder; those of a seed show the same films, which are encoded once."""

    work: Path
    encoded: dict[int, Path] = field(default_factory=dict)

    def evaluated(self, kind: str, seed: int, **control: bool) -> dict[str, Any]:
        """The content of metrics.json of the one subject of a new study, after all stages."""
        dataset, data = f"simulated-{kind}{seed}", self.work / f"{kind}-{seed}"
        mindanim.simulate(data=data, subjects=1, vertices=500, snr=3.0, seed=seed, **FILMS, **control)
        shared: dict[str, Any] = {"dataset": dataset, "work": self.work}
        if seed in self.encoded:
            shutil.copytree(self.encoded[seed], Workspace(self.work, dataset).stimuli())
        # What was copied is taken if the films, clips and captions are the same, and refused otherwise.
        stimuli = mindanim.encode_stimuli(**shared, data=data, views=1, frames=4)
        self.encoded.setdefault(seed, stimuli.path)
        subject = {**shared, "subject": 1}
        mindanim.preprocess(**subject, correction="none", detrend_order=1)
        mindanim.train_semantic(**subject, decoder="ridge")
        mindanim.train_structure(**subject, decoder="ridge")
        mindanim.train_motion(**subject, decoder="ridge", target="difference")
        mindanim.generate(**subject, steps=6, strength=0.5, guidance=1)
        done = mindanim.evaluate(**subject, bootstraps=200, permutations=99, motion_test=False)
        found: dict[str, Any] = done.json("metrics.json")
        return found


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Studies:
    return Studies(tmp_path_factory.mktemp("controls"))


def scores(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {score["id"]: score for score in found["scores"] if "shuffled" in score["floors"]}


def above(score: dict[str, Any]) -> bool:
    """Whether the interval of score minus shuffled floor lies above zero: by chance 2.5 % do."""
    return bool(score["floors"]["shuffled"]["above"])


def test_unrelated_bold_gives_nothing_above_the_floor_in_any_seed(studies: Studies) -> None:
    found = [studies.evaluated("null", seed, null=True) for seed in SEEDS]
    lifted = [above(score) for study in found for score in scores(study).values()]
    # Of some 90 scores chance lifts 2.2 on average. Those of one study hang together, so more than that may
    # come at once; a leak lifts most of them, in every seed.
    assert len(lifted) > 80
    assert sum(lifted) <= 0.1 * len(lifted)
    assert max(sum(map(above, scores(study).values())) for study in found) <= 0.2 * len(lifted) / len(SEEDS)
    decoded = [scores(study)["feature.clip_text.2way"]["value"] for study in found]
    assert max(decoded) < 0.65  # chance .5
    for study in found:
        said, judged = conclusions.headline(study["scores"]), verdicts.counts(study["scores"])[1]
        none = f"None of the {judged} scores is reliably above"
        chance = f"Expected by chance: {conclusions.by_chance(judged)} of {judged}."
        assert said.startswith(none) or chance in said


def test_without_motion_the_motion_scores_alone_fall_to_their_floor_in_every_seed(studies: Studies) -> None:
    still = [scores(studies.evaluated("still", seed, no_motion=True)) for seed in SEEDS]
    moving = scores(studies.evaluated("moving", SEEDS[0]))
    # Of these six motion scores chance lifts .15 on average: one in seven times there would be one.
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
