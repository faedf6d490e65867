"""Confounds against least squares of scipy and nilearn's own tables, and tables that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import linalg

from mindanim.bold.clean import drift_basis, extend_basis, remove_drift
from mindanim.bold.confounds import displacement, read_confounds
from mindanim.errors import ConfigError, InputError

VOLUMES = 60
NAME = "sub-01_task-film_run-1_desc-confounds_timeseries.tsv"
AXES = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]


def table(volumes: int = VOLUMES, seed: int = 0) -> pd.DataFrame:
    """What fMRIPrep writes, in short: 24 motion columns, tissue signals, displacement."""
    rng = np.random.default_rng(seed)
    columns = {}
    for axis in AXES:
        motion = np.cumsum(rng.standard_normal(volumes)) / 10
        change = np.diff(motion, prepend=np.nan)
        columns |= {axis: motion, f"{axis}_derivative1": change}
        columns |= {f"{axis}_power2": motion**2, f"{axis}_derivative1_power2": change**2}
    for name in ("csf", "white_matter", "global_signal"):
        columns[name] = rng.standard_normal(volumes)
    columns["framewise_displacement"] = np.r_[np.nan, rng.random(volumes - 1)]
    return pd.DataFrame(columns)


def write(folder: Path, frame: pd.DataFrame, name: str = NAME) -> Path:
    frame.to_csv(folder / name, sep="\t", index=False, na_rep="n/a")
    (folder / name).with_suffix(".json").write_text("{}")
    return folder / name


@pytest.mark.parametrize(
    ("strategy", "motion", "count"),
    [
        (("motion",), "basic", 6),
        (("motion",), "derivatives", 12),
        (("motion",), "full", 24),
        (("motion", "wm_csf"), "full", 26),
        (("global_signal",), "full", 1),
    ],
)
def test_columns_by_strategy(tmp_path: Path, strategy: tuple[str, ...], motion: str, count: int) -> None:
    regressors = read_confounds(write(tmp_path, table()), strategy, motion, VOLUMES)
    assert regressors.shape == (count, VOLUMES)
    known = table().to_numpy().T
    for regressor in regressors:
        assert any(np.allclose(regressor[1:], column[1:]) for column in known)


@pytest.mark.parametrize("window", [slice(0, 60), slice(3, 55)])
def test_drifts_and_confounds_are_removed_jointly(window: slice) -> None:
    rng = np.random.default_rng(1)
    regressors = table().filter(regex="trans|rot").bfill().to_numpy().T[:, window]
    volumes = regressors.shape[1]
    signal = 1e4 + 50 * rng.standard_normal((7, volumes)) + 20 * rng.standard_normal((7, 24)) @ regressors
    basis = extend_basis(drift_basis("polynomial", volumes, 2.0, order=4), regressors)
    design = np.vstack([np.linspace(-1, 1, volumes) ** np.arange(5)[:, None], regressors]).T
    weights = linalg.lstsq(design, signal.T)[0]
    np.testing.assert_allclose(remove_drift(signal, basis), signal - (design @ weights).T, atol=1e-6)
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-9)


def test_regressors_that_say_nothing_new_change_nothing() -> None:
    basis = drift_basis("polynomial", VOLUMES, 2.0, order=2)
    time = np.linspace(0, 5, VOLUMES)
    wave = np.sin(time)
    assert len(extend_basis(basis, np.stack([time, time**2, np.ones(VOLUMES), np.zeros(VOLUMES)]))) == 3
    assert len(extend_basis(basis, np.stack([wave, 2 * wave + 3 * time, 5 - wave]))) == 4


def test_too_many_regressors_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="29 regressors for 30 volumes"):
        extend_basis(drift_basis("polynomial", 30, 2.0, order=4), rng.standard_normal((24, 30)))


def test_displacement_of_the_head(tmp_path: Path) -> None:
    moved = displacement(write(tmp_path, table()), VOLUMES)
    np.testing.assert_allclose(moved, table().framewise_displacement.fillna(0))
    assert displacement(write(tmp_path, table()[["csf"]]), VOLUMES) is None


def holed(frame: pd.DataFrame) -> pd.DataFrame:
    frame.loc[7, "trans_x"] = np.nan
    return frame


MALFORMED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda at: at / NAME, "are missing"),
    "other name": (lambda at: write(at, table(), "confounds.tsv"), "not called as fMRIPrep"),
    "too short": (lambda at: write(at, table(50)), "has 50 rows"),
    "without motion": (lambda at: write(at, table()[["csf"]]), "does not give the confounds motion"),
    "a hole": (lambda at: write(at, holed(table())), "lacks a number for volume 7"),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_tables_that_do_not_fit(tmp_path: Path, fault: str) -> None:
    make, why = MALFORMED[fault]
    with pytest.raises(InputError, match=why):
        read_confounds(make(tmp_path), ("motion",), "full", VOLUMES)


def test_a_combination_that_nilearn_refuses(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="high_pass"):
        read_confounds(write(tmp_path, table()), ("compcor",), "full", VOLUMES)
