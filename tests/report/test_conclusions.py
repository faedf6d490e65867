"""The conclusions in sentences, number formats, and the table for the terminal."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mindanim.errors import InputError
from mindanim.metrics.families.catalogue import catalogue
from mindanim.report import conclusions, headings, verdicts
from mindanim.report.number_format import interval, number
from mindanim.report.terminal import WIDE, fitting, score_table
from tests.metrics.test_registry import setting
from tests.report.inputs import floor, metrics, score


def text_of(data: dict, title: str) -> str:
    (line,) = [line for line in conclusions.summary(data) if line.title == title]
    return line.text


def test_the_headline_counts_only_scores_that_look_at_the_truth() -> None:
    scores = metrics()["scores"]
    assert conclusions.headline(scores).startswith("7 of 8 scores"), (
        "not the consistency, nor the one without a value"
    )
    assert conclusions.headline([scores[0]]).startswith("All 1 scores is reliably above")
    assert conclusions.headline([scores[2]]).startswith("None of the 1 scores")
    assert conclusions.headline([]) == "No score has a floor to compare it with."


def test_the_headline_says_how_many_are_above_by_chance_and_whether_any_is_left_corrected() -> None:
    null = [score(f"m{n}", f"M{n}", "pixel", 0.3, 0.3) for n in range(28)]
    null.append(score("lucky", "Lucky", "pixel", 0.3, 0.27))
    for one in null:
        one["floors"]["shuffled"]["p_holm"] = 1.0
    assert conclusions.headline(null) == (
        "1 of 29 scores is reliably above the shuffled floor, the score of the same videos paired with other "
        "clips. Expected by chance: 0.7 of 29. No p value stays below .05 after Holm's correction for their "
        "number."
    )
    assert text_of(metrics(scores=null), "Appearance").startswith(
        "1 of 29 scores is above the shuffled floor (expected by chance: 0.7). Not above: “"
    )
    null[-1]["floors"]["shuffled"]["p_holm"] = 0.05
    assert conclusions.headline(null).endswith("Expected by chance: 0.7 of 29.")
    for one in null:
        one["floors"]["shuffled"]["p_holm"] = None
    assert conclusions.headline(null).endswith("0.7 of 29."), "what was not tested is not said to have failed"


def test_headline_and_groups_count_what_the_table_marks() -> None:
    data = metrics()
    marks = Counter(verdicts.standing(one) for one in verdicts.judged_scores(data["scores"]))
    assert marks == {"above": 5, "gray wins": 1, "frozen wins": 1, "not above": 1}
    said = "In 2 of these 7 another floor is still better (gray wins 1, frozen wins 1)."
    assert said in conclusions.headline(data["scores"])
    beaten = [one for one in data["scores"] if verdicts.standing(one) == "gray wins"]
    assert "Another floor is still better in it (gray wins)." in conclusions.headline(beaten)
    plain = [one for one in data["scores"] if verdicts.standing(one) == "above"]
    assert "still better" not in conclusions.headline(plain)


def test_a_score_without_an_interval_is_neither_above_nor_not() -> None:
    alone = score("ssim.rgb7", "SSIM", "pixel", 0.7, 0.2)
    alone["floors"]["shuffled"] |= {"ci": None, "above": False}
    unpaired = score("psnr.db", "PSNR", "pixel", 20.0, None)
    assert [verdicts.standing(one) for one in (alone, unpaired)] == ["no interval", "no floor"]
    assert "all clips are in one block" in conclusions.headline([alone])
    assert verdicts.counts([alone, unpaired, *metrics()["scores"]]) == (7, 8)
    said = [
        line.text for line in conclusions.summary(metrics(scores=[alone, unpaired])) if line.tone == "bad"
    ]
    assert "--set block_clips=N" in said[-1] and "to pair them with" in said[-2]


def test_each_group_says_what_is_above_its_floor_and_what_is_not() -> None:
    data = metrics()
    above = "scores are above the shuffled floor"
    assert text_of(data, "Semantic content") == (
        f"2 of 3 {above} (expected by chance: 0.1). Not above: “50-way video class”."
    )
    assert text_of(data, "Appearance") == (
        f"all 2 {above}. In 1 of these 2 another floor is still better (gray wins 1)."
    )
    assert text_of(data, "Motion").startswith(f"all 2 {above}."), "without the consistency"
    none = metrics(scores=[score(f"m{n}", f"M{n}", "pixel", 0.3, 0.3) for n in range(9)])
    assert text_of(none, "Appearance") == "none of 9 scores is above the shuffled floor."
    none["scores"].append(score("m", "M", "pixel", 0.3, 0.1))
    assert text_of(none, "Appearance").endswith("Not above: “M0”, “M1”, “M2”, “M3” and 5 more.")


def test_what_needs_no_brain_and_scores_better_is_named() -> None:
    text = text_of(metrics(), "Beaten without a brain")
    assert "a gray image and the mean training image score better in “SSIM”;" in text
    assert "held still scores better in “End-point error”" in text, "a lower error is better"
    assert "PSNR" not in text
    near = [score("ssim.rgb7", "SSIM", "pixel", 0.4, 0.3, gray=0.41)]
    near_lines = [line.title for line in conclusions.summary(metrics(scores=near))]
    assert "Beaten without a brain" not in near_lines, "a difference within its interval is none"
    best = [score("ssim.rgb7", "SSIM", "pixel", 0.5, 0.3, gray=0.4)]
    assert not [
        line for line in conclusions.summary(metrics(scores=best)) if line.title == "Beaten without a brain"
    ]


def test_among_results_of_one_subject_a_result_is_named_by_its_label() -> None:
    names = ["sub-01 seed2", "sub-01", "mine", "foreign"]
    assert [headings.label_of(name) for name in names] == ["seed2", "no label", "mine", "foreign"]


def test_every_floor_is_named_with_its_value_and_whether_it_wins() -> None:
    by_id = {entry["id"]: entry for entry in metrics()["scores"]}
    assert verdicts.other_floors(by_id["ssim.rgb7"]) == [
        ("mean", 0.45, True),
        ("gray", 0.47, True),
        ("frozen", 0.405, False),
    ]
    consistency = verdicts.other_floors(by_id["clip_pcc.adjacent"])
    assert consistency == [("frozen", 1.0, False)], "a score that never looks at the truth cannot be beaten"


def test_the_order_of_frames_is_judged_by_its_p_value() -> None:
    data = metrics()
    assert "matches the truth better than 999 shuffled orders" in text_of(data, "Frame order")
    data["motion_test"]["flow.corr"]["p_set"] = 0.2
    assert "no evidence that motion was decoded" in text_of(data, "Frame order")
    assert not [
        line for line in conclusions.summary(metrics(motion_test=None)) if line.title == "Frame order"
    ]


def test_a_subset_is_said() -> None:
    assert "test1-0001" in text_of(metrics(subset="1 of 120 clips: test1-0001"), "Subset")


def test_metrics_of_another_schema_are_refused() -> None:
    with pytest.raises(InputError, match="schema 99"):
        score_table(metrics(schema_version=99))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"),
        (0.0, "0.000"),
        (0.0577, "0.058"),
        (-0.1, "−0.100"),
        (-0.0001, "0.000"),
        (14.2, "14.20"),
        (512.34, "512.3"),
        (12345.6, "12,346"),
    ],
)
def test_numbers_read_well_in_a_column(value: float | None, expected: str) -> None:
    assert number(value) == expected


@given(st.floats(-1e6, 1e6))
def test_a_printed_number_is_the_number(value: float) -> None:
    shown = float(number(value).replace("−", "-").replace(",", ""))
    assert shown == pytest.approx(value, rel=5.1e-3, abs=5.1e-4)


@pytest.mark.parametrize("columns", [200, 126, 100, 80])
def test_the_terminal_table_fits_and_holds_every_score(columns: int) -> None:
    out, width = io.StringIO(), fitting(columns)
    data = metrics(subset="12 of 120 clips")
    data["scores"][0]["name"] = "A metric with quite a long name that must not break the line"
    data["scores"][0]["floors"]["shuffled"] = floor(None, None)
    data["scores"][1]["floors"]["no-brain"] = floor(0.9, -0.1)
    assert verdicts.standing(data["scores"][1]) == "no-brain wins", "the longest there is"
    Console(file=out, width=width, color_system=None).print(score_table(data, width))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= min(columns, WIDE)
    for entry in data["scores"]:
        assert (entry["id"] in out.getvalue()) == (columns >= WIDE)
    assert "Subset: 12 of 120 clips" in lines
    for entry in data["scores"][1:]:
        (line,) = [line for line in lines if line.strip().startswith(entry["name"])]
        assert number(entry["value"]) in line
        assert interval(entry["ci"]) in line
        assert line.rstrip().endswith(verdicts.standing(entry))


@pytest.mark.parametrize("width", [100, 80])
def test_every_metric_there_is_has_a_name_that_stands_whole_in_the_table(width: int) -> None:
    large = replace(setting(shape=(8, 512, 512, 3), raft=True), released=True)
    known = catalogue(large)[0]
    scores = [score(one.id, one.name, one.group, 1234.5, -123.4, chance=-0.5, oracle=100.0) for one in known]
    for entry, one in zip(scores, known, strict=True):
        entry["direction"] = one.direction
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(score_table(metrics(scores=scores), width))
    assert len({one.name for one in known}) == len(known) and "…" not in out.getvalue()


def test_the_nearest_training_clip_needs_a_brain_but_no_generator() -> None:
    data = metrics()
    data["scores"][0]["floors"]["nearest-train"] = floor(0.95, -0.06)
    assert "nearest" in text_of(data, "Beaten without a generator")
    assert "nearest" not in text_of(data, "Beaten without a brain")
    assert verdicts.standing(data["scores"][0]) == "nearest wins"
