"""Runs of a BIDS study that show the same clips in different orders: repeats are matched clip by clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mindanim.bold.response_plan import make_plan
from mindanim.bold.response_tables import clips_table
from mindanim.bold.responses import extract
from mindanim.bold.survey import select, survey
from mindanim.config.preprocess import PreprocessConfig
from mindanim.studies import open_study
from mindanim.studies.base import Study
from mindanim.studies.checks.leakage import audit_clips
from mindanim.studies.timeline import Shown, Viewing, cut, lay_out, scattered
from tests.cc2017_tree import write_run
from tests.studies.test_quirks import mesh

CLIPS, VOXELS, LAG_S = 12, 6, 4.0


def write(root: Path, orders: dict[str, list[list[int]]], noise: float = 0.1) -> np.ndarray:
    """Runs of 1 s volumes; every 3 s another clip, whose pattern is in the volume 4 s later.

    orders: by split, for each run the clips in the order they are shown. Returns the patterns ``(split, clip,
    voxel)``.
    """
    rng = np.random.default_rng(0)
    patterns = rng.standard_normal((2, CLIPS, VOXELS))
    (root / "stimuli").mkdir()
    folder = root / "sub-1" / "func"
    folder.mkdir(parents=True)
    number = 0
    for place, (split, runs) in enumerate(orders.items()):
        for name in range(CLIPS):
            (root / "stimuli" / f"{split}{name}.mp4").touch()
        for order in runs:
            number += 1
            stem = f"sub-1_task-film_run-{number}"
            data = noise * rng.standard_normal((3 * CLIPS + 8, VOXELS))
            rows = ["onset\tduration\tstim_file\tsplit"]
            for slot, name in enumerate(order):
                rows.append(f"{2 + 3 * slot}\t2\t{split}{name}.mp4\t{split}")
                data[2 + 3 * slot + int(LAG_S)] += patterns[place, name]
            (folder / f"{stem}_events.tsv").write_text("\n".join(rows))
            write_run(folder / f"{stem}_space-fsLR_bold.dtseries.nii", data, axis=mesh(60)[:VOXELS], tr_s=1.0)
    return patterns


def shuffled(seed: int, runs: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.permutation(CLIPS).tolist() for _ in range(runs)]


def open_bids(root: Path) -> Study:
    return open_study("bids", root, options={"lag_s": f"{LAG_S:g}"})


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_responses_follow_the_clips_whatever_their_order(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    root = tmp_path_factory.mktemp("bids")
    patterns = write(root, {"train": shuffled(seed, 2), "test": shuffled(seed + 1, 3)})
    study = open_bids(root)
    assert [(one.split, one.clips, one.repeats) for one in study.facts.segments] == [
        ("train", CLIPS, 2),
        ("test", CLIPS, 3),
    ]
    config = PreprocessConfig(selection="none", detrend="none", lags_s=(LAG_S,))
    runs, clips = study.runs(1), study.clips()
    plan = make_plan(runs, clips, study.facts.lags_s, config)
    found = survey(plan, config)
    chosen = select(found, None, config)
    sd = np.sqrt(found.variance)
    made = extract(plan, chosen.columns, sd, config, lambda name, shape: np.zeros(shape, np.float32))
    for place, split in enumerate(("train", "test")):
        films = [int(clip.film.removeprefix(split)[:-4]) for clip in clips if clip.split == split]
        expected = patterns[place, films]
        for repeat in made[split].repeats:
            r = [np.corrcoef(one, other)[0, 1] for one, other in zip(repeat[:, 0].T, expected.T, strict=True)]
            assert min(r) > 0.9
    one, other = (repeat[:, 0] for repeat in made["train"].repeats.astype(float))
    r = [np.corrcoef(a, b)[0, 1] for a, b in zip(one.T, other.T, strict=True)]
    np.testing.assert_allclose(found.correlation[0], r, atol=1e-5)
    assert found.ceiling.min() > 0.9


def test_the_order_of_the_first_run_names_the_clips_and_their_volumes(tmp_path: Path) -> None:
    forward = list(range(CLIPS))
    write(tmp_path, {"train": [forward, forward[::-1]], "test": [forward]})
    study = open_bids(tmp_path)
    first, second = (run for run in study.runs(1) if run.split == "train")
    clips = [clip for clip in study.clips() if clip.split == "train"]
    assert [clip.film for clip in clips] == [f"train{name}.mp4" for name in forward]
    assert not first.shown_s
    assert [second.when(clip) for clip in clips] == [2.0 + 3 * slot for slot in forward[::-1]]
    plan = make_plan(study.runs(1), study.clips(), (LAG_S,), PreprocessConfig(detrend_order=1))
    table = clips_table(plan, study.clips())
    assert table["volumes"].tolist()[:CLIPS] == [str(6 + 3 * slot) for slot in forward]
    assert (table["repeats"].tolist()[:CLIPS]) == [2] * CLIPS


def test_a_run_whose_last_clip_lies_beyond_its_end_is_said(tmp_path: Path) -> None:
    forward = list(range(CLIPS))
    write(tmp_path, {"train": [forward, forward[::-1]], "test": [forward]})
    path = tmp_path / "sub-1/func/sub-1_task-film_run-2_space-fsLR_bold.dtseries.nii"
    write_run(path, np.random.default_rng(0).standard_normal((30, VOXELS)), axis=mesh(60)[:VOXELS], tr_s=1.0)
    entry = next(one for one in open_bids(tmp_path).inventory(1) if one.path == path)
    assert (entry.state, entry.code) == (
        "wrong",
        "wrong-volumes",
    ) and "2 of 12 clips begin after" in entry.why


def test_neighbours_are_those_of_the_run_that_showed_them(tmp_path: Path) -> None:
    """Clips of one run are as near as that run showed them, not as another one did."""
    forward = list(range(CLIPS))
    write(tmp_path, {"train": [forward, forward[::-1]], "test": [forward]})
    study = open_bids(tmp_path)
    assert not [
        row for row in audit_clips(study.clips(), study.runs(1), study.facts) if row.code == "close-in-time"
    ]


def shown(names: str, *, step_s: float = 3.0, split: str = "train") -> list[Shown]:
    return [
        Shown(f"{name}.mp4", Path(f"{name}.mp4"), 0.0, 2.0, place * step_s, split)  # type: ignore[arg-type]
        for place, name in enumerate(names)
    ]


@pytest.mark.parametrize(
    ("runs", "segments", "apart"),
    [
        (["abc", "cab"], [(3, 2)], 0),
        (["aab", "aba"], [(3, 2)], 0),  # a clip shown twice in a run
        (["aab", "abb"], [(3, 1), (3, 1)], 2),
        (["abc", "ab"], [(3, 1), (2, 1)], 2),
        (["abc", "def", "fed", "bca"], [(3, 2), (3, 2)], 0),
        (["abc", "def", "abd"], [(3, 1), (3, 1), (3, 1)], 3),
    ],
)
def test_runs_with_the_same_clips_are_repeats(
    runs: list[str], segments: list[tuple[int, int]], apart: int
) -> None:
    viewings = [Viewing(1, str(place), f"run-{place}", shown(names)) for place, names in enumerate(runs)]
    laid = lay_out(viewings)
    assert [(one.segment.clips, one.segment.repeats) for one in laid] == segments
    assert scattered(laid) == apart


def films(names: str, clips: dict[str, int]) -> list[Shown]:
    """Films of 24 s, or of as many clips as given, one after the other."""
    found: list[Shown] = []
    for name in names:
        count, onset_s = clips.get(name, 12), len(found) * 2.0
        found += cut(Shown(f"{name}.mp4", Path(f"{name}.mp4"), 0.0, 2.0 * count, onset_s, "train"), 2.0)
    return found


@pytest.mark.parametrize(
    ("runs", "clips", "segments", "apart"),
    [
        (["ab", "cd", "ca"], {}, {"a": 2, "b": 1, "c": 2, "d": 1}, 0),
        (["ab", "ba"], {}, {"run-0": 2}, 0),  # always together: one segment, as long as it is
        (["abc", "abd"], {}, {"run-0": 2, "c": 1, "d": 1}, 0),
        (["ab", "ac"], {"a": 9}, {"a": 2, "b": 1, "c": 1}, 0),  # the short ones of both runs are the same
        (["ad", "ab", "dc"], {"a": 9, "d": 9}, {"run-0": 1, "a": 1, "b": 1, "d": 1, "c": 1}, 18),
    ],
)
def test_whole_films_in_changing_company_are_repeats(
    runs: list[str], clips: dict[str, int], segments: dict[str, int], apart: int
) -> None:
    laid = lay_out(
        [Viewing(1, str(place), f"run-{place}", films(names, clips)) for place, names in enumerate(runs)]
    )
    assert {one.segment.name: one.segment.repeats for one in laid} == segments
    assert scattered(laid) == apart


def test_repeats_are_counted_by_subject(tmp_path: Path) -> None:
    viewings = [
        Viewing(subject, f"{subject}-{names}", "run", shown(names))
        for subject in (1, 2)
        for names in ("ab", "ba")
    ]
    (laid,) = lay_out(viewings)
    assert [(part.subject, part.repeat) for part in laid.parts] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert laid.segment.repeats == 2
