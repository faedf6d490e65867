"""Options: parsing, precedence, problems reported together, and the round trip through config.toml."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from mindanim.artifacts.manifest import replayable
from mindanim.config import option as fields
from mindanim.config import recipes
from mindanim.config.generate import GenerateConfig
from mindanim.config.parse import parse
from mindanim.config.resolve import Asked, Resolution, resolve, resolve_run, strange_variables
from mindanim.config.run_options import RunOptions
from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig
from mindanim.errors import ConfigError, UsageError
from tests.ground.toy import ToyConfig

PREFIX = "MINDANIM_PREPROCESS_"


@pytest.fixture(autouse=True)
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that ships the recipes of these tests."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "paper.toml").write_text('[preprocess]\nrows = 10\n[backbones]\nclip = "big"\n')
    (folder / "own-study.toml").write_text('extends = "paper"\n')
    (folder / "demo.toml").write_text("[preprocess]\nrows = 20\n")
    monkeypatch.setattr(recipes, "RECIPES", folder)


def toy(**asked: Any) -> Resolution[ToyConfig]:
    return resolve(Asked(**asked), "preprocess", ToyConfig, lambda run: (run, {}))


class TestParse:
    @pytest.mark.parametrize(
        ("option", "text", "value"),
        [
            ("factor", "1e-3", 1e-3),
            ("rows", "7", 7),
            ("mode", "fancy", "fancy"),
            ("lags", "4, 6.5", (4.0, 6.5)),
            ("lags", "", ()),
            ("names", "none", ()),
            ("pair", "3,4", (3, 4)),
            ("limit", "none", None),
            ("limit", "5", 5),
            ("names", "V1,V2", ("V1", "V2")),
            ("note", "none", "none"),
            ("careful", "no", False),
        ],
    )
    def test_texts_become_values(self, option: str, text: str, value: object) -> None:
        assert getattr(toy(sets=[f"{option}={text}"]).config, option) == value

    def test_numbers_among_choices(self) -> None:
        from typing import Literal

        assert parse(Literal[1, 2], "2") == 2
        assert parse(dict[str, str], "fmri=a, motion=b") == {"fmri": "a", "motion": "b"}

    @pytest.mark.parametrize("text", ["1,2,3", "1", "x,y"])
    def test_a_pair_is_two_numbers(self, text: str) -> None:
        with pytest.raises(UsageError, match="pair"):
            toy(sets=[f"pair={text}"])


class TestPrecedence:
    def test_each_origin_beats_those_below_it(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.toml"
        file.write_text("[preprocess]\nrows = 40\n")
        asked: dict[str, Any] = {}
        steps: list[tuple[dict[str, Any], int, str]] = [
            ({}, 10, "recipe paper"),
            ({"environment": {f"{PREFIX}ROWS": "30"}}, 30, f"{PREFIX}ROWS"),
            ({"config_file": file}, 40, str(file)),
            ({"sets": ["rows=50"]}, 50, "--set rows"),
            ({"flags": {"rows": "60"}}, 60, "--rows"),
        ]
        for more, value, origin in steps:
            asked |= more
            resolution = toy(**asked)
            assert (resolution.config.rows, resolution.origins["rows"]) == (value, origin)
        assert resolution.origins["factor"] == "default" and resolution.config.clip == "big"

    def test_the_simulated_study_has_its_own_recipe(self) -> None:
        assert toy(flags={"dataset": "simulated"}).config.rows == 20
        assert toy(flags={"dataset": "simulated"}, recipe="paper").config.rows == 10

    def test_the_recipe_is_found_in_the_same_order(self, tmp_path: Path) -> None:
        file = tmp_path / "study.toml"
        file.write_text('[run]\nrecipe = "demo"\n')
        environment = {"MINDANIM_RECIPE": "demo"}
        assert toy().run_origins["recipe"] == "default" and toy().config.rows == 10
        found = toy(environment=environment)
        assert (found.run.recipe, found.config.rows) == ("demo", 20)
        assert found.run_origins["recipe"] == "MINDANIM_RECIPE"
        found = toy(environment={"MINDANIM_RECIPE": "paper", "MINDANIM_CONFIG": str(file)})
        assert (found.run.recipe, found.run_origins["recipe"]) == ("demo", str(file)), (
            "a file beats variables"
        )
        found = toy(environment=environment, config_file=file, recipe="paper")
        assert (found.config.rows, found.run_origins["recipe"]) == (10, "--recipe")

    def test_one_entry_of_study_does_not_lose_the_others(self, tmp_path: Path) -> None:
        file = tmp_path / "study.toml"
        file.write_text('[run.study]\nclip_s = 2\ntest = "film:b.mp4"\n')
        run = toy(config_file=file, flags={"study": "clip_s=4"}).run
        assert run.study == {"clip_s": "4", "test": "film:b.mp4"}

    def test_a_file_of_options_names_no_other(self, tmp_path: Path) -> None:
        file = tmp_path / "study.toml"
        file.write_text('[run]\nconfig = "other.toml"\n')
        with pytest.raises(ConfigError, match="names another file"):
            toy(config_file=file)

    def test_shared_options_come_from_the_same_places(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.toml"
        file.write_text('[run]\nprecision = "fp16"\nlabel = "file"\nbatch = "none"\n')
        environment = {"MINDANIM_PRECISION": "bf16", "MINDANIM_DEVICE": "cpu", "MINDANIM_WORK": "/somewhere"}
        resolution = toy(
            environment=environment, config_file=file, sets=["label=set"], flags={"use": "fmri=a,motion=b"}
        )
        run = resolution.run
        assert (run.precision, run.device, run.label, run.work) == ("fp16", "cpu", "set", Path("/somewhere"))
        assert run.use == {"fmri": "a", "motion": "b"} and run.batch is None
        assert resolution.run_origins["device"] == "MINDANIM_DEVICE"
        assert resolve_run(Asked(environment=environment)).precision == "bf16"

    @pytest.mark.parametrize("name", ["label", "rows"])
    def test_a_flag_beats_set(self, name: str) -> None:
        """Of the stage's own options and of the shared ones, in whichever order they are typed."""
        resolution = toy(sets=[f"{name}=5", f"{name}=6"], flags={name: "7"})
        value = resolution.run.label if name == "label" else resolution.config.rows
        origins = resolution.run_origins if name == "label" else resolution.origins
        assert (str(value), origins[name]) == ("7", f"--{name}")
        only_set = toy(sets=[f"{name}=5", f"{name}=6"])
        assert str(only_set.run.label if name == "label" else only_set.config.rows) == "6"

    def test_force_is_not_taken_from_the_environment(self) -> None:
        assert not toy(environment={"MINDANIM_FORCE": "1", "MINDANIM_DATA": "/x"}).run.force

    def test_a_stage_prefix_is_understood(self) -> None:
        assert toy(sets=["preprocess.rows=5"]).config.rows == 5

    def test_what_is_found_counts_as_an_origin(self) -> None:
        def complete(run: RunOptions) -> tuple[RunOptions, dict[str, str]]:
            return run.model_copy(update={"dataset": "simulated"}), {"dataset": "the only one"}

        resolution = resolve(Asked(), "preprocess", ToyConfig, complete)
        assert resolution.run_origins["dataset"] == "the only one" and resolution.recipe.name == "demo"


class TestProblems:
    def test_all_are_reported_together(self) -> None:
        with pytest.raises(UsageError) as caught:
            toy(
                sets=["rwos=3", "nonsense"],
                flags={"factor": "-1", "mode": "plian"},
                environment={f"{PREFIX}LIMT": "3"},
            )
        text = str(caught.value)
        assert text.startswith("5 problems:")
        for part in (
            "unknown option 'rwos': did you mean 'rows'?",
            "--set nonsense is not of the form option=value",
            "factor = '-1'",
            "mode = 'plian'",
            "unknown option 'limt': did you mean 'limit'?",
            f"{PREFIX}LIMT",
        ):
            assert part in text

    def test_a_bad_recipe_value_is_a_config_error(self, tmp_path: Path) -> None:
        (tmp_path / "recipes/paper.toml").write_text('[preprocess]\nrows = "many"\n')
        with pytest.raises(ConfigError, match="It comes from recipe paper"):
            toy()

    def test_shared_and_own_problems_come_together(self) -> None:
        with pytest.raises(UsageError) as caught:
            toy(flags={"subject": "a/b", "use": "fmir=a", "label": "a/b", "factor": "x"})
        for part in ("subject", "unknown input 'fmir': did you mean 'fmri'?", "label", "factor"):
            assert part in str(caught.value)

    @pytest.mark.parametrize("label", ["seed-2", "no_motion", "v1.2", "a-b-c", ""])
    def test_what_a_label_may_be(self, label: str) -> None:
        run = toy(flags={"label": label, "use": f"fmri={label}"}).run
        assert run.label == label and run.use == {"fmri": label}

    @pytest.mark.parametrize("text", ["a b", "a/b", "../up", "-first", ".hidden", "ä", "a\n"])
    def test_what_is_no_name_is_refused_in_words(self, text: str) -> None:
        for flags in ({"label": text}, {"dataset": text}, {"use": {"fmri": text}}):
            with pytest.raises(UsageError) as caught:
                toy(flags=flags)
            (name,) = flags
            assert (
                f"{name} = " in caught.value.what and "letters, digits, '.', '_' and '-'" in caught.value.what
            )
            assert "becomes part of a folder's name" in caught.value.what
            assert f"It comes from --{name}." in caught.value.why and name in caught.value.hint

    def test_no_option_is_refused_with_a_bare_pattern(self) -> None:
        """Every text that is refused is refused in words."""
        for stage, options, wrong, says in (
            ("generate", GenerateConfig, {"features": "video/x"}, "videos, or videos-LABEL"),
            (
                "train-semantic",
                TrainSemanticConfig,
                {"decoder": "mpl"},
                r"unknown decoder 'mpl': did you mean 'mlp'\?",
            ),
            ("train-motion", TrainMotionConfig, {"decoder": "my.module"}, "package.module:Class"),
        ):
            with pytest.raises(UsageError, match=says) as caught:
                resolve(Asked(flags=wrong), stage, options, lambda run: (run, {}))
            assert "pattern" not in str(caught.value)
        sources = Path(fields.__file__).parent.glob("*.py")
        assert not any("pattern=" in file.read_text(encoding="utf-8") for file in sources)

    def test_the_dataset_is_a_folder_name(self) -> None:
        assert toy(flags={"dataset": "CC2017"}).run.dataset == "cc2017"
        with pytest.raises(UsageError, match="dataset"):
            toy(flags={"dataset": "../elsewhere"})

    def test_python_callers_are_told_of_arguments(self) -> None:
        with pytest.raises(UsageError, match="argument factor"):
            toy(flags={"factor": -1}, flag_name=lambda option: f"argument {option}")


def test_variables_that_set_nothing_are_pointed_out() -> None:
    fine = {
        "MINDANIM_WORK": "",
        "MINDANIM_DATA_HCP": "",
        f"{PREFIX}ROWS": "",
        "PATH": "",
        "_MINDANIM_COMPLETE": "",
    }
    assert strange_variables(fine) == []
    (sentence,) = strange_variables(fine | {"MINDANIM_DEVCE": "cpu"})
    assert "did you mean 'MINDANIM_DEVICE'" in sentence


def test_explain_has_a_row_for_every_option() -> None:
    rows = {row["option"]: row for row in toy(sets=["lags=4,6"]).explain()}
    assert rows.keys() == RunOptions.model_fields.keys() | ToyConfig.model_fields.keys()
    assert rows["lags"] == {
        "option": "lags",
        "value": [4.0, 6.0],
        "unit": "s",
        "origin": "--set lags",
        "help": "Some times.",
        "flag": True,
    }


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
CONFIGS = st.builds(
    ToyConfig,
    factor=st.floats(min_value=1e-300, allow_infinity=False),
    rows=st.integers(1, 10**9),
    mode=st.sampled_from(["plain", "fancy"]),
    lags=st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
    pair=st.tuples(st.integers(-5, 5), st.integers(-5, 5)),
    limit=st.none() | st.integers(-5, 5),
    names=st.lists(TEXT, max_size=3).map(tuple),
    note=TEXT,
    careful=st.booleans(),
    seed=st.integers(0, 10**6),
)


@given(CONFIGS)
def test_config_toml_replays_to_the_same_options(config: ToyConfig) -> None:
    run = RunOptions(dataset="toy", subject=3, label="x", use={"fmri": "y"}, work=Path("/a"), force=True)
    tables = tomllib.loads(tomli_w.dumps(replayable("fmri", config, run)))
    recipe = recipes.Recipe("config.toml", tables)
    values = recipe.options("preprocess", ToyConfig.model_fields)
    known = ToyConfig.model_fields
    parsed = {k: parse(known[k].annotation, v) if isinstance(v, str) else v for k, v in values.items()}
    assert ToyConfig.model_validate(parsed) == config
    assert tables["run"].keys().isdisjoint({"work", "force", "dry_run", "offline"})


def test_replaying_an_artifact(tmp_path: Path) -> None:
    from tests.ground.toy import make

    first = make(tmp_path / "one", factor=7.5, lags=(4.0, 6.0), limit=None, note="hm", run={"label": "odd"})
    asked = {"config_file": first.path / "config.toml", "flags": {"work": str(tmp_path / "two")}}
    resolution = toy(**asked)
    assert resolution.config == ToyConfig(factor=7.5, lags=(4.0, 6.0), note="hm")
    assert (resolution.run.dataset, resolution.run.subject, resolution.run.label) == ("toy", 1, "odd")
