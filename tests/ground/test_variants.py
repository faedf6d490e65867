"""Options that belong to some variants: refused where they do nothing, and left out of everything else."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from mindanim.artifacts import Source, identity_of
from mindanim.artifacts.manifest import replayable
from mindanim.config import option as options_module
from mindanim.config.evaluate import EvaluateConfig
from mindanim.config.generate import GenerateConfig
from mindanim.config.import_checkpoint import ImportCheckpointConfig
from mindanim.config.option import Variants, declared
from mindanim.config.preprocess import PreprocessConfig
from mindanim.config.resolve import Asked, Resolution, resolve
from mindanim.config.run_options import RunOptions
from mindanim.config.train import TrainMotionConfig, TrainSemanticConfig, TrainStructureConfig
from mindanim.config.variants import GIVEN, PLUGIN, conditions, effect, in_use, remark, variants_of
from mindanim.errors import ConfigError, UsageError
from mindanim.stages import STAGES
from tests.cli.conftest import Call, call  # noqa: F401

CONFIGS = {name: stage.load_config() for name, stage in STAGES.items()}
TRAINING = (TrainSemanticConfig, TrainStructureConfig, TrainMotionConfig)


def ask(stage: str, **asked: Any) -> Resolution[Any]:
    return resolve(Asked(**asked), stage, CONFIGS[stage], lambda run: (run, {}))


class TestRefusals:
    @pytest.mark.parametrize(
        ("stage", "asked", "what", "why", "hint"),
        [
            (
                "train-motion",
                {"flags": {"decoder": "ridge", "epochs": "5"}},
                "train-motion: --epochs does nothing with decoder ridge.",
                "It has an effect only with decoder mlp, cmg, cmg-patches or a plug-in.",
                "Leave it out, or use --decoder mlp",
            ),
            (
                "generate",
                {"sets": ["released_steps=40"], "flags": {"sampler": "sdedit"}},
                "generate: --set released_steps does nothing with sampler sdedit.",
                "It has an effect only with sampler released.",
                "Leave it out, or use --sampler released",
            ),
            (
                "train-semantic",
                {"sets": ["ridge_folds=5"]},
                "train-semantic: --set ridge_folds does nothing with decoder mlp.",
                "It has an effect only with decoder ridge or a plug-in.",
                "Leave it out, or use --decoder ridge",
            ),
            (
                "preprocess",
                {"flags": {"selection": "none", "alpha": "0.1"}},
                "preprocess: --alpha does nothing with selection none.",
                "It has an effect only with selection reliability.",
                "Leave it out, or use --selection reliability",
            ),
            (
                "evaluate",
                {"flags": {"size": "64"}},
                "evaluate: --size does nothing without videos.",
                "It has an effect only with videos.",
                "Leave it out, or use --videos",
            ),
            (
                "evaluate",
                {"flags": {"motion_test": False}, "sets": ["motion_permutations=99"]},
                "evaluate: --set motion_permutations does nothing without motion_test.",
                "It has an effect only with motion_test.",
                "Leave it out, or use --motion-test",
            ),
            (
                "evaluate",
                {"flags": {"videos": "a", "truth": "b"}, "sets": ["ceiling=none"]},
                "evaluate: --set ceiling does nothing with videos a.",
                "It has an effect only without videos.",
                "Leave it out.",
            ),
        ],
    )
    def test_it_says_for_what_the_option_is(
        self, stage: str, asked: dict[str, Any], what: str, why: str, hint: str
    ) -> None:
        with pytest.raises(UsageError) as caught:
            ask(stage, **asked)
        assert (caught.value.what, caught.value.why, caught.value.hint) == (what, why, hint)
        assert caught.value.exit_code == 2

    def test_what_decides_may_itself_have_no_effect(self) -> None:
        with pytest.raises(UsageError) as caught:
            ask("train-semantic", flags={"decoder": "ridge"}, sets=["decay=0.9"])
        assert "--set decay does nothing with decoder ridge" in caught.value.what
        assert "only with decoder mlp or a plug-in" in caught.value.why
        with pytest.raises(UsageError, match="--set decay does nothing with schedule cosine"):
            ask("train-semantic", sets=["schedule=cosine", "decay=0.9"])

    def test_files_and_the_environment_are_named(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.toml"
        file.write_text('[train-motion]\ndecoder = "ridge"\nbetas = [0.5, 0.9]\nepochs = 5\n')
        with pytest.raises(ConfigError) as caught:
            ask("train-motion", config_file=file)
        assert caught.value.what == "train-motion: epochs, betas do nothing with decoder ridge."
        wanted = "decoder mlp, cmg, cmg-patches or a plug-in"
        assert caught.value.why == f"Set in {file}. They have an effect only with {wanted}."
        with pytest.raises(
            ConfigError, match="MINDANIM_GENERATE_RELEASED_STEPS does nothing with sampler sdedit"
        ):
            ask(
                "generate",
                environment={"MINDANIM_GENERATE_RELEASED_STEPS": "4"},
                flags={"sampler": "sdedit"},
            )

    def test_the_value_that_decides_is_the_one_of_highest_precedence(self, tmp_path: Path) -> None:
        file = tmp_path / "mine.toml"
        file.write_text('[generate]\nsampler = "released"\nreleased_steps = 4\n')
        assert ask("generate", config_file=file).config.released_steps == 4
        with pytest.raises(ConfigError, match="released_steps"):
            ask("generate", config_file=file, sets=["sampler=sdedit"])
        with pytest.raises(UsageError, match="--steps"):
            ask("generate", config_file=file, flags={"steps": "4"})
        assert (
            ask("generate", sets=["sampler=released"], flags={"sampler": "sdedit", "steps": "4"}).config.steps
            == 4
        )

    def test_options_of_different_variants_are_different_problems(self) -> None:
        with pytest.raises(UsageError, match="2 problems") as caught:
            ask("preprocess", flags={"selection": "none", "alpha": "0.1", "voxels": "100"})
        assert "--voxels does nothing" in caught.value.why and "--alpha does nothing" in caught.value.why
        assert "only with selection reliability or variance" in caught.value.why

    @pytest.mark.parametrize("alpha", ["1", "1.0", 1])
    def test_a_value_that_asks_for_nothing_may_be_given(self, alpha: Any) -> None:
        """No threshold, where there is no test; a threshold is refused."""
        ask("preprocess", flags={"selection": "variance", "alpha": alpha})
        with pytest.raises(UsageError, match="alpha does nothing with selection variance"):
            ask("preprocess", flags={"selection": "variance", "alpha": "0.999"})

    def test_python_arguments_are_refused_alike(self) -> None:
        with pytest.raises(UsageError, match="argument epochs does nothing with decoder ridge"):
            ask(
                "train-motion",
                flags={"decoder": "ridge", "epochs": 5},
                flag_name=lambda option: f"argument {option}",
            )

    def test_a_wrong_decider_is_the_only_problem(self) -> None:
        with pytest.raises(UsageError) as caught:
            ask("train-motion", flags={"decoder": "rigde", "ridge_refit": "no"})
        assert "unknown decoder 'rigde': did you mean 'ridge'?" in caught.value.what
        assert "ridge_refit" not in str(caught.value)

    def test_on_the_command_line_it_ends_with_2(self, call: Call) -> None:  # noqa: F811
        words = ("--dataset", "simulated", "--subject", "1", "--decoder", "ridge", "--epochs", "5")
        result = call("train-motion", *words)
        assert result.code == 2 and "--epochs does nothing with decoder ridge" in result.err


class TestRecipes:
    def test_they_hold_options_of_all_variants(self) -> None:
        found = ask("train-motion", recipe="paper", flags={"decoder": "ridge"})
        assert found.config == TrainMotionConfig(decoder="ridge")
        assert found.origins["epochs"] == "default" and found.origins["target"] == "recipe paper"

    def test_config_toml_has_the_options_in_use_only(self) -> None:
        found = ask("train-motion", recipe="demo", flags={"dataset": "toy", "subject": 1})
        own = tomllib.loads(tomli_w.dumps(replayable("motion", found.config, found.run)))["train-motion"]
        assert list(own) == in_use(found.config) and "ridge_refit" in own and "epochs" not in own

    def test_explain_says_what_has_no_effect(self) -> None:
        rows = {row["option"]: row for row in ask("generate", flags={"sampler": "released"}).explain()}
        assert rows["steps"]["value"] is None and rows["steps"]["origin"] == "no effect with sampler released"
        assert rows["released_steps"]["value"] == 50


class TestDeclarations:
    @pytest.mark.parametrize("stage", CONFIGS)
    def test_every_condition_can_be_met_and_missed(self, stage: str) -> None:
        model = CONFIGS[stage]
        for name in model.model_fields:
            for other, wanted in conditions(model, name).items():
                field = model.model_fields[other]
                own = variants_of(field)
                kind = (
                    get_args(field.annotation)[0]
                    if get_origin(field.annotation) is tuple
                    else field.annotation
                )
                choices = (
                    {*own.own, PLUGIN}
                    if own
                    else set(get_args(kind))
                    if get_origin(kind) is Literal
                    else set()
                )
                if choices:
                    assert set(wanted) & choices and choices - set(wanted), (stage, name, other)
                else:
                    assert wanted in ((GIVEN,), (None,), (True,), (False,)), (stage, name, other)

    @pytest.mark.parametrize("model", TRAINING)
    def test_arguments_of_a_decoder_have_an_effect_with_it(self, model: type[Any]) -> None:
        for decoder, names in model.arguments_of.items():
            used = in_use(model(decoder=decoder, **({"target": "difference"} if "target" in names else {})))
            assert set(names) <= set(used), decoder

    def test_in_words(self) -> None:
        assert remark(TrainSemanticConfig, "epochs") == "Not with decoder ridge."
        assert remark(TrainMotionConfig, "noam_factor") == "Only with schedule noam."
        assert remark(TrainMotionConfig, "seed") == remark(TrainMotionConfig, "ridge_folds") == ""
        assert remark(TrainSemanticConfig, "decoder_arguments") == "Only with a plug-in decoder."
        assert effect(GenerateConfig, "released_steps") == "with sampler released"
        assert effect(PreprocessConfig, "confounds_motion") == "with confounds motion"
        assert effect(EvaluateConfig, "ceiling") == "without videos"

    def test_a_choice_among_several_values(self) -> None:
        assert "confounds_motion" in in_use(PreprocessConfig(confounds=("wm_csf", "motion")))
        assert "confounds_motion" not in in_use(PreprocessConfig(confounds=("wm_csf",)))
        motion = ImportCheckpointConfig(kind="motion", file=Path("x"))
        assert "heads" in in_use(motion) and "heads" not in in_use(
            motion.model_copy(update={"kind": "semantic"})
        )


class TestPlugins:
    def test_names_of_other_packages_count_as_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        points = {"mindanim.samplers": [EntryPoint("euler", "theirs:euler", "mindanim.samplers")]}
        monkeypatch.setattr(options_module, "entry_points", lambda group: points.get(group, []))
        found = ask("generate", flags={"sampler": "euler"})
        assert {"steps", "sampler_arguments"} <= set(in_use(found.config))
        assert "released_steps" not in in_use(found.config)
        with pytest.raises(UsageError, match="unknown sampler 'eulr': did you mean 'euler'"):
            ask("generate", flags={"sampler": "eulr"})
        with pytest.raises(
            ValueError, match="known: mlp, ridge; your own class is written package.module:Class"
        ):
            Variants("decoder", ("mlp", "ridge"), paths=True).check("zzz")

    def test_decoders_of_other_packages_go_by_kind(self, monkeypatch: pytest.MonkeyPatch) -> None:
        points = [EntryPoint("motion.tracks", "theirs:Tracks", "mindanim.decoders")]
        monkeypatch.setattr(options_module, "entry_points", lambda group: points)
        found = ask("train-motion", flags={"decoder": "tracks", "decoder_arguments": {"width": 3}}).config
        assert found.spec() == {"decoder": "tracks", "width": 3}
        with pytest.raises(UsageError, match="unknown decoder 'tracks': known: mlp, ridge"):
            ask("train-structure", flags={"decoder": "tracks"})

    @pytest.mark.parametrize("kind", ["semantic", "structure", "motion"])
    def test_the_names_of_our_own_are_those_that_are_registered(self, kind: str) -> None:
        from mindanim.decoders.build import names

        own = variants_of(CONFIGS[f"train-{kind}"].model_fields["decoder"])
        assert own is not None and set(own.own) == set(names(kind))

    def test_a_class_by_its_path_is_trained_like_a_network(self) -> None:
        used = in_use(ask("train-structure", flags={"decoder": "my.module:Mine"}).config)
        assert {"epochs", "decoder_arguments"} <= set(used) and "width" not in used

    @pytest.mark.parametrize("stage", ["train-semantic", "train-structure", "train-motion"])
    def test_a_regression_of_another_package_has_the_ridge_options(self, stage: str) -> None:
        """`fit_result.ClosedForm` is given the options: `Ridge` reads them."""
        flags = {"decoder": "my.module:Mine"}
        found = ask(stage, flags=flags, sets=["ridge_folds=3", "ridge_refit=no"]).config
        assert (found.ridge_folds, found.ridge_refit) == (3, False)
        plain = ask(stage, flags=flags).config
        assert identity_of("motion", found, {}) != identity_of("motion", plain, {})


RIDGE = {
    "ridge_refit": st.booleans(),
    "flow_grid": st.integers(2, 99),
    "patch_size": st.integers(1, 99),
}


@given(st.fixed_dictionaries({}, optional=RIDGE), st.randoms(use_true_random=False))
def test_options_of_other_decoders_do_not_touch_a_cmg(other: dict[str, Any], random: Any) -> None:
    plain = TrainMotionConfig(layers=3, epochs=7)
    names = [*other, "layers", "epochs"]
    random.shuffle(names)
    config = TrainMotionConfig.model_validate(
        {name: ({"layers": 3, "epochs": 7} | other)[name] for name in names}
    )
    inputs = {"fmri": Source("fmri", "a"), "stimuli": Source("stimuli", "b")}
    swapped = dict(reversed(inputs.items()))
    assert identity_of("motion", config, inputs, 0) == identity_of("motion", plain, swapped, 0)
    assert identity_of("motion", config, inputs, 0) != identity_of("motion", TrainMotionConfig(), inputs, 0)


def test_a_value_equal_to_the_default_counts_as_absent() -> None:
    inputs = {"fmri": Source("fmri", "a")}
    same = TrainMotionConfig(epochs=300, betas=(0.9, 0.98))
    assert identity_of("motion", same, inputs, 0) == identity_of("motion", TrainMotionConfig(), inputs, 0)


def test_the_stage_counts_where_two_make_one_kind() -> None:
    imported = ImportCheckpointConfig(kind="motion", file=Path("x"))
    assert identity_of("motion", imported, {}) != identity_of("motion", TrainMotionConfig(), {})


def test_shared_options_have_no_conditions() -> None:
    assert not any(declared(field).get("only") for field in RunOptions.model_fields.values())
