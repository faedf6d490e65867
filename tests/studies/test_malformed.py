"""Malformed studies: each is refused with an error that names what is wrong and where."""

from __future__ import annotations

import json
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mindanim.errors import InputError, MindanimError, UsageError
from mindanim.studies import Study, open_study
from tests.studies.layouts import SIZES, simulate


@pytest.fixture(scope="session")
def masters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One whole study per layout, and one of tables."""
    base = tmp_path_factory.mktemp("whole")
    roots = {layout: simulate(base / layout, layout, subjects=1) for layout in SIZES}
    own = base / "tables"
    own.mkdir()
    np.save(own / "run1.npy", np.random.default_rng(0).standard_normal((10, 4)))
    np.save(own / "run2.npy", np.random.default_rng(1).standard_normal((10, 4)))
    (own / "runs.tsv").write_text(
        "subject\tsegment\trepeat\tpath\ttr_s\taxes\n"
        "1\ta\t1\trun1.npy\t2\tvolume voxel\n1\tb\t1\trun2.npy\t2\tvolume voxel\n"
    )
    (own / "clips.tsv").write_text(
        "clip_id\tsplit\tsegment\tfilm\tonset_s\tduration_s\n"
        "a1\ttrain\ta\ta.mp4\t0\t2\na2\ttrain\ta\ta.mp4\t2\t2\nb1\ttest\tb\tb.mp4\t0\t2\n"
    )
    (own / "a.mp4").touch()
    (own / "b.mp4").touch()
    roots["tables"] = own
    return roots


def use(study: Study) -> None:
    """Everything a stage asks of a study."""
    study.clips(), study.films(), study.captions(), study.atlas()
    study.runs(study.facts.subjects[0])


def edit(name: str, old: str, new: str, count: int = 1) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = next(iter(sorted(root.rglob(name))))
        text = path.read_text()
        assert old in text, text
        path.write_text(text.replace(old, new, count))

    return change


def put(name: str, content: str | bytes) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = next(iter(sorted(root.rglob(name))), root / name)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def dump(name: str, content: object) -> Callable[[Path], None]:
    return put(name, pickle.dumps(content))


def spans(content: object) -> Callable[[Path], None]:
    return lambda root: np.save(root / "clip_times_24.npy", content, allow_pickle=True)  # type: ignore[arg-type]


def remove(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = next(iter(sorted(root.rglob(name))))
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def twin(one: str, other: str) -> Callable[[Path], None]:
    return lambda root: shutil.copy(next(root.rglob(one)), next(root.rglob(other)))


def shorten(name: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = next(iter(sorted(root.rglob(name))))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


RESPONSES = np.zeros((11, 3, 4), np.float32)
FILM = "12\t14\tfilm"
PREPROC = "sub-01_task-seg1_run-1*preproc_bold"

CASES: list[tuple[str, Callable[[Path], None], str]] = [
    ("cc2017", remove("seg1_1_Atlas*"), "1 of 10 runs missing: .*seg1_1_Atlas"),
    ("cc2017", shorten("seg1_1_Atlas*"), "seg1_1_Atlas.* is truncated"),
    ("cc2017", put("seg1_1_Atlas*", b""), "seg1_1_Atlas.* is not a CIFTI file"),
    ("cc2017", twin("seg1_1_A*", "seg2_1_A*"), "2 runs that are copies of another"),
    ("cc2017", remove("seg1.mp4"), r"1 of 4 films .*seg1\.mp4"),
    ("cc2017", edit("captions.tsv", "clip_id", "clip"), r"captions\.tsv has no column clip_id"),
    ("cc2017", edit("mindanim-study.json", '"tr_s": 2.0', '"tr_s": "two"'), "malformed entry"),
    ("cc2017", edit("mindanim-study.json", '"captions.tsv"', '"../captions.tsv"'), "is outside"),
    ("hcp", remove("*MOVIE2*dtseries*"), "2 of 8 runs missing: .*MOVIE2"),
    ("hcp", shorten("*MOVIE3*dtseries*"), "MOVIE3.* is truncated"),
    ("hcp", remove("clip_times_24.npy"), r"neither clip_times_24\.npy nor clip_times\.tsv"),
    ("hcp", put("clip_times_24.npy", b"no array"), r"clip_times_24\.npy is not a readable \.npy file"),
    ("hcp", shorten("clip_times_24.npy"), r"clip_times_24\.npy is not a readable pickle"),
    ("hcp", spans({"1": np.zeros(3)}), r"run 1 is no \(n, 2\) array"),
    ("hcp", spans({"1": np.array([[0, np.nan]])}), "run 1 has a frame that is not a number"),
    ("hcp", spans({"1": np.array([[0, 24.5]])}), r"run 1 has fractions of frames: 24\.5"),
    ("hcp", spans([1, 2]), "holds no dict of runs"),
    ("hcp", spans({"1": np.array([[0, 48], [24, 168]])}), "MOVIE1 are not in order or overlap"),
    ("hcp", spans({"7": np.array([[0, 24]])}), "no span of MOVIE1.*the study does not have: MOVIE7"),
    ("hcp", remove("MNINonLinear"), "does not contain the study in the layout of HCP"),
    ("hcp", remove("7T_MOVIE4*"), r"1 of 4 films .*7T_MOVIE4_HO2_v2\.mp4"),
    ("algonauts2021", remove("WB.pkl"), r"6 of 6 runs missing: .*WB\.pkl"),
    ("algonauts2021", shorten("WB.pkl"), r"WB\.pkl is not a readable pickle"),
    ("algonauts2021", dump("WB.pkl", {"test": RESPONSES}), "has no entry 'train'"),
    ("algonauts2021", dump("WB.pkl", {"train": RESPONSES}), "no volume 'voxel_mask'"),
    ("algonauts2021", dump("WB.pkl", {"train": RESPONSES[0]}), r"are \(3, 4\), not \(clip, repeat, voxel\)"),
    ("algonauts2021", dump("WB.pkl", {"train": RESPONSES[:9]}), "responses to 9 clips instead of 11"),
    (
        "algonauts2021",
        dump("WB.pkl", {"train": RESPONSES, "voxel_mask": np.ones((2, 2, 2))}),
        "mask .* has 8",
    ),
    ("algonauts2021", dump("WB.pkl", {"train": Path("x")}), "refused"),
    ("algonauts2021", remove("participants_data_v2021"), "layout of Algonauts 2021"),
    ("algonauts2021", remove("0001_*.mp4"), r"1 of 11 films .*0001_"),
    ("bids", remove(f"{PREPROC}.nii.gz"), "1 of 7 runs missing: .*task-seg1_run-1"),
    ("bids", remove("sub-01_task-seg1_run-1*mask*"), "1 runs without a file .* lacks .*brain_mask"),
    ("bids", put(f"{PREPROC}.nii.gz", b"x" * 600), "not a readable NIfTI file"),
    ("bids", edit(f"{PREPROC}.json", "2.0", "-1"), "RepetitionTime of .* is -1"),
    ("bids", put(f"{PREPROC}.json", "{"), "is not a readable JSON file"),
    ("bids", put(f"{PREPROC}.json", "[]"), "holds no JSON object"),
    ("bids", edit("*seg1_run-1_events.tsv", "onset", "start"), "no column onset"),
    ("bids", edit("*seg1_run-1_events.tsv", "\t10\t", "\tten\t"), "line 2: duration is 'ten', not a number"),
    ("bids", edit("*seg1_run-1_events.tsv", "seg1.mp4", "../../a.mp4"), "is outside"),
    ("bids", edit("*seg1_run-1_events.tsv", "train", "both"), "split is 'both', not train or test"),
    ("bids", edit("*seg1_run-1_events.tsv", "split", "group"), "does not say which clips are for the test"),
    ("bids", put("*seg1_run-1_events.tsv", b"\xff\xfe\x00"), "is not a text file"),
    ("bids", remove("seg2.mp4"), r"1 of 3 films .*seg2\.mp4"),
    ("tables", remove("runs.tsv"), r"runs\.tsv is missing"),
    ("tables", put("clips.tsv", ""), r"clips\.tsv is empty"),
    ("tables", put("clips.tsv", "clip_id,split,segment\n"), "separated by commas instead of tabs"),
    ("tables", put("clips.tsv", "clip_id\tsplit\tsegment\tfilm\tonset_s\tduration_s\n"), "has no rows"),
    ("tables", edit("clips.tsv", "a2\ttrain", "a1\ttrain"), "names clips twice: a1"),
    ("tables", edit("clips.tsv", "a2\ttrain", "a2\ttest"), "'a' .* has training and test clips"),
    ("tables", edit("clips.tsv", "a2\ttrain", "a2\tvalid"), "line 3: split is 'valid'"),
    ("tables", edit("clips.tsv", "a.mp4\t2\t2", "a.mp4\t2\t0"), "line 3: duration_s is 0"),
    ("tables", edit("clips.tsv", "a.mp4\t2\t2", "a.mp4\tinf\t2"), "line 3: onset_s is 'inf'"),
    ("tables", edit("clips.tsv", "a.mp4\t2\t2", "/a.mp4\t2\t2"), "is outside"),
    ("tables", edit("clips.tsv", "a.mp4\t2\t2", "a.mp4\t2\t2\t7"), "line 3, has more cells"),
    ("tables", edit("clips.tsv", "onset_s\tduration_s", "onset_s\tonset_s"), "no column duration_s"),
    ("tables", edit("runs.tsv", "1\tb", "1\tc"), "no clip belongs to the segment 'c'"),
    ("tables", edit("runs.tsv", "1\tb", "a/b\tb"), "subject is 'a/b'"),
    ("tables", edit("runs.tsv", "1\tb\t1", "1\tb\t1.5"), "repeat is '1.5', not a whole number"),
    ("tables", edit("runs.tsv", "1\tb\t1\trun2", "1\ta\t1\trun2"), "2 rows for subject 1, segment a"),
    ("tables", edit("runs.tsv", "run2.npy\t2", "run2.npy\t0"), "tr_s is 0"),
    ("tables", edit("runs.tsv", "run2.npy\t2\tvolume", "run2.npy\t2\tvolumes"), "axes is 'volumes voxel'"),
    ("tables", edit("runs.tsv", "run2.npy", "run2.txt"), r"missing: .*run2\.txt"),
    ("tables", put("run2.npy", b"abc"), r"run2\.npy is not a readable array"),
    ("tables", twin("run1.npy", "run2.npy"), "copies of another run"),
    ("tables", put("study.json", "{"), r"study\.json is not a readable JSON file"),
    ("tables", put("study.json", '{"lag": 4}'), "unknown entries: lag"),
    ("tables", put("study.json", '{"lags_s": 4}'), "not a list of seconds"),
    ("tables", put("study.json", '{"title": 4}'), "title is not text"),
    ("tables", put("study.json", '{"atlas": "a.dlabel.nii"}'), r"a\.dlabel\.nii is missing"),
]


@pytest.mark.parametrize(
    ("layout", "damage", "text"), CASES, ids=[f"{layout}-{index}" for index, (layout, *_) in enumerate(CASES)]
)
def test_a_malformed_study_is_refused(
    masters: dict[str, Path], tmp_path: Path, layout: str, damage: Callable[[Path], None], text: str
) -> None:
    root = Path(shutil.copytree(masters[layout], tmp_path / "study"))
    dataset = "tables" if layout == "tables" else "simulated"
    use(open_study(dataset, root))
    damage(root)
    with pytest.raises(InputError) as caught:
        use(open_study(dataset, root))
    assert re.search(text, str(caught.value), re.DOTALL), str(caught.value)
    assert caught.value.why or caught.value.hint or root.name in str(caught.value)


OPTIONS: list[tuple[str, dict[str, str], str]] = [
    ("cc2017", {"variant": "msmall"}, "has no option variant"),
    ("hcp", {"variants": "msmall"}, "Did you mean variant"),
    ("hcp", {"variant": "2mm"}, "variant=2mm is not a valid value"),
    ("hcp", {"films": ""}, "films= is empty"),
    ("algonauts2021", {"track": "whole"}, "track=whole is not a valid value"),
    ("algonauts2021", {"test": "1.5"}, "test=1.5 is not a whole number"),
    ("algonauts2021", {"test": "11"}, "leaves no clip of 11 for training"),
    ("bids", {"clip_s": "two"}, "clip_s=two is not a number"),
    ("bids", {"clip_s": "0"}, "clip_s=0 is not a number of 0.1 or more"),
    ("bids", {"test": "run"}, "test=run names no clips"),
    ("bids", {"test": "colour:red"}, "test=colour:... fits neither"),
    ("bids", {"derivatives": "xcp_d"}, "no folder .*xcp_d.*There are: fmriprep"),
    ("bids", {"task": "rest"}, "No film is shown"),
    ("bids", {"outside": "yes"}, "outside=yes is not a valid value"),
    ("bids", {"clip_s": "60"}, "No film is shown"),
]


@pytest.mark.parametrize(
    ("layout", "options", "text"), OPTIONS, ids=[str(option) for _, option, _ in OPTIONS]
)
def test_options_that_make_no_sense(
    masters: dict[str, Path], layout: str, options: dict[str, str], text: str
) -> None:
    with pytest.raises(MindanimError) as caught:
        use(open_study("simulated", masters[layout], options=options))
    assert isinstance(caught.value, UsageError | InputError)
    assert re.search(text, str(caught.value), re.DOTALL), str(caught.value)


def test_facts_are_json(masters: dict[str, Path]) -> None:
    for layout in SIZES:
        assert json.loads((masters[layout] / "mindanim-study.json").read_text())["layout"] == layout
