"""The scores as Markdown and LaTeX: verdicts in words and colour, quoted rows marked as such."""

from __future__ import annotations

import re

from mindanim.metrics.published import quoted
from mindanim.metrics.tables import table_latex, table_markdown
from tests.report.inputs import metrics


def test_what_does_not_clear_its_floor_is_said_in_words_and_colour():
    data = metrics()
    text, tex = table_markdown(data), table_latex(data)
    below = [score for score in data["scores"] if score["value"] is not None and not score["above_floor"]]
    judged = [score for score in below if not score["id"].startswith("clip_pcc")]
    assert (
        text.count("NOT above floor")
        == len(judged)
        == tex.count(r"\textcolor{red!70!black}{NOT above floor}")
    )
    (row,) = [line for line in tex.splitlines() if line.startswith("50-way video class")]
    assert row.endswith(r"\textcolor{red!70!black}{NOT above floor} \\")
    assert "not judged" in text, "a score that never looks at the truth"


def test_the_latex_table_is_whole():
    tex = table_latex(metrics(subset="5 of 120 clips", label="seed_2"))
    assert r"\textbf{Subset: 5 of 120 clips.}" in tex and r"seed\_2" in tex
    columns = len(re.search(r"\\begin\{tabular\}\{(\w+)\}", tex)[1])
    body = tex[tex.index(r"\toprule") : tex.index(r"\bottomrule")]
    rows = [line for line in body.splitlines() if "&" in line]
    assert rows and all(line.count(" & ") == columns - 1 and line.endswith(r"\\") for line in rows)
    for name in ("table", "tabular"):
        assert tex.count(rf"\begin{{{name}}}") == tex.count(rf"\end{{{name}}}") == 1
    assert not re.search(r"(?<!\\)_", body) and "nan" not in tex


def test_published_rows_are_marked_as_quoted():
    data = metrics(quoted=quoted("cc2017"))
    text, tex = table_markdown(data), table_latex(data)
    assert text.count(", quoted, definitions differ |") == len(data["quoted"]) == 5
    assert "Quoted, definitions differ" in tex and "Mind-Animator (2025)" in tex
    assert quoted("simulated") == []


def test_an_unreliable_distance_is_said_to_be_so():
    entry = dict.fromkeys(("version", "features", "backbone", "reference", "note"), None)
    entry |= {"id": "fvd.videomae", "name": "Frechet video distance", "direction": "lower", "value": 3.2}
    entry |= {"halves": 2.9, "n": 120, "needed": 2048, "reliable": False}
    assert "NO: it needs 2048 clips" in table_markdown(metrics(distribution=[entry]))
