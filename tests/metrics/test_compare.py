"""Comparison of finished evaluations: what is found, and what is refused."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from mindanim.artifacts import Artifact
from mindanim.errors import InputError, UsageError
from mindanim.metrics.comparison import Evaluated, across_subjects, compare

CLIPS = [f"test1-{clip:04d}" for clip in range(1, 121)]


def write(folder, per_clip, **changes):
    """An evaluation folder with two metrics, `ssim.rgb7` and `epe.farneback64`, from (clip,) arrays."""
    folder.mkdir()
    backbones = changes.pop("backbone", "a" * 64)
    versions = changes.pop("version", 1)
    pool = changes.pop("pool", None)
    clips = changes.pop("clips", CLIPS)
    films = changes.pop("films", "test1")
    null = changes.pop("null", np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    entry = {"value": 0.0, "above_floor": False, "floors": {"shuffled": {"value": 0.0}}}
    entry["bounds"] = [None, None]
    means = np.nanmean(per_clip, axis=1)
    data = {
        "schema_version": 4,
        "dataset": "simulated",
        "subject": None,
        "label": folder.name,
        "frames": 8,
        "resolution": [64, 64],
        "subset": None,
        "truth_sha256": "d" * 64,
        "scores": [
            {
                "id": "ssim.rgb7",
                "version": versions,
                "direction": "higher",
                "backbone": {"sha256": backbones},
                "pool": pool,
                **entry,
                "value": means[0],
            },
            {"id": "epe.farneback64", "version": 1, "direction": "lower", "backbone": None, **entry},
        ],
        **changes,
    }
    table = pd.DataFrame(
        {
            "clip_id": clips,
            "segment": films,
            "film": films,
            "ssim.rgb7": per_clip[0],
            "epe.farneback64": per_clip[1],
        }
    )
    (folder / "metrics.json").write_text(json.dumps(data))
    table.to_csv(folder / "per_clip.tsv", sep="\t", index=False, na_rep="n/a")
    np.save(folder / "pairing_null.npy", null)
    outputs = {
        file.name: {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
        for file in folder.iterdir()
    }
    manifest = {"outputs": outputs, "subject": None, "stage": "evaluate"}
    return Evaluated.of(Artifact(folder, "evaluation", "0" * 64, manifest))


def test_a_real_difference_is_found_and_signed_by_direction(tmp_path):
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((2, 120))
    first = write(tmp_path / "evaluation", shared)
    better = write(
        tmp_path / "evaluation-new", shared + [[0.5], [-0.5]] + 0.3 * rng.standard_normal((2, 120))
    )
    table = compare([first, better])
    assert list(table["metric"]) == ["ssim.rgb7", "epe.farneback64"]
    assert (table["reference"] == "evaluation").all() and (table["other"] == "evaluation-new").all()
    assert (table["difference"] > 0.3).all() and (table["ci_low"] > 0).all()
    assert (table["p"] < 0.01).all() and (table["p_holm"] >= table["p"]).all()
    assert (table["effect_size"] > 1).all()
    assert table["other_value"][1] < table["reference_value"][1]


def test_equal_results_do_not_differ(tmp_path):
    scores = np.random.default_rng(1).standard_normal((2, 120))
    table = compare([write(tmp_path / name, scores) for name in ("one", "two", "three")])
    assert len(table) == 4
    assert (table["difference"] == 0).all() and (table["p"] == 1).all() and table["effect_size"].isna().all()


def test_clips_are_paired_by_name_and_undefined_ones_left_out(tmp_path):
    scores = np.random.default_rng(2).standard_normal((2, 120))
    scores[0, 3] = np.nan
    order = np.random.default_rng(3).permutation(120)
    shuffled = write(tmp_path / "shuffled", scores[:, order], clips=[CLIPS[place] for place in order])
    table = compare([write(tmp_path / "plain", scores), shuffled])
    assert table["n"].tolist() == [119, 120]
    assert np.allclose(table["difference"], 0)


def test_every_difference_is_named(tmp_path):
    scores = np.zeros((2, 120))
    first = write(tmp_path / "first", scores)
    for changes, named in (
        ({"resolution": [32, 32]}, r"resolution \(\[64, 64\] and \[32, 32\]\)"),
        ({"frames": 6}, "frames per clip"),
        ({"subset": "10 of 120"}, "part of the test set"),
        ({"dataset": "cc2017"}, "dataset"),
        ({"truth_sha256": "e" * 64}, r"frames of the ground truth \(dddddddd and eeeeeeee\)"),
        ({"version": 2}, r"the version of ssim.rgb7 \(1 and 2\)"),
        ({"backbone": "b" * 64}, r"the backbone of ssim.rgb7 \(aaaaaaaa and bbbbbbbb\)"),
        ({"pool": {"clips": 90, "sha256": "c" * 64}}, r"pool of ssim.rgb7 \(none and 90 clips, cccccccc\)"),
        ({"clips": [*CLIPS[:-1], "test1-0999"]}, r"2 clips \(test1-0120, test1-0999\)"),
        ({"scores": []}, r"metrics \(epe.farneback64, ssim.rgb7\)"),
    ):
        other = write(tmp_path / f"other{len(list(tmp_path.iterdir()))}", scores, **changes)
        with pytest.raises(InputError, match=named):
            compare([first, other])


@pytest.mark.parametrize(
    ("films", "moved"),
    [
        (["c"] * 60 + ["d"] * 60, ""),  # only renamed
        (["a"] * 61 + ["b"] * 59, "the films that 120 clips belong to (test1-0001: a and a)"),
        (["a"] * 60 + ["b"] * 30 + ["c"] * 30, "the films that 60 clips belong to (test1-0061: b and b)"),
    ],
)
def test_clips_that_belong_to_other_films_are_refused(tmp_path, films, moved):
    shared = np.random.default_rng(0).standard_normal((2, 120))
    first = write(tmp_path / "a", shared, films=["a"] * 60 + ["b"] * 60)
    second = write(tmp_path / "b", shared, films=films)
    if not moved:
        assert len(compare([first, second])) == 2
        return
    with pytest.raises(InputError) as caught:
        compare([first, second])
    assert moved in str(caught.value)


def test_one_evaluation_is_no_comparison(tmp_path):
    with pytest.raises(UsageError):
        compare([write(tmp_path / "alone", np.zeros((2, 120)))])


def test_subjects_are_averaged_and_shifted_together(tmp_path):
    rng = np.random.default_rng(4)
    nulls = rng.standard_normal((3, 2, 500))
    nulls[:, 0, 0] = 1.5  # each subject alone is no surprise, the three together are
    nulls[:, 1, 0] = -0.1
    values = [0.2, 0.3, 0.7]
    subjects = [
        write(
            tmp_path / f"s{number}",
            np.full((2, 120), values[number]),
            null=nulls[number],
            subject=number + 1,
            label="",
        )
        for number in range(3)
    ]
    table = across_subjects(subjects).set_index("metric")
    row = table.loc["ssim.rgb7"]
    assert row["value"] == pytest.approx(0.4) and row["subjects"] == 3
    assert row["se"] == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    expected = (1 + (nulls[:, 0, 1:].mean(axis=0) >= 1.5).sum()) / 500
    assert row["p"] == pytest.approx(expected) and row["p"] < 0.02
    assert row["p_holm"] >= row["p"]
    lower = table.loc["epe.farneback64"]
    assert lower["p"] == pytest.approx((1 + (nulls[:, 1, 1:].mean(axis=0) <= -0.1).sum()) / 500)


def test_subjects_who_saw_other_clips_are_refused(tmp_path):
    scores = np.zeros((2, 120))
    first = write(tmp_path / "one", scores, subject=1)
    other = write(tmp_path / "two", scores, subject=2, clips=[*CLIPS[:-1], "x"])
    with pytest.raises(InputError, match="2 clips"):
        across_subjects([first, other])


def test_films_are_the_unit_of_a_comparison_and_blocks_stand_beside_them(tmp_path):
    """Better in two films, not in a third: three films cannot show a difference, however many clips."""
    rng = np.random.default_rng(0)
    films = [f"test{film}" for film in (1, 2, 3) for _ in range(40)]
    shared = rng.standard_normal((2, 120))
    gain = np.repeat([0.5, 0.4, 0.0], 40) + 0.1 * rng.standard_normal((2, 120))
    first = write(tmp_path / "one", shared, films=films)
    row = compare([first, write(tmp_path / "two", shared + gain, films=films)]).iloc[0]
    assert row["unit"] == "films" and row["p_by"] == "Student's t" and row["p"] > 0.1
    assert row["ci_low"] < 0 < row["these_ci_low"] and row["these_p"] < 0.05
    assert row["ci_high"] - row["ci_low"] > row["these_ci_high"] - row["these_ci_low"]
    alone = compare([write(tmp_path / "three", shared), write(tmp_path / "four", shared + gain)]).iloc[0]
    assert alone["unit"] == "blocks" and alone["ci_low"] == alone["these_ci_low"]


def test_over_subjects_there_is_an_interval_for_other_films_too(tmp_path):
    rng = np.random.default_rng(0)
    films = [f"test{film}" for film in range(6) for _ in range(20)]
    easy = np.repeat(rng.standard_normal(6), 20)
    many = [
        write(
            tmp_path / f"s{subject}", easy + 0.1 * rng.standard_normal((2, 120)), films=films, subject=subject
        )
        for subject in (1, 2, 3)
    ]
    row = across_subjects(many).iloc[0]
    over_films = row["films_ci_high"] - row["films_ci_low"]
    assert over_films > 5 * (row["ci_high"] - row["ci_low"]), "films differ, these subjects do not"
    assert row["films_ci_low"] < row["value"] < row["films_ci_high"]
