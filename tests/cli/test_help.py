"""Help texts as they look, and how little is imported for them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mindanim.cli.app import SUMMARIES, command_parameters
from mindanim.config.run_options import RunOptions
from mindanim.stages import STAGES
from tests.cli.conftest import Call
from tests.golden import check

GOLDEN = Path(__file__).parent / "golden"
HEAVY = {
    "torch",
    "diffusers",
    "transformers",
    "open_clip",
    "nilearn",
    "matplotlib",
    "skimage",
    "cv2",
    "sklearn",
}
HEAVY |= {"numpy", "pandas", "scipy", "nibabel", "decord", "av", "accelerate", "jinja2", "huggingface_hub"}


@pytest.mark.parametrize("command", ["", *SUMMARIES])
def test_help_texts(call: Call, command: str) -> None:
    result = call(*command.split(), "--help")
    assert result.code == 0 and result.err == ""
    text = "\n".join(line.rstrip() for line in result.out.splitlines()) + "\n"
    check(GOLDEN / f"help-{command or 'mindanim'}.txt", text)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["preprocess", "--help"], ["train-motion", "--help"], ["show", "--help"]],
)
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys\nfrom mindanim.cli.app import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n"
    )
    script += "    print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    imported = set(done.stderr.split())
    # Commands' own pages may load what reads their options; numpy comes with nothing there.
    assert not imported & HEAVY
    if words[0].startswith("--"):
        assert "pydantic" not in imported and not any(
            name.startswith("mindanim.config.t") for name in imported
        )


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mindanim", "--version"], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"mindanim \d+\.\d+\.\S+\n", done.stdout)


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import sys, mindanim; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & (HEAVY | {"pydantic", "typer"})


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_about_eight_flags_of_its_own_and_no_name_twice(name: str) -> None:
    own = STAGES[name].load_config().model_fields
    flags = [n for n, field in own.items() if (field.json_schema_extra or {}).get("flag")]
    assert len(flags) <= 9
    assert not own.keys() & RunOptions.model_fields.keys(), "--set would not know which is meant"
    names = [parameter.name for parameter in command_parameters(name)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", STAGES)
def test_every_option_is_explained(name: str) -> None:
    for option, field in STAGES[name].load_config().model_fields.items():
        assert field.description and field.description.endswith("."), f"{name} {option}"
