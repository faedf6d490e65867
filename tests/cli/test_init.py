"""`mindanim init`: what it proposes for studies as people have them, what it refuses, what it writes."""

from __future__ import annotations

import json
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from mindanim.errors import InputError
from mindanim.studies import open_study
from mindanim.studies.proposals.split import Showing, propose_split
from mindanim.studies.proposals.study_file import propose_clip, propose_detrend_order, propose_lag
from mindanim.vocabulary.clips import Clip
from tests.cli.conftest import Call

Rows = Sequence[tuple[float, float, str]]


def bids(
    root: Path,
    runs: Mapping[str, Rows],
    *,
    subjects: Sequence[str] = ("01",),
    spaces: Sequence[str] = ("MNI152NLin2009cAsym",),
    tr_s: float = 2.0,
    stimuli: str = "stimuli",
) -> Path:
    """A dataset with fMRIPrep-like volumes; `runs` are onset, duration and film by "task-x_run-1"."""
    files = {film for rows in runs.values() for _, _, film in rows}
    for film in files:
        (root / stimuli / film).parent.mkdir(parents=True, exist_ok=True)
        (root / stimuli / film).touch()
    (root / "dataset_description.json").write_text('{"Name": "Mine", "BIDSVersion": "1.8.0"}')
    for subject in subjects:
        for number, (name, rows) in enumerate(runs.items()):
            raw = root / f"sub-{subject}/func"
            derived = root / f"derivatives/fmriprep/sub-{subject}/func"
            raw.mkdir(parents=True, exist_ok=True)
            derived.mkdir(parents=True, exist_ok=True)
            lines = [f"{onset}\t{duration}\t{film}" for onset, duration, film in rows]
            table = "\n".join(["onset\tduration\tstim_file", "0\t4\tn/a", *lines]) + "\n"
            (raw / f"sub-{subject}_{name}_events.tsv").write_text(table)
            volumes = int(max(onset + duration for onset, duration, _ in rows) / tr_s) + 8
            data = np.random.default_rng([number, int(subject, 36)]).normal(size=(3, 3, 2, volumes))
            image = nib.Nifti1Image(data.astype(np.float32), np.eye(4))
            image.header.set_zooms((3, 3, 3, tr_s))
            for space in spaces:
                stem = derived / f"sub-{subject}_{name}_space-{space}_desc"
                nib.save(image, f"{stem}-preproc_bold.nii.gz")
                Path(f"{stem}-preproc_bold.json").write_text(json.dumps({"RepetitionTime": tr_s}))
                nib.save(
                    nib.Nifti1Image(np.ones((3, 3, 2), np.uint8), np.eye(4)), f"{stem}-brain_mask.nii.gz"
                )
    return root


FILMS = {
    f"task-movie_run-{number}": [(4.0, length, film)]
    for number, (film, length) in enumerate(
        [("a.mp4", 60), ("b b.mp4", 80), ("c.mp4", 30), ("a.mp4", 60), ("b b.mp4", 80), ("c.mp4", 30)], 1
    )
}


def read(path: str = "study.toml") -> dict[str, dict[str, object]]:
    return tomllib.loads(Path(path).read_text(encoding="utf-8"))


class TestBids:
    def test_a_study_of_films(self, call: Call, tmp_path: Path) -> None:
        root = bids(
            tmp_path / "my study", FILMS, subjects=("01", "02"), spaces=("T1w", "MNI152NLin2009cAsym")
        )
        result = call("init", "bids", str(root))
        assert result.code == 0, result.err
        found = read()
        assert found["run"]["data"] == str(root) and found["run"]["dataset"] == "bids-my-study"
        assert "recipe" not in found["run"] and '# recipe = "demo"' in Path("study.toml").read_text()
        study = found["run"]["study"]
        assert study == {
            "space": "MNI152NLin2009cAsym", "test": "film:c.mp4", "clip_s": 2.0, "lag_s": 6.0,
        }  # fmt: skip
        assert found["preprocess"] == {"detrend_order": 1} and "T1w" in Path("study.toml").read_text()
        rows = Path("captions.tsv").read_text().splitlines()
        assert len(rows) == 1 + 30 + 40 + 15 and rows[0].split("\t")[-1] == "caption"
        commands = [line for line in result.out.splitlines() if line.startswith("mindanim ")]
        assert [line.split()[1] for line in commands] == [
            "preprocess", "encode-stimuli", "train-semantic", "train-structure", "train-motion", "generate",
            "evaluate",
        ]  # fmt: skip
        assert shlex.split(commands[0])[2:] == ["--config", "study.toml", "--subject", "1"]
        plan = call(*shlex.split(commands[0])[1:], "--dry-run")
        assert plan.code == 0 and "would run" in plan.out

    def test_nothing_is_overwritten(self, call: Call, tmp_path: Path) -> None:
        root = bids(tmp_path / "d", FILMS)
        Path("captions.tsv").write_text("mine")
        result = call("init", "bids", str(root))
        assert result.code == 4 and "captions.tsv exists" in result.err
        assert Path("captions.tsv").read_text() == "mine" and not Path("study.toml").exists()
        assert call("init", "bids", str(root), "--out", "new").code == 0
        again = call("init", "bids", str(root), "--out", "new", "--json")
        assert again.code == 4 and "nothing is overwritten" in json.loads(again.out)["error"]["what"]

    def test_options_given_beforehand_are_kept(self, call: Call, tmp_path: Path) -> None:
        root = bids(tmp_path / "d", FILMS, stimuli="films/hd")
        result = call(
            "init", "bids", str(root), "--study", "clip_s=4", "--study", "test=film:a.mp4",
            "--recipe", "demo", "--dataset", "bids-x", "--work", "w w",
        )  # fmt: skip
        assert result.code == 0, result.err
        found = read()
        assert found["run"]["recipe"] == "demo" and found["run"]["dataset"] == "bids-x"
        study = found["run"]["study"]
        assert isinstance(study, dict)
        assert (study["clip_s"], study["test"], study["lag_s"]) == ("4", "film:a.mp4", 7.0)
        assert study["stimuli"] == "films/hd" and "--work 'w w'" in result.out

    def test_films_shown_once_have_no_reliability(self, call: Call, tmp_path: Path) -> None:
        once = {name: rows for name, rows in FILMS.items() if name[-1] in "123"}
        assert call("init", "bids", str(bids(tmp_path / "d", once, tr_s=2.5))).code == 0
        found = read()
        assert found["preprocess"] == {"detrend_order": 1, "selection": "variance"}
        assert isinstance(found["run"]["study"], dict) and found["run"]["study"]["clip_s"] == 2.5

    @pytest.mark.parametrize(
        ("change", "says", "hint"),
        [
            ("empty", "no functional runs", "derivatives/"),
            ("no events", "no events", "onset<TAB>duration"),
            ("no film", "No film is shown", "stim_file"),
            ("films elsewhere", "2 of 3 films are not in", "Copy or link"),
            ("one film", "one film only: a.mp4", "purge_s=20"),
        ],
    )
    def test_what_is_refused_and_what_to_do(
        self, call: Call, tmp_path: Path, change: str, says: str, hint: str
    ) -> None:
        root = tmp_path / "d"
        root.mkdir()
        runs = (
            {name: rows for name, rows in FILMS.items() if name[-1] in "14"}
            if change == "one film"
            else FILMS
        )
        if change != "empty":
            bids(root, runs)
        for table in root.rglob("*_events.tsv"):
            if change == "no events":
                table.unlink()
            elif change == "no film":
                table.write_text("onset\tduration\tstim_file\n0\t10\tface.png\n")
        if change == "films elsewhere":
            (root / "stimuli/a.mp4").unlink()
            (root / "stimuli/c.mp4").unlink()
        result = call("init", "bids", str(root))
        assert result.code == 4 and says in result.err and hint in result.err
        assert not Path("study.toml").exists() and not Path("captions.tsv").exists()

    def test_a_derivatives_folder_points_to_the_events(self, call: Call, tmp_path: Path) -> None:
        root = bids(tmp_path / "d", FILMS)
        result = call("init", "bids", str(root / "derivatives/fmriprep"))
        assert result.code == 4 and f"derivatives folder of {root}" in result.err


def shown(*runs: tuple[str, str, float, float]) -> list[Showing]:
    """Showings of one subject: run, film, start, duration."""
    return [Showing("1", run, film, start, length, {"run": run}) for run, film, start, length in runs]


class TestSplit:
    def test_films_repeated_more_often_are_the_test(self) -> None:
        runs = [(f"{n}", "a", 0.0, 300.0) for n in range(2)] + [("2", "b", 0.0, 300.0)]
        runs += [(f"t{n}", "test", 0.0, 120.0) for n in range(10)]
        found = propose_split(shown(*runs))
        assert found.rule == "film:test" and "10 times, the others 1 or 2" in found.reason
        assert found.repeats == 1

    def test_most_of_the_time_is_for_training(self) -> None:
        found = propose_split(shown(("1", "long", 0, 900), ("2", "long", 0, 900), ("3", "short", 0, 100)))
        assert found.films == ("short",), "the film that is repeated is nine tenths of all"

    def test_one_film_over_several_runs_is_split_by_run(self) -> None:
        runs = [(str(n), "film.mp4", 300.0 * n, 300.0) for n in range(1, 11)]
        assert propose_split(shown(*runs)).rule == "run:10"

    def test_many_short_films_are_split_by_run_unless_runs_share_them(self) -> None:
        apart = [(run, f"{run}{n}.mp4", 0.0, 3.0) for run in "123" for n in range(5)]
        assert propose_split(shown(*apart)).rule == "run:3"
        with pytest.raises(InputError, match="No test set can be proposed"):
            propose_split(shown(*((run, f"{n}.mp4", 0.0, 3.0) for run in "123" for n in range(5))))

    def test_overlapping_stretches_are_no_two_films(self) -> None:
        with pytest.raises(InputError):
            propose_split(shown(("1", "film", 0.0, 300.0), ("2", "film", 100.0, 300.0)))


def test_clip_and_lag_follow_the_repetition_time() -> None:
    assert propose_clip(0.8)[0] == propose_clip(2.0)[0] == propose_clip(float("nan"))[0] == 2.0
    assert propose_clip(3.0)[0] == 3.0
    assert propose_lag(2.0)[0] == 6.0 and propose_lag(3.0)[0] == 6.5


@pytest.mark.parametrize(("seconds", "order"), [((60, 400), 1), ((160, 400), 2), ((460, 480), None)])
def test_drifts_follow_the_shortest_run(seconds: tuple[int, ...], order: int | None) -> None:
    clips = [
        Clip(f"f{film}-{number}", "train", f"f{film}", f"f{film}.mp4", number + 1, 2.0 * number, 2.0)
        for film, length in enumerate(seconds)
        for number in range(length // 2)
    ]
    assert (propose_detrend_order(clips) or (None,))[0] == order


class TestTables:
    @pytest.mark.parametrize("known", [True, False])
    def test_a_folder_of_films_and_runs(self, call: Call, tmp_path: Path, known: bool) -> None:
        from tests.cli.films import write_film

        root = tmp_path / "lab"
        for film, seconds in (("Schöner Strand.mp4", 40), ("town.mp4", 20)):
            write_film(root / "films" / film, seconds)
        rng = np.random.default_rng(0)
        for subject in (1, 2):
            for name in ("Schöner Strand_1", "Schöner Strand_2", "town_1", "town_2"):
                path = root / f"sub-{subject:02d}/{name}.nii.gz"
                path.parent.mkdir(exist_ok=True)
                image = nib.Nifti1Image(rng.normal(size=(3, 3, 2, 30)).astype(np.float32), np.eye(4))
                image.header.set_zooms((3, 3, 3, 2))
                image.header.set_xyzt_units("mm", "sec" if known else "unknown")
                nib.save(image, path)
            nib.save(nib.Nifti1Image(np.ones((3, 3, 2), np.uint8), np.eye(4)), path.with_name("mask.nii.gz"))
        result = call("init", "tables", str(root), "--recipe", "demo")
        if not known:
            assert result.code == 4 and "runs.tsv must be completed by hand" in result.err
            table = (root / "runs.tsv").read_text().replace("\t\t0\n", "\t2\t0\n")
            (root / "runs.tsv").write_text(table)
            (again,) = [line.split(": ")[1] for line in result.err.splitlines() if "run again" in line]
            result = call(*shlex.split(again)[1:])
        assert result.code == 0, result.err
        assert read()["run"]["recipe"] == "demo"
        study = open_study("tables-lab", root, False, {})
        assert {clip.film for clip in study.clips() if clip.split == "test"} == {"films/town.mp4"}
        assert len(study.clips()) == 30 and len(study.runs(2)) == 4
        assert {run.mask for run in study.runs(1)} == {root / "sub-01/mask.nii.gz"}
        assert read()["preprocess"] == {"lags_s": [6.0], "detrend_order": 1} and Path("captions.tsv").exists()
        (root / "clips.tsv").unlink()
        (root / "runs.tsv").write_text("mine")
        assert call("init", "tables", str(root), "--out", "b").code == 4
        assert (root / "runs.tsv").read_text() == "mine"

    def test_arrays_need_their_axes(self, call: Call, tmp_path: Path) -> None:
        from tests.cli.films import write_film

        for film in ("a", "b"):
            write_film(tmp_path / f"lab/{film}.mp4", 20)
            np.save(tmp_path / f"lab/{film}_1.npy", np.random.default_rng(0).normal(size=(20, 9)))
        result = call("init", "tables", "lab")
        assert result.code == 4 and "line 2: axes is empty" in result.err
        runs = tmp_path / "lab/runs.tsv"
        runs.write_text(runs.read_text().replace("\t\t0\t\n", "\t2\t0\tvolume voxel\n"))
        assert call("init", "tables", "lab").code == 0

    def test_no_film(self, call: Call, tmp_path: Path) -> None:
        (tmp_path / "lab").mkdir()
        result = call("init", "tables", "lab")
        assert result.code == 4 and "There is no film in" in result.err


class TestCaptions:
    def test_the_error_offers_the_table_and_the_table_is_taken(self, call: Call, tmp_path: Path) -> None:
        root = bids(tmp_path / "d", FILMS)
        options = ["--study", "test=film:c.mp4", "--study", "clip_s=2"]
        words = ["encode-stimuli", "--dataset", "bids-d", "--data", str(root), *options, "--recipe", "demo"]
        first = call(*words)
        assert first.code == 4 and "no captioner is named" in first.err
        (offered,) = [line.split(": ")[1] for line in first.err.splitlines() if "mindanim init" in line]
        assert call(*shlex.split(offered)[1:]).code == 0
        blank = call(*words, "--captions", "captions.tsv")
        assert blank.code == 4 and "85 without a caption" in blank.err
        lines = Path("captions.tsv").read_text().splitlines()
        Path("captions.tsv").write_text("\n".join([lines[0], *(line + "a dog runs" for line in lines[1:])]))
        filled = call(*words, "--captions", "captions.tsv")
        assert "caption" not in filled.err, "the films of this test are empty files: they are looked at next"
