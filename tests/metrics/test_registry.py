"""Identifiers, refusals, and that the reference page names every metric."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mindanim.errors import ConfigError
from mindanim.metrics.families.catalogue import catalogue, chosen
from mindanim.metrics.families.metric import GROUPS, METRICS, NETWORKS, Metric, Setting, slug
from mindanim.metrics.inputs.decoded_features import DecodedFeatures, Latents
from mindanim.metrics.inputs.retrieval_pool import Pool


def setting(
    clips=120, shape=(8, 64, 64, 3), images=60, videos=120, read=8, twins=10, pool=True, raft=False, **without
):
    """A test set; images, videos: classes of the classifiers. read: frames of the video classifier. twins:
    clips of one caption. without: networks, `decoded` or `latents` that are not there."""
    captions = np.concatenate([np.zeros(twins, int), np.arange(1, clips - twins + 1)])
    large = Pool(np.zeros((clips, 3880)), 4000, 0, 0, 0, "a" * 64) if pool else None
    latents = None if "latents" in without else Latents([], [], np.zeros(1))
    features = None if "decoded" in without else DecodedFeatures({}, captions, latents, large)
    networks = {name: SimpleNamespace() for name in NETWORKS if raft or name != "raft"} | {
        "image_classifier": SimpleNamespace(labels=range(images)),
        "video_classifier": SimpleNamespace(labels=range(videos), frames=read, trained_frames=read),
    }
    networks = {name: network for name, network in networks.items() if name not in without}
    return Setting(clips, shape, networks, {"clip": "demo"}, features)


FULL = setting()
NEVER_AT_64 = {"epe.raft", "epe.farneback512"}


def refused(setting):
    return catalogue(setting)[1]


def test_everything_is_computed_where_everything_is_there():
    metrics, refusals = catalogue(FULL)
    assert set(refusals) == NEVER_AT_64
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
        ({"videos": 51}, "50way.video", "52 classes"),
        ({"videos": 49}, "50way.video.top1", "50 classes"),
        ({"image_classifier": None}, "2way.image", "no image classifier"),
        ({"read": 16}, "2way.video", "takes 16 frames, the clips have 8"),
        ({"clip": None}, "clip_pcc.adjacent", "no CLIP model"),
        ({"shape": (1, 64, 64, 3), "read": 1}, "flow.corr", "needs 2 frames"),
        ({"shape": (8, 6, 64, 3)}, "ssim.rgb7", "at least 7 px, these are 6 x 64 px"),
        ({"shape": (8, 8, 64, 3)}, "ssim.gaussian11", "at least 11 px"),
        ({"vifi": None}, "vifi", "--set vifi=FILE"),
        ({"vifi": None}, "clip_pcc.gated", "no ViFi-CLIP checkpoint"),
        ({"raft": True}, "epe.raft", "at least 128 px"),
        ({}, "epe.farneback512", "epe.farneback64 is the same on these"),
        ({"twins": 80}, "feature.clip_text.50way", "49 clips of another caption"),
        ({"clips": 100}, "retrieval.top100", "only 100 clips"),
        ({"pool": False}, "retrieval.top1.large", "--set pool=FOLDER"),
        ({"latents": None}, "feature.latent.r", "no decoded latents"),
        ({"decoded": None}, "feature.clip_text.r", "no decoded CLIP vectors"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(change, identifier, reason):
    found = refused(setting(**change))
    assert reason in found[identifier]


def test_only_the_impossible_is_refused():
    assert set(refused(setting(videos=51))) == {"50way.video"} | NEVER_AT_64


def test_what_needs_large_frames_is_computed_on_large_frames():
    metrics, refusals = catalogue(replace(setting(shape=(8, 512, 512, 3), raft=True), released=True))
    assert refusals == {}
    ids = [metric.id for metric in metrics]
    assert len(set(ids)) == len(ids)
    assert {"epe.farneback512", "epe.raft", "50way.video.released", "vifi", "clip_pcc.gated"} < set(ids)
    assert all(metric.resolution == (512, 512) and metric.frames == 8 for metric in metrics[:10])


def test_resolution_is_part_of_the_flow_errors_identifiers():
    ids = {metric.id for metric in catalogue(setting(shape=(8, 48, 64, 3)))[0]}
    assert {"epe.farneback48x64", "ae.farneback48x64"} < ids


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("demo", "demo"),
        ("ViT-B-32-quickgelu/openai", "vitb32quickgeluopenai"),
        ("/models/ViT-B-16/", "vitb16"),
        ("local-dir:/models/ViT-B-16", "vitb16"),
        ("ViT-B-32/openai@/models/ViT-B-32.pt", "vitb32openaivitb32pt"),
        ("ViT-L/14@336px", "vitl14336px"),
        ("hf-hub:timm/vit_base_patch16_clip_224.openai", "hfhubtimmvitbasepatch16clip224openai"),
    ],
)
def test_model_names_in_identifiers(name, short):
    assert slug(name) == short


def test_the_reference_page_describes_every_metric():
    page = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text()
    for metric in catalogue(replace(setting(shape=(8, 128, 128, 3), raft=True), released=True))[0]:
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
    large = replace(setting(shape=(8, 512, 512, 3), raft=True), names={"clip": "ViT-B-16"})
    found = {metric.id: metric for metric in catalogue(large)[0]}
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


def test_metrics_are_chosen_by_identifier():
    ids = [metric.id for metric in catalogue(FULL, ids=("psnr.db", "epe.farneback64", "50way.video"))[0]]
    assert ids == ["50way.video", "psnr.db", "epe.farneback64"]
    assert catalogue(FULL, ("motion",), ("psnr.db",)) == ([], {})
    metrics, reasons = catalogue(FULL, ids=("epe.farneback48x64",))
    assert metrics == [] and reasons == {"epe.farneback48x64": "on these clips it is epe.farneback64"}


@pytest.mark.parametrize(
    ("name", "likely"),
    [
        ("ssim.rgb", "ssim.rgb7"),
        ("50way.vido", "50way.video"),
        ("lpipz", "lpips.alex"),
        ("nonsense", "known: 2way.image"),
    ],
)
def test_an_unknown_metric_is_an_error_with_the_likely_one(name, likely):
    with pytest.raises(ConfigError, match=f"unknown metric '{name}': .*{likely}"):
        chosen(ids=(name,))


def test_every_need_is_known():
    for metric in (METRICS[name] for name in METRICS):
        others = set(metric.needs) - {"frames", "decoded_clip", "decoded_latents"}
        assert metric.needs and all(name in NETWORKS for name in others), metric.id
        assert isinstance(metric, Metric)
