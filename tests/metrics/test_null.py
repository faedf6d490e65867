"""What an evaluation says when there is nothing to find, and when only motion is missing, over several seeds.

`tests/controls` does it from the films on, for three seeds; here the videos are made directly.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mindanim.config.evaluate import EvaluateConfig
from mindanim.metrics.evaluation import Material, assess, coarse_tests
from mindanim.metrics.inputs import test_set as material
from mindanim.metrics.inputs.correlations import clip_correlations
from mindanim.metrics.inputs.decoded_features import DecodedFeatures, Latents
from mindanim.report import latex, markdown, verdicts
from mindanim.vocabulary.arrays import numbered
from tests.metrics.films import panned, texture

CLIPS, FRAMES, SIZE, DIM = 48, 3, 32, 12
SEEDS = range(5)
CONFIG = EvaluateConfig(
    groups=("pixel", "motion", "feature"), bootstraps=199, permutations=199, motion_permutations=19
)


def films(rng, moving=True):
    """Clips of CLIPS / 2 scenes of two clips each, every scene with a direction of its own."""
    made = []
    for clip in range(CLIPS):
        if clip % 2 == 0:
            image = texture(rng, SIZE, 10)
            step = tuple(rng.choice([(2, 0), (-2, 0), (0, 2), (0, -2)])) if moving else (0, 0)
        made.append(panned(image, step, FRAMES, SIZE, 10))
    return made


def vectors(rng, *shape):
    """Two clips of a scene share theirs, but for a little noise."""
    rows = np.repeat(rng.standard_normal((CLIPS // 2, *shape)), 2, axis=0)
    return rows + 0.1 * rng.standard_normal(rows.shape)


def assessed(truths, recons, decoded, true, latents):
    captions = [f"scene {clip // 2}" for clip in range(CLIPS)]
    clips = pd.DataFrame(
        {
            "clip_id": [f"test-{clip:04d}" for clip in range(CLIPS)],
            "segment": [f"test{3 * clip // CLIPS}" for clip in range(CLIPS)],
            "caption": captions,
        }
    )
    clips["film"] = clips["segment"]
    similarity = clip_correlations(decoded, true, np.zeros(DIM))
    features = DecodedFeatures(
        {"clip_text": similarity, "clip_image": similarity},
        numbered(captions),
        Latents(*latents, np.zeros((2, 4, 4))),
    )
    shape = (FRAMES, SIZE, SIZE, 3)
    test = material.TestSet(clips, truths, shape, None)
    mean = np.full(shape, 120, np.uint8)
    what = Material(test, recons, features, {}, {}, mean, {})
    data = assess(CONFIG, what, 8, 1).data
    shown = {"dataset": "simulated", "subject": 1, "label": "", "quoted": [], "audit": []}
    return {"scores": {score["id"]: score for score in data["scores"]}, "data": data | shown}


@pytest.fixture(scope="module")
def null():
    found = []
    for seed in SEEDS:
        rng = np.random.default_rng([1, seed])
        latents = vectors(rng, FRAMES, 2, 4, 4), vectors(rng, FRAMES, 2, 4, 4)
        found.append(assessed(films(rng), films(rng), vectors(rng, DIM), vectors(rng, DIM), latents))
    return found


def test_unrelated_videos_are_not_above_their_floor_in_any_seed(null):
    above = [score["above_floor"] for study in null for score in study["scores"].values()]
    assert len(above) > 80
    # One-sided 2.5 % is what intervals of 95 % allow; the scores of one seed hang together.
    assert sum(above) <= 0.1 * len(above)
    corrected = [
        score["floors"]["shuffled"]["p_holm"] for study in null for score in study["scores"].values()
    ]
    assert min(p for p in corrected if p is not None) > 0.05


def test_what_is_not_above_its_floor_is_said_so_in_every_table(null):
    for study in null:
        quiet = sum(verdicts.standing(score) == "not above" for score in study["scores"].values())
        above = [name for name, score in study["scores"].items() if score["above_floor"]]
        assert quiet >= len(study["scores"]) - len(above) - 1
        assert markdown.table_markdown(study["data"]).count("**not above**") == quiet
        assert latex.table_latex(study["data"]).count("not above") >= quiet


def test_without_motion_the_motion_scores_alone_are_not_above_their_floor():
    motion = {"flow.corr", "flow.direction", f"epe.farneback{SIZE}", f"ae.farneback{SIZE}"}
    found, moved = [], []
    for seed in SEEDS:
        rng = np.random.default_rng([2, seed])
        truths = films(rng)
        true, latents = vectors(rng, DIM), vectors(rng, FRAMES, 2, 4, 4)
        # Meaning and the first frame are decoded with some noise; what moves has nothing to do with the clip.
        strange = vectors(rng, FRAMES, 2, 4, 4)
        decoded = latents[:, :1] + 0.5 * rng.standard_normal(latents[:, :1].shape) + strange - strange[:, :1]
        recons = [np.ascontiguousarray(np.broadcast_to(film[:1], film.shape)) for film in truths]
        noisy = true + 0.5 * rng.standard_normal(true.shape)
        scores = assessed(truths, recons, noisy, true, (decoded, latents))["scores"]
        above = {name for name, score in scores.items() if score["above_floor"]}
        assert {"ssim.rgb7", "psnr.db", "hue.circular", "feature.latent.r", "retrieval.top1"} <= above
        moved += above & motion
        assert all(scores[name]["floors"]["shuffled"]["p_holm"] > 0.05 for name in motion & set(scores))
        found.append("feature.latent_diff.r" in above)
    # Of 5 x 5 scores without anything to find, one-sided 2.5 % lie above by chance: .6.
    assert len(moved) + sum(found) <= 1


@pytest.mark.parametrize(
    ("pairings", "said"),
    [
        (100, "the smallest p against the shuffled floor can hardly be below 0.34: 100 pairings"),
        (25, "the smallest p against the shuffled floor is 1: 25 pairings"),
        (12, "p against the shuffled floor cannot be below 0.083"),
        (700, ""),
    ],
)
def test_a_p_that_cannot_be_small_is_never_above_one(pairings, said):
    # One of 35 metrics has no p, so that Holm's correction counts 34.
    scores = [{"floors": {"shuffled": {"p": None if one == 0 else 0.5}}} for one in range(35)]
    notes = coarse_tests(np.zeros((35, pairings)), {"scores": scores, "unit": "films", "blocks": 9})
    assert bool(notes) == bool(said) and said in "".join(notes)
