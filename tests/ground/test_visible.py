"""What files and file names contain is shown, but never steers a terminal, a log or a page."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindanim import console
from mindanim.cli.boundary import run_guarded
from mindanim.cli.render import print_json, print_pairs, print_table, print_tree
from mindanim.errors import InputError
from mindanim.vocabulary.visible import visible, visible_json

ATTACKS = {
    "\x1b]0;own\x07": r"\x1b]0;own\x07",  # title of the window
    "\x9b2J": r"\x9b2J",  # the same in one byte
    "a\rb": r"a\rb",
    "a\x7fb\x08": r"a\x7fb\x08",
    "gpj.\u202eelif": r"gpj.\u202eelif",  # reordered
    "\u2066x\u2069\u200f": r"\u2066x\u2069\u200f",
    "a\u2028b": r"a\u2028b",
    "K\udce4fer": r"K\udce4fer",  # a name that is not UTF-8
    "\U000e0041": r"\U000e0041",
    "\ufeffx": r"\ufeffx",
}
STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
ORDINARY = (
    "K\u00e4fer",
    "\u7535\u5f71",
    "\u0641\u064a\u0644\u0645",
    "\U0001f468\u200d\U0001f467",
    "a\tb",
    "n/a",
)


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_steers_is_escaped(attack: str) -> None:
    assert visible(attack) == ATTACKS[attack] and visible(visible(attack)) == visible(attack)


@pytest.mark.parametrize("text", ORDINARY)
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) == text


@given(st.text())
def test_shown_text_can_be_printed(text: str) -> None:
    shown = visible(text, lines=False)
    assert not {unicodedata.category(c) for c in shown if c not in "\t\u200c\u200d"} & STEERING
    assert json.loads(visible_json(json.dumps([text], ensure_ascii=False))) == [text]


@pytest.mark.parametrize("attack", ATTACKS)
def test_everywhere(attack: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with console.logging_to(tmp_path / "log.txt"):
        console.warn(attack)
    print_json({attack: attack})
    print_pairs({"a": attack})
    print_table(("a",), [(attack,)])
    print_tree([(attack, [])])

    def fail() -> None:
        raise InputError(attack, attack, attack)

    with pytest.raises(SystemExit):
        run_guarded(fail, as_json=True)
    written = capsys.readouterr()
    for text in (written.out, written.err, (tmp_path / "log.txt").read_text()):
        assert attack not in text and ATTACKS[attack] in text


def test_a_line_end_in_a_name_fakes_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise InputError("x\nError: all your data are gone")

    with pytest.raises(SystemExit):
        run_guarded(fail)
    assert capsys.readouterr().err.count("\n") == 1
