"""Every reader of a user's file: how to write a small valid one, and what makes a read of it harmless."""

from __future__ import annotations

import contextlib
import io
import json
import math
import pickle
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz import arrays

Fields = tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Reader:
    """One reader.

    Attributes:
        name: What it reads.
        make: Writes a valid file, and what belongs to it, into a folder.
        read: Reads it and asserts that what comes out is what the file says.
        fields: See `mutations.mutate`.
        text: See `mutations.mutate`.
        study: Whether a refusal may name another file of the study, e.g. one that a table leads to.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], None]
    fields: Fields = ()
    text: bool = False
    study: bool = False


def make_film(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path, frames = (
            folder / f"clip.{suffix}",
            np.random.default_rng(0).integers(0, 255, (6, 32, 40, 3), np.uint8),
        )
        if suffix == "npy":
            np.save(path, frames)
        elif suffix == "mp4":
            from tests.stimuli.filming import write_film

            write_film(path, [40.0 * number for number in range(12)])
        else:
            from PIL import Image

            first, *others = [Image.fromarray(frame) for frame in frames]
            first.save(path, save_all=True, append_images=others, duration=40, loop=0)
        return path

    return make


def read_film(path: Path) -> None:
    from mindanim.metrics.inputs.short_films import read_film as read

    with contextlib.redirect_stderr(io.StringIO()) as said:
        film = read(path)
    assert film.dtype == np.uint8 and film.ndim == 4 and film.shape[3] == 3 and 0 < film.nbytes <= 1 << 30
    if path.suffix == ".npy":
        expected = arrays.npy(path)
        same = film if expected.shape[3] == 3 else film.transpose(0, 3, 1, 2)
        assert np.array_equal(same, expected if expected.dtype == np.uint8 else np.round(expected * 255.0))
    if path.suffix == ".mp4":
        content = path.read_bytes()
        table = content.find(b"stsz")
        stored = int.from_bytes(content[table + 12 : table + 16], "big")
        assert len(film) == stored or "its edit list hides" in said.getvalue(), "frames are missing"


def make_captions(folder: Path) -> Path:
    import h5py

    with h5py.File(folder / "captions.h5", "w") as file:
        file["captions"] = [f"a cat number {number}" for number in range(8)]
    return folder / "captions.h5"


def read_captions(path: Path) -> None:
    from mindanim.stimuli.captions import read_hdf5

    found = read_hdf5([path], [f"clip{number}" for number in range(8)])
    assert len(found) == 8 and all(isinstance(text, str) and len(text) < 100_000 for text in found.values())


def make_tables(folder: Path) -> Path:
    np.save(folder / "run1.npy", np.ones((10, 4)))
    (folder / "a.mp4").touch()
    (folder / "runs.tsv").write_text(
        "subject\tsegment\trepeat\tpath\ttr_s\taxes\n1\ta\t1\trun1.npy\t2\tvolume voxel\n"
    )
    rows = "".join(f"a{number}\ttrain\ta\ta.mp4\t{2 * number}\t2\n" for number in range(4))
    (folder / "clips.tsv").write_text("clip_id\tsplit\tsegment\tfilm\tonset_s\tduration_s\n" + rows)
    (folder / "study.json").write_text(json.dumps({"title": "A study", "lags_s": [4.0, 6.0]}))
    return folder / "clips.tsv"


def read_tables(path: Path) -> None:
    from mindanim.studies import open_study

    study = open_study("tables", path.parent)
    clips, facts = study.clips(), study.facts
    runs = [run for subject in facts.subjects for run in study.runs(subject)]
    numbers = [value for clip in clips for value in (clip.onset_s, clip.duration_s)]
    numbers += [value for run in runs for value in (run.tr_s, run.start_s)] + list(facts.lags_s)
    assert clips and all(math.isfinite(value) for value in numbers)
    assert all(clip.duration_s > 0 for clip in clips) and all(0 < run.tr_s < 100 for run in runs)


def read_json(path: Path) -> None:
    from mindanim.studies.readers.bids_names import read_json as read

    assert repr(read(path)) == repr(json.loads(path.read_bytes().decode("utf-8-sig")))
    read_tables(path)


def make_recipe(folder: Path) -> Path:
    path = folder / "mine.toml"
    path.write_text('title = "mine"\n[train-semantic]\nepochs = 3\nlr = 0.5\n[generate]\nsteps = 20\n')
    return path


def read_recipe(path: Path) -> None:
    from mindanim.config.recipes import load_recipe

    found = load_recipe(str(path)).tables
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    assert all(repr(table) == repr(content[name]) for name, table in found.items())


def _content() -> dict[str, Any]:
    return {"train": np.arange(24, dtype=np.float32).reshape(2, 3, 4), "names": ["a", ("b", None)], "n": 3}


def make_pickle(folder: Path) -> Path:
    (folder / "V1.pkl").write_bytes(pickle.dumps(_content(), protocol=4))
    return folder / "V1.pkl"


def make_object_npy(folder: Path) -> Path:
    np.save(folder / "spans.npy", _content(), allow_pickle=True)  # type: ignore[arg-type]
    return folder / "spans.npy"


def read_pickle(path: Path) -> None:
    from mindanim.studies import pickles

    found = (pickles.read_pickle if path.suffix == ".pkl" else pickles.read_object_npy)(path)
    assert _plain_bytes(found) <= 40 * path.stat().st_size + 4096


def _plain_bytes(value: Any, depth: int = 0) -> int:
    assert depth < 200
    if isinstance(value, dict):
        return sum(_plain_bytes(one, depth + 1) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return sum(_plain_bytes(one, depth + 1) for one in value)
    kinds = (str, bytes, bytearray, int, float, complex, np.generic, np.ndarray, np.dtype, type(None))
    assert isinstance(value, kinds), type(value)
    return int(getattr(value, "nbytes", 64))


def make_checkpoint(suffix: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        import torch
        from safetensors.torch import save_file

        path = folder / f"decoder.{suffix}"
        state = {"mlp.0.weight": torch.arange(12.0).reshape(3, 4), "mlp.0.bias": torch.zeros(3)}
        if suffix == "safetensors":
            save_file(state, path)
        else:
            torch.save(state, path, _use_new_zipfile_serialization=suffix == "pth")
        return path

    return make


def read_checkpoint(path: Path) -> None:
    from mindanim.decoders.checkpoint_file import read_checkpoint as read
    from mindanim.decoders.checkpoint_file import unusable

    size = path.stat().st_size
    for name, values in read(path).items():
        assert unusable(name, values) or values.numel() * values.element_size() <= size


def make_manifest(folder: Path) -> Path:
    from tests.ground.toy import make

    return make(folder).path / "manifest.json"


def read_manifest(path: Path) -> None:
    from mindanim.artifacts import Artifact

    found = Artifact.load(path.parent)
    assert found.manifest == json.loads(path.read_text(encoding="utf-8"))
    assert found.command and found.digest and isinstance(found.recipe, str)
    assert set(found.changed_options) <= set(found.options) <= set(found.manifest["config"])
    assert isinstance(found.problems(), list) and isinstance(found.facts, dict)


def make_lock(folder: Path) -> Path:
    path = folder / "fmri.lock"
    path.write_text(json.dumps({"pid": 12345, "host": "elsewhere", "since": "2026-01-01T00:00:00+00:00"}))
    return path


def read_lock(path: Path) -> None:
    from mindanim.artifacts.lock import locked

    with locked(path):
        assert json.loads(path.read_text(encoding="utf-8"))["pid"]
    assert not path.exists()


def make_confounds(folder: Path) -> Path:
    path = folder / "sub-1_desc-confounds_timeseries.tsv"
    rows = "".join(f"{number / 8}\t{number / 4}\n" for number in range(1, 9))
    path.write_text("framewise_displacement\ttrans_x\n" + rows)
    return path


def read_confounds(path: Path) -> None:
    from mindanim.bold.confounds import displacement

    found = displacement(path, 8)
    assert found is None or (found.shape == (8,) and np.isfinite(found).all())


def make_synonyms(folder: Path) -> Path:
    path = folder / "mine.tsv"
    path.write_text("# words\ndog\thound, cur\nsea\tocean\n")
    return path


def read_synonyms(path: Path) -> None:
    from mindanim.stimuli.augment import read_synonyms as read

    assert all(words and all(words) for words in read(path).values())


def _study_json(folder: Path) -> Path:
    return make_tables(folder).with_name("study.json")


def _runs_tsv(folder: Path) -> Path:
    return make_tables(folder).with_name("runs.tsv")


NIFTI: Fields = (
    *((place, "h") for place in (40, 42, 44, 46, 48, 50, 70, 72, 252, 254)),
    *((place, "f") for place in (76, 80, 84, 88, 92, 108, 112, 116, 136, 280)),
    (0, "i"),
    (123, "b"),
)
CIFTI: Fields = (
    *((place, "q") for place in (16, 24, 32, 40, 48, 56, 64, 168)),
    *((place, "d") for place in (104, 176, 184)),
    *((12, "h"), (14, "h"), (0, "i"), (500, "i"), (544, "i"), (548, "i")),
)
READERS = (
    Reader("CIFTI series", arrays.make_cifti, arrays.read_cifti, CIFTI, text=True),
    Reader("NIfTI run", arrays.make_nifti, arrays.read_nifti, NIFTI),
    Reader("NIfTI run, gzip", arrays.make_packed, arrays.read_nifti),
    Reader("NIfTI mask", arrays.make_mask, arrays.read_mask, NIFTI),
    Reader("run as .npy", arrays.make_npy, arrays.read_npy, text=True),
    Reader("atlas, CIFTI dlabel", arrays.make_dlabel, arrays.read_dlabel, CIFTI, text=True),
    Reader("atlas, NIfTI labels", arrays.make_labels, arrays.read_labels, NIFTI),
    Reader("atlas, .npz", arrays.make_npz, arrays.read_npz),
    Reader("confounds", make_confounds, read_confounds, text=True),
    Reader("film, .mp4", make_film("mp4"), read_film),
    Reader("film, .gif", make_film("gif"), read_film),
    Reader("film, .webp", make_film("webp"), read_film),
    Reader("film, .npy", make_film("npy"), read_film, text=True),
    Reader("captions, HDF5", make_captions, read_captions),
    Reader("synonyms", make_synonyms, read_synonyms, text=True),
    Reader("clips.tsv", make_tables, read_tables, text=True, study=True),
    Reader("runs.tsv", _runs_tsv, read_tables, text=True, study=True),
    Reader("study.json", _study_json, read_json, text=True),
    Reader("recipe, TOML", make_recipe, read_recipe, text=True),
    Reader("pickle", make_pickle, read_pickle),
    Reader("pickled .npy", make_object_npy, read_pickle, text=True),
    Reader("checkpoint, .pth", make_checkpoint("pth"), read_checkpoint),
    Reader("checkpoint, old .pth", make_checkpoint("old.pth"), read_checkpoint),
    Reader("checkpoint, safetensors", make_checkpoint("safetensors"), read_checkpoint, text=True),
    Reader("manifest.json", make_manifest, read_manifest, text=True),
    Reader("lock", make_lock, read_lock, text=True),
)
