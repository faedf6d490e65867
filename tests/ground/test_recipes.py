"""Recipes and config files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mindanim.config.recipes import (
    BACKBONES,
    default_recipe,
    load_config_file,
    load_recipe,
    merge,
    recipe_names,
)
from mindanim.errors import ConfigError
from mindanim.stages import STAGES

Writer = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    def write(text: str, name: str = "mine.toml") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipes_set_only_options_that_exist_to_values_that_fit(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.title, "every recipe says what it is"
    known_anywhere = set()
    for stage in STAGES.values():
        config = stage.load_config()
        known_anywhere |= config.model_fields.keys()
        strangers = recipe.tables.get(stage.name, {}).keys() - config.model_fields.keys()
        assert not strangers, f"{name} [{stage.name}]"
        if not stage.arguments:  # without them there is nothing to make
            config.model_validate(recipe.options(stage.name, config.model_fields))
    assert set(recipe.tables.get("backbones", {})) <= known_anywhere


def test_the_default_recipes_are_there() -> None:
    assert {
        default_recipe(name) for name in ("simulated", "cc2017", "hcp", "algonauts2021", "bids", None)
    } <= set(recipe_names())


def test_the_released_behaviour_is_in_recipes() -> None:
    """The networks in `paper`; what `paper` mends, in `released`, which changes nothing else."""
    paper, released = load_recipe("paper").tables, load_recipe("released").tables
    motion = {"attention_dropout": 0.15, "inner_dropout": 0.2, "dropout": 0.2, "norm": "deviation"}
    for tables in (paper, released):
        assert motion.items() <= tables["train-motion"].items()
    assert paper["train-structure"]["epochs"] == 400
    put_back = {
        stage: {name for name, value in values.items() if paper.get(stage, {}).get(name) != value}
        for stage, values in released.items()
    }
    assert {stage: names for stage, names in put_back.items() if names} == {
        "preprocess": {"standardize", "alternative", "alpha"},
        "train-semantic": {"zero_draws", "equal_captions", "select", "epochs"},
        "train-structure": {"zero_draws", "l1_compounds", "select", "epochs"},
        "train-motion": {"mask_draws", "rollout_mask", "l1_compounds", "select", "epochs"},
    }


def test_backbones_count_for_the_stages_that_have_them(write: Writer) -> None:
    recipe = load_recipe(write('[backbones]\nclip = "a"\ndiffusion = "b"\n[generate]\ndiffusion = "c"\n'))
    assert recipe.options("encode-stimuli", {"clip": 1, "diffusion": 1}) == {"clip": "a", "diffusion": "b"}
    assert recipe.options("generate", {"diffusion": 1}) == {"diffusion": "c"}
    assert recipe.options("preprocess", {"voxels": 1}) == {}


def test_extending(write: Writer) -> None:
    base = write("[generate]\nsteps = 1\nguidance = 2\n[evaluate]\nseed = 3\n", "base.toml")
    recipe = load_recipe(write(f'title = "T"\nextends = "{base}"\n[generate]\nsteps = 9\n'))
    assert recipe.tables == {"generate": {"steps": 9, "guidance": 2}, "evaluate": {"seed": 3}}
    assert recipe.title == "T"


def test_a_circle_is_an_error(write: Writer, tmp_path: Path) -> None:
    write(f'extends = "{tmp_path}/b.toml"', "a.toml")
    write(f'extends = "{tmp_path}/a.toml"', "b.toml")
    with pytest.raises(ConfigError, match="circle"):
        load_recipe(str(tmp_path / "a.toml"))


def test_merge_keeps_both_sides() -> None:
    assert merge({"a": {"x": 1, "y": 1}}, {"a": {"y": 2}, "b": {"z": 3}}) == {
        "a": {"x": 1, "y": 2},
        "b": {"z": 3},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[genrate]\nsteps = 1", "unknown table 'genrate': did you mean 'generate'"),
        ('[backbones]\ndifusion = "x"', "unknown backbone 'difusion': did you mean 'diffusion'"),
        ('titel = "x"', "unknown key 'titel': did you mean 'title'"),
        ("generate = 3", "generate is not a table"),
        ("backbones = 3", "backbones is not a table"),
        ("[generate\n", "not a readable TOML file"),
        ("[run]\nbatch = 1", "unknown table 'run'"),
    ],
)
def test_what_is_wrong_is_said(write: Writer, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        load_recipe(write(text))


def test_unknown_names_get_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        load_recipe("papr")
    with pytest.raises(ConfigError, match=r"mine\.toml does not exist"):
        load_recipe("mine.toml")


def test_a_config_file_may_also_set_the_run(write: Writer) -> None:
    assert load_config_file(Path(write("[run]\nbatch = 1"))).tables == {"run": {"batch": 1}}


def test_every_backbone_name_is_an_option_somewhere() -> None:
    known = {name for stage in STAGES.values() for name in stage.load_config().model_fields}
    assert set(BACKBONES) <= known
