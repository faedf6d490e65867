"""Who may import whom, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mindanim"
GROUND = {"vocabulary", "films", "artifacts", "config", "runtime", "console", "errors"}
ROOMS = {"studies", "bold", "stimuli", "backbones", "decoders", "generation", "metrics"}
ROOMS |= {"simulation", "report"}
TOP = {"stages", "cli", "api", "__main__"}
MAY_USE = {"__main__": {"cli"}, "cli": {"stages"}, "api": {"stages"}, "stages": ROOMS}
# Anything may use the backbones' protocols; a simulated study is described in the terms of a study.
EXCEPTIONS = {("simulation", "studies")}
# Inside rooms, who is imported by whom: a line of sub-rooms or modules, the lowest first.
ORDERS = (
    ("metrics", "inputs families networks pair_scorer with_floors inference frame_order evaluation"),
    ("metrics", "floors with_floors inference comparison"),
    ("decoders", "base models training_examples training fit"),
    ("decoders", "models training_examples ridge load_examples"),
    ("generation", "inflate samplers generator"),
    ("bold", "voxels formats response_plan survey maps"),
    ("studies", "base checks readers proposals"),
)
HEAVY = {"torch", "torchvision", "diffusers", "transformers", "open_clip", "nilearn", "matplotlib", "skimage"}
HEAVY |= {"cv2", "sklearn", "accelerate", "decord", "av", "scipy", "nibabel", "pandas"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    """The package or module directly below mindanim that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST, at_import_time: bool = False) -> Iterator[str]:
    """Dotted names of imports; with `at_import_time` not those inside functions or TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # "from mindanim import console" imports the module console.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif (
            at_import_time
            and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or at_import_time
            and isinstance(node, ast.If)
            and "TYPE_CHECKING" in ast.unparse(node.test)
        ):
            continue
        else:
            yield from imports(node, at_import_time)


def own_imports(path: Path) -> set[str]:
    """What a file of the package imports from the package: names directly below mindanim."""
    names = imports(ast.parse(path.read_text(encoding="utf-8")))
    return {name.split(".")[1] for name in names if name.startswith("mindanim.")}


def inner_imports(room: str) -> dict[str, set[str]]:
    """What each sub-room, or module directly in a room, imports from the same room, by their names."""
    found: dict[str, set[str]] = {}
    for path in sorted((PACKAGE / room).rglob("*.py")):
        own = path.relative_to(PACKAGE / room).parts[0].removesuffix(".py")
        parts = [name.split(".") for name in imports(ast.parse(path.read_text(encoding="utf-8")))]
        used = {part[2] for part in parts if part[:2] == ["mindanim", room] and len(part) > 2}
        # "from mindanim.studies import Facts" imports a name that the room's __init__ offers.
        folder = PACKAGE / room
        there = {
            name if (folder / name).is_dir() or (folder / f"{name}.py").is_file() else "__init__"
            for name in used
        }
        found.setdefault(own, set()).update(there - {own})
    return found


def backward(order: list[str], found: dict[str, set[str]]) -> list[str]:
    """The imports that go against an order, lowest first."""
    return [
        f"{low} imports {high}"
        for place, low in enumerate(order)
        for high in order[place + 1 :]
        if high in found[low]
    ]


def allowed(home: str, other: str) -> bool:
    if other == home or other in GROUND and home != "errors":
        return True
    if home in GROUND:
        return False
    if other == "backbones" or (home, other) in EXCEPTIONS:
        return home in ROOMS or home == "stages"
    return other in MAY_USE.get(home, set())


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_direction(path: Path) -> None:
    home = place(path)
    known = GROUND | ROOMS | TOP
    if home == "__init__":
        return  # the package's face offers names from everywhere, lazily
    assert home in known, f"{home} has no place in the order of the rooms"
    wrong = sorted(other for other in own_imports(path) if other in known and not allowed(home, other))
    assert not wrong, f"{path.relative_to(PACKAGE)} imports {', '.join(wrong)}"


@pytest.mark.parametrize("room", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_inside_a_room_imports_never_come_back(room: str) -> None:
    TopologicalSorter(inner_imports(room)).prepare()  # CycleError names the modules


@pytest.mark.parametrize(("room", "order"), ORDERS)
def test_sub_rooms_have_an_order(room: str, order: str) -> None:
    assert not backward(order.split(), inner_imports(room))


@pytest.mark.parametrize("home", sorted(GROUND | {"cli", "stages", "api", "__init__"}))
def test_nothing_heavy_is_imported_on_the_way_to_the_help(home: str) -> None:
    for path in (path for path in MODULES if place(path) == home):
        names = imports(ast.parse(path.read_text(encoding="utf-8")), at_import_time=True)
        heavy = {name.split(".")[0] for name in names} & HEAVY
        assert not heavy, f"{path.relative_to(PACKAGE)} imports {', '.join(heavy)} at the top"


def test_the_rules_can_fail() -> None:
    assert (
        not allowed("bold", "studies")
        and not allowed("errors", "config")
        and not allowed("artifacts", "bold")
    )
    assert not allowed("stages", "cli") and not allowed("cli", "bold") and not allowed("cli", "backbones")
    assert allowed("simulation", "studies") and allowed("metrics", "backbones") and allowed("cli", "config")
    found = {"inputs": {"families"}, "families": {"inputs"}}
    assert backward(["inputs", "families"], found) == ["inputs imports families"]
    with pytest.raises(CycleError):
        TopologicalSorter(found).prepare()
    parts = ("import torch", "if TYPE_CHECKING: import cv2", "def f(): import av", "class A: import nibabel")
    tree = ast.parse("\n".join(parts))
    assert set(imports(tree, at_import_time=True)) == {"torch", "nibabel"}
    assert set(imports(tree)) == {"torch", "cv2", "av", "nibabel"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_modules_are_small_and_named_for_what_they_hold(path: Path) -> None:
    assert path.name not in ("utils.py", "helpers.py", "common.py", "misc.py")
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 330, f"{path.relative_to(PACKAGE)} has {lines} lines: it is two modules"
