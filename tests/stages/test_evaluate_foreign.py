"""`mindanim evaluate --videos`: clips made elsewhere, scored without any artifact of a subject."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jsonschema
import numpy as np
import pandas as pd
import pytest

import mindanim
from mindanim.errors import InputError, MissingError, UsageError
from mindanim.report.clip_choice import chosen_clips
from mindanim.stages.comparison import comparison
from mindanim.stages.report import report, scores_of
from tests.stages.evaluation_inputs import truth, unrelated
from tests.stages.test_evaluate import SCHEMA
from tests.tiny import tiny_video_classifier_folder

QUICK = {
    "groups": "pixel,motion",
    "clip": "none",
    "bootstraps": 100,
    "permutations": 99,
    "motion_permutations": 19,
    "shuffles": 3,
    "report_clips": 6,
    "device": "cpu",
    "offline": True,
}


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """16 clips whose reconstructions are the truth itself, and an empty work folder."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("MINDANIM_")]:
        monkeypatch.delenv(name)
    for name in ("made", "true"):
        (tmp_path / name).mkdir()
        for clip in range(16):
            np.save(tmp_path / name / f"{clip}.npy", truth(clip))
    return {"videos": tmp_path / "made", "truth": tmp_path / "true", "work": tmp_path / "work"}


def test_no_dataset_subject_or_artifact_is_needed(folders):
    found = mindanim.evaluate(**folders, **QUICK)
    assert found.path == folders["work"] / "foreign" / "evaluation"
    data = found.json("metrics.json")
    jsonschema.validate(data, json.loads(SCHEMA.read_text()))
    assert (data["dataset"], data["subject"], data["clips"], data["subset"]) == ("foreign", None, 16, None)
    assert data["source"]["formats"] == {".npy": 32}
    scores = {score["id"]: score for score in data["scores"]}
    assert scores["ssim.rgb7"]["value"] == pytest.approx(1) and scores["ssim.rgb7"]["above_floor"]
    assert not any(name.startswith("feature") for name in scores)
    missing = {entry["floor"] for entry in data["floors_missing"]}
    assert missing == {"mean-image", "nearest-train", "no-brain"}
    ceilings = {entry["ceiling"]: entry["reason"] for entry in data["ceilings_missing"]}
    assert ceilings == dict.fromkeys(("oracle", "repeat"), "the generator of these clips is not known.")
    assert any("one stretch of film" in finding["text"] for finding in data["audit"])
    page = found.file("report.html").read_text()
    assert page.count('<article class="clip">') == 6
    assert "with this page" in page and "made with Python 3" in page, "its own provenance"
    standing = {score["id"]: score["standing"] for score in scores_of(found)}
    assert standing["ssim.rgb7"] == "above" and set(standing) == set(scores)
    again = mindanim.evaluate(**folders, **QUICK)
    assert again.manifest["finished"] == found.manifest["finished"], "the same clips are not scored twice"


@pytest.mark.parametrize(("frames", "read"), [(6, True), (5, False)])
def test_a_video_classifier_of_sixteen_frames_reads_clips_of_six(folders, tmp_path, frames, read):
    classifier = tiny_video_classifier_folder(tmp_path / "video", frames=16)
    for name in ("made", "true"):
        for clip in range(16):
            long = np.concatenate([truth(clip), truth(clip)[::-1]])[:frames]
            np.save(tmp_path / name / f"{clip}.npy", long if name == "true" else np.roll(long, 3, axis=2))
    networks = {"groups": "semantic", "image_classifier": "none", "video_classifier": str(classifier)}
    data = mindanim.evaluate(**folders, **QUICK | networks).json("metrics.json")
    scores = {score["id"]: score for score in data["scores"]}
    refused = {entry["id"]: entry["reason"] for entry in data["refused"]}
    assert ("2way.video" in scores) == read
    if read:
        assert scores["2way.video"]["frames"] == data["frames"] == 6
        assert "trained on 16 frames and reads 6" in scores["2way.video"]["note"]
    else:
        assert "takes 16 frames, the clips have 5" in refused["2way.video"]


def test_the_page_is_made_again_from_the_artifact(folders, tmp_path):
    found = mindanim.evaluate(**folders, **QUICK)
    page = report([found.path], None)
    assert page == found.path.parent / "report.html"
    assert page.read_text().count('<article class="clip">') == 6
    shown = re.findall(r"<h4>(\d+)</h4>", page.read_text())
    small = report([found.path], tmp_path / "small.html", clips=4).read_text()
    few = re.findall(r"<h4>(\d+)</h4>", small)
    assert len(few) == 4 and few[0] == shown[0], "the best is shown at any size"
    assert report([found.path], None, clips=99).read_text().count('<article class="clip">') == 6
    with pytest.raises(UsageError, match="shows no clips"):
        report([found.path, found.path], None, clips=4)
    stranger = tmp_path / "mine.html"
    stranger.write_text("<p>My own page</p>")
    with pytest.raises(InputError, match=r"mine\.html was not written by mindanim"):
        report([found.path], stranger)
    for ending, begin in ((".md", "<!-- written by"), (".tex", "% written by")):
        table = tmp_path / f"scores{ending}"
        for _ in range(2):
            assert report([found.path], table) == table
        assert table.read_text().startswith(begin) and "ssim.rgb7" in table.read_text()
        table.write_text("My own table\n")
        with pytest.raises(InputError, match="was not written by mindanim"):
            report([found.path], table)
    for name in ("scores.pdf", "scores", "scores.tsv"):
        with pytest.raises(UsageError, match=f"{name} does not say what to write"):
            report([found.path], tmp_path / name)
    for file in folders["videos"].iterdir():
        file.unlink()
    folders["videos"].rmdir()
    text = report([found.path], None).read_text()
    assert "is gone" in text and '<article class="clip">' not in text and "ssim.rgb7" in text


def test_a_smaller_page_shows_some_of_the_clips_of_a_larger_one():
    table = pd.DataFrame({"ssim.rgb7": np.random.default_rng(0).normal(size=40)})
    data = {"ranked_by": "ssim.rgb7", "scores": [{"id": "ssim.rgb7", "direction": "higher"}]}
    best = int(table["ssim.rgb7"].argmax())
    drawn = {count: dict(chosen_clips(data, table, count, seed=0)) for count in (0, 9, 12, 30, 99)}
    assert [len(rows) for rows in drawn.values()] == [0, 9, 12, 30, 40]
    assert all(drawn[count][best] == "Best" for count in (9, 12, 30, 99))
    assert set(drawn[9]) < set(drawn[12]) < set(drawn[30]) < set(drawn[99])
    assert sorted(drawn[12].values()) == [""] * 3 + ["Best"] * 3 + ["Median"] * 3 + ["Worst"] * 3


def test_a_table_of_clips_gives_segments_captions_and_order(folders, tmp_path):
    rows = [f"{clip}\tfilm{clip // 8}\tscene {clip // 2}" for clip in range(15, -1, -1)]
    table = tmp_path / "clips.tsv"
    table.write_text("\n".join(["clip_id\tsegment\tcaption", *rows]) + "\n")
    found = mindanim.evaluate(**folders, **QUICK, clip_table=table)
    data = found.json("metrics.json")
    assert data["segments"] == 2 and {finding["code"] for finding in data["audit"]} <= {"coarse-p"}
    assert list(found.table("per_clip.tsv")["clip_id"])[:2] == ["15", "14"]
    table.write_text("clip_id\n0\n")
    with pytest.raises(InputError, match="lacks 15 of the clips"):
        mindanim.evaluate(**folders, **QUICK, clip_table=table, label="short")
    rows = [f"{clip}\tscene {clip // 2}" for clip in range(15)]
    for content, words in (
        (["clip_id\tcaption", *rows, "15\t "], "no caption for 1 of the clips: 15(.|\n)*leave it out"),
        (["clip_id\tcaption", *rows, rows[3]], "more than once: 3\\.(.|\n)*one row"),
        (["clip_id,caption"], "no column clip_id(.|\n)*separated by tabs"),
        ([], "is empty(.|\n)*with a header"),
    ):
        table.write_text("\n".join(content))
        with pytest.raises(InputError, match=words):
            mindanim.evaluate(**folders, **QUICK, clip_table=table, label="short")


@pytest.mark.parametrize(
    ("column", "of_each", "verdict"),
    [
        ("segment", "one film", "no interval"),
        ("caption", "one scene", "no floor"),
        ("segment", None, "above"),
    ],
)
def test_what_cannot_be_judged_is_not_said_to_have_failed(folders, tmp_path, column, of_each, verdict):
    for name in ("made", "true"):
        for clip in range(9, 16):
            (tmp_path / name / f"{clip}.npy").unlink()
    table = tmp_path / "clips.tsv"
    rows = [f"{clip}\t{of_each or clip}" for clip in range(9)]
    table.write_text("\n".join([f"clip_id\t{column}", *rows]) + "\n")
    found = mindanim.evaluate(**folders, **QUICK, clip_table=table)
    said = {score["id"]: score["standing"] for score in scores_of(found)}
    assert said["ssim.rgb7"] == said["psnr.db"] == verdict
    texts = [found.file(name).read_text() for name in ("report.html", "table.md", "table.tex")]
    assert all(verdict in text for text in texts) and "not above" not in texts[1].partition("Differences")[0]
    assert ("Not judged" in texts[0]) == (verdict != "above")


def test_a_subset_says_so_everywhere(folders):
    (folders["videos"] / "3.npy").unlink()
    np.save(folders["videos"] / "stranger.npy", unrelated(0))
    with pytest.raises(InputError, match="no reconstruction: 3(.|\n)*stranger"):
        mindanim.evaluate(**folders, **QUICK)
    found = mindanim.evaluate(**folders, **QUICK, subset=True)
    words = "15 of 16 clips; 1 reconstructions without ground truth"
    for name in ("metrics.json", "table.md", "table.tex", "report.html"):
        assert words in found.file(name).read_text(), name
    audit = " ".join(finding["text"] for finding in found.json("metrics.json")["audit"])
    assert "clips without a reconstruction (3)" in audit and "stranger" in audit


def test_several_subjects_are_put_on_one_page_and_others_refused(folders, tmp_path):
    made = []
    for subject in (1, 2):
        for clip in range(16):
            np.save(
                folders["videos"] / f"{clip}.npy", unrelated(clip + subject) if subject == 2 else truth(clip)
            )
        made.append(mindanim.evaluate(**folders, **QUICK, dataset="theirs", subject=subject))
    page = report([one.path for one in made], None)
    assert page == folders["work"] / "theirs" / "summary.html"
    text = page.read_text()
    for words in ("sub-01", "sub-02", "Over subjects", "2 results compared", "1 of 2", "✕ not above"):
        assert words in text, words
    tables = {suffix: page.with_suffix(suffix).read_text() for suffix in (".md", ".tex", ".tsv")}
    assert r"\textcolor{red!70!black}" in tables[".tex"] and "*not above*" in tables[".md"]
    assert tables[".tsv"].startswith("metric\tdirection\treference\tother")
    both = [one.path for one in made]
    assert report(both, page.with_suffix(".tsv")).read_text() == tables[".tsv"]
    page.unlink()
    for ending in tables:
        page.with_suffix(ending).write_text("My own table\n")
        with pytest.raises(InputError, match=f"summary{ending} was not written by mindanim"):
            report(both, None)
        page.with_suffix(ending).unlink()
    other = mindanim.evaluate(**folders, **QUICK, dataset="theirs", subject=3, size=24)
    with pytest.raises(InputError, match="resolution"):
        report([made[0].path, other.path], None)
    np.save(folders["truth"] / "7.npy", unrelated(7))
    other = mindanim.evaluate(**folders, **QUICK, dataset="theirs", subject=4)
    with pytest.raises(InputError, match=r"differ in the frames of the ground truth"):
        report([made[0].path, other.path], None)


def test_others_to_compare_with_are_looked_for_before_anything_is_scored(folders):
    with pytest.raises(InputError, match="no other evaluation next to(.|\n)*leave out --compare"):
        mindanim.evaluate(**folders, **QUICK, compare="all")
    first = mindanim.evaluate(**folders, **QUICK)
    with pytest.raises(InputError, match="labelled second next to(.|\n)*There are: one without a label"):
        mindanim.evaluate(**folders, **QUICK, compare="second", label="third")
    assert not (folders["work"] / "foreign" / "evaluation-third").exists()
    other = mindanim.evaluate(**folders, **QUICK, label="second", compare="all")
    table = comparison(first, ["second"])
    assert set(table["other"]) == {"second"} and (table["difference"] == 0).all()
    assert set(comparison(other, ["all"])["other"]) == {"foreign"}
    with pytest.raises(InputError, match="labelled second"):
        mindanim.evaluate(**folders, **QUICK, label="second", compare="second")


def test_missing_weights_come_with_a_way_to_do_without(folders):
    with pytest.raises(MissingError, match="--set clip=none"):
        mindanim.evaluate(**folders, **QUICK | {"clip": "nobody/nothing"})


def test_folders_that_were_not_named_are_asked_for(folders):
    with pytest.raises(mindanim.MindanimError, match="add --truth FOLDER"):
        mindanim.evaluate(videos=folders["videos"], work=folders["work"], **QUICK)
    with pytest.raises(mindanim.MindanimError, match="or use --videos"):
        mindanim.evaluate(truth=Path("x"), dataset="simulated", subject=1, work=folders["work"], **QUICK)
