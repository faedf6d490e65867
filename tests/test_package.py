"""What is installed: one version, known good dependencies, and a wheel that runs outside the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.documentation import ROOT
from tests.test_pipeline import SMALL

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# The demo's study at its smallest, with decoders and a sampler that take seconds.
QUICK = SMALL | {
    "MINDANIM_SIMULATE_SEGMENTS": "3",
    "MINDANIM_SIMULATE_CLIPS": "20",
    "MINDANIM_SIMULATE_TEST_CLIPS": "8",
    "MINDANIM_SIMULATE_TEST_REPEATS": "4",
    "MINDANIM_SIMULATE_VERTICES": "400",
}


def requirements() -> Iterator[Requirement]:
    """Every dependency, those of the extras included."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    yield from (Requirement(line) for group in groups for line in group)


def test_the_version_is_the_same_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.*)$", citation, re.M) == [PROJECT["version"]]
    released = re.findall(
        r"^## (?!\[?Unreleased)\[?(\S+?)\]?(?: |$)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M
    )
    assert not released or released[0] == PROJECT["version"]
    assert ("date-released:" in citation) == bool(released), "the citation dates a release"


def test_every_dependency_has_a_known_good_version_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert not [pin for pin in pins.values() if "+" in pin], "a local version exists on one machine only"
    for wanted in requirements():
        assert wanted.specifier.contains(pins[wanted.name]), wanted


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True)
    [made] = folder.glob("*.whl")
    return made


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    listed = subprocess.run(
        ["git", "ls-files", "mindanim"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert held == set(listed.stdout.splitlines())
    for suffix in (".safetensors", ".toml", ".html", ".npy", ".tsv", "py.typed"):
        assert any(name.endswith(suffix) for name in held), suffix


def test_the_demo_runs_from_the_wheel_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed without this checkout: the dependencies are this environment's, mindanim is the wheel's."""
    home = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", *options, str(wheel)]
    subprocess.run(pip, check=True)
    purelib = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # Of a folder added by a .pth file the modules are found, but not its own .pth files (editable installs).
    (Path(purelib) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"} | QUICK

    def call(*words: str) -> str:
        done = subprocess.run(
            [str(home / "bin" / words[0]), *words[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert Path(call("python", "-c", "import mindanim; print(mindanim.__file__)").strip()).is_relative_to(
        home
    )
    assert call("mindanim", "--version").strip() == f"mindanim {PROJECT['version']}"
    call("mindanim", "demo", "--quick")
    assert (tmp_path / "mindanim-work/quick/simulated/sub-01/evaluation/report.html").is_file()
