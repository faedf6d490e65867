"""The one code path for reconstructions and floors, and the entries that come of it."""

from __future__ import annotations

import numpy as np
import pytest

from mindanim.metrics.families.catalogue import catalogue
from mindanim.metrics.families.metric import Setting
from mindanim.metrics.floors import Frozen, gray_clip, plan_shuffles
from mindanim.metrics.inference.entries import summarise
from mindanim.metrics.inference.intervals import Resampling, make_blocks
from mindanim.metrics.inputs.decoded_features import DecodedFeatures
from mindanim.metrics.inputs.test_set import Contender
from mindanim.metrics.pair_scorer import PairScorer
from mindanim.metrics.with_floors import Scored, Shuffled, score_with_floors
from tests.metrics.films import panned, scores_of, texture

CLIPS, FRAMES, SIZE = 8, 3, 24
NOTHING = DecodedFeatures({}, np.arange(CLIPS), None)


def films(seed):
    rng = np.random.default_rng(seed)
    return [panned(texture(rng, SIZE, 10), (1 + clip % 2, 0), FRAMES, SIZE, 10) for clip in range(CLIPS)]


def metrics():
    return catalogue(Setting(CLIPS, (FRAMES, SIZE, SIZE, 3)), ("pixel", "motion"))[0]


@pytest.fixture(scope="module")
def scored():
    truths, recons = films(0), films(1)
    scorer = PairScorer(truths, {}, metrics(), threads=2)
    plan = plan_shuffles(["a"] * CLIPS, [str(clip // 2) for clip in range(CLIPS)], 3)
    single = {"gray": gray_clip(truths[0].shape)}
    contenders = {"no-brain": Contender(films(2), None), "oracle": Contender(truths, None)}
    found = score_with_floors(scorer, recons, NOTHING, plan, single, contenders)
    return truths, recons, plan, found


def one(truth, recon):
    """All scores of one pair, from the metrics themselves."""
    found = scores_of(truth, recon, "pixel", "motion")
    return found | {f"{name}.farneback{SIZE}": found.pop(name) for name in ("epe", "ae")}


def test_every_score_is_that_of_its_own_pair(scored):
    truths, recons, plan, found = scored
    for clip in range(CLIPS):
        expected = {
            "own": one(truths[clip], recons[clip]),
            "gray": one(truths[clip], gray_clip(truths[0].shape)),
            "frozen": one(truths[clip], np.ascontiguousarray(Frozen(recons)[clip])),
            "no-brain": one(truths[clip], films(2)[clip]),
            "ceiling": one(truths[clip], truths[clip]),
        }
        sets = {"own": found.own, "ceiling": found.ceilings["oracle"], **found.floors}
        for name, scores in expected.items():
            for metric, value in scores.items():
                assert sets[name][metric][clip] == pytest.approx(value, nan_ok=True), (name, metric)
    partners = [
        np.mean([one(truths[clip], recons[other])["ssim.rgb7"] for other in plan.partners[clip]])
        for clip in range(CLIPS)
    ]
    assert found.shuffled["ssim.rgb7"].floor == pytest.approx(partners)
    shift = one(truths[2], recons[plan.shifted[2, 1]])["psnr.db"]
    assert found.shuffled["psnr.db"].shifted[2, 1] == pytest.approx(shift)


def test_entries_are_signed_so_that_positive_is_better(scored):
    found = scored[3]
    entries = {entry["id"]: entry for entry in summarised(found)}
    for name, entry in entries.items():
        sign = -1 if entry["direction"] == "lower" else 1
        for floor in ("gray", "frozen", "no-brain"):
            defined = ~np.isnan(found.own[name])
            difference = sign * (found.own[name][defined] - found.floors[floor][name][defined]).mean()
            assert entry["floors"][floor]["difference"] == pytest.approx(difference)
        assert entry["above_floor"] == entry["floors"]["shuffled"]["above"]
    assert entries["ssim.rgb7"]["ceiling"]["oracle"] == pytest.approx(1)


def test_holm_is_over_the_metrics_of_each_floor(scored):
    entries = summarised(scored[3])
    for floor in ("shuffled", "gray", "frozen"):
        p = [entry["floors"][floor]["p"] for entry in entries]
        adjusted = [entry["floors"][floor]["p_holm"] for entry in entries]
        assert min(adjusted) == pytest.approx(min(1, len(p) * min(p)))
        assert all(after >= before for before, after in zip(p, adjusted, strict=True))


def summarised(found: Scored):
    segments = ["a"] * CLIPS
    one = np.zeros(CLIPS, int)
    resampling = Resampling(make_blocks(segments, 2), one, one, one, 100, 99, 0)
    return summarise(metrics(), found, resampling, {}, {})[0]


def test_undefined_clips_are_counted_and_left_out():
    names = {metric.id: np.ones(CLIPS) for metric in metrics()}
    names["flow.corr"] = np.array([np.nan, 0.5, 0.7, np.nan, 0.6, 0.6, 0.6, 0.6])
    pairs = np.tile((np.arange(CLIPS)[:, None] + [1, 3]) % CLIPS, 1)
    shuffled = {}
    for name, own in names.items():
        values = np.where(np.isnan(own)[:, None], np.nan, np.full((CLIPS, 2), 0.25))
        places = np.arange(2 * CLIPS).reshape(CLIPS, 2)
        shuffled[name] = Shuffled(values.ravel(), places, places, pairs, pairs)
    found = Scored(names, shuffled, {"gray": {"flow.corr": np.full(CLIPS, np.nan)}}, {}, None, {})
    entry = next(entry for entry in summarised(found) if entry["id"] == "flow.corr")
    assert (entry["n"], entry["undefined"]) == (6, 2)
    assert entry["value"] == pytest.approx(0.6)
    assert entry["floors"]["shuffled"]["difference"] == pytest.approx(0.35)
    assert entry["floors"]["gray"]["value"] is None and not entry["floors"]["gray"]["above"]
    assert entry["ceiling"]["oracle"] is None
