"""Artifacts that were changed, forged or cut short after a stage finished them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mindanim.artifacts import Artifact, Draft, Workspace, checksums, staleness
from mindanim.artifacts.artifact import MANIFEST
from mindanim.errors import InputError
from tests.cli.conftest import Call, call  # noqa: F401
from tests.ground.toy import make, options

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def flip(file: Path) -> None:
    """Change one byte and nothing else that a listing shows."""
    kept = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    os.utime(file, ns=(kept.st_atime_ns, kept.st_mtime_ns))


class TestContent:
    def test_a_flipped_byte_in_an_input_is_refused_before_any_work(self, tmp_path: Path) -> None:
        fmri = make(tmp_path)
        flip(fmri.path / "values.npy")
        with pytest.raises(InputError, match="input fmri is damaged") as caught:
            make(tmp_path, "semantic", {"fmri": fmri}, build=lambda draft: pytest.fail("it was built"))
        assert str(fmri.path / "values.npy") in caught.value.why and "preprocess" in caught.value.hint

    @pytest.mark.parametrize("name", ["values.npy", "clips.tsv", "about.json"])
    def test_a_flipped_byte_is_not_loaded(self, name: str, tmp_path: Path) -> None:
        fmri = make(tmp_path)
        flip(fmri.path / name)
        load = {".npy": fmri.array, ".tsv": fmri.table, ".json": fmri.json}[Path(name).suffix]
        with pytest.raises(InputError, match=f"{name} has another content"):
            load(name)

    def test_a_flipped_byte_in_what_is_there_is_not_called_done(self, tmp_path: Path) -> None:
        flip(make(tmp_path).path / "about.json")
        with pytest.raises(InputError, match="damaged"):
            make(tmp_path)

    def test_what_was_just_made_is_not_read_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fmri = make(tmp_path)
        checksums._remembered.cache_clear()  # as a new process
        monkeypatch.setattr(checksums, "sha256_of", lambda path: pytest.fail(f"{path} was read"))
        assert fmri.damage() == [] and fmri.array("values.npy").shape == (3,)

    def test_show_verify_reads_everything_and_fails(self, tmp_path: Path, call: Call) -> None:  # noqa: F811
        work = Path("mindanim-work")
        for subject in (1, 2):
            make(work, run={"subject": subject})
        flip(work / "toy/sub-02/fmri/filled.npy")
        assert call("show").code == 0 and call("show", str(work / "toy/sub-02/fmri")).code == 0
        for words in ((), (str(work / "toy/sub-02/fmri"),)):
            result = call("show", "--verify", *words)
            assert result.code == 4 and "damaged" in result.out and "filled.npy has another" in result.err
        assert call("show", "--verify", str(work / "toy/sub-01/fmri")).code == 0

    def test_an_output_that_is_recorded_and_yet_cannot_be_read(self, tmp_path: Path) -> None:
        def build(draft: Draft) -> None:
            for name in ("a.tsv", "a.json"):
                draft.save_bytes(name, b"[\xff")

        made = make(tmp_path, build=build)
        for load in (lambda: made.table("a.tsv"), lambda: made.json("a.json")):
            with pytest.raises(InputError, match=r"a\.(tsv|json) is not a readable"):
                load()

    def test_clips_of_a_stranger_have_names(self, tmp_path: Path) -> None:
        table = b"clip_id\tsplit\n../../x\ttrain\n"
        made = make(tmp_path, build=lambda draft: draft.save_bytes("clips.tsv", table))
        with pytest.raises(InputError, match=r"clips\.tsv: the clip_id '\.\./\.\./x'"):
            made.table("clips.tsv")

    def test_another_kind_in_its_place(self, tmp_path: Path) -> None:
        semantic = make(tmp_path, "semantic")
        os.rename(semantic.path, semantic.path.with_name("fmri"))
        with pytest.raises(InputError, match=r"fmri/manifest\.json is of another kind"):
            Workspace(tmp_path, "toy").read(options(tmp_path), "fmri")


def at(*keys: str, value: Any) -> Edit:
    def edit(manifest: dict[str, Any]) -> None:
        for key in keys[:-1]:
            manifest = manifest[key]
        manifest[keys[-1]] = value

    return edit


def rename_output(name: str) -> Edit:
    return lambda manifest: manifest["outputs"].update({name: manifest["outputs"].pop("values.npy")})


KEYS = (
    ("schema_version", "kind", "identity", "stage", "stage_version", "dataset", "subject", "label", "command")
    + (
        "version",
        "commit",
        "seed",
        "environment",
        "run",
        "config",
        "inputs",
        "started",
        "finished",
        "sessions",
    )
    + ("versions", "outputs", "methods", "findings", "facts")
)
FREE = ("environment", "run", "facts")
OUTSIDE = ("../x", "/etc/passwd", "a/../../x", "", ".", "a\0b", "a\x1b[2J")
EDITS: dict[str, Edit] = {
    **{f"without {key}": (lambda manifest, key=key: manifest.pop(key)) for key in KEYS},
    **{f"{key} is a set of numbers": at(key, value={"1": [2.5]}) for key in KEYS if key not in FREE},
    **{f"{key} is true": at(key, value=True) for key in KEYS},
    **{f"output {name!r}": rename_output(name) for name in OUTSIDE},
    "negative size": at("outputs", "values.npy", "bytes", value=-1),
    "no hash": at("outputs", "values.npy", "sha256", value="abc"),
    "shape of texts": at("outputs", "values.npy", "shape", value=["3"]),
    "an option without origin": lambda manifest: manifest["config"]["factor"].pop("origin"),
    "an input of no type": at("inputs", "numbers", "type", value="thing"),
    "an input without identity": lambda manifest: manifest["inputs"]["numbers"].pop("identity"),
    "marks that are numbers": at("inputs", "numbers", "detail", value={"root": "/", "files": {"etc": 1}}),
    "a finding of text": at("findings", value=["careful"]),
}  # fmt: skip
TEXTS: dict[str, bytes] = {
    "empty": b"",
    "not UTF-8": b"\xff\xfe{}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "cut": b'{"kind": "fm',
    "a list": b"[]",
    "a text": b'"manifest"',
    "nothing": b"null",
    "nested deep": b"[" * 100_000,
    "a number of 5,000 digits": b'{"seed": 1' + b"0" * 5000 + b"}",
    "NaN": b'{"seed": NaN}',
    "infinite": b'{"seed": 1e999}',
    "a key twice": b'{"kind": "fmri", "kind": "semantic"}',
    "binary": bytes(range(256)) * 20,
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make(tmp_path_factory.mktemp("original"))


class TestManifest:
    def refused(self, original: Artifact, folder: Path, content: bytes) -> None:
        (folder / MANIFEST).write_bytes(content)
        with pytest.raises(InputError, match=r"manifest\.json (is not a manifest|was written by)"):
            Artifact.load(folder)

    @pytest.mark.parametrize("name", EDITS)
    def test_wrong_entries(self, name: str, original: Artifact, tmp_path: Path) -> None:
        manifest = json.loads(json.dumps(original.manifest))
        EDITS[name](manifest)
        self.refused(original, tmp_path, json.dumps(manifest).encode())

    @pytest.mark.parametrize("name", TEXTS)
    def test_no_manifest(self, name: str, original: Artifact, tmp_path: Path) -> None:
        self.refused(original, tmp_path, TEXTS[name])

    def test_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / MANIFEST)
        (tmp_path / "folder" / MANIFEST).mkdir(parents=True)
        for folder in (tmp_path, tmp_path / "folder"):
            with pytest.raises(InputError, match=r"manifest\.json is not a manifest"):
                Artifact.load(folder)

    def test_too_large_is_refused_without_reading(self, tmp_path: Path) -> None:
        with (tmp_path / MANIFEST).open("wb") as file:
            file.truncate(1 << 40)
        with pytest.raises(InputError, match="1099511627776 bytes, more than"):
            Artifact.load(tmp_path)

    def test_one_that_is_made_from_itself(self, tmp_path: Path, call: Call) -> None:  # noqa: F811
        fmri = make(Path("mindanim-work"))
        semantic = make(Path("mindanim-work"), "semantic", {"fmri": fmri})
        entry = semantic.manifest["inputs"]["fmri"] | {"kind": "semantic", "path": "../semantic"}
        fmri.manifest["inputs"]["semantic"] = entry | {
            "identity": semantic.identity,
            "digest": semantic.digest,
        }
        (fmri.path / MANIFEST).write_text(json.dumps(fmri.manifest))
        assert isinstance(staleness(Artifact.load(fmri.path)), list)
        assert call("show", str(fmri.path)).code == 0 and call("show", str(semantic.path), "--json").code == 0

    def test_show_lists_the_others_and_names_the_file(self, call: Call) -> None:  # noqa: F811
        work = Path("mindanim-work")
        for kind in ("fmri", "semantic", "motion"):
            make(work, kind)
        broken = work / "toy/sub-01/semantic" / MANIFEST
        broken.write_text("{")
        for flags in ((), ("--json",)):
            result = call("show", *flags)
            assert result.code == 4 and f"{broken} is not a manifest" in result.err
            assert all(word in result.out for word in ("fmri", "motion", "unreadable"))

    def test_show_finds_artifacts_without_a_description(self, call: Call) -> None:  # noqa: F811
        make(Path("mindanim-work"))
        (Path("mindanim-work/toy/dataset_description.json")).unlink()
        assert "fmri" in call("show").out
