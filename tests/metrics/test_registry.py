"""Identifiers, refusals, and that the reference page names every metric."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mindanim.metrics.families.metric import GROUPS, PoolSize, Setting, slug
from mindanim.metrics.families.registry import catalogue

FULL = Setting(
    clips=120,
    frames=8,
    height=64,
    width=64,
    image_classes=60,
    video_classes=120,
    video_frames=8,
    clip_name="demo",
    distractors=110,
    vifi=True,
    decoded=frozenset({"clip", "latents"}),
    pool=PoolSize(4000, "a" * 64),
)
NEVER_AT_64 = {"epe.raft", "epe.farneback512"}


def refused(setting):
    return {refusal.id: refusal.reason for refusal in catalogue(setting)[1]}


def test_everything_is_computed_where_everything_is_there():
    metrics, refusals = catalogue(FULL)
    assert {refusal.id for refusal in refusals} == NEVER_AT_64
    ids = [metric.id for metric in metrics]
    assert len(set(ids)) == len(ids)
    assert {"2way.image", "50way.video.top1", "clipvideo.demo", "ssim.rgb7", "psnr.db", "hue.cosine"} < set(
        ids
    )
    assert {"clip_pcc.adjacent", "epe.farneback64", "ae.farneback64", "flow.corr", "retrieval.top10"} < set(
        ids
    )
    assert [metric.group for metric in metrics] == sorted((m.group for m in metrics), key=GROUPS.index)


def test_chance_of_classification_is_three_in_n_plus_two():
    chances = {metric.id: metric.chance for metric in catalogue(FULL)[0]}
    assert chances["2way.image"] == 0.75 and chances["2way.image.top1"] == 0.5
    assert chances["50way.video"] == pytest.approx(3 / 52) and chances["50way.video.top1"] == 0.02
    assert chances["retrieval.top10"] == pytest.approx(10 / 120)
    assert chances["retrieval.top10.large"] == pytest.approx(10 / 4000)


@pytest.mark.parametrize(
    ("change", "identifier", "reason"),
    [
        ({"video_classes": 51}, "50way.video", "52 classes"),
        ({"video_classes": 49}, "50way.video.top1", "50 classes"),
        ({"image_classes": 0}, "2way.image", "no image classifier"),
        ({"video_frames": 16}, "2way.video", "takes 16 frames, the clips have 8"),
        ({"clip_name": ""}, "clip_pcc.adjacent", "no CLIP model"),
        ({"frames": 1, "video_frames": 1}, "flow.corr", "needs 2 frames"),
        ({"height": 6}, "ssim.rgb7", "7 px window"),
        ({"height": 8}, "ssim.gaussian11", "11 px window"),
        ({"vifi": False}, "vifi", "--set vifi=FILE"),
        ({"vifi": False}, "clip_pcc.gated", "no ViFi-CLIP checkpoint"),
        ({"raft": True}, "epe.raft", "RAFT needs frames of 128 px"),
        ({}, "epe.farneback512", "epe.farneback64 is the same on these"),
        ({"distractors": 40}, "feature.clip_text.50way", "49 clips of another caption"),
        ({"clips": 100}, "retrieval.top100", "only 100 clips"),
        ({"pool": None}, "retrieval.top1.large", "--set pool=FOLDER"),
        ({"decoded": frozenset()}, "feature.latent.r", "no decoded latents"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(change, identifier, reason):
    found = refused(replace(FULL, **change))
    assert reason in found[identifier]


def test_only_the_impossible_is_refused():
    assert set(refused(replace(FULL, video_classes=51))) == {"50way.video"} | NEVER_AT_64


def test_what_needs_large_frames_is_computed_on_large_frames():
    large = replace(FULL, height=512, width=512, raft=True, released=True)
    metrics, refusals = catalogue(large)
    assert refusals == []
    ids = [metric.id for metric in metrics]
    assert len(set(ids)) == len(ids)
    assert {"epe.farneback512", "epe.raft", "50way.video.released", "vifi", "clip_pcc.gated"} < set(ids)
    assert all(metric.resolution == (512, 512) and metric.frames == 8 for metric in metrics[:10])


def test_resolution_is_part_of_the_flow_errors_identifiers():
    ids = {metric.id for metric in catalogue(replace(FULL, height=48))[0]}
    assert {"epe.farneback48x64", "ae.farneback48x64"} < ids


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("demo", "demo"),
        ("ViT-B-32-quickgelu/openai", "vitb32quickgeluopenai"),
        ("/models/ViT-B-16/", "vitb16"),
        ("hf-hub:timm/vit_base_patch16_clip_224.openai", "hfhubtimmvitbasepatch16clip224openai"),
    ],
)
def test_model_names_in_identifiers(name, short):
    assert slug(name) == short


def test_the_reference_page_describes_every_metric():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
    for metric in catalogue(replace(FULL, height=128, width=128, raft=True, released=True))[0]:
        named = metric.id.replace("farneback128", "farneback<size>").replace(
            "clipvideo.demo", "clipvideo.<name>"
        )
        assert f"`{named}`" in page, metric.id


FIRM = [
    "2way.image", "50way.image", "2way.video", "50way.video", "2way.image.top1", "50way.image.top1",
    "2way.video.top1", "50way.video.top1", "vifi", "clipvideo.vitb16", "retrieval.top1",
    "retrieval.top10", "retrieval.top100", "ssim.rgb7", "ssim.gaussian11", "ssim.graycol", "psnr.db",
    "hue.cosine", "hue.pearson", "hue.circular", "clip_pcc.gated", "clip_pcc.adjacent",
    "epe.farneback512", "epe.raft", "ae.farneback512", "flow.corr", "feature.clip_image.r",
    "feature.clip_image.2way", "feature.clip_text.r", "feature.clip_text.2way", "feature.latent.r",
    "feature.latent_diff.r", "feature.latent.2way", "feature.latent.50way", "feature.latent_diff.2way",
    "feature.latent_diff.50way",
]  # fmt: skip


def test_every_published_identifier_is_registered_with_all_that_is_to_be_known_of_it():
    setting = replace(FULL, height=512, width=512, raft=True, clip_name="ViT-B-16")
    found = {metric.id: metric for metric in catalogue(setting)[0]}
    assert set(FIRM) <= set(found)
    gates = found["clip_pcc.gated"].backbone, found["clip_pcc.adjacent"].backbone
    assert gates == ("vifi", "clip"), "a comparison sees the hash of either"
    for metric in found.values():
        low, high = metric.bounds
        assert metric.version >= 1 and metric.direction in ("higher", "lower") and low is not None
        assert metric.reference and metric.note and metric.chance_source
        if metric.chance is not None:
            assert low <= metric.chance <= (np.inf if high is None else high)
        looks = metric.group != "feature"
        assert (metric.resolution == (512, 512)) == looks and (metric.frames == 8) == looks
