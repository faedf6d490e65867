"""Tables in a pipe: quick, and the same as those of rich."""

from __future__ import annotations

import pytest

from mindanim.cli import render

TABLES = [
    (("a", "long name", "c"), [("x", "y", "z"), ("1111", "", "\u00e9")], ""),
    (("a", "b"), [], ""),
    (("name", "size"), [("\u7535\u5f71", "1 B"), ("K\u00e4fer", "12.0 kB")], "Films"),
    (("a",), [("x  y ",), ("",)], ""),
]


@pytest.mark.parametrize("table", TABLES)
def test_the_same_lines_as_rich(
    table: tuple[tuple[str, ...], list[tuple[str, ...]], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    render.print_table(*table)
    quick = capsys.readouterr().out
    monkeypatch.setattr(render, "_aligned", lambda *given: [])
    render.print_table(*table)
    assert quick == capsys.readouterr().out != ""
