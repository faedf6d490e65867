"""A part of a study: used when asked for, and said by everything that is made from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mindanim.artifacts import Artifact, Draft, produce
from mindanim.config.preprocess import PreprocessConfig
from mindanim.config.run_options import RunOptions
from mindanim.errors import InputError
from mindanim.report.markdown import table_markdown
from mindanim.stages.evaluation_inputs import lineage_of
from mindanim.stages.preprocess import preprocess
from mindanim.studies import open_study
from tests.cc2017_tree import Tree, write_simulated
from tests.studies.layouts import opened, simulate


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    train = {f"seg{number}": 12 for number in (1, 2, 3)}
    return write_simulated(tmp_path_factory.mktemp("study"), train=train, test={"test1": 8}, noise=0.2)


def test_a_part_is_an_error_until_it_is_allowed_and_then_is_said_down_the_road(
    tree: Tree, tmp_path: Path
) -> None:
    tree.run("seg3", 2).rename(tmp_path / "away.nii")
    config = PreprocessConfig(correction="none", alpha=1.0, voxels=10, detrend_order=1)
    run = RunOptions(dataset="simulated", data=tree.root, subject=1, work=tmp_path / "work")
    try:
        with pytest.raises(InputError, match=r"seg3_2.*\n.*--allow-partial"):
            preprocess(config, run)
        made = preprocess(config, run.model_copy(update={"allow_partial": True}))
    finally:
        (tmp_path / "away.nii").rename(tree.run("seg3", 2))
    assert made.facts["partial"] is True
    assert "missing-run" in {finding["code"] for finding in made.findings}

    def build(draft: Draft) -> None:
        draft.save_json("x.json", {})

    later: list[Artifact] = [made]
    for kind in ("semantic", "videos", "evaluation"):
        path = tmp_path / "work" / "simulated" / "sub-01" / kind
        inputs = {"fmri": later[-1]}
        later.append(produce(kind, path, config=config, inputs=inputs, run=run, seed=0, build=build))
    for artifact in later[1:]:
        assert artifact.facts["partial"] is True
        finding = next(one for one in artifact.findings if one["code"] == "partial-study")
        assert finding["text"].startswith("Made from a part of the study")
    audit = [finding for artifact in lineage_of(later[-1]) for finding in artifact.findings]
    metrics = {"dataset": "simulated", "subject": 1, "label": "", "clips": 1, "frames": 1}
    metrics |= {"resolution": (1, 1), "blocks": 1, "block_rule": "", "subset": "", "scores": []}
    metrics |= {"films": 1, "unit": "blocks", "unit_reason": "1 film"}
    metrics |= {
        "motion_test": None,
        "quoted": [],
        "audit": audit,
        "refused": [],
        "ceilings_missing": [],
        "distribution": None,
        "floors_missing": [],
    }
    assert "Made from a part of the study" in table_markdown(metrics)


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        layout: simulate(tmp_path_factory.mktemp(layout) / "study", layout, subjects=1)
        for layout in ("cc2017", "hcp", "bids")
    }


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_runs_are_missing_the_rest_is_used_and_every_one_is_named(
    roots: dict[str, Path], data: st.DataObject
) -> None:
    """Runs hidden under other names at random: found and missing make up what is declared."""
    root = roots[data.draw(st.sampled_from(sorted(roots)))]
    whole = opened(root)
    subject = whole.facts.subjects[0]
    files = sorted({run.path for run in whole.runs(subject)})
    hidden = data.draw(st.sets(st.sampled_from(files), min_size=1, max_size=len(files)))
    moved = {path: root.parent / f"away-{number}" for number, path in enumerate(hidden)}
    for path, away in moved.items():
        path.rename(away)
    try:
        study = open_study("simulated", root, allow_partial=True)
        states = [(entry.path in hidden or entry.state == "missing") for entry in study.inventory(subject)]
        found = [entry for entry in study.inventory(subject) if entry.state == "found"]
        assert len(study.inventory(subject)) == len(whole.inventory(subject))
        assert len(found) == states.count(False) == sum(run.path not in hidden for run in whole.runs(subject))
        if found:
            assert {run.path for run in study.runs(subject)} == set(files) - hidden
        else:
            with pytest.raises(InputError, match="No usable run"):
                study.runs(subject)
        with pytest.raises(InputError, match="missing"):
            open_study("simulated", root).runs(subject)
    finally:
        for path, away in moved.items():
            away.rename(path)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations([1, 2, 3]))
def test_permuted_names_of_repeats_change_no_clip(roots: dict[str, Path], order: list[int]) -> None:
    """Files of repeats exchanged among themselves stay a whole study with the same clips and timing."""
    root = roots["cc2017"]
    whole = opened(root)
    folder = next(root.rglob("subject1/fmri/test1/cifti"))
    paths = {repeat: folder / f"test1_{repeat}_Atlas.dtseries.nii" for repeat in order}
    for repeat, path in paths.items():
        path.rename(path.with_suffix(f".{repeat}"))
    for repeat, new in zip((1, 2, 3), order, strict=True):
        paths[repeat].with_suffix(f".{repeat}").rename(paths[new])
    again = opened(root)
    assert again.clips() == whole.clips()
    assert [(run.name, run.start_s) for run in again.runs(1)] == [
        (run.name, run.start_s) for run in whole.runs(1)
    ]
    assert [row.status for row in again.check(1)] == ["ok"]
