from dataclasses import replace
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import PredefinedSplit

from mindanim.config.train import TrainMotionConfig, TrainStructureConfig
from mindanim.decoders.ridge import fit_ridge, targets
from mindanim.decoders.ridge.linear_decoders import later_frames
from mindanim.decoders.ridge.solver import LinearMap, assign_folds, choose_penalty, relevance, solve
from mindanim.decoders.ridge.targets import Components, Reduction, Target
from mindanim.decoders.validation_split import blocked_split
from mindanim.errors import InputError
from tests.decoders.planted import planted

ALPHAS = (0.01, 0.1, 1.0, 10.0)


def problem(features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((60, features))
    y = x[:, :3] @ rng.standard_normal((3, 4)) + rng.standard_normal((60, 4)) + 2.0
    return x, y, np.repeat([f"seg{segment}" for segment in range(6)], 10)


@pytest.mark.parametrize("features", [5, 200])
def test_solution_is_sklearns(features: int) -> None:
    x, y, _ = problem(features)
    centred = x - x.mean(0)
    unit = (centred**2).sum() / len(x)
    fit = solve(x, y, 0.3)
    reference = Ridge(alpha=0.3 * unit).fit(x, y)
    np.testing.assert_allclose(fit.coefficients.T, reference.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fit.predict(x), reference.predict(x), rtol=1e-6)


def test_penalty_is_the_one_sklearn_chooses_over_segments() -> None:
    # With features of equal norm in every fold, relative and absolute penalties agree closely.
    x, y, segments = problem(200)
    fit = choose_penalty(x, y, segments, alphas=ALPHAS, folds=3)
    folds = assign_folds(segments, 3)
    errors = []
    for alpha in ALPHAS:
        squared = np.empty_like(y)
        for fold in range(3):
            out = folds == fold
            unit = ((x[~out] - x[~out].mean(0)) ** 2).sum() / (~out).sum()
            squared[out] = (Ridge(alpha=alpha * unit).fit(x[~out], y[~out]).predict(x[out]) - y[out]) ** 2
        errors.append(squared.mean())
    np.testing.assert_allclose(fit.errors, errors, rtol=1e-6)
    assert fit.alpha == ALPHAS[int(np.argmin(errors))]
    unit = ((x - x.mean(0)) ** 2).sum() / len(x)
    chosen = RidgeCV(alphas=np.array(ALPHAS) * unit, cv=PredefinedSplit(folds)).fit(x, y).alpha_
    assert fit.alpha == pytest.approx(chosen / unit)


def test_out_of_fold_predictions_do_not_know_their_segment() -> None:
    x, y, segments = problem(30)
    fit = choose_penalty(x, y, segments, alphas=(0.1,), folds=6, relevance_power=1.0)
    out = segments == "seg2"
    alone = solve(x[~out], y[~out], 0.1, 1.0).predict(x[out])
    np.testing.assert_allclose(fit.out_of_fold[out], alone, rtol=1e-6)


def test_clips_near_in_time_to_a_fold_do_not_fit_it() -> None:
    """Six stretches of one film: what is fitted for the third leaves out three clips on either side."""
    x, y, segments = problem(30)
    clips = pd.DataFrame({"segment": segments, "film": "a", "onset_s": 2.0 * np.arange(60)})
    split = blocked_split(clips, 0.1, 7.0, 6)
    place = np.arange(60)
    fit = choose_penalty(x, y, segments, alphas=(0.1,), folds=6, near=split.near)
    kept = (place < 17) | (place >= 33)
    alone = solve(x[kept], y[kept], 0.1).predict(x[20:30])
    np.testing.assert_allclose(fit.out_of_fold[20:30], alone, rtol=1e-6)
    with pytest.raises(InputError, match="no clips left to fit when it holds out 10"):
        choose_penalty(x, y, segments, alphas=(0.1,), folds=6, near=blocked_split(clips, 0.1, 59.0, 6).near)


def test_segments_of_films_of_their_own_are_fitted_as_before() -> None:
    x, y, segments = problem(30)
    clips = pd.DataFrame({"segment": segments, "film": segments, "onset_s": np.tile(2.0 * np.arange(10), 6)})
    near = blocked_split(clips, 0.1, 20.0, 6).near
    plain, gaps = (
        choose_penalty(x, y, segments, alphas=ALPHAS, folds=6, near=given) for given in (None, near)
    )
    assert np.array_equal(plain.out_of_fold, gaps.out_of_fold) and plain.alpha == gaps.alpha


def test_a_regression_leaves_gaps_around_validation_and_folds() -> None:
    x, y, segments = problem(30)
    clips = pd.DataFrame({"segment": segments, "film": "a", "onset_s": 2.0 * np.arange(60)})
    split = blocked_split(clips, 0.1, 7.0, 6)  # rows 30 to 39 validate, three on either side are left out
    config = TrainStructureConfig(decoder="ridge", ridge_alphas=(0.1,), ridge_relevance=0)
    x, y = x.astype(np.float32), y.astype(np.float32)
    found = fit_ridge.Ridge(torch.from_numpy(x), split, config).regress("y", Target.of(torch.from_numpy(y)))
    for rows, kept in (
        (slice(10, 20), [*range(7), *range(23, 27), *range(43, 60)]),
        (slice(30, 40), [*range(27), *range(43, 60)]),
    ):
        expected = solve(x[kept], y[kept], 0.1).predict(x[rows])
        np.testing.assert_allclose(found.predicted(rows).numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("alpha", "codes"), [(1.0, ["penalty-at-the-edge"]), (10.0, []), (100.0, [])])
def test_the_smallest_penalty_is_warned_of(alpha: float, codes: list[str]) -> None:
    alphas = np.array([1.0, 10.0, 100.0])
    choice = SimpleNamespace(alpha=alpha, alphas=alphas, errors=np.zeros(3))
    decoder, one = SimpleNamespace(parameter_count=lambda: 1), SimpleNamespace(name="y", choice=choice)
    found = fit_ridge.report_ridge(decoder, [one], {}, {})  # type: ignore[arg-type, list-item]
    assert [code for code, _ in found.warnings] == codes


def test_folds_keep_segments_whole() -> None:
    segments = np.repeat(["b", "a", "d", "c", "e"], 3)
    folds = assign_folds(segments, 2)
    assert folds.tolist() == [0] * 9 + [1] * 6
    with pytest.raises(ValueError, match="two"):
        assign_folds(["a", "a"], 2)


def test_relevance_finds_the_voxels_that_know() -> None:
    x, y, segments = problem(400, seed=3)
    weight = relevance(x - x.mean(0), y - y.mean(0), 1.0)
    assert weight[:3].min() > 5 * np.median(weight[3:])
    np.testing.assert_array_equal(relevance(x, y, 0.0), np.ones(400))
    plain = choose_penalty(x, y, segments, alphas=ALPHAS, folds=6)
    weighted = choose_penalty(x, y, segments, alphas=ALPHAS, folds=6, relevance_power=1.0)
    assert weighted.errors.min() < 0.8 * plain.errors.min()


def reduced(y: np.ndarray, components: int, rows: np.ndarray | None = None) -> Components:
    reduction = Reduction(Target.of(torch.from_numpy(y)), components)
    return reduction.over(np.arange(len(y)) if rows is None else rows)


def test_centred_clips_have_one_dimension_less_than_clips() -> None:
    y = np.random.default_rng(3).standard_normal((12, 50)).astype(np.float32)
    found = reduced(y, 20, np.arange(2, 10))
    assert found.rank == 7, "the eighth component has no variance, and its direction is rounding error"
    np.testing.assert_allclose(found.restore(found.scores), y[2:10], atol=1e-5)


@pytest.mark.parametrize("columns", [7, 4096])
def test_components_are_sklearns(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_COLUMNS", columns)
    rng = np.random.default_rng(5)
    y = (rng.standard_normal((40, 8)) @ rng.standard_normal((8, 50)) + 1).astype(np.float32)
    # Of some clips, whose mean is not that of all of them.
    rows = np.r_[2:20, 25:37]
    y[:10] += 3
    found = reduced(y, 4, rows)
    reference = PCA(4, svd_solver="full").fit(y[rows])
    restored = reference.inverse_transform(reference.transform(y[rows]))
    np.testing.assert_allclose(found.restore(found.scores), restored, atol=1e-4)
    np.testing.assert_allclose(found.restore(found.scores, slice(11, 30)), restored[:, 11:30], atol=1e-4)
    assert found.rank == 4 and reduced(y, 50).rank is None
    np.testing.assert_allclose(reduced(y, 50).restore(reduced(y, 50).scores), y, atol=1e-6)


@pytest.mark.parametrize("choice", ["frame", "difference"])
@pytest.mark.parametrize("components", [5, 200])
def test_large_targets_are_read_some_columns_at_a_time(
    choice: Literal["frame", "difference"], components: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, config = planted(), TrainMotionConfig(ridge_components=components)
    latents = data.motion.latents
    whole = latents[:, 1:] - (latents[:, :1] if choice == "difference" else 0)
    ridge = fit_ridge.Ridge(data.motion.responses, data.split, config)
    expected = ridge.regress("whole", Target.of(whole.flatten(1)))
    monkeypatch.setattr(targets, "_COLUMNS", 20)  # of 32 per frame
    target, widths = later_frames(latents, choice), []

    def read(columns: slice) -> np.ndarray:
        widths.append(columns.stop - columns.start)
        return target.read(columns)

    found = ridge.regress("parts", replace(target, read=read))
    assert max(widths) <= (20 if components == 5 else target.elements)
    torch.testing.assert_close(found.predicted(), expected.predicted(), rtol=1e-4, atol=1e-4)
    error = (found.predicted(data.split.fit) - whole.flatten(1)[data.split.fit]).square().mean()
    assert found.losses["train_loss"] == pytest.approx(float(error), rel=1e-4)


@pytest.mark.parametrize("components", [3, 100])
def test_linear_map_predicts_as_the_fit(components: int) -> None:
    x, y, _ = problem(20)
    target = reduced(y.astype(np.float32), components)
    fit = solve(x, target.scores, 0.1)
    linear = LinearMap(20, 4, target.rank)
    linear.set(fit, target)
    expected = target.restore(fit.predict(x))
    np.testing.assert_allclose(
        linear(torch.from_numpy(x.astype(np.float32))).numpy(), expected, rtol=1e-4, atol=1e-5
    )
