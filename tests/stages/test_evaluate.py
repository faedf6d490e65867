"""The evaluate stage, from artifacts on disk to metrics.json, tables and report."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from mindanim.config.evaluate import EvaluateConfig
from mindanim.config.resolve import Asked, resolve
from mindanim.errors import InputError, MissingError, UsageError
from mindanim.metrics.inputs.nearest_training import nearest_training_clips
from mindanim.metrics.inputs.test_set import read_test_set
from mindanim.stages.evaluate import evaluate
from tests.stages.evaluation_inputs import (
    TEST,
    TRAIN,
    make_inputs,
    make_videos,
    run_options,
    truth,
    unrelated,
)
from tests.tiny import tiny_clip_folder, tiny_image_classifier_folder, tiny_video_classifier_folder

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "metrics.schema.json"
WITHOUT_NETWORKS = {"image_classifier": None, "video_classifier": None, "clip": None}
QUICK = {"diffusion": None, "bootstraps": 100, "permutations": 199, "motion_permutations": 49, "shuffles": 3}


def quick(**options):
    return EvaluateConfig(**{**WITHOUT_NETWORKS, **QUICK, **options})


def scores_of(artifact):
    return {score["id"]: score for score in artifact.json("metrics.json")["scores"]}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Unrelated reconstructions through all three networks, with an oracle but without no-brain videos."""
    folder = tmp_path_factory.mktemp("full")
    run = run_options(folder / "work")
    inputs = make_inputs(run)
    make_videos(run, inputs, unrelated, seed=9)
    make_videos(run, inputs, truth, label="oracle")
    config = EvaluateConfig(
        **QUICK,
        image_classifier=str(tiny_image_classifier_folder(folder / "image")),
        video_classifier=str(tiny_video_classifier_folder(folder / "video", frames=16)),
        clip=str(tiny_clip_folder(folder / "tinyclip")),
    )
    return evaluate(config, run)


def test_metrics_json_keeps_to_its_schema(full):
    jsonschema.validate(full.json("metrics.json"), json.loads(SCHEMA.read_text()))


def test_everything_is_there(full):
    wanted = {
        "metrics.json",
        "per_clip.tsv",
        "table.md",
        "report.html",
        "figures/scores.png",
        "figures/motion_test.png",
    }
    assert wanted <= set(full.outputs)
    scores = scores_of(full)
    assert {"50way.image", "2way.video", "clipvideo.tinyclip", "ssim.rgb7", "epe.farneback32"} < set(scores)
    assert scores["2way.image"]["backbone"]["name"].endswith("image")
    assert scores["ssim.rgb7"]["backbone"] is None
    data = full.json("metrics.json")
    assert (data["clips"], data["frames"], data["resolution"], data["subset"]) == (16, 4, [32, 32], None)
    near, *coarse = [finding["text"] for finding in data["audit"]]
    assert near == "Clip test1-0001 resembles a training clip."
    # Two segments of eight clips under three shifts. The two blocks are no limit to Student's t.
    (text,) = coarse
    assert text.startswith("p against the shuffled floor cannot be below 0.062:")
    assert {score["floors"]["shuffled"]["p_by"] for score in data["scores"]} == {"circular shifts"}
    tests = {score["floors"]["gray"]["p_by"] for score in data["scores"] if "gray" in score["floors"]}
    assert tests <= {"Student's t", "sign flips"} and "Student's t" in tests
    assert data["quoted"] == []
    assert data["ranked_by"] == "50way.image" and data["source"] is None
    # The classifier is made for 16 frames, as the published one is; the clips have four.
    assert scores["2way.video"]["frames"] == 4
    assert "trained on 16 frames and reads 4" in scores["2way.video"]["note"]
    assert "trained on" not in scores["2way.image"]["note"]
    assert scores["ssim.rgb7"]["resolution"] == [32, 32] and scores["ssim.rgb7"]["frames"] == 4


def test_what_cannot_be_computed_is_named_with_its_reason(full):
    data = full.json("metrics.json")
    refused = {entry["id"]: entry["reason"] for entry in data["refused"]}
    assert "52 classes" in refused["50way.video"] and "16 clips" in refused["retrieval.top100"]
    assert "50way.video" not in scores_of(full)
    missing = {entry["floor"]: entry["reason"] for entry in data["floors_missing"]}
    assert set(missing) == {"no-brain", "nearest-train"} and "--no-brain" in missing["no-brain"]
    assert [entry["ceiling"] for entry in data["ceilings_missing"]] == ["repeat"]
    assert "--set repeats=odd --label odd" in data["ceilings_missing"][0]["reason"]
    table = full.file("table.md").read_text()
    assert "`50way.video`" in table and "52 classes" in table and "--no-brain" in table


def test_the_oracle_reaches_the_bounds_and_unrelated_videos_the_floor(full):
    scores = scores_of(full)
    for name in (
        "50way.image",
        "2way.video",
        "ssim.rgb7",
        "hue.circular",
        "flow.corr",
        "feature.clip_text.r",
    ):
        assert scores[name]["ceiling"]["oracle"] == pytest.approx(1, abs=1e-5)
    assert (
        scores["psnr.db"]["ceiling"]["oracle"] == 100 and scores["epe.farneback32"]["ceiling"]["oracle"] == 0
    )
    assert not any(score["above_floor"] for name, score in scores.items() if "image" not in name)
    for score in scores.values():
        floor = score["floors"]["shuffled"]
        assert floor["ci"][0] < floor["difference"] < floor["ci"][1] or floor["difference"] == 0


def test_floors_mean_what_they_say(full):
    scores = scores_of(full)
    assert scores["clip_pcc.adjacent"]["floors"]["frozen"]["value"] == pytest.approx(1, abs=1e-5)
    assert scores["flow.corr"]["floors"]["frozen"]["value"] == 0
    assert scores["hue.circular"]["floors"]["gray"]["value"] == 0
    assert set(scores["ssim.rgb7"]["floors"]) == {"shuffled", "mean-image", "gray", "frozen"}
    assert set(scores["feature.clip_text.r"]["floors"]) == {"shuffled"}
    lower = scores["epe.farneback32"]
    frozen = lower["floors"]["frozen"]
    assert frozen["difference"] == pytest.approx(frozen["value"] - lower["value"])


def test_per_clip_columns_average_to_the_scores(full):
    table = full.table("per_clip.tsv")
    assert list(table["clip_id"]) == TEST
    for name, score in scores_of(full).items():
        assert table[name].mean() == pytest.approx(score["value"], rel=1e-9, abs=1e-12)
        assert table[f"shuffled:{name}"].mean() == pytest.approx(
            score["floors"]["shuffled"]["value"], abs=1e-12
        )
    assert table["oracle:ssim.rgb7"].tolist() == pytest.approx([1] * 16)
    assert table["order_p:epe"].between(1 / 50, 1).all()


def test_perfect_videos_are_above_every_floor(tmp_path):
    run = run_options(tmp_path)
    make_videos(run, make_inputs(run, mean_frames=False))
    found = evaluate(quick(shuffles=7, block_clips=2), run)
    scores = scores_of(found)
    for name in (
        "ssim.rgb7",
        "psnr.db",
        "flow.corr",
        "epe.farneback32",
        "feature.latent_diff.r",
    ):
        assert scores[name]["above_floor"], name
        assert scores[name]["floors"]["shuffled"]["p"] < 0.05
    # Four scenes' hues are too few for an interval, not for the test.
    assert scores["hue.circular"]["floors"]["shuffled"]["p"] < 0.05
    data = found.json("metrics.json")
    # Two segments under eight shifts each: 64 pairings, enough for one metric and too few for all.
    assert [finding["code"] for finding in data["audit"]][-1] == "coarse-p"
    assert f"Corrected for {len(scores)} metrics (Holm)" in data["audit"][-1]["text"]
    assert data["motion_test"]["flow.corr"]["p_set"] == pytest.approx(1 / 50)
    # Scenes of two clips fill the blocks of two, but as if AR(1) what they share is taken to last beyond.
    assert data["motion_test"]["flow.corr"]["p_reversed"] < 0.07
    assert data["motion_test"]["flow.corr"]["p_reversed_by"] == "sign flips"  # eight blocks
    assert data["motion_test"]["epe"]["correct"] is None  # no classifier to say which clips were recognised
    missing = {entry["floor"]: entry["reason"] for entry in data["floors_missing"]}
    assert "mean_frames.npy" in missing["mean-image"]
    ceilings = {entry["ceiling"]: entry["reason"] for entry in data["ceilings_missing"]}
    assert "--oracle all" in ceilings["oracle"]
    assert {entry["id"] for entry in data["refused"]} >= {"2way.image", "clip_pcc.adjacent"}


def test_the_same_evaluation_twice_gives_the_same_numbers(tmp_path):
    results = []
    for name in ("one", "two"):
        run = run_options(tmp_path / name)
        make_videos(run, make_inputs(run), unrelated)
        results.append(
            evaluate(quick(groups=("pixel", "feature"), motion_test=False), run).json("metrics.json")
        )
    assert results[0] == results[1]
    assert results[0]["motion_test"] is None
    assert {score["group"] for score in results[0]["scores"]} == {"pixel", "feature"}


def test_missing_reconstructions_are_listed_unless_a_subset_is_asked_for(tmp_path):
    run = run_options(tmp_path)
    make_videos(run, make_inputs(run), clips=TEST[:10])
    with pytest.raises(InputError, match="6 of 16 test clips have no reconstruction: test2-0003"):
        evaluate(quick(), run)
    found = evaluate(quick(subset=True, groups=("pixel",), motion_test=False), run)
    assert found.json("metrics.json")["subset"] == "10 of 16 test clips"
    assert "Subset: 10 of 16 test clips" in found.file("table.md").read_text()
    assert [finding["code"] for finding in found.findings] == ["subset", "coarse-p"]
    assert list(found.table("per_clip.tsv")["clip_id"]) == TEST[:10]


def test_reconstructions_of_no_test_clip_are_an_error(tmp_path):
    run = run_options(tmp_path)
    make_videos(run, make_inputs(run), clips=[*TEST, "test9-0001"])
    with pytest.raises(InputError, match="not of test clips of this subject: test9-0001"):
        evaluate(quick(), run)


def test_another_size_is_an_error_that_says_which(tmp_path):
    run = run_options(tmp_path)
    make_videos(run, make_inputs(run), lambda clip: np.zeros((4, 16, 16, 3), np.uint8))
    with pytest.raises(InputError, match=r"16 reconstructions .* differ in size(.|\n)*\(4, 16, 16, 3\)"):
        evaluate(quick(), run)


def test_videos_of_other_stimuli_are_refused(tmp_path):
    run = run_options(tmp_path)
    inputs = make_inputs(run)
    make_videos(run, inputs)
    other = run_options(tmp_path / "other")
    strangers = make_inputs(other, mean_frames=False)
    manifest = json.loads((inputs["stimuli"].path / "manifest.json").read_text())
    manifest["identity"] = strangers["stimuli"].identity[::-1]
    (inputs["stimuli"].path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="made from stimuli other than"):
        evaluate(quick(), run)


def test_a_contender_without_all_clips_is_not_compared(tmp_path):
    run = run_options(tmp_path)
    inputs = make_inputs(run)
    make_videos(run, inputs, unrelated)
    make_videos(run, inputs, unrelated, label="nobrain", seed=3)
    make_videos(run, inputs, label="oracle", clips=TEST[:4])
    found = evaluate(quick(groups=("pixel", "feature"), motion_test=False), run)
    ceilings = {entry["ceiling"]: entry["reason"] for entry in found.json("metrics.json")["ceilings_missing"]}
    assert "lacks 12 of the clips" in ceilings["oracle"]
    scores = scores_of(found)
    assert scores["ssim.rgb7"]["ceiling"]["oracle"] is None
    assert scores["ssim.rgb7"]["floors"]["no-brain"]["difference"] == pytest.approx(0, abs=1e-12)
    assert scores["feature.latent.r"]["floors"]["no-brain"]["value"] is not None


def test_missing_weights_are_no_reason_to_leave_a_metric_out(tmp_path):
    run = run_options(tmp_path)
    make_videos(run, make_inputs(run))
    with pytest.raises(MissingError):
        evaluate(quick(clip=str(tmp_path / "nowhere")), run)


def test_the_nearest_training_clip_has_the_caption_and_the_first_frame_nearest_to_what_was_decoded(tmp_path):
    run = run_options(tmp_path)
    inputs = make_inputs(run)
    stimuli, videos = inputs["stimuli"], make_videos(run, inputs)
    test = read_test_set(inputs["fmri"], stimuli, videos, False)
    found = nearest_training_clips(videos, stimuli, test)
    train = stimuli.array("clip_text.npy")[:6, 0].astype(float)
    order = list(videos.table("clips.tsv")["clip_id"])
    centred = train - train.mean(axis=0)
    for clip, row in zip(TEST, found, strict=True):
        decoded = videos.array("decoded_clip.npy")[order.index(clip)] - train.mean(axis=0)
        assert row == np.argmax([np.corrcoef(decoded, target)[0, 1] for target in centred])


def test_captions_that_are_all_alike_leave_the_nearest_clip_to_the_first_frames(tmp_path):
    """One placeholder for all clips; what a batch adds to its embedding must not choose."""
    run = run_options(tmp_path)
    inputs = make_inputs(run, one_caption=True)
    stimuli, videos = inputs["stimuli"], make_videos(run, inputs, unrelated)
    test = read_test_set(inputs["fmri"], stimuli, videos, False)
    found = nearest_training_clips(videos, stimuli, test)
    latents = stimuli.array("latents.npy").astype(float)[:, 0].reshape(len(TRAIN) + len(TEST), -1)
    decoded = videos.array("decoded_latents.npy").astype(float)[:, 0].reshape(len(TEST), -1)
    mean = latents[: len(TRAIN)].mean(axis=0)
    order = list(videos.table("clips.tsv")["clip_id"])
    for clip, row in zip(TEST, found, strict=True):
        r = [
            np.corrcoef(decoded[order.index(clip)] - mean, one - mean)[0, 1] for one in latents[: len(TRAIN)]
        ]
        assert row == np.argmax(r)
    data = evaluate(quick(groups=("pixel", "feature"), motion_test=False), run).json("metrics.json")
    scores = {score["id"]: score for score in data["scores"]}
    assert scores["ssim.rgb7"]["floors"]["shuffled"]["value"] is None, "no clip has another caption"
    assert scores["feature.clip_image.r"]["n"] == len(TEST)
    for name in ("feature.clip_text.r", "retrieval.top1"):
        assert scores[name]["n"] == 0, "one caption cannot be told from itself"
    assert "another caption" in str(data["refused"])


def test_videos_that_came_later_are_taken_up_when_asked_for_and_the_change_is_named(tmp_path):
    run = run_options(tmp_path)
    inputs = make_inputs(run)
    make_videos(run, inputs, unrelated)
    options = {"groups": ("pixel",), "motion_test": False}
    evaluate(quick(**options), run)
    make_videos(run, inputs, unrelated, label="nobrain", seed=3)
    for label, film in (("odd", truth), ("even", unrelated)):
        make_videos(run, inputs, film, label=label)
    with pytest.raises(
        InputError, match="input no-brain: was not used before(.|\n)*--label NAME(.|\n)*--force"
    ):
        evaluate(quick(**options), run)
    found = evaluate(quick(**options), run.model_copy(update={"force": True}))
    scores = scores_of(found)
    assert scores["ssim.rgb7"]["floors"]["no-brain"]["value"] == pytest.approx(scores["ssim.rgb7"]["value"])
    # The even half holds what is scored, the odd half the truth: one judged by the other is the score itself.
    assert scores["ssim.rgb7"]["ceiling"]["repeat"] == pytest.approx(scores["ssim.rgb7"]["value"])
    ceilings = [entry["ceiling"] for entry in found.json("metrics.json")["ceilings_missing"]]
    assert ceilings == ["oracle"]


def test_the_large_pool_holds_the_clips_of_another_study_but_not_those_of_both(tmp_path):
    run = run_options(tmp_path / "work")
    inputs = make_inputs(run, clip_model="c")
    make_videos(run, inputs)
    make_videos(run, inputs, label="oracle")
    # Another study: the same training clips, other test clips, two of them one film as everywhere here.
    other = make_inputs(run_options(tmp_path / "other"), clip_model="c", seed=1)["stimuli"]
    quickly = {"groups": ("feature",), "motion_test": False}
    small = scores_of(evaluate(quick(**quickly), run))
    beside = run.model_copy(update={"label": "large", "use": {"videos": ""}})
    found = evaluate(quick(**quickly, pool=(other.path,)), beside)
    jsonschema.validate(found.json("metrics.json"), json.loads(SCHEMA.read_text()))
    scores = scores_of(found)
    # 6 training clips and 16 // 2 films of the other study, in addition to the 16 test clips.
    pool = scores["retrieval.top10.large"]["pool"]
    assert pool["clips"] == 16 + 6 + 8
    assert scores["retrieval.top10.large"]["chance"] == pytest.approx(10 / 30)
    assert scores["retrieval.top1"]["value"] == small["retrieval.top1"]["value"]
    assert small["retrieval.top1"]["pool"] is None
    said = "left out for looking like another clip of the pool: 8 (0 by perceptual hash, 8 by CLIP)."
    assert said in scores["retrieval.top1.large"]["note"]
    for top in (1, 10):
        # More clips never make it easier; perfect decoding shares the first place with its own caption only.
        assert scores[f"retrieval.top{top}.large"]["value"] <= scores[f"retrieval.top{top}"]["value"]
    assert scores["retrieval.top1.large"]["value"] == pytest.approx(0.5)
    refused = {entry["id"]: entry["reason"] for entry in found.json("metrics.json")["refused"]}
    assert refused["retrieval.top100.large"] == "the pool has only 30 clips"


def test_a_pool_seen_by_another_clip_model_is_refused(tmp_path):
    run = run_options(tmp_path / "work")
    inputs = make_inputs(run, clip_model="c")
    make_videos(run, inputs)
    other = make_inputs(run_options(tmp_path / "other"), clip_model="d", seed=1)
    for folder, why in (
        (other["stimuli"], r"another CLIP model \(dddddddd\) than (.|\n)*\(cccccccc\)"),
        (other["fmri"], "It is the artifact fmri, not the stimuli"),
        (inputs["stimuli"], "the stimuli that are scored"),
    ):
        with pytest.raises(InputError, match=why):
            evaluate(quick(pool=(folder.path,)), run)


def test_a_label_that_no_videos_have_is_refused(tmp_path):
    run = run_options(tmp_path)
    make_videos(run, make_inputs(run))
    typed = run.model_copy(update={"label": "nomotoin"})
    with pytest.raises(InputError, match="no videos labelled nomotoin(.|\n)*There are: videos"):
        evaluate(quick(), typed)
    # The label is then the evaluation's alone, with an explicit choice of the videos.
    explicit = typed.model_copy(update={"use": {"videos": ""}})
    found = evaluate(quick(groups=("pixel",), motion_test=False), explicit)
    assert found.path.name == "evaluation-nomotoin"


def options(*sets):
    return resolve(Asked(sets=sets), "evaluate", EvaluateConfig, lambda run: (run, {})).config


def test_floors_and_ceilings_are_left_out_with_none():
    config = options("repeats=none", "ceiling=none", "no_brain=none")
    assert (config.repeats, config.ceiling, config.no_brain) == ((), "", "")
    with pytest.raises(UsageError, match=r"repeats=odd,even\), or repeats=none"):
        options("repeats=odd")
