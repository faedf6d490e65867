"""README, docs and examples are true: commands parse, links and names resolve, pages are linked."""

from __future__ import annotations

import importlib
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


PROSE = [page for page in PAGES if page.suffix == ".md"]
PROSE += [*sorted(ROOT.glob("C*.md")), ROOT / "mindanim" / "backbones" / "demo" / "MODEL_CARD.md"]
SOURCES = [path for folder in ("mindanim", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
NAME = re.compile(r"(?<![\w./-])mindanim(?:\.[A-Za-z_]\w*)+")
PATH = re.compile(r"(?<![\w./-])(?:mindanim|tests|examples|docs)/[\w./-]*\w")
GROUPS = {
    f"mindanim.{thing}s"
    for path in SOURCES
    for thing in re.findall(r"= Registry(?:\[.*?\])?\(\"(\w+)\"", path.read_text(encoding="utf-8"))
}


def exists(name: str) -> bool:
    """Whether a dotted name is a module of the package, something in one, or a group of entry points."""
    if name in GROUPS:
        return True
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError as missing:
            if not (missing.name or "").startswith("mindanim"):
                raise
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_what_exists_is_told_from_what_does_not() -> None:
    assert exists("mindanim.decoders.base.Shapes") and exists("mindanim.generate")
    assert not exists("mindanim.decoders.shapes") and not exists("mindanim.decoders.base.Shape")
    assert NAME.findall("`mindanim.metrics.comparison.compare(...)`, mindanim.") == [
        "mindanim.metrics.comparison.compare"
    ]
    assert PATH.findall("see docs/a.md, /x/docs/b.md and (tests/c/)") == ["docs/a.md", "tests/c"]


@pytest.mark.parametrize("page", PROSE, ids=lambda page: page.stem)
def test_modules_and_names_in_the_documentation_exist(page: Path) -> None:
    named = set(NAME.findall(page.read_text(encoding="utf-8")))
    assert not [name for name in sorted(named) if not exists(name)]


def test_paths_in_documentation_and_sources_exist() -> None:
    named = {(page, path) for page in [*PROSE, *SOURCES] for path in PATH.findall(page.read_text("utf-8"))}
    assert not [f"{page}: {path}" for page, path in sorted(named) if not (ROOT / path).exists()]


REPORTS = sorted((ROOT / "docs" / "assets").glob("*.html"))


@pytest.mark.parametrize("page", REPORTS, ids=lambda page: page.stem)
def test_committed_reports_are_small_and_need_no_network(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text) < 1_500_000
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)|url\(|@import""", text)
    assert (ROOT / "examples" / "assets.sh").read_text().count(page.name) > 0, "nothing makes it"
