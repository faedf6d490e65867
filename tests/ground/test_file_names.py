"""Names that become file names, and numbers in tables: what strangers write into them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindanim.artifacts import Draft
from mindanim.errors import InputError, UsageError
from mindanim.studies import open_study
from mindanim.studies.timeline import Shown, Viewing, lay_out
from mindanim.vocabulary.clips import Clip
from mindanim.vocabulary.file_names import MOST_BYTES, as_name, check_clip_id
from mindanim.vocabulary.numerals import real, whole
from tests.ground.test_resolve import shipped as shipped  # its recipes are used by every test here
from tests.ground.test_resolve import toy

UNSAFE = (
    "..",
    "../x",
    "/x",
    "a/b",
    "a\\b",
    "a..b",
    ".a",
    "-a",
    "",
    " a",
    "a b",
    "a\0",
    "a\n",
    "\x1b[2J",
    "é",
)


def declare(folder: Path, clip_id: str = "c", subject: str = "1", tr_s: str = "2") -> None:
    """A study of two clips in tables."""
    for name in ("a.mp4", "b.mp4", "r.npy", "s.npy"):
        (folder / name).touch()
    (folder / "runs.tsv").write_text(
        "subject\tsegment\trepeat\tpath\ttr_s\taxes\n"
        f"{subject}\tone\t1\tr.npy\t{tr_s}\tvolume voxel\n{subject}\ttwo\t1\ts.npy\t2\tvolume voxel\n"
    )
    (folder / "clips.tsv").write_text(
        "clip_id\tsplit\tsegment\tfilm\tonset_s\tduration_s\n"
        f"b\ttrain\tone\ta.mp4\t0\t2\n{clip_id}\ttest\ttwo\tb.mp4\t0\t2\n"
    )


@pytest.mark.parametrize("name", [*UNSAFE, "x" * (MOST_BYTES + 1)])
def test_a_clip_that_would_be_written_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="clip_id"):
        Clip(name, "train", "a", "a", 1, 0.0, 2.0)


@pytest.mark.parametrize("name", ["clip-1", "_1", "v1.2", "Test_0007", "x" * MOST_BYTES])
def test_ordinary_names_are_clips(name: str) -> None:
    assert check_clip_id(name) == name


@pytest.mark.parametrize("name", ["../../x", "a\\b", "\x1b]0;x\x07"])
def test_the_table_and_the_line_are_named(name: str, tmp_path: Path) -> None:
    declare(tmp_path, name)
    with pytest.raises(InputError, match=r"clips\.tsv, line 3: the clip_id"):
        open_study("tables", tmp_path)


def test_two_clips_of_one_file_on_a_disk_without_case(tmp_path: Path) -> None:
    declare(tmp_path, "B")
    with pytest.raises(InputError, match="twice: b, B"):
        open_study("tables", tmp_path)


@pytest.mark.parametrize("tr_s", ["1_0", "\u0661", "\uff11", "1.5.5", "0x1", "inf", "nan", "1" * 500])
def test_what_is_no_number_in_a_table(tr_s: str, tmp_path: Path) -> None:
    declare(tmp_path, tr_s=tr_s)
    with pytest.raises(InputError, match=r"runs\.tsv, line 2: tr_s"):
        open_study("tables", tmp_path)


@pytest.mark.parametrize("subject", ["1_0", "\u0661", "\uff11", "1.5", "a/b", "..", "-1", "a b", "1" * 500])
def test_what_is_no_subject_in_a_table(subject: str, tmp_path: Path) -> None:
    declare(tmp_path, subject=subject)
    with pytest.raises(InputError, match=r"runs\.tsv, line 2: subject"):
        open_study("tables", tmp_path)


@pytest.mark.parametrize("flags", [{"batch": "1_0"}, {"factor": "1_0"}, {"lags": "4,1_0"}, {"pair": "1_0,2"}])
def test_what_is_no_number_on_the_command_line(flags: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="digits only"):
        toy(flags=flags)


@given(st.text("0123456789.eE+-_\u0661 nai", max_size=12))
def test_numbers_are_those_of_python_in_ascii(text: str) -> None:
    if (found := real(text)) is not None:
        assert found == float(text) and text.isascii() and "_" not in text
    if whole(text) is not None:
        assert whole(text) == int(text) == real(text)


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**18) + 1, 10**18 - 1))
def test_what_is_written_is_read(number: float, count: int) -> None:
    assert real(repr(number)) == number and whole(str(count)) == count


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_gives_a_name(one: str, other: str) -> None:
    assert check_clip_id(as_name(one)) == as_name(one)
    if one.isalnum() and other.isalnum() and one.isascii() and other.isascii():
        assert (as_name(one) == as_name(other)) == (one == other)


def test_films_may_be_called_anything() -> None:
    """Names of films are read, not written: those of the clips are made from them, and stay apart."""
    films = [
        "Der B\u00e4r (1988).mp4",
        "Der Ba\u0308r (1988).mp4",
        "\u7535\u5f71.mp4",
        "\u97f3\u4e50.mp4",
        "a" * 250,
    ]
    viewings = [
        Viewing(1, str(number), "task-x", [Shown(film, Path(film), 0.0, 2.0, 0.0, "train")])
        for number, film in enumerate(films)
    ]
    laid = lay_out(viewings)
    names = [clip.clip_id for one in laid for clip in one.clips]
    assert names[:2] == ["Der-Bar-1988-0001", "Der-Bar-1988-train-0001"] and len(set(names)) == len(films)
    assert [clip.film for one in laid for clip in one.clips] == films
    assert all(len(name.encode()) <= MOST_BYTES for name in names)


class TestWriters:
    """Whatever a stage asks for, a folder under construction is written inside."""

    @pytest.mark.parametrize("name", ["../x.npy", "clips/../../x.npy", "/tmp/x.npy", ""])
    def test_a_name_that_leads_out(self, name: str, tmp_path: Path) -> None:
        draft = Draft(tmp_path / "draft")
        draft.begin()
        for write in (
            lambda: draft.save_bytes(name, b""),
            lambda: draft.scratch(name and f"a/../../../{PurePosixPath(name).name}" or "../../x"),
            lambda: draft.open_array(name, (1,), "float32", axes="clip"),
        ):
            with pytest.raises(InputError, match="outside"):
                write()
        assert {path.name for path in tmp_path.rglob("*.np*")} == set()

    @pytest.mark.parametrize(
        "link", ["clips", "scratch", "log.txt", ".journal.jsonl", "config.toml", "clips/x.npy"]
    )
    def test_links_that_lead_out(self, link: str, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "precious").write_text("kept")
        folder = tmp_path / "draft"
        (folder / link).parent.mkdir(parents=True)
        (folder / link).symlink_to(tmp_path / ("elsewhere" if "." not in link else "precious"))
        with pytest.raises(InputError, match="is a link"):
            Draft(folder).begin()
        if link.startswith(("clips", "scratch")):
            with pytest.raises(InputError, match="is a link"):
                Draft(folder).save_array("clips/x.npy", np.zeros(1), axes="clip")
                Draft(folder).scratch("x")
        assert (tmp_path / "precious").read_text() == "kept" and not any((tmp_path / "elsewhere").iterdir())
