"""From runs to responses, against the same work done one voxel at a time in plain numpy and scipy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import stats

from mindanim.bold.noise_ceiling import noise_ceiling, split_half
from mindanim.bold.response_plan import Plan, make_plan
from mindanim.bold.responses import Responses, extract
from mindanim.bold.survey import Selection, Survey, check_options, select, survey
from mindanim.config.preprocess import PreprocessConfig
from mindanim.errors import ConfigError, InputError
from mindanim.studies import open_study
from tests.cc2017_tree import CORTEX, SUBCORTICAL, Tree, brain_models, write_run, write_simulated

TRAIN, TEST = {"seg1": 40, "seg2": 40, "seg3": 30, "seg4": 40}, {"test1": 30, "test2": 24}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return write_simulated(tmp_path_factory.mktemp("study"), train=TRAIN, test=TEST)


def plan_of(tree: Tree, config: PreprocessConfig) -> Plan:
    study = open_study("simulated", tree.root)
    return make_plan(study.runs(1), study.clips(), config.lags_s or study.facts.lags_s, config)


def everything(tree: Tree, **options: object) -> tuple[Plan, Survey, Selection, dict[str, Responses]]:
    config = PreprocessConfig(**options)  # type: ignore[arg-type]
    plan = plan_of(tree, config)
    check_options(plan, None, config)
    found = survey(plan, config)
    selection = select(found, None, config)
    sd = np.sqrt(found.variance)
    arrays = lambda name, shape: np.full(shape, np.inf, np.float32)  # noqa: E731
    return plan, found, selection, extract(plan, selection.columns, sd, config, arrays)


def runs_of(tree: Tree, segment: str) -> list[np.ndarray]:
    """Cortical signal (volume, voxel) of every repeat, trimmed as the study's scripts do for a lag of 4 s."""
    first, clips = (2 if segment == "test2" else 1), (TRAIN | TEST)[segment]
    paths = [tree.run(segment, repeat) for repeat in range(1, (2 if segment in TRAIN else 3) + 1)]
    return [nib.load(path).get_fdata()[first : first + clips, SUBCORTICAL:] for path in paths]


def residuals(run: np.ndarray) -> np.ndarray:
    """Voxel by voxel: a 4th-degree polynomial fitted by numpy and subtracted."""
    time = np.linspace(-1, 1, len(run))
    return np.stack([series - np.polyval(np.polyfit(time, series, 4), time) for series in run.T], axis=1)


def zscore(values: np.ndarray) -> np.ndarray:
    return np.asarray((values - values.mean(0)) / values.std(0))


def reference_p(tree: Tree, alternative: str) -> tuple[np.ndarray, np.ndarray]:
    rows = []
    for segment in TRAIN:
        one, other = (residuals(run) for run in runs_of(tree, segment))
        rows.append([np.corrcoef(one[:, voxel], other[:, voxel])[0, 1] for voxel in range(CORTEX)])
    z = np.arctanh(rows)
    p = [stats.ttest_1samp(z[:, voxel], 0, alternative=alternative).pvalue for voxel in range(CORTEX)]
    return np.array(rows), np.array(p)


@pytest.mark.parametrize("alternative", ["greater", "two-sided"])
def test_reliability_and_its_test_equal_the_reference(tree: Tree, alternative: str) -> None:
    _, found, selection, _ = everything(tree, alternative=alternative, reliability_test="ttest")
    rows, p = reference_p(tree, alternative)
    np.testing.assert_allclose(found.correlation, rows, atol=1e-6)
    np.testing.assert_allclose(selection.reliability, rows.mean(0), atol=1e-6)
    np.testing.assert_allclose(selection.p, p, rtol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(stats.false_discovery_control(p) <= 0.05), selection.columns)


@pytest.mark.parametrize("standardize", ["training", "transductive"])
def test_responses_equal_the_reference(tree: Tree, standardize: str) -> None:
    _, _, selection, responses = everything(tree, voxels=20, alpha=1, standardize=standardize)
    assert len(selection.columns) == 20
    columns = selection.columns
    train = {segment: [residuals(run)[:, columns] for run in runs_of(tree, segment)] for segment in TRAIN}
    test = {segment: [residuals(run)[:, columns] for run in runs_of(tree, segment)] for segment in TEST}
    scale = np.sqrt(np.mean([run.var(0) for runs in train.values() for run in runs], axis=0))
    averages = np.concatenate(
        [np.mean([run / run.std(0) for run in runs], axis=0) for runs in train.values()]
    )
    divisor = {"training": lambda run: scale, "transductive": lambda run: run.std(0)}[standardize]
    repeats = np.concatenate(
        [np.stack([run / divisor(run) for run in runs]) for runs in test.values()], axis=1
    )
    centre, deviation = averages.mean(0), averages.std(0)
    np.testing.assert_allclose(responses["train"].mean[:, 0], zscore(averages), atol=1e-6)
    if standardize == "training":
        expected = (repeats - centre) / deviation
    else:
        expected = (repeats - repeats.mean((0, 1))) / repeats.mean(0).std(0)
    np.testing.assert_allclose(responses["test"].repeats[:, :, 0], expected, atol=1e-6)
    np.testing.assert_allclose(responses["test"].mean[:, 0], expected.mean(0), atol=1e-6)
    np.testing.assert_allclose(responses["train"].repeats.mean(0), responses["train"].mean, atol=1e-6)


def test_test_statistics_do_not_leak(tree: Tree, tmp_path: Path) -> None:
    """Another gain in the test runs scales the test responses, and nothing else."""
    louder = write_simulated(tmp_path / "study", train=TRAIN, test=TEST)
    for segment in TEST:
        for repeat in (1, 2, 3):
            path = louder.run(segment, repeat)
            write_run(path, 3 * nib.load(path).get_fdata())
    (_, one, chosen, first), (_, other, same, second) = (
        everything(study, voxels=25) for study in (tree, louder)
    )
    np.testing.assert_array_equal(chosen.columns, same.columns)
    np.testing.assert_array_equal(one.variance, other.variance)
    np.testing.assert_array_equal(first["train"].mean, second["train"].mean)
    ratio = second["test"].mean.std(0) / first["test"].mean.std(0)
    np.testing.assert_allclose(ratio, 3, rtol=1e-3)


def test_the_planted_response_is_found_at_its_lag_and_nowhere_else(tree: Tree) -> None:
    _, found, selection, responses = everything(tree, lags_s=(2.0, 4.0, 6.0))
    assert set(selection.columns) >= set(range(28))
    assert len(set(selection.columns) - set(range(30))) <= 3
    planted = np.concatenate([tree.signal[segment] for segment in TEST])[:, selection.columns[:25]]
    for lag, low, high in ((0, -0.3, 0.3), (1, 0.6, 1.0), (2, -0.3, 0.3)):
        measured = responses["test"].mean[:, lag, :25]
        r = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(planted.T, measured.T, strict=True)])
        assert low < r < high, lag


def test_lags_can_be_averaged(tree: Tree) -> None:
    stacked = everything(tree, lags_s=(4.0, 6.0), selection="none", voxels=0)[3]
    averaged = everything(tree, lags_s=(4.0, 6.0), selection="none", lag_mode="mean")[3]
    assert stacked["train"].mean.shape[1:] == (2, CORTEX)
    assert averaged["train"].mean.shape[1:] == (1, CORTEX)
    both = averaged["train"].mean[:, 0], stacked["train"].mean.mean(1)
    correlation = [np.corrcoef(a, b)[0, 1] for a, b in zip(*(array.T for array in both), strict=True)]
    assert min(correlation) > 0.999


def test_the_noise_ceiling_averages_over_segments_and_lags(tree: Tree) -> None:
    _, found, selection, responses = everything(tree, voxels=10, lags_s=(4.0, 6.0))
    repeats = responses["test"].repeats.astype(float)
    parts = [
        split_half(repeats[:, rows, lag].transpose(0, 2, 1))
        for rows in (slice(0, 30), slice(30, 54))
        for lag in (0, 1)
    ]
    np.testing.assert_allclose(
        found.ceiling[selection.columns], noise_ceiling(np.mean(parts, axis=0)), atol=1e-6
    )


def test_missing_repeats_are_nan_and_averages_are_of_what_is_there(tmp_path: Path) -> None:
    tree = write_simulated(tmp_path, train=TRAIN, test=TEST)
    tree.run("test2", 2).unlink()
    tree.run("seg3", 2).unlink()
    study = open_study("simulated", tree.root, allow_partial=True)
    config = PreprocessConfig(voxels=10)
    plan = make_plan(study.runs(1), study.clips(), (4.0,), config)
    found = survey(plan, config)
    assert found.segments == ("seg1", "seg2", "seg4")
    columns = select(found, None, config).columns
    made = extract(
        plan, columns, np.sqrt(found.variance), config, lambda name, shape: np.zeros(shape, np.float32)
    )
    repeats = made["test"].repeats
    assert np.isnan(repeats[1, 30:]).all()
    assert np.isfinite(np.delete(repeats, 1, axis=0)).all()
    np.testing.assert_allclose(np.nanmean(repeats, axis=0), made["test"].mean, atol=1e-6)
    assert np.isfinite(found.ceiling).all()


def test_vertices_that_fail_in_any_run_are_left_out_and_counted(tmp_path: Path) -> None:
    tree = write_simulated(tmp_path, train=TRAIN, test=TEST)
    spoiled: list[tuple[str, int, float | None]] = [
        ("seg2", 0, np.nan),
        ("test1", 1, np.inf),
        ("seg1", 2, None),
        ("test2", 3, None),
    ]
    for segment, voxel, value in spoiled:
        data = nib.load(tree.run(segment, 1)).get_fdata()
        data[7 if value else slice(None), SUBCORTICAL + voxel] = 812.5 if value is None else value
        write_run(tree.run(segment, 1), data)
    _, found, selection, responses = everything(tree)
    assert np.flatnonzero(found.non_finite).tolist() == [0, 1]
    assert np.flatnonzero(found.constant).tolist() == [2, 3]
    assert not set(selection.columns) & {0, 1, 2, 3}
    assert len(set(selection.columns) & set(range(4, 30))) >= 24
    assert np.isfinite(responses["train"].mean).all()
    assert np.isfinite(responses["test"].repeats).all()


def test_selection_by_variance_and_none(tree: Tree) -> None:
    _, found, selection, _ = everything(tree, selection="variance", voxels=12)
    np.testing.assert_array_equal(selection.columns, np.sort(np.argsort(-found.variance)[:12]))
    assert everything(tree, selection="none")[2].columns.tolist() == list(range(CORTEX))


def test_one_repeat_needs_another_choice_by_name(tmp_path: Path) -> None:
    tree = write_simulated(tmp_path, train={"seg1": 20, "seg2": 20}, test={"test1": 10}, repeats=(1, 1))
    with pytest.raises(ConfigError, match="--selection variance"):
        everything(tree)
    _, found, selection, _ = everything(tree, selection="variance", voxels=9)
    assert len(selection.columns) == 9
    assert np.isnan(selection.reliability).all()
    assert np.isnan(found.ceiling).all()


def test_regions_restrict_the_choice(tree: Tree) -> None:
    config = PreprocessConfig(roi=("MT",), selection="none")
    found = survey(plan_of(tree, config), config)
    regions = np.repeat(["V1", "MT", "n/a"], [30, 20, CORTEX - 50])
    assert select(found, regions, config).columns.tolist() == list(range(30, 50))
    with pytest.raises(ConfigError, match="needs an atlas"):
        check_options(plan_of(tree, config), None, config)
    with pytest.raises(ConfigError, match="no region V9"):
        check_options(plan_of(tree, config), regions, config.model_copy(update={"roi": ("V9",)}))


def test_nothing_reliable_is_an_error_with_the_smallest_p(tmp_path: Path) -> None:
    tree = write_simulated(tmp_path, train=TRAIN, test={"test1": 10}, responsive=0)
    with pytest.raises(InputError, match=r"smallest bonferroni p (?s:.)*--alpha"):
        everything(tree, correction="bonferroni")
    assert len(everything(tree, correction="bonferroni", alpha=1, voxels=7)[2].columns) == 7


def test_segments_kept_out_of_the_choice(tree: Tree) -> None:
    _, found, selection, _ = everything(tree, selection_exclude=("seg2",))
    assert found.segments == ("seg1", "seg3", "seg4")
    with pytest.raises(ConfigError, match="seg9"):
        everything(tree, selection_exclude=("seg9",))


def clips_of(plan: Plan, split: str) -> list[str]:
    return [clip.clip_id for clip in plan.clips(split)]


def test_responses_outside_the_run_are_an_error_or_handled_by_name(tree: Tree) -> None:
    """Lag 0 reaches before the runs that begin 2 s after their film, 14 s beyond the end of all."""
    with pytest.raises(InputError, match=r"5 clips are outside their run: seg01-0001(?s:.)*--set edge=drop"):
        plan_of(tree, PreprocessConfig(lags_s=(0.0,), edge="error"))
    dropped = plan_of(tree, PreprocessConfig(lags_s=(0.0,)))
    assert dropped.dropped == ("seg01-0001", "seg02-0001", "seg03-0001", "seg04-0001", "test1-0001")
    assert clips_of(dropped, "test")[:2] == ["test1-0002", "test1-0003"]
    nearest = plan_of(tree, PreprocessConfig(lags_s=(0.0,), edge="nearest"))
    assert (nearest.clamped, len(clips_of(nearest, "train"))) == (4 * 2 + 3, 150)
    with pytest.raises(InputError, match="6 clips are outside"):
        plan_of(tree, PreprocessConfig(lags_s=(4.0, 14.0), edge="error"))
    with pytest.raises(InputError, match="outside their run"):  # no clip is left
        plan_of(tree, PreprocessConfig(lags_s=(400.0,)))


def test_runs_over_other_vertices_are_refused(tmp_path: Path) -> None:
    tree = write_simulated(tmp_path, train=TRAIN, test={"test1": 10})
    path = tree.run("seg2", 2)
    write_run(path, nib.load(path).get_fdata()[:, :-1], axis=brain_models()[:-1])
    with pytest.raises(InputError, match=r"1 runs have other grayordinates than seg1_1.*seg2_2.*\(69\)"):
        plan_of(tree, PreprocessConfig())


def test_another_repetition_time_in_the_header_is_refused_or_trusted_by_name(tmp_path: Path) -> None:
    tree = write_simulated(tmp_path, train=TRAIN, test={"test1": 10})
    for repeat in (1, 2):
        path = tree.run("seg1", repeat)
        write_run(path, nib.load(path).get_fdata(), tr_s=1.0)
    with pytest.raises(
        InputError, match=r"2 problems(?s:.)*seg1_1(?s:.)*seg1_2(?s:.)*repetition time of 1 s"
    ):
        plan_of(tree, PreprocessConfig())
    plan = plan_of(tree, PreprocessConfig(check_tr=False))
    assert plan.tr_mismatches == ("seg1 repeat 1", "seg1 repeat 2")
    assert plan.segments[0].runs[0].sampling.window == slice(1, 41)


@pytest.mark.parametrize("clips", [slice(None), slice(0, 40, 2)])
def test_reliability_of_all_volumes_and_of_some_equals_corrcoef(tree: Tree, clips: slice) -> None:
    """Where clips are left out, other volumes than those of the window count."""
    study = open_study("simulated", tree.root)
    kept = [clip for clip in study.clips() if clip.index in range(1, 41)[clips] or clip.split == "test"]
    config = PreprocessConfig()
    plan = make_plan(study.runs(1), kept, study.facts.lags_s, config)
    for row, segment in zip(survey(plan, config).correlation, plan.of("train"), strict=True):
        runs = [run.cleaned(slice(0, CORTEX)).residual for run in segment.runs]
        assert runs[0].shape[1] == TRAIN[segment.name] - (clips.step is not None)
        one, other = (run[:, ::2] if clips.step else run for run in runs)
        expected = [np.corrcoef(one[voxel], other[voxel])[0, 1] for voxel in range(CORTEX)]
        np.testing.assert_allclose(row, expected, atol=1e-9)


def test_blocks_do_not_change_the_result(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = everything(tree, lags_s=(4.0, 5.0))
    monkeypatch.setattr("mindanim.bold.voxel_blocks.VOXELS_AT_ONCE", 7)
    monkeypatch.setattr("mindanim.bold.voxel_blocks.CACHED_BYTES", 3 * 8 * 40)
    parts = everything(tree, lags_s=(4.0, 5.0))
    np.testing.assert_array_equal(whole[2].columns, parts[2].columns)
    for split in ("train", "test"):
        np.testing.assert_allclose(whole[3][split].repeats, parts[3][split].repeats, atol=1e-6)


@pytest.mark.parametrize("lags", [(4.0, 4.0), ()])
def test_lags_must_be_given_once(lags: Sequence[float]) -> None:
    with pytest.raises(ValueError, match="lag"):
        PreprocessConfig(lags_s=tuple(lags))
