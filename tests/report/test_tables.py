"""The scores as Markdown and LaTeX: verdicts in words and colour, quoted rows marked, TeX content."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mindanim.metrics.published_results import quoted
from mindanim.report import verdicts
from mindanim.report.comparison_page import latex
from mindanim.report.latex import escape, table_latex
from mindanim.report.markdown import table_markdown
from tests.report.inputs import metrics
from tests.report.test_comparison_page import summary

PDFLATEX = shutil.which("pdflatex")
HOSTILE = r"50 % of a_b & #1 {$x$} ~ ^ \z <i> “q” |"
PAPER = r"""\documentclass{article}
\usepackage{booktabs,graphicx,xcolor}
\begin{document}
\input{table}
\input{summary}
\end{document}
"""


def test_what_does_not_clear_its_floor_is_said_in_words_and_colour() -> None:
    data = metrics()
    text, tex = table_markdown(data), table_latex(data)
    below = [score for score in data["scores"] if verdicts.standing(score) == "not above"]
    assert [score["id"] for score in below] == ["50way.video"]
    assert text.count("| **not above** |") == tex.count(r"\textcolor{red!70!black}{not above} \\") == 1
    (row,) = [line for line in tex.splitlines() if line.startswith("50-way video class")]
    assert row.endswith(r"\textcolor{red!70!black}{not above} \\")
    for entry in data["scores"]:
        assert f"`{entry['id']}`" in text and rf"\texttt{{\scriptsize {escape(entry['id'])}}}" in tex
    assert "| not judged |" in text, "a score that never looks at the truth"
    for winner in ("gray wins", "frozen wins"):
        assert f"| {winner} |" in text and rf"\textcolor{{orange!60!black}}{{{winner}}}" in tex


def test_the_latex_table_is_whole() -> None:
    tex = table_latex(metrics(subset="5 of 120 clips", label="seed_2"))
    assert r"\textbf{Subset: 5 of 120 clips.}" in tex and r"seed\_2" in tex
    assert r"\label{tab:simulated-subject-1-seed-2}" in tex
    columns = re.findall(r"\\begin\{tabular\}\{(\w+)\}", tex)
    bodies = re.findall(r"\\toprule(.*?)\\bottomrule", tex, re.S)
    assert len(columns) == len(bodies) == 2, "the scores, and the published rows in columns of their own"
    for shape, body in zip(columns, bodies, strict=True):
        rows = [line for line in body.splitlines() if "&" in line]
        assert rows and all(line.count(" & ") == len(shape) - 1 and line.endswith(r"\\") for line in rows)
        assert not re.search(r"(?<!\\)[_%#]", body) and "nan" not in body
    for name in ("table", "tabular"):
        assert tex.count(rf"\begin{{{name}}}") == tex.count(rf"\end{{{name}}}")
    assert tex.count("{") - tex.count(r"\{") == tex.count("}") - tex.count(r"\}")


def test_signs_with_a_meaning_in_tex_are_escaped() -> None:
    assert escape("a_b & 5 %") == r"a\_b \& 5 \%"
    assert escape("\\") == r"\textbackslash{}" and escape("−0.1") == "$-$0.1"
    assert not set(re.sub(r"\\[&%_#${}]|\\text\w+\{\}", "", escape(HOSTILE))) & set("&%_#${}~^\\<>|“”")


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not on this machine")
def test_tex_takes_the_tables_and_nothing_stands_out_of_the_page(tmp_path: Path) -> None:
    data = metrics(label=HOSTILE, subset=HOSTILE, quoted=quoted("cc2017"))
    both = summary()
    several = both.__class__(
        [(f"{name} {n} {HOSTILE}", one) for n in range(3) for name, one in both.runs], both.differences, {}
    )
    (tmp_path / "table.tex").write_text(table_latex(data), encoding="utf-8")
    (tmp_path / "summary.tex").write_text(latex(several), encoding="utf-8")
    (tmp_path / "paper.tex").write_text(PAPER, encoding="utf-8")
    done = subprocess.run(
        [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", timeout=120, check=False,
    )  # fmt: skip
    if "not found" in done.stdout and ".sty" in done.stdout:
        pytest.skip("booktabs, graphicx or xcolor is not installed")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout


def test_published_rows_are_marked_as_quoted() -> None:
    data = metrics(quoted=quoted("cc2017"))
    text, tex = table_markdown(data), table_latex(data)
    assert text.count(", quoted, definitions differ |") == len(data["quoted"]) == 5
    assert tex.count(", quoted &") == 5 and "Quoted, definitions differ" in tex
    assert "& 6.125 " in tex and "| 6.125 |" in text, "as published, not rounded"
    assert quoted("simulated") == []


def test_without_an_interval_no_floor_is_said_to_be_unbeaten() -> None:
    data = metrics()
    assert " (not beaten) |" in table_markdown(data)
    for entry in data["scores"]:
        for floor in entry["floors"].values():
            floor |= {"ci": None, "above": False}
    assert "not beaten" not in table_markdown(data) and "no interval |" in table_markdown(data)


def test_an_unreliable_distance_is_said_to_be_so() -> None:
    entry = {
        "id": "fvd.videomae", "version": 1, "name": "Frechet video distance", "direction": "lower",
        "value": 3.2, "halves": 2.9, "n": 120,
        "features": 64, "needed": 2048, "reliable": False, "backbone": None,
        "reference": "", "note": "",
    }  # fmt: skip
    assert "NO: needs 2048 clips" in table_markdown(metrics(distribution=[entry]))
