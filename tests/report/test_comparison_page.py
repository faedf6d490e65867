"""The page of several results: what stands on it, its tables, and that a browser accepts it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from mindanim.report.breakdown import breakdowns
from mindanim.report.comparison_page import Summary, latex, markdown, write_summary
from tests.report.inputs import metrics, per_clip
from tests.report.test_evaluation_page import CHROMIUM


def differences(data: dict, other: str) -> pd.DataFrame:
    rows = [
        {
            "metric": score["id"], "direction": score["direction"], "reference": "sub-01", "other": other,
            "n": score["n"], "reference_value": score["value"], "other_value": score["value"],
            "difference": -0.1, "ci_low": -0.2, "ci_high": -0.01, "p": 0.01, "p_holm": 0.05,
            "p_by": "sign flips", "effect_size": float("nan"), "unit": "blocks",
        }
        for score in data["scores"]
    ]  # fmt: skip
    return pd.DataFrame(rows)


def summary() -> Summary:
    first, second = metrics(), metrics(subject=2)
    rows = [
        {
            "metric": score["id"], "direction": score["direction"], "subjects": 2, "value": 0.5, "se": 0.1,
            "ci_low": 0.2, "ci_high": 0.8, "shuffled": 0.3, "above": 1, "p": 0.02, "p_holm": 0.2,
            "films_ci_low": float("nan"), "films_ci_high": float("nan"),
        }
        for score in first["scores"]
    ]  # fmt: skip
    runs = [("sub-01", first), ("sub-02 <b>", second)]
    made = [{"artifact": f"evaluation-{n}", "command": "mindanim evaluate", "seed": "0"} for n in (1, 2)]
    return Summary(runs, differences(first, "sub-02 <b>"), {"": pd.DataFrame(rows)}, made)


def test_every_score_of_every_run_stands_on_the_page_with_its_verdict(tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.html", summary())
    text = (tmp_path / "summary.html").read_text()
    assert text.count("✕ not above") == 2 and text.count("1 of 2") == len(metrics()["scores"])
    assert text.count("! gray wins") == 2, "the same words and colours as on the page of one"
    assert text.count("7 of 8") == 2 and "evaluation-2" in text
    assert "sub-02 &lt;b&gt;" in text and "<b>" not in text
    assert "−0.100" in text and not re.search(r"url\(|@import|https?://|\bnan\b", text)


def test_the_same_in_markdown_and_latex() -> None:
    tables = markdown(summary()), latex(summary())
    assert "p: sign flips over blocks, two-sided." in tables[0]
    assert "*not above*" in tables[0] and "## Over subjects" in tables[0] and "nan" not in tables[0]
    assert tables[1].count(r"\textcolor{red!70!black}") == 2
    begun = re.findall(r"\\begin\{(\w+)\}", tables[1])
    assert begun == ["table", "tabular"] and tables[1].count(r"\end{") == 2
    head = next(line for line in tables[1].splitlines() if "sub-01" in line)
    assert head.count("&") == 3 and head.count(r"\multicolumn{3}{c}") == 2
    row = next(line for line in tables[1].splitlines() if line.startswith("50-way video class"))
    assert row.count("&") == 7, "the value, its floor and its verdict are cells of their own"


def test_no_score_stands_without_its_chance_floor_and_uncertainty(tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.html", summary())
    page = (tmp_path / "summary.html").read_text()
    assert page.count("shuffled 0.740</span>") == 2 and 'data-value="0.75">0.750</td>' in page
    text, tex = markdown(summary()), latex(summary())
    row = next(line for line in text.splitlines() if "`2way.image`" in line)
    assert row.split(" | ")[1:3] == ["0.750", "0.890 (0.870 to 0.910; 0.740)"]
    assert (
        r"2-way image class \texttt{\scriptsize 2way.image} & 0.750 & 0.890 $\pm$ 0.010 & (0.740) & " in tex
    )
    few = Summary([("a", metrics(blocks=1))] * 2, summary().differences, {})
    assert "With one block no p value can be below 1." in markdown(few)
    assert "no p value" not in text, "twelve blocks are enough"


def test_breakdowns_are_means_of_the_clips_they_name() -> None:
    table = per_clip(12)
    table["shuffled:ssim.rgb7"] = table["ssim.rgb7"] - 0.1
    captions = ["a red ball over the sea"] * 5 + ["a blue ball over the land"] * 7
    found = breakdowns(metrics(), table, captions)
    assert [one.about for one in found] == ["Word of the caption"], "one segment is no breakdown"
    alone = breakdowns(metrics(), table.assign(segment=table["clip_id"]), captions)
    assert [one.about for one in alone] == ["Word of the caption"], "nor is one for each clip"
    words = {name: (count, values) for name, count, values in found[0].rows}
    assert set(words) == {"red", "sea", "blue", "land"}, "ball stands everywhere, the rest says nothing"
    place = found[0].names.index("SSIM")
    assert words["red"][0] == 5
    mean = table["ssim.rgb7"][:5].mean()
    assert (words["red"][1][place].score, words["red"][1][place].floor) == pytest.approx((mean, mean - 0.1))
    assert found[0].overall[place].score == pytest.approx(table["ssim.rgb7"].mean())
    assert found[0].overall[1 - place].floor is None, "no floor was scored"


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not on this machine")
def test_a_browser_complains_of_nothing_and_sorts(tmp_path: Path) -> None:
    probe = """<script>addEventListener("load", () => {
      document.querySelector("#differences th:nth-child(2) button").click();
      const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
      const sorted = document.querySelectorAll("th[aria-sort]").length;
      document.body.dataset.probe = JSON.stringify({ wide, sorted });
    });</script>"""
    page = tmp_path / "summary.html"
    write_summary(page, summary())
    page.write_text(page.read_text() + probe)
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    options += ["--window-size=480,900", "--enable-logging=stderr", "--dump-dom"]
    done = subprocess.run(
        [str(CHROMIUM), *options, page.as_uri()], capture_output=True, text=True, timeout=300, check=True
    )
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found and found[1].replace("&quot;", '"') == '{"wide":0,"sorted":1}'
