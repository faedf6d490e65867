"""What is peculiar about each study, one by one."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nibabel.cifti2 import BrainModelAxis

from mindanim.errors import InputError
from mindanim.studies import open_study
from mindanim.studies.base import Segment
from mindanim.studies.readers.algonauts2021 import FACTS as ALGONAUTS
from mindanim.studies.readers.algonauts2021 import ROIS, Algonauts2021
from mindanim.studies.readers.cc2017 import CC2017
from mindanim.studies.readers.hcp import CLIPS, HCP, MOVIES, VARIANTS
from mindanim.studies.readers.hcp import FACTS as HCP_FACTS
from mindanim.studies.readers.hcp_spans import FPS, KNOWN, find_spans
from tests.cc2017_tree import write_run
from tests.studies.layouts import opened, simulate
from tests.studies.test_cc2017 import SMALL, place


def mesh(vertices: int) -> BrainModelAxis:
    left, right = (
        BrainModelAxis.from_surface(np.arange(4), vertices, name=f"cortex_{side}")
        for side in ("left", "right")
    )
    return left + right


def test_cc2017_a_dot_in_the_place_of_an_underscore(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for segment in SMALL.segments:
        for repeat in range(1, segment.repeats + 1):
            data = rng.standard_normal((segment.volumes, 8))
            write_run(place(tmp_path, 1, segment.name, repeat), data, axis=mesh(60))
    proper = place(tmp_path, 1, "test1", 3)
    dotted = proper.rename(proper.with_name("test1_3.Atlas.dtseries.nii"))
    runs = CC2017(tmp_path, facts=SMALL).runs(1)
    assert [run.path for run in runs if run.name == "test1 repeat 3"] == [dotted]
    shutil.copy(place(tmp_path, 1, "test1", 2), proper)  # now the proper name counts, and both are said
    codes = [row.code for row in CC2017(tmp_path, facts=SMALL).check(1)]
    assert "extra-file" in codes


def known_spans() -> dict[str, list[tuple[int, int]]]:
    """Spans of the real study's shape: the known ones, and made-up ones that fill up the declared clips."""
    spans = {}
    for movie, known in KNOWN.items():
        lacking = CLIPS[movie] - sum((end - start) // FPS for start, end in known)
        start = known[2][1] + 600
        middle = [(start, start + lacking * FPS)] if lacking else []
        spans[movie] = [*known[:3], *middle, known[3]]
    return spans


@pytest.fixture
def hcp(tmp_path: Path) -> Path:
    """Subject 100610 of the real study's length and timing on a tiny mesh, with a table of the spans."""
    rng = np.random.default_rng(0)
    for run, film, volumes in MOVIES.values():
        for variant in ("msmall", "1.6mm"):
            data = rng.standard_normal((volumes, 8 if variant == "msmall" else 10))
            size = 60 if variant == "msmall" else 80
            name = f"{run}{VARIANTS[variant][0]}.dtseries.nii"
            axis = mesh(size) if variant == "msmall" else mesh(size) + mesh(size)[:2]
            write_run(tmp_path / f"100610/MNINonLinear/Results/{run}/{name}", data, axis=axis, tr_s=1.0)
        for folder, mark in (("Post_20140821_version", "_v2"), ("Pre_20140821_version", "")):
            (tmp_path / "movies" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "movies" / folder / f"{film}{mark}.mp4").touch()
    rows = [f"{movie[-1]}\t{start}\t{end}" for movie, spans in known_spans().items() for start, end in spans]
    (tmp_path / "clip_times.tsv").write_text("\n".join(["run\tstart_frame\tend_frame", *rows]))
    return tmp_path


def test_hcp_declared_facts() -> None:
    assert sum(CLIPS.values()) == 3040
    assert sum(segment.clips for segment in HCP_FACTS.segments) == 3040 - 3 * 76
    assert [(end - start) / FPS for spans in KNOWN.values() for start, end in spans[-1:]] == [76] * 4


def test_hcp_the_film_at_the_end_of_every_run_is_the_test_set(hcp: Path) -> None:
    study = HCP(hcp)
    clips = study.clips()
    test = [clip for clip in clips if clip.split == "test"]
    assert (len(clips) - len(test), len(test)) == (2736, 76)
    repeats = [run for run in study.runs(100610) if run.split == "test"]
    assert [run.repeat for run in repeats] == [1, 2, 3, 4]
    for run, (movie, spans) in zip(repeats, KNOWN.items(), strict=True):
        assert f"tfMRI_{movie}" in run.path.name
        first = (test[0].shown_s - run.start_s) / run.tr_s  # the volume at the clip's onset, in that run
        assert first == spans[-1][0] / FPS
    ends = {movie: spans[-1] for movie, spans in KNOWN.items()}
    for clip in clips:
        if clip.split == "train":
            start, end = ends[clip.film]
            assert clip.onset_s + clip.duration_s <= start / FPS or clip.onset_s >= end / FPS


def test_hcp_variants_and_meshes(hcp: Path) -> None:
    codes = {row.code: row for row in HCP(hcp).check(100610)}
    assert "msmall, 1.6mm; read are the msmall ones" in codes["variant"].text
    assert all("MSMAll" in run.path.name and "1.6mm" not in run.path.name for run in HCP(hcp).runs(100610))
    fine = HCP(hcp, options={"variant": "1.6mm"})
    assert all("_1.6mm_" in run.path.name for run in fine.runs(100610))
    assert {entry.state for entry in fine.inventory(100610)} == {"found", "not used"}
    with pytest.raises(InputError, match="8 of 16 runs missing|8 of 8 runs missing"):
        HCP(hcp, options={"variant": "plain"}).runs(100610)
    run, _, volumes = MOVIES["MOVIE2"]
    other = hcp / f"100610/MNINonLinear/Results/{run}/{run}{VARIANTS['msmall'][0]}.dtseries.nii"
    write_run(
        other, np.random.default_rng(5).standard_normal((volumes, 10)), axis=mesh(80) + mesh(80)[:2], tr_s=1.0
    )
    with pytest.raises(InputError, match="not on one mesh"):
        HCP(hcp).runs(100610)


def test_hcp_two_encodings_of_the_films(hcp: Path) -> None:
    assert {film.path.name[-7:] for film in HCP(hcp).films()} == {"_v2.mp4"}
    before = HCP(hcp, options={"films": "pre"}).films()
    assert [film.path.parent.name for film in before] == ["Pre_20140821_version"] * 4
    shutil.rmtree(hcp / "movies" / "Post_20140821_version")
    assert [film.path for film in HCP(hcp).films()] == [film.path for film in before]


def test_hcp_spans_of_a_pickle_equal_those_of_the_table(hcp: Path) -> None:
    table = find_spans(hcp, HCP_FACTS, False)
    arrays = {movie[-1]: np.array(spans) for movie, spans in known_spans().items()}
    np.save(hcp / "clip_times_24.npy", arrays, allow_pickle=True)  # type: ignore[arg-type]
    assert find_spans(hcp, HCP_FACTS, False) == table
    arrays["2"][-1] += 24
    np.save(hcp / "clip_times_24.npy", arrays, allow_pickle=True)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="MOVIE2 lacks known spans"):
        find_spans(hcp, HCP_FACTS, False)


def test_hcp_without_the_spans_the_known_ones_are_a_part(hcp: Path) -> None:
    (hcp / "clip_times.tsv").unlink()
    with pytest.raises(InputError, match="Only the first three and the last excerpt"):
        HCP(hcp).clips()
    study = HCP(hcp, allow_partial=True)
    assert sum(clip.split == "test" for clip in study.clips()) == 76
    assert "spans-unknown" in [row.code for row in study.check(100610) if row.status == "problem"]


def test_hcp_lengths_are_recalled_not_demanded(hcp: Path) -> None:
    run, _, volumes = MOVIES["MOVIE1"]
    path = hcp / f"100610/MNINonLinear/Results/{run}/{run}{VARIANTS['msmall'][0]}.dtseries.nii"
    rng = np.random.default_rng(7)
    write_run(path, rng.standard_normal((volumes - 3, 8)), axis=mesh(60), tr_s=1.0)
    study = HCP(hcp)
    assert next(one for one in study.runs(100610) if one.segment == "MOVIE1").volumes == 918
    assert "other-length" in [row.code for row in study.check(100610)]
    write_run(path, rng.standard_normal((850, 8)), axis=mesh(60), tr_s=1.0)  # ends within the last excerpt
    with pytest.raises(InputError, match="ends at 850 s"):
        HCP(hcp).runs(100610)


@pytest.fixture
def algonauts(tmp_path: Path) -> Path:
    """Subject 1 of the real study's 1,000 clips, with a few voxels per region."""
    rng = np.random.default_rng(0)
    folders = [tmp_path / "participants_data_v2021" / name / "sub01" for name in ("mini_track", "full_track")]
    for folder in folders:
        folder.mkdir(parents=True)
    for count, roi in enumerate(ROIS, start=1):
        content = {"train": rng.standard_normal((1000, 3, count)).astype(np.float32)}
        (folders[0] / f"{roi}.pkl").write_bytes(pickle.dumps(content))
    mask = np.zeros((78, 93, 71))
    mask[40, 50, 30:35] = 1
    whole = {"train": rng.standard_normal((1000, 3, 5)), "voxel_mask": mask}
    (folders[1] / "WB.pkl").write_bytes(pickle.dumps(whole))
    return tmp_path


def test_algonauts_withheld_responses(algonauts: Path) -> None:
    study = Algonauts2021(algonauts)
    clips = study.clips()
    assert [sum(clip.split == split for clip in clips) for split in ("train", "test")] == [900, 100]
    assert (clips[0].film, clips[-1].film, clips[-1].shown_s) == ("0001", "1000", 2997.0)
    withheld = next(row for row in study.check(1) if row.code == "withheld")
    assert "last 102 of 1102" in withheld.text
    assert Algonauts2021(algonauts, options={"test": "200"}).facts.segments[1].clips == 200
    assert ALGONAUTS.repeats == {"train": 3, "test": 3}


def test_algonauts_whole_brain_voxels_lie_where_the_mask_says(algonauts: Path) -> None:
    run = Algonauts2021(algonauts).runs(1)[0]  # full before mini
    assert run.path.name == "WB.pkl" and run.load is not None and run.volumes == 1000
    matrix = run.load()
    assert matrix.signal.shape == (1000, 5) and matrix.ijk is not None
    np.testing.assert_array_equal(matrix.ijk, [[40, 50, k] for k in range(30, 35)])


def test_algonauts_regions_are_columns_with_names(algonauts: Path) -> None:
    runs = Algonauts2021(algonauts, options={"track": "mini"}).runs(1)
    assert [(run.split, run.repeat) for run in runs] == [(s, r) for s in ("train", "test") for r in (1, 2, 3)]
    assert runs[0].load is not None and len(runs[0].files) == 9
    matrix = runs[1].load()  # type: ignore[misc]
    assert matrix.region is not None
    assert matrix.region.tolist() == [roi for count, roi in enumerate(ROIS, start=1) for _ in range(count)]
    with (algonauts / "participants_data_v2021/mini_track/sub01/V2.pkl").open("rb") as file:
        v2 = pickle.load(file)["train"]
    np.testing.assert_array_equal(matrix.signal[:, 1:3], v2[:, 1])
    (algonauts / "participants_data_v2021/mini_track/sub01/FFA.pkl").unlink()
    with pytest.raises(InputError, match=r"lacks FFA\.pkl"):
        Algonauts2021(algonauts, options={"track": "mini"}).runs(1)
    partial = Algonauts2021(algonauts, allow_partial=True, options={"track": "mini"})
    assert len(partial.runs(1)) == 6 and "missing-region" in [row.code for row in partial.check(1)]


def test_bids_header_and_sidecar_that_disagree_are_said(tmp_path: Path) -> None:
    root = simulate(tmp_path, "bids", subjects=1)
    for path in root.rglob("*desc-preproc_bold.json"):
        path.write_text('{"RepetitionTime": 1.9}')
    row = next(row for row in opened(root).check(1) if row.code == "header-tr")
    assert "7 headers give a TR other than" in row.text and "2 s" in row.text


def test_bids_versions_of_a_run_must_be_chosen(tmp_path: Path) -> None:
    root = simulate(tmp_path, "bids", subjects=1)
    for path in sorted(root.rglob("*_space-MNI*")):
        shutil.copy(path, path.with_name(path.name.replace("MNI152NLin2009cAsym", "T1w")))
    with pytest.raises(InputError, match=r"exists in 2 versions: .*space-MNI.*space-T1w"):
        opened(root)
    assert all("space-T1w" in run.path.name for run in opened(root, space="T1w").runs(1))


def test_bids_surfaces_in_two_files_are_refused_by_name(tmp_path: Path) -> None:
    root = simulate(tmp_path, "bids", subjects=1)
    for path in root.rglob("*_desc-preproc_bold.nii.gz"):
        path.rename(path.with_name(path.name.replace("desc-preproc_bold.nii.gz", "hemi-L_bold.func.gii")))
    with pytest.raises(InputError, match=r"(?s)GIFTI.*hemi-L.*\.dtseries\.nii.*wb_command"):
        opened(root)


def test_bids_repeats_are_found_by_what_was_shown_and_when(tmp_path: Path) -> None:
    """Three sessions: later onsets in the second, the clips in another order in the third."""
    root = tmp_path
    (root / "stimuli").mkdir()
    rows = {
        "ses-1": [(4.0, "a.mp4"), (8.0, "b.mp4")],
        "ses-2": [(6.04, "a.mp4"), (10.0, "b.mp4")],
        "ses-3": [(4.0, "b.mp4"), (8.0, "a.mp4")],
    }
    for name in ("a", "b"):
        (root / "stimuli" / f"{name}.mp4").touch()
    for number, (session, shown) in enumerate(rows.items()):
        folder = root / "sub-A1" / session / "func"
        folder.mkdir(parents=True)
        stem = f"sub-A1_{session}_task-film"
        lines = [f"{onset}\t2\t{film}\ttrain" for onset, film in shown] + ["20\t2\tn/a\tn/a"]
        (folder / f"{stem}_events.tsv").write_text("\n".join(["onset\tduration\tstim_file\tsplit", *lines]))
        data = np.random.default_rng(number).standard_normal((30, 8))
        write_run(folder / f"{stem}_space-fsLR_den-91k_bold.dtseries.nii", data, axis=mesh(60), tr_s=1.0)
    study = open_study("bids", root)
    assert study.facts.subjects == ("A1",) and study.facts.tr_s == 1.0
    assert [(one.clips, one.repeats) for one in study.facts.segments] == [(2, 3)]
    runs, clips = study.runs("A1"), study.clips()
    assert [run.start_s for run in runs] == pytest.approx([0.0, -2.04, 0.0])
    assert [clip.film for clip in clips] == ["a.mp4", "b.mp4"]
    assert [[run.when(clip) - run.start_s for clip in clips] for run in runs] == [
        pytest.approx([4.0, 8.0]),
        pytest.approx([6.04, 10.04]),
        pytest.approx([8.0, 4.0]),
    ]


def test_facts_name_licence_citation_and_source() -> None:
    for facts in (HCP_FACTS, ALGONAUTS, SMALL):
        assert facts.licence and "(20" in facts.citation and "http" in facts.where
    assert replace(HCP_FACTS.segments[0]) == Segment("MOVIE1", "train", 652, 1, 0.0, 921)


@pytest.mark.parametrize("layout", ["cc2017", "hcp", "algonauts2021", "bids"])
def test_files_that_a_mac_leaves_are_no_part_of_a_study(tmp_path: Path, layout: str) -> None:
    root = simulate(tmp_path, layout, subjects=1)
    study = opened(root)
    subject = study.facts.subjects[0]
    before = study.check(subject), [entry.path for entry in study.inventory(subject)], study.films()
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
        path.with_name(".DS_Store").touch()
    study = opened(root)
    assert before == (study.check(subject), [entry.path for entry in study.inventory(subject)], study.films())
