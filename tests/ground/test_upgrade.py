"""Artifacts that users have stay valid when mindanim gets new options, and only then."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import create_model

from mindanim.artifacts import Artifact, Workspace, staleness
from mindanim.config.option import StageConfig, opt
from mindanim.config.resolve import Asked, resolve
from mindanim.errors import InputError
from mindanim.stages import STAGES
from tests.ground.work_folder import BY_NAME, FIXTURE, FOLDERS, Made

NEW_DEFAULTS: dict[str, tuple[str, Any]] = {
    "fmri": ("voxels", 4000),
    "stimuli": ("frames", 6),
    "semantic": ("blocks", 2),
    "structure": ("select", "score"),
    "motion": ("layers", 3),
    "motion-ridge": ("ridge_refit", False),
    "videos": ("guidance", 4.0),
    "evaluation": ("bootstraps", 1000),
}
each = pytest.mark.parametrize("made", FOLDERS, ids=lambda made: made.name)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The work folder as an earlier version left it."""
    return Path(shutil.copytree(FIXTURE, tmp_path / "work"))


def changed(made: Made, stage_version: int | None = None, **options: Any) -> StageConfig:
    """Its options in a later version, with other declarations and perhaps another version of the stage."""
    model: type[StageConfig] = create_model("Later", __base__=made.config, **options)
    if stage_version is not None:
        model.stage_version = stage_version
    return model.model_validate(made.options)


def with_new_default(made: Made, stage_version: int | None = None) -> StageConfig:
    name, default = NEW_DEFAULTS[made.name]
    field = made.config.model_fields[name]
    later = opt(default, "Declared anew.", only=field.json_schema_extra["only"])  # type: ignore[index, call-overload]
    return changed(made, stage_version, **{name: (field.annotation, later)})


@each
def test_it_is_still_valid(made: Made, work: Path) -> None:
    plan = made.plan(work, made.config.model_validate(made.options))
    assert plan.action == "skip" and plan.identity == Artifact.load(made.path(work)).identity
    assert staleness(Artifact.load(made.path(work))) == []


@each
def test_a_new_option_changes_nothing(made: Made, work: Path) -> None:
    options = {"invented": (int | None, opt(None, "A new one.")), "another": (int, opt(7, "And one more."))}
    assert made.plan(work, changed(made, **options)).action == "skip"


@each
def test_a_new_option_that_is_used_is_named_with_its_default(made: Made, work: Path) -> None:
    later = changed(made, invented=(int, opt(7, "A new one."))).model_copy(update={"invented": 8})
    with pytest.raises(InputError, match="made with different options or inputs") as caught:
        made.plan(work, later)
    assert caught.value.why == "option invented: 7 (default) -> 8"


@each
def test_a_changed_default_is_noticed_without_a_new_version(made: Made, work: Path) -> None:
    name, default = NEW_DEFAULTS[made.name]
    with pytest.raises(InputError) as caught:
        made.plan(work, with_new_default(made))
    assert f"option {name}: " in caught.value.why and f"-> {default!r}" in caught.value.why


@each
def test_a_new_version_of_the_stage_is_the_reason(made: Made, work: Path) -> None:
    stage = Artifact.load(made.path(work)).manifest["stage"]
    now = made.config.stage_version
    reason = f"version of {stage}: {now} -> {now + 1} (its defaults or the meaning of its results changed)"
    with pytest.raises(InputError) as caught:
        made.plan(work, changed(made, stage_version=now + 1))
    assert caught.value.why == reason
    with pytest.raises(InputError) as caught:
        made.plan(work, with_new_default(made, stage_version=now + 1))
    assert (
        caught.value.why.startswith(f"option {NEW_DEFAULTS[made.name][0]}: ") and reason in caught.value.why
    )


def test_an_input_remade_by_a_new_version_makes_stale(work: Path) -> None:
    made, semantic = BY_NAME["fmri"], Artifact.load(BY_NAME["semantic"].path(work))
    later = changed(made, stage_version=made.config.stage_version + 1)
    from mindanim.artifacts import produce

    produce(
        "fmri", made.path(work), config=later, inputs=made.given(work), seed=None,
        run=made.run(work).model_copy(update={"force": True}),
        build=lambda draft: draft.save_json("values.json", {}),
    )  # fmt: skip
    (reason,) = staleness(semantic)
    assert (
        f"stage version: {made.config.stage_version} -> {later.stage_version}" in reason
        and "lags_s" not in reason
    )


def test_an_option_that_is_gone_is_named(work: Path) -> None:
    class Fewer(StageConfig):
        stage: ClassVar[str] = "train-motion"
        decoder: str = opt("cmg", "Which.")

    made = BY_NAME["motion-ridge"]
    with pytest.raises(InputError) as caught:
        made.plan(work, Fewer(decoder="ridge"))
    assert "option ridge_folds: 5 -> this version has no such option" in caught.value.why
    assert "ridge_alphas" not in caught.value.why, "what was at its default decided nothing"


@each
def test_its_config_toml_asks_for_the_same(made: Made, work: Path) -> None:
    stage = Artifact.load(made.path(work)).manifest["stage"]
    asked = Asked(config_file=made.path(work) / "config.toml", flags={"work": str(work)})
    found = resolve(asked, stage, STAGES[stage].load_config(), lambda run: (run, {}))
    assert found.run.label == made.label and made.plan(work, found.config).action == "skip"


def test_there_is_one_of_every_kind(work: Path) -> None:
    from mindanim.config.names import KINDS

    assert {artifact.kind for artifact in Workspace(work, "toy").artifacts()} == set(KINDS)
