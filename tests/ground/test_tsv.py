"""Tables as people write them: quotation marks, spreadsheets, encodings."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindanim.artifacts.tsv import read_tsv
from mindanim.errors import InputError
from mindanim.studies.tables import number, read_table

ROWS = [["1", "a.mp4"], ["2", "b.mp4"]]


@pytest.mark.parametrize(
    "content",
    [
        b"onset\tfilm\n1\ta.mp4\n2\tb.mp4\n",
        b"onset\tfilm\r\n1\ta.mp4\r\n2\tb.mp4\r\n",
        b"onset\tfilm\r1\ta.mp4\r2\tb.mp4",
        b"\xef\xbb\xbfonset\tfilm\n1\ta.mp4\n2\tb.mp4",
        b"onset\tfilm\t\t\n1\ta.mp4\t\t\n2\tb.mp4\t\t\n\t\t\t\n",
        b"onset\tfilm\n1\ta.mp4\t\t\t\n\n2\tb.mp4\n\n",
        b"onset\tfilm \n 1\t a.mp4\n2\tb.mp4 ",
        b'"onset"\t"film"\n"1"\t"a.mp4"\n2\tb.mp4',
    ],
)
def test_one_table_written_in_many_ways(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(content)
    table = read_tsv(path, ("film", "onset"))
    assert (table.columns, table.rows) == (["onset", "film"], ROWS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"onset,film\n1,a.mp4\n", "separated by commas"),
        (b"onset;film\n1;a.mp4\n", "separated by semicolons"),
        (b"onset  film\n1  a.mp4\n", "separated by spaces"),
        ("onset\tfilm\n".encode("utf-16"), "UTF-16.*Save it as UTF-8"),
        ("onset\tfilm\n1\tf\u00fcr.mp4\n".encode("latin-1"), "Line 2 has a byte that is not UTF-8"),
        (b"onset\tfilm\0\n", "NUL"),
        (b"\n \n", "is empty"),
        (b"onset\tfilm\tfilm\n", "two columns film"),
        (b"onset\t\tfilm\n1\tx\ta.mp4\n", "column 2 has no name"),
        (b"onset\tfilm\n1\ta.mp4\n2\tb.mp4\tx\n", "line 3, has more cells"),
        (b"Onset\tfilm\n", "no column onset"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"(?s)t\\.tsv.*{words}"):
        read_tsv(path, ("onset", "film"), "Write it so.")


@pytest.mark.parametrize("note", ['"', 'a "b" c', '5"', '"open', 'close"', '""a', '"a" and "b"'])
def test_marks_that_are_no_quotation_stay_and_swallow_nothing(tmp_path: Path, note: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(f"note\tonset\n{note}\t1\nx\t2\n{note}\t3\n")
    assert read_tsv(path).rows == [[note, "1"], ["x", "2"], [note, "3"]]


@given(st.lists(st.text("ab\",' \u00e9", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=4))
def test_what_spreadsheets_quote_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str]
) -> None:
    path = tmp_path_factory.mktemp("tsv") / "t.tsv"
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", quoting=csv.QUOTE_ALL)
    writer.writerows([[str(place) for place in range(len(cells))], cells])
    path.write_text(text.getvalue(), encoding="utf-8")
    assert read_tsv(path).rows == [[cell.strip() for cell in cells]]


@pytest.mark.parametrize(
    ("cell", "hint"), [("2,5", "Write 2.5"), ("-0,5", "Write -0.5"), ("2s", ""), ("1,000.5", "")]
)
def test_decimal_commas_are_named(tmp_path: Path, cell: str, hint: str) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(f"onset\n{cell}\n")
    (row,) = read_table(path, ("onset",), "")
    with pytest.raises(InputError, match=f"line 2: onset is '{cell}'") as caught:
        number(path, row, "onset", least=float("-inf"))
    assert caught.value.hint.startswith(hint) and bool(caught.value.hint) == bool(hint)
