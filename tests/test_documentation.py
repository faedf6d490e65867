"""What README, docs and examples say is true: commands parse, links lead somewhere, pages are linked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mindanim.cli.app import SUMMARIES, build_app, main
from mindanim.stages import STAGES
from tests.documentation import PAGES, ROOT, commands, words

LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


CASES = [
    (page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in dict.fromkeys(commands(page))
]


@pytest.mark.parametrize(("page", "line"), CASES, ids=lambda value: value)
def test_documented_commands_parse(page: str, line: str) -> None:
    import typer

    name, *rest = words(line)
    assert name in SUMMARIES, f"{page} names a command that does not exist: {line}"
    command = typer.main.get_command(build_app(name)).commands[name]  # type: ignore[attr-defined]
    command.make_context(name, rest)  # raises for an unknown option or a wrong value


@pytest.mark.parametrize(
    ("page", "line"), [case for case in CASES if words(case[1])[0] in STAGES], ids=lambda value: value
)
def test_options_of_documented_stages_resolve(
    page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = words(line)
    if "--config" in options or "--recipe" in options and "/" in options[options.index("--recipe") + 1]:
        pytest.skip("names a file of the reader's own")
    try:
        main([*options, "--explain"])
    except SystemExit as left:
        assert not left.code, f"{page}: {line}\n{capsys.readouterr().err}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


def test_make_has_the_targets_that_are_named() -> None:
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {name for page in PAGES for name in re.findall(r"^ {4}make ([a-z-]+)", page.read_text(), re.M)}
    assert {"demo", "test"} <= named <= made


def test_every_page_is_listed_in_the_readme_or_linked_from_a_page() -> None:
    linked = {
        (page.parent / link).resolve()
        for page in PAGES
        if page.suffix == ".md"
        for link in LINK.findall(page.read_text())
    }
    assert not [
        page for page in PAGES if page.suffix == ".md" and page.name != "README.md" and page not in linked
    ]


REPORTS = sorted((ROOT / "docs" / "assets").glob("*.html"))


@pytest.mark.parametrize("page", REPORTS, ids=lambda page: page.stem)
def test_committed_reports_are_small_and_need_no_network(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text) < 1_500_000
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)|url\(|@import""", text)
    assert (ROOT / "examples" / "assets.sh").read_text().count(page.name) > 0, "nothing makes it"
