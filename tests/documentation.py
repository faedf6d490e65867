"""The commands that README, docs and examples show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").glob("*.sh")),
]


def commands(page: Path) -> Iterator[str]:
    """Lines of code blocks (or of a script) that call `mindanim`; continued lines are joined, loops unrolled
    once.
    """
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".md":
        fenced = re.findall(r"^```(?:bash|sh|console)?\n(.*?)^```", text, re.M | re.S)
        indented = re.findall(r"^(?: {4}|\t)(.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
        text = "\n".join([*fenced, *indented])
    loops: dict[str, str] = {}
    for line in text.replace("\\\n", " ").splitlines():
        if loop := re.match(r"\s*for (\w+) in ([^\s;]+)", line):
            loops[loop[1]] = loop[2]  # the first round stands for all
        line = re.sub(r"\$(\w+)", lambda name: loops.get(name[1], name[0]), line)
        found = re.match(r"\s*(?:\$ )?(?:\w+=\S+ )*(mindanim [a-z].*)", line)
        if found:
            yield found[1].strip()


def words(line: str) -> list[str]:
    """The words of a documented command, shell variables and placeholders filled in."""
    line = re.split(r"\s[|>;&]|\s#", line)[0]
    line = re.sub(r'"?\$\{?\w+\}?"?', "1", line)
    return [word for word in shlex.split(re.sub(r"<[a-z-]+>|\bN\b", "1", line))[1:] if word != "..."]
